//! One application of pm2's as the application of a fleet file, and what of it cannot be said there.
//!
//! What a fleet file can say is asked of the reader of fleet files itself: every setting is tried, and what is refused there
//! is reported as lost.

mod settings;
mod start;
mod variables;

use std::collections::{BTreeMap, BTreeSet};

use muster_domain::fleet::{Application, Environment, FleetConfiguration};
use muster_domain::{ApplicationName, EnvironmentName};
use muster_fleet_config::SourceFile;
use serde_json::{Map, Value, json};

use crate::app::{ExecMode, InstancesGiven, Pm2App};

/// An application on its way into a fleet file.
pub(crate) struct Carried {
    pub(crate) name: ApplicationName,
    /// Its settings as in a fleet file; a valid [`Application`] always.
    pub(crate) settings: Map<String, Value>,
    /// Why it cannot run there as it is.
    pub(crate) left_out: Option<String>,
    /// pm2's fields that a fleet file cannot say.
    pub(crate) lost: BTreeSet<&'static str>,
    /// Variables that became secrets.
    pub(crate) secrets: BTreeSet<String>,
    /// Those that a section `env_<name>` gives a value of its own, with the environment.
    pub(crate) secrets_of_environments: BTreeSet<(String, EnvironmentName)>,
    /// Variables that a fleet file does not take, with the reason.
    pub(crate) refused_variables: Vec<(String, &'static str)>,
    /// `env_<name>` sections and the environment that each became.
    pub(crate) environments: BTreeMap<String, EnvironmentName>,
    /// Sections whose names no environment can have.
    pub(crate) unnamed_sections: Vec<String>,
    /// PORT, when another application has that port already.
    pub(crate) port_taken: Option<u16>,
    /// How it runs there.
    pub(crate) mode: ExecMode,
    /// The command line that stands for a script.
    pub(crate) command_line: Option<String>,
}

/// All applications, with names and ports that are theirs alone.
pub(crate) fn carry(apps: &[Pm2App]) -> Vec<Carried> {
    let mut names = BTreeSet::new();
    let mut ports = BTreeSet::new();
    apps.iter().map(|app| one(app, &mut names, &mut ports)).collect()
}

fn one(app: &Pm2App, names: &mut BTreeSet<String>, ports: &mut BTreeSet<u16>) -> Carried {
    let start = start::of(app);
    let mut carried = Carried {
        name: unique_name(&app.name, names),
        settings: Map::new(),
        left_out: None,
        lost: BTreeSet::new(),
        secrets: BTreeSet::new(),
        secrets_of_environments: BTreeSet::new(),
        refused_variables: Vec::new(),
        environments: BTreeMap::new(),
        unnamed_sections: Vec::new(),
        port_taken: None,
        mode: start.mode,
        command_line: start.command_line.then(|| start.script.clone()),
    };
    carried.set("script", json!(start.script));
    carried.left_out = start.left_out;
    if let Some(interpreter) = start.interpreter {
        carried.set("interpreter", json!(interpreter));
    }
    if let Some(version) = start.nodejs {
        carried.set("nodejs", json!(version));
    }
    carried.set_unless_empty("args", &start.args);
    carried.set_unless_empty("node_args", &start.node_args);
    carried.set("exec_mode", json!(if carried.mode == ExecMode::Fork { "fork" } else { "cluster" }));
    match app.instances.given {
        InstancesGiven::Absent => {}
        InstancesGiven::Count(count) => carried.set("instances", json!(count.clamp(1, 256))),
        InstancesGiven::Max | InstancesGiven::AllBut(_) => carried.set("instances", json!("max")),
    }
    if carried.left_out.is_none() {
        carried.left_out = carried.refusal(&carried.settings);
    }
    settings::durations(app, &mut carried);
    variables::carry(app, ports, &mut carried);
    settings::carry(app, &mut carried);
    carried
}

impl Carried {
    fn set(&mut self, key: &str, value: Value) {
        self.settings.insert(key.to_owned(), value);
    }

    fn set_unless_empty(&mut self, key: &str, list: &[String]) {
        if !list.is_empty() {
            self.set(key, json!(list));
        }
    }

    /// Sets the first of these values that a fleet file takes under this key, or notes pm2's field as lost.
    fn offer_as(&mut self, field: &'static str, key: &str, values: &[Value]) -> bool {
        for value in values {
            let mut tried = self.settings.clone();
            tried.insert(key.to_owned(), value.clone());
            if self.refusal(&tried).is_none() {
                self.settings = tried;
                return true;
            }
        }
        self.lost.insert(field);
        false
    }

    /// The same for a field that has pm2's name.
    fn offer(&mut self, field: &'static str, values: &[Value]) -> bool {
        self.offer_as(field, field, values)
    }

    /// Why a fleet file with these settings is refused, if it is. What cannot run there is tried with another script: its
    /// settings are shown, too.
    fn refusal(&self, settings: &Map<String, Value>) -> Option<String> {
        let mut settings = settings.clone();
        if self.left_out.is_some() {
            settings.insert("script".to_owned(), json!("server.js"));
            settings.remove("interpreter");
        }
        let application = match serde_json::from_value::<Application>(Value::Object(settings)) {
            Ok(application) => application,
            Err(error) => return Some(error.to_string()),
        };
        let environments = application.overrides.keys().map(|name| (name.clone(), Environment::default()));
        let configuration = FleetConfiguration {
            environments: environments.collect(),
            applications: BTreeMap::from([(self.name.clone(), application)]),
            ..FleetConfiguration::default()
        };
        let content = muster_fleet_config::to_yaml(&configuration).into_bytes();
        let problems =
            muster_fleet_config::parse(&[SourceFile { path: "fleet.yaml".to_owned(), content }]).err()?;
        problems.into_iter().next().map(|problem| problem.message)
    }
}

/// A name as fleet files want it, that no application before has.
fn unique_name(name: &str, names: &mut BTreeSet<String>) -> ApplicationName {
    let base = label(name).unwrap_or_else(|| "app".to_owned());
    let mut candidate = base.clone();
    let mut number = 2;
    while !names.insert(candidate.clone()) {
        let end = base.len().min(58);
        candidate = format!("{}-{number}", base[..end].trim_end_matches('-'));
        number += 1;
    }
    ApplicationName::parse(candidate).expect("it was made to fit the grammar")
}

/// Lower-case letters, digits and single hyphens in between, at most 63; `None` when nothing is left.
fn label(text: &str) -> Option<String> {
    let mut label = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            label.push(c);
        } else if !label.is_empty() && !label.ends_with('-') {
            label.push('-');
        }
    }
    label.truncate(63);
    let label = label.trim_end_matches('-').to_owned();
    (!label.is_empty()).then_some(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_grammar_and_are_unique() {
        let mut names = BTreeSet::new();
        let long = "x".repeat(80);
        let given =
            ["Shop API", "shop-api", "shop_api", "prefix:web", "ünïcode", "---", "日本", &long, &long];
        let made: Vec<_> = given.into_iter().map(|name| unique_name(name, &mut names).to_string()).collect();
        assert_eq!(
            made[..7],
            ["shop-api", "shop-api-2", "shop-api-3", "prefix-web", "n-code", "app", "app-2"]
        );
        assert_eq!(made[7].len(), 63);
        assert!(made[8].ends_with("-2") && made[8].len() <= 63);
    }
}
