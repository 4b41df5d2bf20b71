//! Puts back what was there before. Whoever comes first does it: the agent, the timer, or an agent that was started again;
//! and whoever is interrupted is followed by another who does all of it once more.

use super::journal::{Files, FormerPath, Journal, Reverted, Was};
use crate::config::StateDir;
use muster_platform::{CommandLine, Fault, Host, HostError, Ownership, WriteFile};
use std::io;
use std::path::Path;
use std::time::Duration;

/// Whoever applies something is bound in each thing that it does; this is longer than all of it.
const PATIENCE: Duration = Duration::from_secs(600);

/// One command that makes something take effect.
const STEP_TIMEOUT_MS: u64 = 60_000;

/// Commands that fail again and again are told of, and no longer waited for: the files are back by then.
const MAX_ATTEMPTS: u32 = 5;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reversion {
    /// Nothing is under test by this name: it was confirmed, or put back before.
    Nothing,
    /// It was put back.
    Done(Reverted),
}

/// Why it could not be put back. It is worth another try.
#[derive(Debug, thiserror::Error)]
pub enum RevertError {
    /// The journal could not be used.
    #[error("cannot use the journal of the changes under test")]
    Journal(#[from] io::Error),
    /// Something is not as it was.
    #[error("not everything could be put back: {0}")]
    Incomplete(String),
}

/// Puts back what is under test. `id` names it, absent means whatever it is.
pub fn revert(
    host: &dyn Host,
    state: &StateDir,
    id: Option<&str>,
    reason: &str,
    now_ms: i64,
) -> Result<Reversion, RevertError> {
    let files = Files::new(state);
    let _turn = files.turn(PATIENCE)?;
    let Some(mut journal) = files.journal()? else { return Ok(Reversion::Nothing) };
    if id.is_some_and(|id| id != journal.id) {
        return Ok(Reversion::Nothing);
    }
    let reason = journal.reverting.get_or_insert_with(|| reason.to_owned()).clone();
    journal.attempts = journal.attempts.saturating_add(1);
    // From here on there is no way back: an agent that is started in the middle of it goes on with it.
    files.write_journal(&journal)?;
    let mut faults: Vec<String> = Vec::new();
    for former in journal.paths.iter().rev() {
        faults.extend(put_back(host, former).err().map(|error| error.to_string()));
    }
    let all_back = faults.is_empty();
    // Whatever is back takes effect: one file that cannot be written is no reason to leave the firewall closed.
    for step in &journal.steps {
        faults.extend(run(host, step).err());
    }
    if !faults.is_empty() && (!all_back || journal.attempts < MAX_ATTEMPTS) {
        return Err(RevertError::Incomplete(faults.join("; ")));
    }
    let Journal { id, resources, was_cut_off, .. } = journal;
    let reason = if faults.is_empty() { reason } else { format!("{reason}; but {}", faults.join("; ")) };
    let reverted = Reverted { id, at_ms: now_ms, resources, reason, was_cut_off, told: false };
    let mut known = files.reverted()?;
    known.retain(|known| known.id != reverted.id);
    known.push(reverted.clone());
    files.write_reverted(known)?;
    files.remove_journal()?;
    Ok(Reversion::Done(reverted))
}

fn put_back(host: &dyn Host, former: &FormerPath) -> Result<(), HostError> {
    let path = Path::new(&former.path);
    match &former.was {
        Was::Nothing => match host.remove(path) {
            // Its folder is gone as well.
            Err(HostError { fault: Fault::NotFound | Fault::NotADirectory, .. }) => Ok(()),
            other => other,
        },
        Was::File { content, mode, uid, gid } => {
            let ownership = Ownership { uid: Some(*uid), gid: Some(*gid) };
            host.write(&WriteFile { path, content, mode: *mode, ownership })
        }
        Was::Symlink { target } => host.make_symlink(path, target),
    }
}

fn run(host: &dyn Host, step: &[String]) -> Result<(), String> {
    let Some((program, args)) = step.split_first() else { return Ok(()) };
    let command = CommandLine {
        program: program.into(),
        args: args.to_vec(),
        timeout_ms: STEP_TIMEOUT_MS,
        ..CommandLine::default()
    };
    let output = host.run(&command).map_err(|error| error.to_string())?;
    if output.success() {
        return Ok(());
    }
    let said = output.stderr.lines().next().unwrap_or_default().to_owned();
    Err(format!("`{}` failed: {said}", step.join(" ")))
}
