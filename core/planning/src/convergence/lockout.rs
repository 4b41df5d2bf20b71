//! Which resources can cut a node off from its controller, or people from the node, when they are wrong; and the order in
//! which a run does them, so that all of them are put to the test at once.

use muster_domain::resource::{DesiredState, Resource, ResourceKey};
use std::collections::BTreeSet;

/// Files and folders (with a slash at the end) that decide who reaches the node, and whom it reaches.
const PATHS: [&str; 13] = [
    "/etc/netplan/",
    "/etc/network/",
    "/etc/systemd/network/",
    "/etc/NetworkManager/",
    "/etc/ssh/",
    "/etc/ufw/",
    "/etc/iptables/",
    "/etc/muster/",
    "/etc/default/ufw",
    "/etc/nftables.conf",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
];

/// Units without which the node is not reached, or does not reach anybody.
const UNITS: [&str; 11] = [
    "NetworkManager.service",
    "muster-agent.service",
    "muster-supervisor.service",
    "netfilter-persistent.service",
    "networking.service",
    "nftables.service",
    "ssh.service",
    "sshd.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "ufw.service",
];

/// Whether a mistake in it can lock people out, or cut the node off.
pub fn lockout_risk(desired: &DesiredState) -> bool {
    match desired {
        // Which of the names is the controller's, only the node knows; there are few changes of this file.
        DesiredState::Firewall(_) | DesiredState::Sshd(_) | DesiredState::Hosts(_) => true,
        DesiredState::File(file) | DesiredState::SecretFile(file) => path(&file.path),
        DesiredState::Symlink(symlink) => path(&symlink.path),
        DesiredState::Sysctl(sysctl) => sysctl.name.starts_with("net.") || sysctl.name.starts_with("net/"),
        DesiredState::SystemdUnit(unit) => {
            let name = unit.name.split_once('/').map_or(unit.name.as_str(), |(folder, _)| folder);
            UNITS.contains(&name.strip_suffix(".d").unwrap_or(name))
        }
        DesiredState::Service(service) => UNITS.contains(&service.name.as_str()),
        DesiredState::AptRepository(_)
        | DesiredState::Package(_)
        | DesiredState::OsUpdates(_)
        | DesiredState::Group(_)
        | DesiredState::User(_)
        | DesiredState::AuthorizedKey(_)
        | DesiredState::Hostname(_)
        | DesiredState::Timezone(_)
        | DesiredState::Directory(_)
        | DesiredState::Certificate(_)
        | DesiredState::Logrotate(_)
        | DesiredState::CronJob(_)
        | DesiredState::Nodejs(_)
        | DesiredState::Command(_)
        | DesiredState::Application(_) => false,
    }
}

fn path(path: &str) -> bool {
    PATHS.iter().any(|known| if known.ends_with('/') { path.starts_with(known) } else { path == *known })
}

/// The resources of an assignment, as positions in it, in the order of a run. Each part keeps the order of the assignment,
/// and nothing comes before what it depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Phases {
    /// What needs none of the risky ones.
    pub before: Vec<usize>,
    /// What can lock somebody out, what takes effect through it (a service that is restarted for it), and what has to be
    /// done in between.
    pub risky: Vec<usize>,
    /// What comes after them.
    pub after: Vec<usize>,
}

/// Parts an assignment, so that whatever is risky is done in one go.
pub fn phases(resources: &[Resource]) -> Phases {
    let mut risky: BTreeSet<&ResourceKey> = BTreeSet::new();
    for resource in resources {
        if lockout_risk(&resource.desired) || acts_for(resource, &risky) {
            risky.insert(&resource.key);
        }
    }
    // Both ways through an order in which everything stands behind what it depends on.
    let mut follows: BTreeSet<&ResourceKey> = BTreeSet::new();
    for resource in resources {
        if resource.comes_after().any(|key| risky.contains(key) || follows.contains(key)) {
            follows.insert(&resource.key);
        }
    }
    let mut leads: BTreeSet<&ResourceKey> = BTreeSet::new();
    for resource in resources.iter().rev() {
        if risky.contains(&resource.key) || leads.contains(&resource.key) {
            leads.extend(resource.comes_after());
        }
    }
    let mut phases = Phases::default();
    for (index, Resource { key, .. }) in resources.iter().enumerate() {
        let part = if risky.contains(key) || follows.contains(key) && leads.contains(key) {
            &mut phases.risky
        } else if follows.contains(key) {
            &mut phases.after
        } else {
            &mut phases.before
        };
        part.push(index);
    }
    phases
}

