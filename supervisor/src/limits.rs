//! What an instance may use at most, and who sees to it.
//!
//! A process whose spec has limits is started by way of the [`launcher`]: the same binary, which puts itself into a
//! control group of its own, gives up its privileges and executes the program, so that the process id is the
//! application's. Which kind of group is [`decide`]d from what the machine offers. The supervisor's side is the
//! [`Guard`] of each process: it looks up what the kernel really holds ([`Enclosure`], derived from `/proc`, so that
//! a successor finds the same), polls the memory where the kernel does not limit it, kills the whole group, and says
//! when memory was the reason of a death. What enforces each limit is said in one line of the status.

mod decide;
mod enclosure;
mod guard;
mod hierarchy;
mod kernel_log;
mod launcher;
mod memory;
mod own_group;
mod scope;
mod wire;

pub(crate) use enclosure::Enclosure;
pub(crate) use guard::{Ended, Guard, LimitsBy, Notice};
pub(crate) use launcher::command;
pub use launcher::enclose;
pub(crate) use wire::{Identity, Orders, prepare};

use muster_supervisor_protocol::Limits;

/// In front of the names of all groups.
const PREFIX: &str = "muster-";
/// Holds the groups: a slice of systemd, or a folder.
const PARENT: &str = "muster";

/// Name of the group of one process. It ends with the process id, which is unique among everything that lives on the
/// machine, whoever started it, and by which a successor knows the group again.
fn group_name(app: &str, index: u32, pid: u32) -> String {
    let app: String = app
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '_' })
        .collect();
    format!("{PREFIX}{app}-{index}-{pid}")
}

/// Whether the last part of a path names the group of that process.
fn names_group_of(component: &str, pid: u32) -> bool {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    name.strip_prefix(PREFIX)
        .and_then(|rest| rest.rsplit('-').next())
        .is_some_and(|last| last == pid.to_string())
}

/// Which of the limits need a control group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Controllers {
    memory: bool,
    cpu: bool,
    pids: bool,
}

impl Controllers {
    fn wanted(limits: &Limits) -> Self {
        let Limits { memory_bytes, cpu_percent, pids, open_files: _ } = limits;
        Self { memory: memory_bytes.is_some(), cpu: cpu_percent.is_some(), pids: pids.is_some() }
    }

    fn none(self) -> bool {
        self == Self::default()
    }

    fn and(self, other: Self) -> Self {
        Self {
            memory: self.memory && other.memory,
            cpu: self.cpu && other.cpu,
            pids: self.pids && other.pids,
        }
    }

    fn without(self, other: Self) -> Self {
        Self {
            memory: self.memory && !other.memory,
            cpu: self.cpu && !other.cpu,
            pids: self.pids && !other.pids,
        }
    }

    fn count(self) -> usize {
        [self.memory, self.cpu, self.pids].into_iter().filter(|set| *set).count()
    }

    /// As the kernel lists them.
    fn parse(text: &str) -> Self {
        let has = |name: &str| text.split_ascii_whitespace().any(|word| word == name);
        Self { memory: has("memory"), cpu: has("cpu"), pids: has("pids") }
    }
}

/// The period in which processor time is shared out, in microseconds: the kernel's own default.
const CPU_PERIOD_US: u64 = 100_000;

/// Processor time per period, at least what the kernel accepts.
fn cpu_quota_us(percent: u32) -> u64 {
    (u64::from(percent) * CPU_PERIOD_US / 100).max(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_known_again_by_the_process_it_was_made_for() {
        let name = group_name("web/shop näme", 3, 4711);
        assert_eq!(name, "muster-web_shop_n_me-3-4711");
        assert!(names_group_of(&name, 4711));
        assert!(names_group_of(&format!("{name}.scope"), 4711));
        assert!(!names_group_of(&name, 711));
        assert!(!names_group_of("session-4711.scope", 4711));
    }

    #[test]
    fn a_share_of_a_core_is_a_share_of_the_period() {
        assert_eq!(cpu_quota_us(250), 250_000);
        assert_eq!(cpu_quota_us(0), 1_000);
    }
}
