//! Everything the supervisor knows at one moment: what runs, and from which specs.

use std::collections::BTreeMap;

use muster_supervisor_protocol::{AppSpec, AppStatus, Client};

use crate::process::{self, Process};
use crate::{Failure, context};

/// Applications with their specs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    /// Ordered by name.
    pub(crate) apps: Vec<AppStatus>,
    /// By name.
    pub(crate) specs: BTreeMap<String, AppSpec>,
    /// Ordered by id.
    pub(crate) processes: Vec<Process>,
}

impl Snapshot {
    /// Asks the supervisor.
    pub(crate) async fn take(client: &mut Client) -> Result<Self, Failure> {
        let apps = client.list().await.map_err(context::refused)?;
        let specs = client.specs(None).await.map_err(context::refused)?;
        Ok(Self {
            processes: process::of(apps.clone()),
            specs: specs.into_iter().map(|spec| (spec.name.clone(), spec)).collect(),
            apps,
        })
    }

    /// An application by name.
    pub(crate) fn app(&self, name: &str) -> Option<&AppStatus> {
        self.apps.iter().find(|app| app.name == name && !app.instances.is_empty())
    }

    /// Its processes.
    pub(crate) fn of_app<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Process> {
        self.processes.iter().filter(move |process| process.name == name)
    }
}
