//! How a process ended, told so that a person need not look anywhere else.

use chrono::Utc;
use muster_planning::supervision::{Exit, signal_name};
use muster_supervisor_protocol::LastExit;

use super::member::Member;

/// Last lines of stderr in a report, and their length: a list shows the reports of many instances at once.
const LINES: usize = 20;
const LINE_CHARS: usize = 300;

/// The report about the process a member had until now.
pub(super) fn report(member: &Member, exit: Exit) -> LastExit {
    let uptime_ms = u64::try_from(member.running_for().as_millis()).unwrap_or(u64::MAX);
    let (code, signal) = match exit {
        Exit::Code(code) => (Some(code), None),
        Exit::Signal(signal) => (None, Some(signal)),
        Exit::Unknown { .. } => (None, None),
    };
    let reason = match exit {
        Exit::Code(_) | Exit::Signal(_) | Exit::Unknown { watched: true } => {
            format!("{exit} after {uptime_ms} ms")
        }
        Exit::Unknown { watched: false } => exit.to_string(),
    };
    let lines = member.process.as_ref().map(|process| process.stderr_tail.lines()).unwrap_or_default();
    LastExit {
        code,
        signal: signal.map(|signal| signal_name(signal).map_or_else(|| signal.to_string(), str::to_owned)),
        reason,
        at: Utc::now(),
        out_of_memory: false,
        uptime_ms,
        last_stderr: shortened(&lines),
    }
}

/// The report about a process that could not be started.
pub(super) fn never_started(reason: &str) -> LastExit {
    LastExit {
        code: None,
        signal: None,
        reason: reason.to_owned(),
        at: Utc::now(),
        out_of_memory: false,
        uptime_ms: 0,
        last_stderr: Vec::new(),
    }
}

fn shortened(lines: &[String]) -> Vec<String> {
    let from = lines.len().saturating_sub(LINES);
    lines[from..].iter().map(|line| line.chars().take(LINE_CHARS).collect()).collect()
}
