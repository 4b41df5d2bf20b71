//! Who enforces what: pure decisions over what the machine offers and what holds in the end.

use muster_supervisor_protocol::Limits;

use super::Controllers;

/// Which systemd can make a scope for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    /// That of the machine; needs root.
    System,
    /// That of our user.
    User,
}

/// What this machine offers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Machine {
    /// The systemd that would make a scope.
    pub(super) systemd: Option<Manager>,
    /// systemd runs: groups outside its reach must not be made by anybody else.
    pub(super) systemd_owns_groups: bool,
    /// Folders of cgroup v2 can be made, with these controllers.
    pub(super) v2: Option<Controllers>,
    /// Folders can be made in these hierarchies of cgroup v1.
    pub(super) v1: Controllers,
}

/// Where a process shall be put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    /// Into a transient scope.
    Scope(Manager),
    /// Into folders of our own: one of cgroup v2 (whose controllers these are; without any it still tells who
    /// belongs together), and one in each of these hierarchies of v1.
    Own { v2: Option<Controllers>, v1: Controllers },
    /// It stays where it is.
    None,
}

/// Decides where a process with these limits is put.
pub(super) fn decide(machine: &Machine, limits: &Limits) -> Group {
    let wanted = Controllers::wanted(limits);
    if wanted.none() {
        return Group::None;
    }
    if let Some(manager) = machine.systemd {
        return Group::Scope(manager);
    }
    if machine.systemd_owns_groups {
        return Group::None;
    }
    let v2 = machine.v2.map(|controllers| controllers.and(wanted));
    let v1 = wanted.without(v2.unwrap_or_default()).and(machine.v1);
    if v2.is_none() && v1.none() { Group::None } else { Group::Own { v2, v1 } }
}

/// What enforces a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Enforcer {
    Scope,
    V2,
    V1,
}

/// What was found to hold for a process that runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) memory: Option<Enforcer>,
    pub(super) cpu: Option<Enforcer>,
    pub(super) pids: Option<Enforcer>,
    /// The number of processes of its user is limited.
    pub(super) pids_of_user: bool,
}

/// Says in one line what enforces the limits, and which are not enforced.
pub(super) fn describe(limits: &Limits, held: &Held) -> String {
    let Limits { memory_bytes, cpu_percent, pids, open_files } = limits;
    let by_group = held.memory.or(held.cpu).or(held.pids);
    let mut parts: Vec<&str> = Vec::new();
    match by_group {
        Some(Enforcer::Scope) => parts.push("systemd scope"),
        Some(Enforcer::V2) => parts.push("cgroup v2"),
        Some(Enforcer::V1) => parts.push("cgroup v1"),
        None if memory_bytes.is_some() => parts.push("rlimits and polling"),
        None if open_files.is_some() || held.pids_of_user => parts.push("rlimits"),
        None => {}
    }
    if by_group.is_some() && memory_bytes.is_some() && held.memory.is_none() {
        parts.push("memory by polling");
    }
    if cpu_percent.is_some() && held.cpu.is_none() {
        parts.push("cpu not enforced");
    }
    if pids.is_some() && held.pids.is_none() {
        parts.push(if held.pids_of_user {
            "pids by rlimit, for all processes of its user together"
        } else {
            "pids not enforced"
        });
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Controllers = Controllers { memory: true, cpu: true, pids: true };
    const NONE: Controllers = Controllers { memory: false, cpu: false, pids: false };

    fn all_limits() -> Limits {
        Limits {
            memory_bytes: Some(1 << 28),
            cpu_percent: Some(50),
            pids: Some(100),
            open_files: Some(1_000),
        }
    }

    #[test]
    fn the_best_that_the_machine_offers_is_taken() {
        let nothing = Machine::default();
        let systemd =
            Machine { systemd: Some(Manager::System), systemd_owns_groups: true, v2: Some(ALL), v1: ALL };
        let unreachable = Machine { systemd: None, ..systemd };
        let user = Machine { systemd: Some(Manager::User), ..systemd };
        let v2 = Machine { v2: Some(ALL), v1: ALL, ..nothing };
        let hybrid = Machine { v2: Some(NONE), v1: ALL, ..nothing };
        let v1 = Machine { v1: ALL, ..nothing };
        let memory_only = Controllers { memory: true, ..NONE };
        let mixed = Machine { v2: Some(memory_only), v1: Controllers { pids: true, ..NONE }, ..nothing };
        for (machine, group) in [
            (systemd, Group::Scope(Manager::System)),
            (user, Group::Scope(Manager::User)),
            (unreachable, Group::None),
            (v2, Group::Own { v2: Some(ALL), v1: NONE }),
            (hybrid, Group::Own { v2: Some(NONE), v1: ALL }),
            (v1, Group::Own { v2: None, v1: ALL }),
            (mixed, Group::Own { v2: Some(memory_only), v1: Controllers { pids: true, ..NONE } }),
            (nothing, Group::None),
        ] {
            assert_eq!(decide(&machine, &all_limits()), group, "{machine:?}");
            let files = Limits { open_files: Some(64), ..Limits::default() };
            assert_eq!(decide(&machine, &files), Group::None, "open files need no group");
        }
    }

    #[test]
    fn what_is_not_enforced_is_said() {
        use Enforcer::{Scope, V1, V2};
        let held = |memory, cpu, pids, pids_of_user| Held { memory, cpu, pids, pids_of_user };
        for (held, said) in [
            (held(Some(Scope), Some(Scope), Some(Scope), false), "systemd scope"),
            (held(Some(V2), Some(V2), Some(V2), false), "cgroup v2"),
            (held(Some(V1), Some(V1), Some(V1), false), "cgroup v1"),
            (held(None, None, Some(Scope), false), "systemd scope; memory by polling; cpu not enforced"),
            (held(None, None, None, false), "rlimits and polling; cpu not enforced; pids not enforced"),
            (
                held(None, None, None, true),
                "rlimits and polling; cpu not enforced; pids by rlimit, for all processes of its user together",
            ),
        ] {
            assert_eq!(describe(&all_limits(), &held), said);
        }
        let files = Limits { open_files: Some(64), ..Limits::default() };
        assert_eq!(describe(&files, &Held::default()), "rlimits");
        let cpu = Limits { cpu_percent: Some(10), ..Limits::default() };
        assert_eq!(describe(&cpu, &Held::default()), "cpu not enforced");
    }
}
