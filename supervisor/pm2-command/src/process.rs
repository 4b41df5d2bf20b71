//! One row of pm2's list: an instance of an application, under the id that pm2's users know.

use muster_supervisor_protocol::{AppStatus, ExecMode, InstanceState, InstanceStatus, Target};

/// One process, or the place where it should be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Process {
    /// Name of the application.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Cluster or fork.
    pub mode: ExecMode,
    /// Files are watched.
    pub watching: bool,
    /// The instance.
    pub instance: InstanceStatus,
}

impl Process {
    /// `pm_id`.
    pub(crate) fn id(&self) -> u32 {
        self.instance.id
    }

    /// pm2's word for the state.
    pub(crate) fn status(&self) -> &'static str {
        match self.instance.state {
            InstanceState::Stopped => "stopped",
            InstanceState::Starting => "launching",
            InstanceState::Ready => "online",
            InstanceState::BackingOff => "waiting restart",
            InstanceState::CrashLooping => "errored",
            InstanceState::Stopping => "stopping",
        }
    }

    /// The instance as requests call it.
    pub(crate) fn target(&self) -> Target {
        Target::one(&self.name, self.instance.index)
    }
}

/// The rows of a list, ordered by id.
pub(crate) fn of(apps: Vec<AppStatus>) -> Vec<Process> {
    let mut processes: Vec<Process> = Vec::new();
    for app in apps {
        for instance in app.instances {
            processes.push(Process {
                name: app.name.clone(),
                namespace: app.namespace.clone(),
                mode: app.exec_mode,
                watching: app.watching,
                instance,
            });
        }
    }
    processes.sort_by_key(|process| (process.id(), process.instance.index));
    processes
}
