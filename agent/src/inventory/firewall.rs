//! What lets traffic in and out.

use super::source::Source;
use muster_domain::inventory::{InstalledFirewall, InstalledFirewallRule};
use muster_domain::resource::RuleAction;
use muster_planning::convergence::UfwRule;

/// The rules of ufw; of other managers only that they are there.
pub(super) fn read(source: &mut Source<'_>) -> Option<InstalledFirewall> {
    if let Some(settings) = source.text("/etc/ufw/ufw.conf") {
        return Some(ufw(source, &settings));
    }
    let rules = source.text("/etc/nftables.conf")?;
    let other_rules: Vec<String> = rules
        .lines()
        .map(str::trim)
        .filter(|line| ["accept", "drop", "reject"].iter().any(|word| line.contains(word)))
        .take(500)
        .map(str::to_owned)
        .collect();
    source.note(
        "the firewall is nftables' own: its rules are shown, and have to be written as rules of ufw by hand",
    );
    Some(InstalledFirewall {
        manager: "nftables".into(),
        active: source
            .run("systemctl", &["is-enabled", "nftables.service"])
            .is_some_and(|word| word.trim() == "enabled"),
        default_incoming: None,
        rules: Vec::new(),
        other_rules,
    })
}

fn ufw(source: &mut Source<'_>, settings: &str) -> InstalledFirewall {
    let active = value(settings, "ENABLED").is_some_and(|word| word.eq_ignore_ascii_case("yes"));
    let defaults = source.text("/etc/default/ufw").unwrap_or_default();
    let default_incoming = value(&defaults, "DEFAULT_INPUT_POLICY").and_then(|word| {
        Some(match word.to_ascii_uppercase().as_str() {
            "DROP" => "deny",
            "ACCEPT" => "allow",
            "REJECT" => "reject",
            _ => return None,
        })
    });
    let mut rules: Vec<InstalledFirewallRule> = Vec::new();
    let mut other_rules: Vec<String> = Vec::new();
    for file in ["/etc/ufw/user.rules", "/etc/ufw/user6.rules"] {
        let text = source.text(file).unwrap_or_default();
        for rule in text.lines().filter_map(UfwRule::parse) {
            match plain(&rule) {
                // The same rule stands in both files, once for each family of addresses.
                Some(plain) if !rules.contains(&plain) => rules.push(plain),
                Some(_) => {}
                None => {
                    let words = rule.words(false).join(" ");
                    if !other_rules.contains(&words) {
                        other_rules.push(words);
                    }
                }
            }
        }
    }
    InstalledFirewall {
        manager: "ufw".into(),
        active,
        default_incoming: default_incoming.map(str::to_owned),
        rules,
        other_rules,
    }
}

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value.trim().trim_matches('"'))
}

/// A rule that is a port and where it may be reached from.
fn plain(rule: &UfwRule) -> Option<InstalledFirewallRule> {
    let anywhere = |address: &str| matches!(address, "0.0.0.0/0" | "::/0" | "any");
    let simple = !rule.route
        && !rule.outgoing
        && rule.log.is_none()
        && rule.app.is_none()
        && rule.from_app.is_none()
        && rule.in_on.is_none()
        && rule.out_on.is_none()
        && rule.from_port == "any"
        && anywhere(&rule.to);
    let (first, last) = match rule.port.split_once(':') {
        Some((first, last)) => (first, Some(last)),
        None => (rule.port.as_str(), None),
    };
    if !simple {
        return None;
    }
    Some(InstalledFirewallRule {
        action: match rule.action {
            RuleAction::Allow => "allow",
            RuleAction::Deny => "deny",
            RuleAction::Reject => "reject",
            RuleAction::Limit => "limit",
        }
        .to_owned(),
        port: first.parse().ok()?,
        port_to: last.map(str::parse).transpose().ok()?,
        protocol: match rule.protocol.as_str() {
            "any" => None,
            word @ ("tcp" | "udp") => Some(word.to_owned()),
            _ => return None,
        },
        from: (!anywhere(&rule.from)).then(|| rule.from.clone()),
    })
}
