//! The firewall with the real ufw and a real kernel.

use super::World;
use crate::resources;
use muster_domain::resource::{
    DesiredState, Firewall, FirewallPolicy, FirewallRule, PortRange, Resource, ResourceKey, RuleAction,
    Transport,
};
use muster_planning::convergence::{self, Action, Effort, Observed, Verdict};

fn rule(action: RuleAction, port: u16) -> FirewallRule {
    FirewallRule {
        action,
        outgoing: false,
        protocol: Some(Transport::Tcp),
        port: Some(PortRange { first: port, last: port }),
        from: None,
        to: None,
        interface: None,
        comment: None,
    }
}

fn wanted() -> Firewall {
    let range = Some(PortRange { first: 8000, last: 8100 });
    Firewall {
        incoming: FirewallPolicy::Deny,
        outgoing: FirewallPolicy::Allow,
        rules: vec![
            FirewallRule { comment: Some("people's way in".into()), ..rule(RuleAction::Limit, 22) },
            rule(RuleAction::Allow, 443),
            FirewallRule { protocol: None, port: range, ..rule(RuleAction::Allow, 1) },
            FirewallRule {
                from: Some("10.0.0.9/8".into()),
                interface: Some("eth7".into()),
                ..rule(RuleAction::Allow, 6379)
            },
            FirewallRule {
                from: Some("fd00::7/64".into()),
                protocol: None,
                port: None,
                ..rule(RuleAction::Reject, 1)
            },
            FirewallRule {
                outgoing: true,
                to: Some("192.0.2.66".into()),
                port: None,
                protocol: None,
                ..rule(RuleAction::Deny, 1)
            },
        ],
        exclusive: false,
    }
}

/// ufw as it comes, turned off and without rules.
pub(super) fn fresh(world: &World) {
    world.said(&["ufw", "--force", "disable"]);
    // It keeps what it resets under the time in seconds, and gives up when that is taken.
    for entry in std::fs::read_dir("/etc/ufw").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end.to_string_lossy().starts_with("20")) {
            std::fs::remove_file(path).unwrap();
        }
    }
    world.said(&["ufw", "--force", "reset"]);
}

fn observe(world: &World, wanted: &Firewall) -> Observed {
    let apps = Ok(Vec::new());
    let view = resources::View { state: &world.state, apps: &apps, cpus: 1 };
    let desired = DesiredState::Firewall(wanted.clone());
    let resource = Resource::new(ResourceKey::new("firewall", "firewall"), vec![], desired);
    resources::observe(&world.host, view, &resource)
}

fn decide(world: &World, wanted: &Firewall) -> Verdict {
    convergence::verdict(&DesiredState::Firewall(wanted.clone()), &observe(world, wanted), Effort::default())
}

fn apply(world: &World, wanted: &Firewall) {
    let desired = DesiredState::Firewall(wanted.clone());
    resources::apply(world.look(), &desired, Action::ConfigureFirewall).unwrap();
    assert_eq!(decide(world, wanted), Verdict::InPlace);
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn ufw_becomes_what_is_declared_and_keeps_what_is_not_until_that_must_go() {
    let world = World::here();
    fresh(&world);
    for words in [
        &["ufw", "allow", "OpenSSH"][..],
        &["ufw", "allow", "443/tcp"],
        &["ufw", "allow", "log", "99/udp"],
        &["ufw", "route", "allow", "in", "on", "eth7", "out", "on", "eth8"],
        &["ufw", "deny", "22/tcp"],
        &["ufw", "allow", "from", "192.0.2.0/24", "port", "5", "to", "any", "port", "6", "proto", "udp"],
    ] {
        world.said(words);
    }
    let wanted = wanted();
    apply(&world, &wanted);
    let status = world.said(&["ufw", "status", "numbered"]);
    assert!(status.contains("active"), "{status}");
    let lines: Vec<&str> = status.lines().filter(|line| line.starts_with('[')).collect();
    assert!(
        lines[0].contains("22/tcp")
            && lines[0].contains("LIMIT IN")
            && lines[0].contains("people\u{2019}s way in"),
        "{status}"
    );
    assert!(lines[1].contains("443/tcp"), "{status}");
    for kept in ["OpenSSH", "99/udp", "eth8", "192.0.2.0/24 5/udp"] {
        assert!(status.contains(kept), "{kept} is gone: {status}");
    }
    // Nothing is told twice.
    let rules = std::fs::metadata("/etc/ufw/user.rules").unwrap().modified().unwrap();
    apply(&world, &wanted);
    assert_eq!(std::fs::metadata("/etc/ufw/user.rules").unwrap().modified().unwrap(), rules);

    let only =
        Firewall { rules: vec![wanted.rules[1].clone(), wanted.rules[0].clone()], exclusive: true, ..wanted };
    apply(&world, &only);
    let status = world.said(&["ufw", "status", "numbered"]);
    assert_eq!(status.lines().filter(|line| line.starts_with('[')).count(), 4, "{status}");
    fresh(&world);
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn what_is_done_by_hand_is_noticed_and_put_right() {
    let world = World::here();
    fresh(&world);
    let wanted = Firewall { exclusive: true, ..wanted() };
    apply(&world, &wanted);
    type Harm = &'static [&'static str];
    const OTHER_PORT: &str = "iptables -D ufw-user-input -p tcp --dport 443 -j ACCEPT && \
        iptables -I ufw-user-input 4 -p tcp --dport 444 -j ACCEPT";
    let harms: [Harm; 9] = [
        &["iptables", "-F", "ufw-user-input"],
        &["iptables", "-F", "ufw-before-input"],
        &["sh", "-c", OTHER_PORT],
        &["iptables", "-P", "INPUT", "ACCEPT"],
        &["ip6tables", "-D", "INPUT", "-j", "ufw6-before-input"],
        &["nft", "flush", "ruleset"],
        &["ufw", "allow", "9/tcp"],
        &["ufw", "default", "allow", "incoming"],
        &["ufw", "disable"],
    ];
    for harm in harms {
        world.said(harm);
        let verdict = decide(&world, &wanted);
        assert!(matches!(verdict, Verdict::Change { .. }), "{harm:?} was not noticed: {verdict:?}");
        apply(&world, &wanted);
        assert!(
            world.said(&["iptables", "-S"]).contains("-A ufw-user-input -p tcp -m tcp --dport 443 -j ACCEPT"),
            "{harm:?}"
        );
        assert!(world.said(&["ufw", "status"]).contains("Status: active"), "{harm:?}");
    }
    let policies =
        Firewall { incoming: FirewallPolicy::Reject, outgoing: FirewallPolicy::Reject, ..wanted.clone() };
    apply(&world, &policies);
    apply(&world, &wanted);
    let desired = DesiredState::Firewall(wanted.clone());
    assert!(resources::remove(world.look(), &desired).unwrap().unwrap().contains("off"));
    assert!(world.said(&["iptables", "-S"]).contains("-P INPUT ACCEPT"));
    assert_eq!(resources::remove(world.look(), &desired).unwrap(), None);
    fresh(&world);
}
