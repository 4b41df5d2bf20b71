//! What a node lets in and out: the policy, SSH, what its roles need, and what is declared.

use super::{base, host::Host, packages};
use muster_domain::{
    fleet::{
        Direction, FirewallDefaults, FirewallEntry, Ports,
        base::{BaseFirewall, in_force},
        declared::{FIREWALL, of_node, package},
    },
    host_names,
    node::Role,
    resource::{DesiredState, Firewall, FirewallPolicy, FirewallRule, PortRange, RuleAction, Transport},
};

/// The port of SSH where nobody says another.
const SSH_PORT: u16 = 22;
/// Nobody reads more, and every one costs each connection.
const RULES_AT_MOST: usize = 1_000;

/// Adds the firewall of the node, if something is said of it.
pub(super) fn compile(host: &mut Host<'_, '_>) {
    let configuration = host.input.configuration;
    let entries = host.entries(&configuration.firewall, |entry| entry.common());
    let role = base::of(host).and_then(|base| in_force(base.firewall.as_ref()));
    if entries.is_empty() && role.is_none() {
        return;
    }
    let of_base = role.as_ref().map(BaseFirewall::defaults).unwrap_or_default();
    let policy = entries.iter().find_map(|(_, entry)| entry.policy.as_ref());
    let defaults = merged(policy, &of_base);
    let mut rules = Vec::new();
    for (name, entry) in &entries {
        of_entry(host, name, entry, &mut rules);
    }
    if let Some(role) = &role {
        let place = "base.firewall.allow";
        role.allow.iter().for_each(|text| rules.extend(allow(host, text, place, "base")));
        if host.target.roles.contains(&Role::LoadBalancer) {
            for text in ["80/tcp", "443/tcp"] {
                rules.extend(allow(host, text, place, Role::LoadBalancer.as_str()));
            }
        }
    }
    let incoming = defaults.incoming.unwrap_or(FirewallPolicy::Deny);
    if incoming != FirewallPolicy::Allow {
        ssh(host, &mut rules);
    }
    if rules.len() > RULES_AT_MOST {
        host.invalid("firewall", format!("{} rules are too many: at most {RULES_AT_MOST}", rules.len()));
    }
    rules.sort_by_key(|rule| (rank(rule), rule.clone()));
    rules.dedup_by(|second, first| {
        FirewallRule { comment: None, ..second.clone() } == FirewallRule { comment: None, ..first.clone() }
    });
    host.imply(package(FIREWALL), packages::present(FIREWALL));
    host.add(
        of_node("firewall"),
        DesiredState::Firewall(Firewall {
            incoming,
            outgoing: defaults.outgoing.unwrap_or(FirewallPolicy::Allow),
            rules,
            exclusive: defaults.exclusive.unwrap_or(true),
        }),
    );
}

fn merged(policy: Option<&FirewallDefaults>, base: &FirewallDefaults) -> FirewallDefaults {
    FirewallDefaults {
        incoming: policy.and_then(|policy| policy.incoming).or(base.incoming),
        outgoing: policy.and_then(|policy| policy.outgoing).or(base.outgoing),
        exclusive: policy.and_then(|policy| policy.exclusive).or(base.exclusive),
    }
}

/// Rules for somebody in particular come first; among equals, those that keep out.
fn rank(rule: &FirewallRule) -> (bool, u8) {
    let everybody = rule.from.is_none() && rule.to.is_none() && rule.interface.is_none();
    let action = match rule.action {
        RuleAction::Deny => 0,
        RuleAction::Reject => 1,
        RuleAction::Limit => 2,
        RuleAction::Allow => 3,
    };
    (everybody, action)
}

fn rule(action: RuleAction, ports: Ports, comment: &str) -> FirewallRule {
    FirewallRule {
        action,
        outgoing: false,
        protocol: ports.protocol,
        port: ports.range,
        from: None,
        to: None,
        interface: None,
        comment: Some(comment.to_owned()),
    }
}

fn allow(host: &mut Host<'_, '_>, text: &str, place: &str, comment: &str) -> Option<FirewallRule> {
    let ports = Ports::parse(text);
    if ports.is_none() {
        host.invalid(place, format!("{text:?} is not a port"));
    }
    ports.map(|ports| rule(RuleAction::Allow, ports, comment))
}

fn of_entry(host: &mut Host<'_, '_>, name: &str, entry: &FirewallEntry, rules: &mut Vec<FirewallRule>) {
    let place = format!("firewall.{name}");
    for network in entry.from.iter().chain(&entry.to) {
        host.must(network, host_names::network, &place);
    }
    if let Some(interface) = &entry.interface {
        host.must(interface, host_names::interface, &place);
    }
    let or_any = |texts: &[String]| match texts {
        [] => vec![None],
        texts => texts.iter().cloned().map(Some).collect(),
    };
    let (from, to) = (or_any(&entry.from), or_any(&entry.to));
    // A connection is of one kind on both sides.
    let fits = |from: &Option<String>, to: &Option<String>| match (from, to) {
        (Some(from), Some(to)) => from.contains(':') == to.contains(':'),
        _ => true,
    };
    for (_, action, texts) in entry.verbs() {
        for text in texts {
            let Some(ports) = Ports::parse(text) else {
                host.invalid(&place, format!("{text:?} is not a port"));
                continue;
            };
            for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (from, to))) {
                if fits(from, to) && rules.len() <= RULES_AT_MOST {
                    rules.push(FirewallRule {
                        outgoing: entry.direction == Some(Direction::Out),
                        from: from.clone(),
                        to: to.clone(),
                        interface: entry.interface.clone(),
                        ..rule(action, ports, name)
                    });
                }
            }
        }
    }
}

/// Lets people in over SSH, unless a declared rule says who may use its port, or that nobody may: then that is what is
/// wanted. A rule that keeps somebody in particular out says nothing of the others.
fn ssh(host: &mut Host<'_, '_>, rules: &mut Vec<FirewallRule>) {
    let settings = base::of(host).and_then(|base| in_force(base.ssh.as_ref()));
    let port = settings.as_ref().and_then(|ssh| ssh.port).unwrap_or(SSH_PORT);
    let speaks = |rule: &FirewallRule| {
        let (everybody, _) = rank(rule);
        let says_who = matches!(rule.action, RuleAction::Allow | RuleAction::Limit) || everybody;
        !rule.outgoing
            && says_who
            && rule.protocol != Some(Transport::Udp)
            && rule.port.is_some_and(|range| (range.first..=range.last).contains(&port))
    };
    if rules.iter().any(speaks) {
        return;
    }
    let range = Some(PortRange { first: port, last: port });
    let open = rule(RuleAction::Allow, Ports { range, protocol: Some(Transport::Tcp) }, "ssh");
    let from = settings.map(|ssh| ssh.from).unwrap_or_default();
    from.iter().for_each(|network| host.must(network, host_names::network, "base.ssh.from"));
    if from.is_empty() {
        rules.push(open);
    } else {
        rules.extend(from.into_iter().map(|from| FirewallRule { from: Some(from), ..open.clone() }));
    }
}
