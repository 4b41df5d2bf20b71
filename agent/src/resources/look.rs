//! What observing needs, and how paths, Node.js and applications are looked at. Changes nothing.

use crate::artifacts;
use crate::config::StateDir;
use muster_domain::{Digest, ReleaseId, resource::Application};
use muster_planning::convergence::{
    Observed, ObservedApplication, ObservedPath, ObservedProcesses, PathKind, PathState, Principal,
};
use muster_platform::{FileKind, Host, HostError};
use muster_supervisor_protocol::{AppStatus, DesiredRun, InstanceState};
use std::collections::BTreeSet;
use std::path::Path;

/// What observing needs besides the host.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Where the agent keeps its state.
    pub state: &'a StateDir,
    /// What the supervisor runs, or why it does not say.
    pub apps: &'a Result<Vec<AppStatus>, String>,
    /// Logical processors.
    pub cpus: u32,
}

/// Stands for a content that has another length than what is wanted, and is not read for it.
const OTHER: Digest = Digest::from_bytes([0; 32]);

/// Looks at a path. A file that has not just `wanted_bytes` is not read.
pub(super) fn path(
    host: &dyn Host,
    path: &str,
    wanted_bytes: u64,
    owner: Option<&str>,
    group: Option<&str>,
) -> Result<Observed, HostError> {
    let path = Path::new(path);
    let found = match host.stat(path)? {
        None => None,
        Some(stat) => {
            let kind = match stat.kind {
                FileKind::File if stat.size_bytes != wanted_bytes => PathKind::File(OTHER),
                FileKind::File => PathKind::File(host.digest(path, wanted_bytes)?.unwrap_or(OTHER)),
                FileKind::Directory => PathKind::Directory,
                FileKind::Symlink { target } => PathKind::Symlink(target),
                FileKind::Other => PathKind::Other,
            };
            Some(PathState { kind, mode: stat.mode, uid: stat.uid, gid: stat.gid })
        }
    };
    let own = host.own_account();
    Ok(Observed::Path(ObservedPath {
        found,
        owner: principal(owner, |name| Ok(host.user(name)?.map(|account| account.uid)))?,
        group: principal(group, |name| host.group(name))?,
        privileged: host.privileged(),
        own: (own.uid, own.gid),
    }))
}

fn principal(
    name: Option<&str>,
    find: impl FnOnce(&str) -> Result<Option<u32>, HostError>,
) -> Result<Principal, HostError> {
    let Some(name) = name else { return Ok(Principal::Any) };
    Ok(find(name)?.map_or_else(|| Principal::Unknown(name.to_owned()), Principal::Id))
}

/// Looks at the Node.js runtimes.
pub(super) fn runtimes(host: &dyn Host, view: View<'_>) -> Observed {
    let runtimes = host.node_runtimes(&view.state.nodejs());
    // One runtime may be found by several paths.
    let versions: BTreeSet<String> = runtimes.into_iter().map(|runtime| runtime.version).collect();
    Observed::Nodejs { versions: versions.into_iter().collect() }
}

/// Looks at an application.
pub(super) fn application(host: &dyn Host, view: View<'_>, wanted: &Application) -> Observed {
    if let Some(unsupported) = foreign_user(host, wanted) {
        return unsupported;
    }
    let apps = match view.apps {
        Ok(apps) => apps,
        Err(reason) => return Observed::Unreadable(reason.clone()),
    };
    let wanted_spec = super::application::spec_here(host, view.state, wanted, view.cpus).ok();
    let wanted_spec = wanted_spec.map(|spec| spec.spec_digest);
    let current = std::fs::read_link(view.state.current(&wanted.name)).ok();
    let current = current.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    Observed::Application(ObservedApplication {
        release_assembled: artifacts::assembled(view.state, wanted),
        current: current.and_then(|name| name.parse::<ReleaseId>().ok()),
        wanted_spec,
        processes: apps.iter().find(|app| app.name == wanted.name.as_str()).map(processes),
    })
}

/// An account that this agent cannot start processes as.
fn foreign_user(host: &dyn Host, wanted: &Application) -> Option<Observed> {
    let name = wanted.user.as_deref()?;
    match host.user(name) {
        Err(error) => Some(Observed::Unreadable(error.to_string())),
        Ok(Some(account)) if host.privileged() || account.uid == host.own_account().uid => None,
        Ok(None) if host.privileged() => Some(Observed::Unreadable(format!(
            "the user {name:?}, which should run it, does not exist on this node; create it or name another"
        ))),
        Ok(_) => Some(Observed::Unsupported(format!(
            "running it as the user {name:?} needs an agent that runs as root"
        ))),
    }
}

fn processes(app: &AppStatus) -> ObservedProcesses {
    let trouble = |instance: &muster_supervisor_protocol::InstanceStatus| {
        let exit = instance.last_exit.as_ref().map(|exit| format!(", last process {}", exit.reason));
        format!("instance {} is {}{}", instance.index, instance.state, exit.unwrap_or_default())
    };
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    ObservedProcesses {
        spec: app.spec_digest.clone(),
        release: app.release.clone(),
        awaiting_apply: app.awaiting_apply,
        stopped: app.desired == DesiredRun::Stopped,
        replacing: app.replacing,
        crash_looping: app.instances.iter().any(|instance| instance.state == InstanceState::CrashLooping),
        ready: count(app.instances.iter().filter(|instance| instance.ready).count()),
        ended: count(
            app.instances.iter().filter(|instance| instance.state == InstanceState::Stopped).count(),
        ),
        instances: count(app.instances.len()),
        trouble: app.instances.iter().filter(|instance| !instance.ready).map(trouble).collect(),
    }
}
