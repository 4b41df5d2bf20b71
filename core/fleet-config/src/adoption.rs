//! How a host that runs things nobody has declared would be declared: a part of a fleet file that changes nothing when it is
//! applied, because it says what is there.
//!
//! What would be another thing when it is declared is not proposed, only told: a job in a user's crontab would run twice once
//! it is a resource, and the base role changes a host by its nature. The proposal is checked with the fleet files that are in
//! force, and what does not go with them is left out and told as well.

use crate::{Problem, SourceFile, parse, semantics::usable_key, to_yaml};
use muster_domain::{
    EnvironmentName, NodeName,
    fleet::{
        FileEntry, FirewallDefaults, FirewallEntry, FleetConfiguration, GroupEntry, Node, PackageEntry,
        Selector, ServiceEntry, SystemdUnitEntry, UserEntry,
        declared::{Declared, Sharing},
    },
    inventory::{
        InstalledCronJob, InstalledFile, InstalledFirewall, InstalledFirewallRule, InstalledUnit,
        InstalledUser, Inventory,
    },
    resource::FirewallPolicy,
    selection::Target,
};
use serde_json::Value;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

/// A part of a fleet file, and what a person should know with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proposal {
    /// YAML; empty when there is nothing to declare.
    pub fragment: String,
    /// What was left out and why, and what to do about it; one line each.
    pub notes: Vec<String>,
}

/// The proposal among the files that are in force; the last of them, so that what is declared twice is said of it.
const FILE: &str = "\u{10fffd}/adoption.yaml";

/// Rounds in which refused entries are left out; each leaves out at least one.
const ROUNDS_AT_MOST: usize = 50;

/// Units that every host has; nobody declares them.
const BASE_UNITS: [&str; 14] = [
    "systemd-",
    "getty@",
    "serial-getty@",
    "console-setup",
    "keyboard-setup",
    "networking",
    "e2scrub",
    "apt-daily",
    "dpkg-db-backup",
    "fstrim",
    "man-db",
    "dbus",
    "muster-",
    "cloud-",
];

/// Writes how a host would be declared as `node`, beside what is declared already.
pub fn propose(
    inventory: &Inventory,
    node: &NodeName,
    environment: &EnvironmentName,
    in_force: &FleetConfiguration,
) -> Proposal {
    let mut draft = Draft {
        node,
        in_force,
        declared: FleetConfiguration::default(),
        notes: inventory.notes.iter().map(|note| one_line(note)).collect(),
    };
    draft.node(inventory, environment);
    draft.packages(inventory);
    draft.accounts(inventory);
    draft.units(&inventory.units);
    draft.files(&inventory.files);
    if let Some(firewall) = &inventory.firewall {
        draft.firewall(firewall);
    }
    draft.tell_what_is_not_declared(inventory);
    draft.leave_out_declared(environment);
    draft.leave_out_refused(environment)
}

struct Draft<'a> {
    node: &'a NodeName,
    in_force: &'a FleetConfiguration,
    declared: FleetConfiguration,
    notes: Vec<String>,
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect()
}

