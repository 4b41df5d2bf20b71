//! Rules of the firewall.

use super::{Checker, values};
use crate::words::quoted;
use muster_domain::{
    fleet::{Direction, Ports},
    host_names,
};

pub(super) fn check(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    for (name, entry) in &configuration.firewall {
        let at = |field| ["firewall", name.as_str(), field];
        values::entry_name(checker, "firewall", name);
        let given: Vec<&str> = entry
            .verbs()
            .iter()
            .filter(|(_, _, ports)| !ports.is_empty())
            .map(|(verb, _, _)| *verb)
            .collect();
        match given.as_slice() {
            [] if entry.policy.is_some() || checker.faulty(&["firewall", name]) => {}
            [] => checker.key(
                &["firewall", name],
                format!("{} has no rule", quoted(name)),
                "add allow, deny, reject or limit, with ports: allow: 443/tcp",
            ),
            [_] => {}
            [first, rest @ ..] => {
                for more in rest {
                    let message = format!("{} has `{first}` and `{more}`", quoted(name));
                    checker.key(&at(more), message, "make an entry of its own for it");
                }
            }
        }
        for (verb, _, list) in entry.verbs() {
            ports(checker, list, &at(verb));
        }
        values::networks(checker, &entry.from, &at("from"));
        values::networks(checker, &entry.to, &at("to"));
        let versions = |texts: &[String]| {
            (texts.iter().any(|text| text.contains('.')), texts.iter().any(|text| text.contains(':')))
        };
        let (from, to) = (versions(&entry.from), versions(&entry.to));
        let said = !entry.from.is_empty() && !entry.to.is_empty();
        let alike = (from.0 && to.0) || (from.1 && to.1);
        if said && !alike {
            let message = "a connection is IPv4 or IPv6 on both sides";
            checker.value(&at("to"), message, "write addresses of the same kind as in `from`");
        }
        if let Some(interface) = &entry.interface {
            let hint = "write it as `ip link` shows it: eth0, wg0";
            values::rule(checker, interface, host_names::interface, &at("interface"), "an interface", hint);
        }
        if entry.direction == Some(Direction::Out) && !entry.limit.is_empty() {
            let message = "`limit` is for connections to the node";
            checker.key(&at("limit"), message, "write `allow`, or take `direction: out` away");
        }
    }
    policies(checker);
}

/// What happens to everything else can be said once for a node.
fn policies(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    let kinds = checker.kinds_of_nodes();
    let with: Vec<_> = configuration.firewall.iter().filter(|(_, entry)| entry.policy.is_some()).collect();
    for (index, (name, entry)) in with.iter().enumerate() {
        let meets = |other: &&(&String, &muster_domain::fleet::FirewallEntry)| {
            (entry.on.is_none() && other.1.on.is_none())
                || kinds
                    .iter()
                    .any(|kind| kind.target.has(entry.on.as_ref()) && kind.target.has(other.1.on.as_ref()))
        };
        if let Some((first, _)) = with[..index].iter().take(16).find(meets) {
            let place = checker.place(&["firewall", first, "policy"]);
            checker.key(
                &["firewall", name, "policy"],
                format!("{} says the policy already ({place})", quoted(first)),
                "keep one of the two, or choose different nodes with `on:`",
            );
        }
    }
}

/// Ports, wherever they stand.
pub(super) fn ports(checker: &mut Checker<'_>, texts: &[String], at: &[&str]) {
    for (index, text) in texts.iter().enumerate() {
        let index = index.to_string();
        let at: Vec<&str> = at.iter().copied().chain([index.as_str()]).collect();
        let rule = |text: &str| Ports::parse(text).is_some();
        let hint = "write 443/tcp, 53 (TCP and UDP), 8000:8100/tcp or any";
        values::rule(checker, text, rule, &at, "a port", hint);
    }
}
