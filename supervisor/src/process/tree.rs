//! Signals for a process and everything it started.

use std::collections::BTreeMap;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// What `/proc/<pid>/stat` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) parent: u32,
    /// It has ended and its parent was not told yet.
    pub(crate) zombie: bool,
    /// User and system time in clock ticks.
    pub(crate) cpu_ticks: u64,
    /// Start time in clock ticks since boot: with the pid it names a process for good.
    pub(crate) start_ticks: u64,
}

/// Looks at a process.
pub(crate) fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name is in parentheses and may contain anything, also parentheses.
    let rest = &text[text.rfind(')')? + 1..];
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    Some(Stat {
        zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: u32::try_from(number(1)?).ok()?,
        cpu_ticks: number(11)? + number(12)?,
        start_ticks: number(19)?,
    })
}

/// Whether the process with this start time still runs.
pub(crate) fn runs(pid: u32, start_ticks: u64) -> bool {
    stat(pid).is_some_and(|stat| stat.start_ticks == start_ticks && !stat.zombie)
}

/// Sends a signal to one process alone.
pub(crate) fn signal_one(pid: u32, signal: i32) {
    if let (Some(pid), Some(signal)) = (to_pid(pid), Signal::from_named_raw(signal)) {
        ignore_gone(kill_process(pid, signal));
    }
}

/// Sends a signal to a process and its group: what an application started hears it too, as on a terminal.
pub(crate) fn signal(pid: u32, signal: i32) {
    if let (Some(pid), Some(signal)) = (to_pid(pid), Signal::from_named_raw(signal)) {
        ignore_gone(kill_process_group(pid, signal));
    }
}

/// Kills a process, its group and all descendants, also those that left the group.
pub(crate) fn kill(pid: u32) {
    let descendants = descendants(pid);
    kill_group(pid);
    for pid in descendants.into_iter().filter_map(to_pid) {
        ignore_gone(kill_process(pid, Signal::KILL));
    }
}

/// Kills what is left of a group.
pub(crate) fn kill_group(pid: u32) {
    if let Some(pid) = to_pid(pid) {
        ignore_gone(kill_process_group(pid, Signal::KILL));
    }
}

pub(crate) fn to_pid(pid: u32) -> Option<Pid> {
    // 1 would mean every process.
    i32::try_from(pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw)
}

fn ignore_gone(result: rustix::io::Result<()>) {
    match result {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => tracing::warn!(%error, "a process cannot be signalled"),
    }
}

/// Everything a process started that still has a living line to it.
pub(crate) fn descendants(root: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for pid in entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok()) {
        if let Some(stat) = stat(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        let Some(own) = children.remove(&pid) else { continue };
        found.extend(&own);
        open.extend(own);
    }
    found
}

/// Number of a signal as people write it: by name, with or without `SIG`, or by number.
pub(crate) fn signal_number(name: &str) -> Option<i32> {
    let wanted = name.trim().to_ascii_uppercase();
    if let Ok(number) = wanted.parse::<i32>() {
        return muster_planning::supervision::signal_name(number).map(|_| number);
    }
    let wanted = if wanted.starts_with("SIG") { wanted } else { format!("SIG{wanted}") };
    (1..=31).find(|number| muster_planning::supervision::signal_name(*number) == Some(wanted.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_process_name_does_not_confuse_us() {
        let text = "77 (a) R 1 (b)) S 42 77 77 0 -1 4194560 1 2 3 4 10 20 0 0 20 0 1 0 4711 1000 10";
        assert_eq!(
            parse_stat(text),
            Some(Stat { parent: 42, zombie: false, cpu_ticks: 30, start_ticks: 4711 })
        );
        assert_eq!(parse_stat("garbage"), None);
    }

    #[test]
    fn signals_are_named_as_people_write_them() {
        assert_eq!(signal_number("SIGINT"), Some(2));
        assert_eq!(signal_number("term"), Some(15));
        assert_eq!(signal_number("usr2"), Some(12));
        assert_eq!(signal_number("12"), Some(12));
        assert_eq!((signal_number("SIGWHAT"), signal_number("0"), signal_number("99")), (None, None, None));
    }

    #[test]
    fn descendants_are_found_across_sessions() {
        let mut child =
            std::process::Command::new("sh").args(["-c", "setsid sleep 60 & wait"]).spawn().unwrap();
        let bound = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while descendants(child.id()).is_empty() {
            assert!(std::time::Instant::now() < bound, "the child never forked");
            std::thread::yield_now();
        }
        for pid in descendants(child.id()).into_iter().filter_map(to_pid) {
            ignore_gone(kill_process(pid, Signal::KILL));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
