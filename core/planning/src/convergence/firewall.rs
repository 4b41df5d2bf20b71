//! Decides about the firewall: which rules of ufw are missing, which are too many, and what to tell ufw.

mod steps;
mod tuple;

pub use tuple::{Family, UfwRule};

use super::{Action, Observed, Verdict, mismatch};
use muster_domain::resource::{Firewall, FirewallPolicy, FirewallRule};
use steps::{Target, policy};
use tuple::rules_of;

/// What was found of ufw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedFirewall {
    /// It is turned on, now and after each boot.
    pub enabled: bool,
    /// It keeps rules for IPv6.
    pub ipv6: bool,
    /// What happens to connections to the node that no rule speaks of; absent when that cannot be read.
    pub incoming: Option<FirewallPolicy>,
    /// The same for connections from the node.
    pub outgoing: Option<FirewallPolicy>,
    /// Its rules for IPv4, in their order.
    pub v4: Vec<UfwRule>,
    /// Its rules for IPv6.
    pub v6: Vec<UfwRule>,
    /// Whether the kernel has what ufw's files say.
    pub live: Live,
    /// What this agent needs to reach its controller, when nothing goes out unless it is listed.
    pub way_out: Vec<FirewallRule>,
}

/// What the kernel holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Live {
    /// What the files say, or it could not be asked.
    AsFiled,
    /// Something else: somebody flushed or changed the rules by hand.
    Differs,
}

pub(super) fn verdict(wanted: &Firewall, observed: &Observed) -> Verdict {
    let Observed::Firewall(found) = observed else { return mismatch() };
    if !found.ipv6
        && let Some(rule) = wanted.rules.iter().find(|rule| rules_of(rule, Family::V4).is_empty())
    {
        let six = rules_of(rule, Family::V6);
        let shown = six.first().map(|rule| rule.words(false).join(" ")).unwrap_or_default();
        return Verdict::Impossible {
            reason: format!(
                "the rule {shown:?} is for IPv6, which ufw leaves alone here; set IPV6=yes in /etc/default/ufw"
            ),
        };
    }
    let reasons = reasons(wanted, found);
    if reasons.is_empty() {
        return Verdict::InPlace;
    }
    Verdict::Change { actions: vec![Action::ConfigureFirewall], reason: reasons.join(", ") }
}

/// What to tell ufw, each command as its arguments.
pub fn firewall_commands(wanted: &Firewall, found: &ObservedFirewall) -> Vec<Vec<String>> {
    steps::commands(wanted, found)
}

/// What to tell ufw so that the declared rules are gone, and with them what they were the exceptions from.
pub fn firewall_removal(wanted: &Firewall, found: &ObservedFirewall) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    if found.enabled {
        commands.push(vec!["disable".to_owned()]);
    }
    for (family, present) in [(Family::V4, &found.v4), (Family::V6, &found.v6)] {
        for rule in wanted.rules.iter().flat_map(|rule| rules_of(rule, family)) {
            if present.iter().any(|found| found.same_effect(&rule)) {
                let mut command = vec!["delete".to_owned()];
                command.extend(rule.words(false));
                commands.push(command);
            }
        }
    }
    commands
}

/// The difference, a line for each fact, in the words of ufw.
pub fn firewall_diff(wanted: &Firewall, found: &ObservedFirewall) -> String {
    let mut lines = Vec::new();
    if !found.enabled {
        lines.push("- off".to_owned());
        lines.push("+ on".to_owned());
    }
    for (word, wanted, found) in policies(wanted, found) {
        lines.extend(found.map(|found| format!("- default {} {word}", policy(found))));
        lines.push(format!("+ default {} {word}", policy(wanted)));
    }
    let target = Target::new(wanted, found);
    for list in target.lists() {
        lines.extend(list.extra().map(|rule| format!("- {}", shown(rule))));
        lines.extend(list.missing().map(|rule| format!("+ {}", shown(rule))));
    }
    lines.join("\n")
}

fn reasons(wanted: &Firewall, found: &ObservedFirewall) -> Vec<String> {
    let mut reasons = Vec::new();
    if !found.enabled {
        reasons.push("the firewall is off".to_owned());
    }
    for (word, wanted, found) in policies(wanted, found) {
        let found = found.map_or("unknown", policy);
        reasons.push(format!("{word} is {found} by default instead of {}", policy(wanted)));
    }
    let target = Target::new(wanted, found);
    let count = |what: fn(&steps::List) -> usize| target.lists().into_iter().map(what).sum::<usize>();
    let (missing, extra) = (count(|list| list.missing().count()), count(|list| list.extra().count()));
    if missing > 0 {
        reasons.push(format!("{missing} {} missing", if missing == 1 { "rule is" } else { "rules are" }));
    }
    if extra > 0 {
        reasons.push(format!("{extra} {} too many", if extra == 1 { "rule is one" } else { "rules are" }));
    }
    if missing + extra == 0 && target.lists().into_iter().any(|list| !list.in_order()) {
        reasons.push("the rules are in another order".to_owned());
    }
    if found.enabled && found.live == Live::Differs {
        reasons.push("the kernel does not hold what ufw was told: somebody changed it by hand".to_owned());
    }
    reasons
}

fn policies(
    wanted: &Firewall,
    found: &ObservedFirewall,
) -> impl Iterator<Item = (&'static str, FirewallPolicy, Option<FirewallPolicy>)> {
    [("incoming", wanted.incoming, found.incoming), ("outgoing", wanted.outgoing, found.outgoing)]
        .into_iter()
        .filter(|(_, wanted, found)| *found != Some(*wanted))
}

fn shown(rule: &UfwRule) -> String {
    let mut text = if rule.route { "route ".to_owned() } else { String::new() };
    text.push_str(&rule.words(false).join(" "));
    if let Some(comment) = &rule.comment {
        text.push_str(" # ");
        text.push_str(comment);
    }
    text
}

#[cfg(test)]
mod tests;
