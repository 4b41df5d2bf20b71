//! How commands are judged and run. A guard is run at each look, also when nothing may be changed: it must do no harm.

use super::{Look, rendered};
use muster_domain::resource::Command;
use muster_planning::convergence::{Action, Guard, Observed};
use muster_platform::{ShellCommand, ShellOutcome};
use std::path::Path;

/// A guard that takes longer than this is no question but work.
const MAX_GUARD_MS: u64 = 60_000;
/// For a command that says nothing about it.
const USUAL_MS: u64 = 300_000;

fn timeout_ms(wanted: &Command) -> u64 {
    match wanted.timeout_ms {
        0 => USUAL_MS,
        given => given.into(),
    }
}

pub(super) fn observe(look: Look<'_>, wanted: &Command) -> Observed {
    if let Some(user) = &wanted.user {
        match look.host.user(user) {
            Ok(Some(account)) if !look.host.privileged() && account.uid != look.host.own_account().uid => {
                let reason = format!("running it as the user {user} needs an agent that runs as root");
                return Observed::Unsupported(reason);
            }
            Ok(Some(_)) => {}
            Ok(None) => {
                let reason =
                    format!("the user {user}, who should run it, does not exist on this node; declare it");
                return Observed::Unreadable(reason);
            }
            Err(error) => return Observed::Unreadable(error.to_string()),
        }
    }
    match guard(look, wanted) {
        Ok(guard) => Observed::Command(guard),
        Err(reason) => Observed::Unreadable(reason),
    }
}

/// What its guard says. It is done when either of the two says so.
fn guard(look: Look<'_>, wanted: &Command) -> Result<Guard, String> {
    let mut answer = Guard::None;
    if let Some(path) = &wanted.creates {
        if look.host.stat(Path::new(path)).map_err(|error| error.to_string())?.is_some() {
            return Ok(Guard::Done);
        }
        answer = Guard::NotDone(format!("{path} is missing"));
    }
    if let Some(unless) = &wanted.unless {
        let timeout_ms = timeout_ms(wanted).min(MAX_GUARD_MS);
        let outcome = shell(look, wanted, unless, timeout_ms)?;
        if outcome.timed_out {
            return Err(format!("its guard did not end within {} s and was killed", timeout_ms / 1000));
        }
        if outcome.success() {
            return Ok(Guard::Done);
        }
        let end = ended(&outcome);
        // The shell itself ends with these when it cannot run what it was told to.
        let words = match outcome.code {
            Some(126 | 127) => format!(": {}", rendered::tail(&outcome.output)),
            _ => String::new(),
        };
        answer = Guard::NotDone(format!("its guard {end}{words}"));
    }
    Ok(answer)
}

fn shell(look: Look<'_>, wanted: &Command, script: &str, timeout_ms: u64) -> Result<ShellOutcome, String> {
    let (user, cwd) = (wanted.user.as_deref(), wanted.cwd.as_deref());
    look.host.shell(&ShellCommand { script, user, cwd, timeout_ms }).map_err(|error| error.to_string())
}

fn ended(outcome: &ShellOutcome) -> String {
    outcome.code.map_or_else(|| "was ended by a signal".into(), |code| format!("ended with code {code}"))
}

pub(super) fn apply(look: Look<'_>, wanted: &Command, action: Action) -> Result<Option<String>, String> {
    if action != Action::RunCommand {
        return Err(format!("{action:?} cannot be done for a command"));
    }
    let timeout_ms = timeout_ms(wanted);
    let outcome = shell(look, wanted, &wanted.run, timeout_ms)?;
    let wrote = match rendered::tail(&outcome.output) {
        silence if silence.is_empty() => String::new(),
        words => format!("; it wrote:\n{words}"),
    };
    if outcome.timed_out {
        return Err(format!("it did not end within {} s and was killed{wrote}", timeout_ms / 1000));
    }
    if !outcome.success() {
        return Err(format!("it {}{wrote}", ended(&outcome)));
    }
    match guard(look, wanted)? {
        Guard::None | Guard::Done => Ok(None),
        Guard::NotDone(why) => {
            Err(format!("it ran, and its guard still says that it is not done ({why}){wrote}"))
        }
    }
}

pub(super) fn diff(_look: Look<'_>, wanted: &Command, observed: &Observed) -> Option<String> {
    match observed {
        Observed::Command(Guard::NotDone(why)) => Some(format!("{why}\nto run: {}\n", wanted.run)),
        Observed::Command(Guard::None) => Some(format!("to run: {}\n", wanted.run)),
        _ => None,
    }
}

pub(super) fn remove(_look: Look<'_>, _wanted: &Command) -> Result<Option<String>, String> {
    // What a command did, only a person can undo.
    Ok(None)
}
