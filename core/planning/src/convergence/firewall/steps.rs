//! What to tell ufw, and in which order, so that the rules become what they should be. Rules come before what would shut
//! somebody out without them: first what is to be let in, then the policies, then what is to go.

use super::tuple::{Family, UfwRule, rules_of};
use super::{Live, ObservedFirewall};
use muster_domain::resource::{Firewall, FirewallPolicy, FirewallRule};

/// The lists that both families should become, from the present ones.
pub(super) struct Target {
    pub(super) v4: List,
    pub(super) v6: List,
}

/// One family.
pub(super) struct List {
    pub(super) family: Family,
    pub(super) present: Vec<UfwRule>,
    pub(super) wanted: Vec<UfwRule>,
}

impl Target {
    pub(super) fn new(firewall: &Firewall, observed: &ObservedFirewall) -> Self {
        let list = |family, present: &[UfwRule], used: bool| {
            let declared = firewall.rules.iter().chain(&observed.way_out);
            let wanted =
                if used { wanted(declared, family, present, firewall.exclusive) } else { Vec::new() };
            let present = if used { present.to_vec() } else { Vec::new() };
            List { family, present, wanted }
        };
        Self { v4: list(Family::V4, &observed.v4, true), v6: list(Family::V6, &observed.v6, observed.ipv6) }
    }

    pub(super) fn lists(&self) -> [&List; 2] {
        [&self.v4, &self.v6]
    }
}

/// The declared rules, and behind them those that are there besides. ufw has room for one of two rules that differ in what
/// they do only: the first of them is the one that would decide. A rule that is there is kept as it is when only its comment
/// differs: no comment is worth touching the firewall of a host that works.
fn wanted<'a>(
    declared: impl Iterator<Item = &'a FirewallRule>,
    family: Family,
    present: &[UfwRule],
    exclusive: bool,
) -> Vec<UfwRule> {
    let mut wanted: Vec<UfwRule> = Vec::new();
    let rest = if exclusive { &[] } else { present };
    let as_found =
        |rule: UfwRule| present.iter().find(|found| found.same_effect(&rule)).cloned().unwrap_or(rule);
    let declared = declared.flat_map(|rule| rules_of(rule, family)).map(as_found);
    for rule in declared.chain(rest.iter().cloned()) {
        // Rules of one profile of ufw may well differ in nothing that we know; they are not ours to thin out.
        if rule.app_group().is_some() || !wanted.iter().any(|known| known.same_slot(&rule)) {
            wanted.push(rule);
        }
    }
    wanted
}

impl List {
    pub(super) fn missing(&self) -> impl Iterator<Item = &UfwRule> {
        self.wanted.iter().filter(|rule| !self.present.contains(rule))
    }

    pub(super) fn extra(&self) -> impl Iterator<Item = &UfwRule> {
        self.present.iter().filter(|rule| !self.wanted.contains(rule))
    }

    pub(super) fn in_order(&self) -> bool {
        self.present == self.wanted
    }
}

/// The commands, each as arguments of `ufw`.
pub(super) fn commands(firewall: &Firewall, observed: &ObservedFirewall) -> Vec<Vec<String>> {
    let target = Target::new(firewall, observed);
    let mut work =
        Work { commands: Vec::new(), v4: target.v4.present.clone(), v6: target.v6.present.clone() };
    work.put(&target);
    for (word, wanted, found) in [
        ("incoming", firewall.incoming, observed.incoming),
        ("outgoing", firewall.outgoing, observed.outgoing),
    ] {
        if found != Some(wanted) {
            work.tell(&["default", policy(wanted), word]);
        }
    }
    work.take_away(&target);
    if !observed.enabled {
        work.tell(&["--force", "enable"]);
    } else if observed.live == Live::Differs {
        work.tell(&["reload"]);
    }
    work.commands
}

/// ufw, as it will be after the commands.
struct Work {
    commands: Vec<Vec<String>>,
    v4: Vec<UfwRule>,
    v6: Vec<UfwRule>,
}

impl Work {
    fn tell(&mut self, words: &[&str]) {
        self.commands.push(words.iter().map(|word| (*word).to_owned()).collect());
    }