impl Draft<'_> {
    fn here(&self) -> Option<Selector> {
        Some(Selector { nodes: vec![self.node.clone()], ..Selector::default() })
    }

    /// How an entry is called, and what it has to say of its name on the host. Entries of all nodes share their names, so
    /// where one is taken, that of this node begins with the node's.
    fn entry<T>(
        &self,
        section: fn(&FleetConfiguration) -> &BTreeMap<String, T>,
        name: &str,
    ) -> (String, Option<String>) {
        if section(self.in_force).contains_key(name) {
            (format!("{}-{name}", self.node), Some(name.to_owned()))
        } else {
            (name.to_owned(), None)
        }
    }

    fn node(&mut self, inventory: &Inventory, environment: &EnvironmentName) {
        let hostname = inventory.hostname.clone().filter(|name| name != self.node.as_str());
        match (self.in_force.nodes.get(self.node), hostname) {
            (None, hostname) => {
                let node = Node { hostname, ..Node::of(environment.clone()) };
                self.declared.nodes.insert(self.node.clone(), node);
            }
            (Some(declared), Some(hostname)) if declared.hostname.is_none() => self.notes.push(format!(
                "the host calls itself {}; `hostname: {}` at nodes.{} keeps it so",
                one_line(&hostname),
                one_line(&hostname),
                self.node
            )),
            (Some(_), _) => {}
        }
    }

    fn packages(&mut self, inventory: &Inventory) {
        for package in &inventory.packages {
            let (key, name) = self.entry(|c| &c.packages, &package.name);
            let entry = PackageEntry { name, hold: package.held, on: self.here(), ..PackageEntry::default() };
            self.declared.packages.insert(key, entry);
        }
    }

    fn accounts(&mut self, inventory: &Inventory) {
        for group in &inventory.groups {
            let (key, name) = self.entry(|c| &c.groups, &group.name);
            let entry = GroupEntry { name, gid: Some(group.gid), on: self.here(), ..GroupEntry::default() };
            self.declared.groups.insert(key, entry);
        }
        for user in &inventory.users {
            self.user(user);
        }
    }

    fn user(&mut self, user: &InstalledUser) {
        let root = user.uid == 0;
        // One that no server takes would keep the whole user out of the proposal.
        let (keys, others): (Vec<_>, Vec<_>) =
            user.authorized_keys.iter().cloned().partition(|key| usable_key(key));
        if !others.is_empty() {
            self.notes.push(format!(
                "{} of the SSH keys of {} open nothing (damaged, or of a kind that servers no longer take) and are left out",
                others.len(),
                one_line(&user.name)
            ));
        }
        if root && keys.is_empty() {
            return;
        }
        let (key, name) = self.entry(|c| &c.users, &user.name);
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let mut entry = UserEntry {
            name,
            // What else is in the file stays, so that declaring it changes nothing.
            exclusive_keys: (!keys.is_empty()).then_some(false),
            keys,
            on: self.here(),
            ..UserEntry::default()
        };
        if !root {
            entry.uid = Some(user.uid);
            entry.group = text(&user.group);
            entry.groups = user.groups.clone();
            entry.shell = text(&user.shell);
            entry.home = text(&user.home);
            entry.comment = text(&user.comment);
        }
        self.declared.users.insert(key, entry);
        if user.sudo {
            self.notes.push(format!(
                "{} may become root through a file of sudoers; it is declared below when it lies in /etc/sudoers.d",
                one_line(&user.name)
            ));
        }
    }

    fn units(&mut self, units: &[InstalledUnit]) {
        for unit in units {
            if let Some(content) = &unit.content {
                let (key, name) = self.entry(|c| &c.systemd_units, &unit.name);
                let entry = SystemdUnitEntry {
                    name,
                    content: Some(content.clone()),
                    on: self.here(),
                    ..SystemdUnitEntry::default()
                };
                self.declared.systemd_units.insert(key, entry);
            } else if BASE_UNITS.iter().any(|base| unit.name.starts_with(base)) {
                continue;
            }
            if !unit.enabled && !unit.running {
                continue;
            }
            let (key, name) = self.entry(|c| &c.services, &unit.name);
            let entry = ServiceEntry {
                name,
                // One that does its work and ends is enabled and does not run.
                enabled: unit.enabled.then_some(true),
                running: unit.running.then_some(true),
                on: self.here(),
                ..ServiceEntry::default()
            };
            self.declared.services.insert(key, entry);
        }
    }

    fn files(&mut self, files: &[InstalledFile]) {
        for file in files {
            let (key, _) = self.entry(|c| &c.files, file.path.trim_start_matches('/'));
            let mut entry = FileEntry {
                path: file.path.clone(),
                content: file.content.clone(),
                link_to: file.link_to.clone(),
                on: self.here(),
                ..FileEntry::default()
            };
            if file.link_to.is_none() {
                entry.mode = Some(file.mode.clone());
                entry.owner = Some(file.owner.clone());
                entry.group = Some(file.group.clone());
            }
            self.declared.files.insert(key, entry);
        }
    }

    fn firewall(&mut self, firewall: &InstalledFirewall) {
        if firewall.manager != "ufw" || !firewall.active {
            self.notes.push(format!(
                "the firewall is not declared: {}; declaring one turns ufw on, so look at the plan first",
                if firewall.active {
                    format!("it is managed by {}, not by ufw", one_line(&firewall.manager))
                } else {
                    "none is in force".to_owned()
                }
            ));
            return;
        }
        for rule in &firewall.other_rules {
            self.notes.push(format!("a rule of the firewall stays as it is, undeclared: {}", one_line(rule)));
        }
        let mut groups: BTreeMap<(&str, Option<&str>), Vec<String>> = BTreeMap::new();
        for rule in &firewall.rules {
            groups.entry((rule.action.as_str(), rule.from.as_deref())).or_default().push(ports(rule));
        }
        let incoming = match firewall.default_incoming.as_deref() {
            Some("allow") => Some(FirewallPolicy::Allow),
            Some("reject") => Some(FirewallPolicy::Reject),
            _ => None,
        };
        let keep = !firewall.other_rules.is_empty();
        let policy = FirewallDefaults { incoming, outgoing: None, exclusive: keep.then_some(false) };
        let mut policy = (policy != FirewallDefaults::default()).then_some(policy);
        for (number, ((action, from), ports)) in (1..).zip(groups) {
            let mut entry = FirewallEntry {
                from: from.map(str::to_owned).into_iter().collect(),
                policy: policy.take(),
                on: self.here(),
                ..FirewallEntry::default()
            };
            match action {
                "allow" => entry.allow = ports,
                "deny" => entry.deny = ports,
                "reject" => entry.reject = ports,
                "limit" => entry.limit = ports,
                other => {
                    let other = one_line(other);
                    self.notes
                        .push(format!("a rule of the firewall with the action {other:?} is not declared"));
                    continue;
                }
            }
            self.declared.firewall.insert(format!("{}-{number}-{action}", self.node), entry);
        }
    }

    fn tell_what_is_not_declared(&mut self, inventory: &Inventory) {
        if let Some(timezone) = &inventory.timezone {
            let timezone = one_line(timezone);
            self.notes
                .push(format!("the time zone is {timezone}; `base: {{timezone: {timezone}}}` keeps it so"));
        }
        for InstalledCronJob { user, schedule, command } in &inventory.cron_jobs {
            self.notes.push(format!(
                "a job in the crontab of {} is not declared, because it would run twice: {} {}; declare it in `cron_jobs` and take it out of the crontab",
                one_line(user),
                one_line(schedule),
                one_line(command)
            ));
        }
        for application in &inventory.pm2_applications {
            self.notes.push(format!(
                "pm2 of {} runs {}; `muster pm2 import` writes how it is declared, and `muster-supervisor pm2 adopt` takes it over without a gap",
                one_line(&application.user),
                one_line(&application.name)
            ));
        }
    }

    /// Takes out what is declared for this node already, whatever it is called there.
    fn leave_out_declared(&mut self, environment: &EnvironmentName) {
        let roles = self.in_force.nodes.get(self.node).map_or_else(Vec::new, |node| node.roles.clone());
        let target = Target { node: self.node, environment, roles: &roles };
        let claims = |declared: &Declared<'_>| {
            let paths = declared.paths().into_iter().map(Cow::into_owned);
            paths.chain([declared.key.to_string()]).collect::<Vec<_>>()
        };
        let own = |declared: &Declared<'_>| declared.sharing == Sharing::Own && declared.node.is_none();
        let in_force = self.in_force.declared();
        let taken: BTreeSet<String> =
            in_force.iter().filter(|d| own(d) && d.is_on(&target)).flat_map(claims).collect();
        let mut twice = BTreeSet::new();
        for declared in self.declared.declared().iter().filter(|declared| own(declared)) {
            if let ([section, entry, ..], true) =
                (declared.at.as_slice(), claims(declared).iter().any(|claim| taken.contains(claim)))
            {
                twice.insert((section.to_string(), entry.to_string()));
            }
        }
        let mut value = crate::write::normal(&self.declared);
        for (section, entry) in twice {
            self.take_out(&mut value, &section, &entry, "it is declared already");
        }
        self.take_over(value);
    }

    fn take_out(&mut self, value: &mut Value, section: &str, entry: &str, why: &str) -> bool {
        let entries = value.get_mut(section).and_then(Value::as_object_mut);
        let found = entries.is_some_and(|entries| entries.remove(entry).is_some());
        if found {
            let name = entry.strip_prefix(&format!("{}-", self.node)).unwrap_or(entry);
            self.notes.push(format!("{section}: {name} is left out: {}", one_line(why)));
        }
        found
    }

    fn take_over(&mut self, value: Value) {
        self.declared = serde_json::from_value(value).expect("it is what was written, without some entries");
    }

    /// Asks the parser, with what is in force beside it, until it refuses nothing any more.
    fn leave_out_refused(mut self, environment: &EnvironmentName) -> Proposal {
        let mut around = self.in_force.clone();
        around.environments.entry(environment.clone()).or_default();
        let mut files =
            vec![SourceFile { path: "fleet.yaml".to_owned(), content: to_yaml(&around).into_bytes() }];
        // Their content was checked when they were applied, and nothing of it matters here.
        files.extend(
            self.in_force.sources().map(|path| SourceFile { path: path.to_owned(), content: Vec::new() }),
        );
        for _ in 0..ROUNDS_AT_MOST {
            let fragment = to_yaml(&self.declared);
            if fragment.trim().is_empty() || fragment.trim() == "{}" {
                return Proposal { fragment: String::new(), notes: self.notes };
            }
            let mut checked = files.clone();
            checked.push(SourceFile { path: FILE.to_owned(), content: fragment.clone().into_bytes() });
            let problems = parse(&checked).err().unwrap_or_default();
            let refused: Vec<Problem> = problems.into_iter().filter(|problem| problem.file == FILE).collect();
            if refused.is_empty() {
                return Proposal { fragment, notes: self.notes };
            }
            if !self.leave_out(&refused) {
                break;
            }
        }
        self.notes.push("what was found could not be written as a valid part of a fleet file".to_owned());
        Proposal { fragment: String::new(), notes: self.notes }
    }

    /// Takes out the entries that problems are about; `false` when none of them names one.
    fn leave_out(&mut self, refused: &[Problem]) -> bool {
        let mut left_out = false;
        let mut value = crate::write::normal(&self.declared);
        for problem in refused {
            if let Some((section, entry)) = entry_of(&value, &problem.path) {
                left_out |= self.take_out(&mut value, &section, &entry, &problem.message);
            }
        }
        self.take_over(value);
        left_out
    }
}

/// The section and the entry that the path of a problem lies in. Entries may have dots in their names.
fn entry_of(value: &Value, path: &str) -> Option<(String, String)> {
    let (section, rest) = path.split_once('.')?;
    let entries = value.get(section)?.as_object()?;
    let key = entries
        .keys()
        .filter(|key| {
            let quoted = format!("{key:?}");
            let begins = |name: &str| {
                rest.strip_prefix(name).is_some_and(|end| end.is_empty() || end.starts_with(['.', '[']))
            };
            begins(key) || begins(&quoted)
        })
        .max_by_key(|key| key.len())?;
    Some((section.to_owned(), key.clone()))
}

/// Ports in the notation of ufw.
fn ports(rule: &InstalledFirewallRule) -> String {
    let InstalledFirewallRule { action: _, port, port_to, protocol, from: _ } = rule;
    let ports = match port_to {
        Some(to) if to != port => format!("{port}:{to}"),
        _ => port.to_string(),
    };
    match protocol {
        Some(protocol) => format!("{ports}/{protocol}"),
        None => ports,
    }
}

#[cfg(test)]
mod tests;
