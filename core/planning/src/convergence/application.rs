//! Applications: a release on the disk, processes at the supervisor, and the link `current`.

use super::{Action, Effort, ObservedApplication, ObservedProcesses, Verdict};
use muster_domain::resource::{Application, Interpreter};

pub(super) fn verdict(wanted: &Application, observed: &ObservedApplication, effort: Effort) -> Verdict {
    let ObservedApplication { release_assembled, current, wanted_spec, processes } = observed;
    let mut actions = Vec::new();
    let mut reasons = Vec::new();
    if !release_assembled {
        actions.push(Action::FetchRelease);
        reasons.push(format!("release {} is not on this node", wanted.release_version));
    }
    if let Some(reason) = run_needed(wanted, wanted_spec.as_deref(), processes.as_ref()) {
        actions.push(Action::RunRelease);
        reasons.push(reason);
    } else if let Some(processes) = processes {
        // The right thing runs; whether it runs well is the supervisor's to mend. What it gave up while the release was
        // not there is worth another start with it.
        if processes.stopped && !stays_stopped(wanted, processes) {
            // The supervisor has the right thing already, so giving it that again would change nothing.
            actions.push(Action::StartAgain);
            reasons.push("was stopped".to_owned());
        } else if processes.crash_looping && (effort.start_crash_looping || !release_assembled) {
            actions.push(Action::StartAgain);
            reasons.push(format!("was given up by the supervisor: {}", trouble(processes)));
        } else if processes.crash_looping {
            let reason = format!(
                "crash looping, {} of {} instances ready: {}; deploy a release that starts, or converge the node now to try again",
                processes.ready,
                processes.instances,
                trouble(processes)
            );
            return Verdict::Impossible { reason };
        } else if processes.replacing {
            return Verdict::Waiting { reason: "its instances are being replaced".into() };
        } else if stays_stopped(wanted, processes) {
            // Known and stopped is what was asked for.
        } else if processes.ready + ended_in_order(wanted, processes) < processes.instances {
            let reason = format!(
                "{} of {} instances ready: {}",
                processes.ready,
                processes.instances,
                trouble(processes)
            );
            return Verdict::Waiting { reason };
        }
    }
    if *current != Some(wanted.release_id) {
        actions.push(Action::PointCurrent);
        if reasons.is_empty() {
            reasons.push(format!("current does not point to release {}", wanted.release_version));
        }
    }
    if actions.is_empty() {
        Verdict::InPlace
    } else {
        Verdict::Change { actions, reason: reasons.join(", ") }
    }
}

/// It is to be known and not started, and nobody started it.
fn stays_stopped(wanted: &Application, processes: &ObservedProcesses) -> bool {
    processes.stopped && !wanted.process.autostart
}

/// Instances that ended, where an end is nothing that has to be mended.
fn ended_in_order(wanted: &Application, processes: &ObservedProcesses) -> u32 {
    let may_end = !wanted.process.autorestart || !wanted.process.stop_exit_codes.is_empty();
    if may_end { processes.ended } else { 0 }
}

fn run_needed(
    wanted: &Application,
    wanted_spec: Option<&str>,
    processes: Option<&ObservedProcesses>,
) -> Option<String> {
    let Some(processes) = processes else { return Some("does not run".into()) };
    if processes.awaiting_apply {
        return Some("was not started again after the supervisor was".into());
    }
    match wanted_spec {
        None => Some(match &wanted.process.interpreter {
            Interpreter::Program(program) => format!("needs the program {program}"),
            _ => format!("needs a Node.js that satisfies {}", wanted.nodejs_range),
        }),
        Some(spec) if spec == processes.spec => None,
        Some(_) if processes.release == wanted.release_version.as_str() => {
            Some("its configuration changed".into())
        }
        Some(_) => Some(format!("runs release {} instead of {}", processes.release, wanted.release_version)),
    }
}

fn trouble(processes: &ObservedProcesses) -> String {
    if processes.trouble.is_empty() { "no reason was given".into() } else { processes.trouble.join("; ") }
}