    fn list(&mut self, family: Family) -> &mut Vec<UfwRule> {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    /// Puts every wanted rule into its place, in the order of the list.
    fn put(&mut self, target: &Target) {
        let kept = [kept(&target.v4), kept(&target.v6)];
        let (mut at4, mut at6) = (0, 0);
        while at4 < target.v4.wanted.len() || at6 < target.v6.wanted.len() {
            let (rule4, rule6) = (target.v4.wanted.get(at4), target.v6.wanted.get(at6));
            if let (Some(rule4), Some(rule6)) = (rule4, rule6)
                && twins(rule4, rule6)
                && self.goes_last(&target.v4, at4)
                && self.goes_last(&target.v6, at6)
            {
                // One command for both, as a person would write it.
                self.add(None, rule4, true);
                self.v4.push(rule4.clone());
                self.v6.push(rule6.clone());
                (at4, at6) = (at4 + 1, at6 + 1);
                continue;
            }
            // The family that lags behind goes first, so that twins meet.
            if rule4.is_some() && rule6.is_none_or(|six| is_twin_ahead(six, target, at4)) {
                self.place(&target.v4, at4, &kept[0]);
                at4 += 1;
            } else {
                self.place(&target.v6, at6, &kept[1]);
                at6 += 1;
            }
        }
    }

    /// Whether a wanted rule is new, and nothing is there that has to stand behind it.
    fn goes_last(&mut self, list: &List, at: usize) -> bool {
        let rule = &list.wanted[at];
        let now = self.list(list.family);
        let new = !now.iter().any(|known| known.same_slot(rule));
        new && now
            .last()
            .is_none_or(|last| at.checked_sub(1).is_some_and(|before| list.wanted[before] == *last))
    }

    fn place(&mut self, list: &List, at: usize, kept: &[UfwRule]) {
        let (family, rule) = (list.family, &list.wanted[at]);
        let now = self.list(family);
        if let Some(found) = now.iter().position(|known| known == rule || known.same_slot(rule)) {
            if kept.iter().any(|keeps| keeps.same_slot(rule)) {
                if now[found] != *rule {
                    // In its place; ufw replaces it.
                    now[found] = rule.clone();
                    self.add(None, rule, false);
                }
                return;
            }
            let former = now.remove(found);
            self.delete(&former, false);
        }
        let before = at.checked_sub(1).map(|before| &list.wanted[before]);
        let now = self.list(family);
        let position =
            before.and_then(|before| now.iter().rposition(|known| known == before)).map_or(0, |at| at + 1);
        if position == now.len() {
            now.push(rule.clone());
            self.add(None, rule, false);
        } else {
            now.insert(position, rule.clone());
            // IPv6 is counted behind IPv4, where rules of one profile count once.
            let offset = if family == Family::V6 { counted(&self.v4) } else { 0 };
            self.add(Some(offset + position + 1), rule, false);
        }
    }

    fn take_away(&mut self, target: &Target) {
        let [four, six] = target.lists();
        let gone = |list: &List, now: &[UfwRule]| -> Vec<UfwRule> {
            now.iter().filter(|rule| !list.wanted.contains(rule)).cloned().collect()
        };
        let (gone4, mut gone6) = (gone(four, &self.v4), gone(six, &self.v6));
        let mut told: Vec<UfwRule> = Vec::new();
        for rule in gone4 {
            let twin = gone6.iter().position(|other| twins(&rule, other));
            if let Some(twin) = twin {
                gone6.remove(twin);
            }
            self.delete_once(&rule, twin.is_some(), &mut told);
        }
        for rule in gone6 {
            self.delete_once(&rule, false, &mut told);
        }
    }

    /// All rules of one profile go by one command.
    fn delete_once(&mut self, rule: &UfwRule, both: bool, told: &mut Vec<UfwRule>) {
        let done = {
            let group = rule.app_group();
            group.is_some() && told.iter().any(|known| known.app_group() == group)
        };
        if done {
            return;
        }
        self.delete(rule, both);
        told.push(rule.clone());
    }

    fn add(&mut self, position: Option<usize>, rule: &UfwRule, both: bool) {
        let mut command = Vec::new();
        if rule.route {
            command.push("route".to_owned());
        }
        if let Some(position) = position {
            command.extend(["insert".to_owned(), position.to_string()]);
        }
        command.extend(rule.words(both));
        if let Some(comment) = &rule.comment {
            command.extend(["comment".to_owned(), comment.clone()]);
        }
        self.commands.push(command);
    }

    fn delete(&mut self, rule: &UfwRule, both: bool) {
        let mut command = Vec::new();
        if rule.route {
            command.push("route".to_owned());
        }
        command.push("delete".to_owned());
        command.extend(rule.words(both));
        self.commands.push(command);
    }
}

/// Whether `six` has its twin among the rules of IPv4 that are still to come.
fn is_twin_ahead(six: &UfwRule, target: &Target, at4: usize) -> bool {
    target.v4.wanted[at4..].iter().any(|four| twins(four, six))
}

/// Whether two rules are what one declared rule for any address becomes.
fn twins(four: &UfwRule, six: &UfwRule) -> bool {
    let any = |rule: &UfwRule, family: Family| rule.from == family.any() && rule.to == family.any();
    any(four, Family::V4) && any(six, Family::V6) && {
        let mut as_four = six.clone();
        (as_four.from, as_four.to) = (four.from.clone(), four.to.clone());
        as_four == *four
    }
}

/// Present rules that may stay where they are: the most that are in the wanted order already. Those of a profile always do,
/// because ufw moves all of a profile or none.
fn kept(list: &List) -> Vec<UfwRule> {
    let (present, wanted) = (&list.present, &list.wanted);
    let width = wanted.len() + 1;
    let mut longest = vec![0_usize; (present.len() + 1) * width];
    for i in (0..present.len()).rev() {
        for j in (0..wanted.len()).rev() {
            longest[i * width + j] = if present[i] == wanted[j] || present[i].same_slot(&wanted[j]) {
                let weight = if present[i].app_group().is_some() { present.len() } else { 1 };
                longest[(i + 1) * width + j + 1] + weight
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut kept) = (0, 0, Vec::new());
    while i < present.len() && j < wanted.len() {
        if present[i] == wanted[j] || present[i].same_slot(&wanted[j]) {
            kept.push(present[i].clone());
            (i, j) = (i + 1, j + 1);
        } else if longest[(i + 1) * width + j] >= longest[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    kept
}

/// How many rules ufw counts: those of one profile are one.
fn counted(rules: &[UfwRule]) -> usize {
    let first = |at: usize| {
        let group = rules[at].app_group();
        group.is_none() || !rules[..at].iter().any(|earlier| earlier.app_group() == group)
    };
    (0..rules.len()).filter(|at| first(*at)).count()
}

pub(super) const fn policy(policy: FirewallPolicy) -> &'static str {
    match policy {
        FirewallPolicy::Allow => "allow",
        FirewallPolicy::Deny => "deny",
        FirewallPolicy::Reject => "reject",
    }
}