/// Whether it is what makes a risky change take effect.
fn acts_for(resource: &Resource, risky: &BTreeSet<&ResourceKey>) -> bool {
    let watches = || resource.reload_on.iter().chain(&resource.restart_on).any(|key| risky.contains(key));
    matches!(resource.desired, DesiredState::Service(_) | DesiredState::Command(_)) && watches()
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_domain::resource::{Directory, File, Firewall, FirewallPolicy, Service, Sysctl, SystemdUnit};
    use proptest::prelude::*;

    fn file(path: &str) -> DesiredState {
        DesiredState::File(File {
            path: path.into(),
            content: Vec::new(),
            mode: 0o644,
            owner: None,
            group: None,
            sensitive: false,
            validate: None,
        })
    }

    fn service(name: &str) -> DesiredState {
        DesiredState::Service(Service { name: name.into(), enabled: None, running: None })
    }

    fn unit(name: &str) -> DesiredState {
        DesiredState::SystemdUnit(SystemdUnit { name: name.into(), content: String::new() })
    }

    fn sysctl(name: &str) -> DesiredState {
        DesiredState::Sysctl(Sysctl { name: name.into(), value: "1".into() })
    }

    #[test]
    fn what_decides_who_reaches_whom_is_a_risk() {
        for risky in [
            file("/etc/netplan/01.yaml"),
            file("/etc/hosts"),
            file("/etc/ssh/sshd_config"),
            sysctl("net.ipv4.ip_forward"),
            unit("muster-agent.service.d/limits.conf"),
            unit("ssh.service"),
            service("systemd-networkd.service"),
        ] {
            assert!(lockout_risk(&risky), "{risky:?}");
        }
        for harmless in [
            file("/etc/hosts.allow"),
            file("/srv/etc/netplan/x"),
            sysctl("vm.swappiness"),
            unit("nginx.service"),
            service("nginx.service"),
        ] {
            assert!(!lockout_risk(&harmless), "{harmless:?}");
        }
    }

    #[test]
    fn a_service_that_is_restarted_for_a_risky_file_is_part_of_the_risk() {
        let key = |name: &str| ResourceKey::parse(name).unwrap();
        let firewall = Firewall {
            incoming: FirewallPolicy::Deny,
            outgoing: FirewallPolicy::Allow,
            rules: Vec::new(),
            exclusive: false,
        };
        let mut restarted =
            Resource::new(key("service:dns"), vec![key("directory:x")], service("dnsmasq.service"));
        restarted.restart_on = vec![key("file:/etc/hosts")];
        let directory =
            DesiredState::Directory(Directory { path: "/x".into(), mode: 0o755, owner: None, group: None });
        let resources = [
            Resource::new(key("file:/etc/hosts"), vec![], file("/etc/hosts")),
            Resource::new(key("file:/srv/a"), vec![], file("/srv/a")),
            Resource::new(key("directory:x"), vec![key("file:/etc/hosts")], directory),
            restarted,
            Resource::new(key("firewall:main"), vec![], DesiredState::Firewall(firewall)),
            Resource::new(key("file:/srv/b"), vec![key("service:dns")], file("/srv/b")),
        ];
        assert_eq!(phases(&resources), Phases { before: vec![1], risky: vec![0, 2, 3, 4], after: vec![5] });
    }

    proptest! {
        #[test]
        fn nothing_comes_before_what_it_depends_on_and_all_risks_are_together(
            kinds in prop::collection::vec((0_u8..4, prop::collection::vec(any::<prop::sample::Index>(), 0..3)), 0..24),
        ) {
            let key = |index: usize| ResourceKey::new("file", index);
            let resources: Vec<Resource> = kinds
                .iter()
                .enumerate()
                .map(|(index, (kind, edges))| {
                    let edges: Vec<ResourceKey> =
                        if index == 0 { vec![] } else { edges.iter().map(|edge| key(edge.index(index))).collect() };
                    match kind {
                        0 => Resource::new(key(index), edges, file(&format!("/etc/netplan/{index}"))),
                        1 => {
                            let mut resource = Resource::new(key(index), vec![], service("x.service"));
                            resource.restart_on = edges;
                            resource
                        }
                        _ => Resource::new(key(index), edges, file(&format!("/srv/{index}"))),
                    }
                })
                .collect();
            let Phases { before, risky, after } = phases(&resources);
            let order: Vec<usize> = [before.clone(), risky.clone(), after.clone()].concat();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..resources.len()).collect::<Vec<_>>());
            for part in [&before, &risky, &after] {
                prop_assert!(part.is_sorted());
            }
            let at = |wanted: &ResourceKey| order.iter().position(|index| resources[*index].key == *wanted);
            for index in &order {
                for edge in resources[*index].comes_after() {
                    prop_assert!(at(edge) < at(&resources[*index].key));
                }
            }
            for index in before.iter().chain(&after) {
                prop_assert!(!lockout_risk(&resources[*index].desired));
            }
        }
    }
}
