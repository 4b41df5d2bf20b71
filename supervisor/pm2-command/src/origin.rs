//! What this command keeps with each application, besides what the supervisor needs: [`Pm2Origin::record`]. No value of
//! the environment is in it.

use std::collections::{BTreeMap, BTreeSet};

use muster_supervisor_protocol::AppSpec;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The record of one application.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    /// `instances` as the file or the flags said, before anybody scaled.
    pub(crate) asked_instances: u32,
    /// Names of the variables that the application itself has, as opposed to those of the caller's shell.
    pub(crate) own_env: BTreeSet<String>,
    /// Names of the shell's variables that were taken along.
    pub(crate) shell_env: BTreeSet<String>,
    /// The working directory as it was written, links and all.
    pub(crate) typed_cwd: String,
    /// The script as it was found from there.
    pub(crate) typed_script: String,
    /// Interpreter as pm2 calls it.
    pub(crate) exec_interpreter: String,
    /// Of the nearest package.json.
    pub(crate) version: String,
    /// Of the Node.js that runs it.
    pub(crate) node_version: Option<String>,
    /// Who started it.
    pub(crate) username: String,
    /// Whether it starts with its list; the spec itself never starts by being applied.
    pub(crate) autostart: bool,
    /// Fields that pm2 shows and nothing of ours reads.
    pub(crate) shown: BTreeMap<String, Value>,
}

impl Record {
    /// Of a spec; what another client applied has none.
    pub(crate) fn of(spec: &AppSpec) -> Self {
        let record = spec.pm2.as_ref().and_then(|origin| serde_json::from_value(origin.record.clone()).ok());
        record.unwrap_or_else(|| Self {
            typed_cwd: spec.cwd.clone(),
            typed_script: spec.script.clone(),
            exec_interpreter: spec.interpreter.clone().unwrap_or_else(|| "none".to_owned()),
            version: if spec.release.is_empty() { "N/A".to_owned() } else { spec.release.clone() },
            own_env: spec.env.keys().cloned().collect(),
            asked_instances: spec.instances,
            autostart: true,
            ..Self::default()
        })
    }

    /// As the supervisor keeps it.
    pub(crate) fn value(&self) -> Value {
        serde_json::to_value(self).expect("maps have texts as keys")
    }
}
