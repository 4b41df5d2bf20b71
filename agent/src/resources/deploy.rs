//! Brings a release up: through the supervisor, start-first where the application allows it.

use super::application;
use crate::config::{AgentConfig, StateDir};
use crate::runner::ApplicationRunner;
use muster_domain::resource::{Application, Interpreter};
use muster_platform::{Host, Ownership};
use muster_supervisor_protocol::{AppSpec, ApplyOutcome};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};
use std::sync::Arc;
use std::time::Duration;

/// Lines of standard error that a failure carries.
const MAX_STDERR_LINES: usize = 20;

/// Has the release run. The error says why it does not, with the last words of the instance that failed.
pub(crate) async fn run_release(
    host: Arc<dyn Host>,
    runner: &dyn ApplicationRunner,
    config: &AgentConfig,
    wanted: &Application,
    cpus: u32,
) -> Result<Option<String>, String> {
    let (state, application) = (config.state_dir.clone(), wanted.clone());
    let spec = crate::blocking(move || prepare(host.as_ref(), &state, &application, cpus)).await?;
    let limit = time_limit(&spec, config.intervals.apply_grace);
    let applied = match tokio::time::timeout(limit, runner.apply(spec)).await {
        Err(_) => {
            return Err(format!(
                "the supervisor did not bring up release {} in time",
                wanted.release_version
            ));
        }
        Ok(Err(error)) => return Err(error.to_string()),
        Ok(Ok(applied)) => applied,
    };
    match applied.outcome {
        ApplyOutcome::Unchanged | ApplyOutcome::Started | ApplyOutcome::Replaced => {
            Ok((!applied.notes.is_empty()).then(|| applied.notes.join("; ")))
        }
        ApplyOutcome::Failed { reason, last_stderr, previous_kept } => {
            let mut text = format!("release {} did not come up: {reason}", wanted.release_version);
            if previous_kept {
                text.push_str("; what ran before still serves");
            }
            let from = last_stderr.len().saturating_sub(MAX_STDERR_LINES);
            for line in &last_stderr[from..] {
                text.push_str("\nstderr: ");
                text.push_str(line);
            }
            Err(text)
        }
    }
}

fn prepare(host: &dyn Host, state: &StateDir, wanted: &Application, cpus: u32) -> Result<AppSpec, String> {
    check_script(&state.release(&wanted.name, wanted.release_id), wanted)?;
    let spec = application::spec_here(host, state, wanted, cpus)?;
    let home = state.home(&wanted.name);
    crate::durable::private_folder(&home)
        .map_err(|error| format!("cannot create {}: {error}", home.display()))?;
    if let Some(user) = &wanted.user
        && host.privileged()
    {
        let account = host.user(user).map_err(|error| error.to_string())?;
        let account = account.ok_or_else(|| format!("the user {user:?} does not exist on this node"))?;
        let gid = match &wanted.process.group {
            None => account.gid,
            Some(group) => {
                let id = host.group(group).map_err(|error| error.to_string())?;
                id.ok_or_else(|| format!("the group {group:?} does not exist on this node"))?
            }
        };
        let ownership = Ownership { uid: Some(account.uid), gid: Some(gid) };
        host.set_attributes(&home, 0o700, ownership).map_err(|error| error.to_string())?;
    }
    Ok(spec)
}

/// The supervisor would only say that Node.js ended with 1.
fn check_script(release: &Path, wanted: &Application) -> Result<(), String> {
    if wanted.process.interpreter == Interpreter::Shell {
        return Ok(());
    }
    let script = Path::new(&wanted.script);
    let inside = script.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !inside {
        return Err(format!("the script {:?} must be a path inside the release", wanted.script));
    }
    if let Some(found) = release.join(script).metadata().ok().filter(std::fs::Metadata::is_file) {
        return match wanted.process.interpreter {
            Interpreter::Itself if found.permissions().mode() & 0o111 == 0 => Err(format!(
                "the script {:?} is to be executed itself and is not executable; make it so before the release is made",
                wanted.script
            )),
            _ => Ok(()),
        };
    }
    let mut names: Vec<String> = std::fs::read_dir(release)
        .map(|entries| {
            entries.filter_map(Result::ok).map(|e| e.file_name().to_string_lossy().into_owned()).collect()
        })
        .unwrap_or_default();
    names.sort_unstable();
    names.truncate(12);
    Err(format!(
        "release {} has no file {:?}, which the application names as its script; at its top are: {}",
        wanted.release_version,
        wanted.script,
        names.join(", ")
    ))
}

/// Each instance may take its time to come up and its predecessor to go, one after another.
fn time_limit(spec: &AppSpec, grace: Duration) -> Duration {
    let each = spec.listen_timeout_ms.saturating_add(spec.kill_timeout_ms).saturating_add(spec.min_uptime_ms);
    // Twice: when it fails, what ran before may have to be started again.
    Duration::from_millis(each.saturating_mul(u64::from(spec.instances)).saturating_mul(2))
        .saturating_add(grace)
}

/// Flips `current`, in one rename.
pub(crate) fn point_current(state: &StateDir, wanted: &Application) -> io::Result<()> {
    let link = state.current(&wanted.name);
    let temporary = state.application(&wanted.name).join(".current.new");
    crate::durable::remove(&temporary)?;
    std::os::unix::fs::symlink(Path::new("releases").join(wanted.release_id.to_string()), &temporary)?;
    std::fs::rename(&temporary, &link)?;
    std::fs::File::open(state.application(&wanted.name))?.sync_all()
}
