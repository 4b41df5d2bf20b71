//! What no schema can say: references, clashes, and grammars of their own. Every check runs, whatever the others find.

mod accounts;
mod applications;
mod base;
mod declared;
mod files;
mod firewall;
mod packages;
mod ports;
mod processes;
mod references;
mod services;
mod ssh_keys;
mod system;
mod values;
mod variables;

pub(crate) use ssh_keys::usable_key;

use crate::{
    place::{At, Places, pointer},
    problem::Problem,
};
use muster_domain::{
    EnvironmentName, NodeName,
    fleet::{FleetConfiguration, Node, declared::Declared},
    node::Role,
    selection::Target,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

/// Everything that was declared, also what is wrong in itself: a reference to it is no mistake of its own.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) environments: BTreeSet<String>,
    pub(crate) nodes: BTreeSet<String>,
    pub(crate) applications: BTreeSet<String>,
}

impl Names {
    pub(crate) fn of(value: &Value) -> Self {
        let keys = |section: &str| {
            let entries = value.get(section).and_then(Value::as_object);
            entries.into_iter().flatten().map(|(name, _)| name.clone()).collect()
        };
        Self { environments: keys("environments"), nodes: keys("nodes"), applications: keys("applications") }
    }
}

/// The state of the checks.
struct Checker<'a> {
    configuration: &'a FleetConfiguration,
    /// What the sections about hosts declare.
    declared: &'a [Declared<'a>],
    names: &'a Names,
    sources: &'a BTreeMap<&'a str, &'a [u8]>,
    places: &'a Places,
    /// Fields with a problem that is known already.
    earlier: BTreeSet<&'a str>,
    found: Vec<Problem>,
    warnings: Vec<Problem>,
}

/// What the checks found.
pub(crate) struct Found {
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
}

/// Runs every check. `earlier` are the problems that are known: nothing is said twice of the same field.
pub(crate) fn check(
    configuration: &FleetConfiguration,
    names: &Names,
    sources: &BTreeMap<&str, &[u8]>,
    places: &Places,
    earlier: &[Problem],
) -> Found {
    let earlier = earlier.iter().map(|problem| problem.path.as_str()).collect();
    let declared = configuration.declared();
    let mut checker = Checker {
        configuration,
        declared: &declared,
        names,
        sources,
        places,
        earlier,
        found: Vec::new(),
        warnings: Vec::new(),
    };
    references::check(&mut checker);
    applications::check(&mut checker);
    processes::check(&mut checker);
    ports::check(&mut checker);
    variables::check(&mut checker);
    files::check(&mut checker);
    base::check(&mut checker);
    packages::check(&mut checker);
    accounts::check(&mut checker);
    services::check(&mut checker);
    system::check(&mut checker);
    firewall::check(&mut checker);
    declared::check(&mut checker);
    Found { problems: checker.found, warnings: checker.warnings }
}

impl<'a> Checker<'a> {
    /// A problem with a value.
    fn value(&mut self, parts: &[&str], message: impl Into<String>, hint: impl Into<String>) {
        self.add(At::Value, parts, message.into(), hint.into());
    }

    /// A problem with a key, or with something that is missing below it.
    fn key(&mut self, parts: &[&str], message: impl Into<String>, hint: impl Into<String>) {
        self.add(At::Key, parts, message.into(), hint.into());
    }

    /// A key that most likely does not do what is meant.
    fn warn(&mut self, parts: &[&str], message: impl Into<String>, hint: impl Into<String>) {
        let problem = self.places.problem(&pointer(parts), At::Key, message.into(), Some(hint.into()));
        self.warnings.push(problem);
    }

    /// Where something stands, for a message about something else: `fleet.yaml:12`.
    fn place(&self, parts: &[&str]) -> String {
        let problem = self.places.problem(&pointer(parts), At::Key, "", None);
        format!("{}:{}", problem.file, problem.line)
    }

    fn add(&mut self, at: At, parts: &[&str], message: String, hint: String) {
        let problem = self.places.problem(&pointer(parts), at, message, Some(hint));
        self.found.push(problem);
    }

    /// Whether something is wrong already with a field or a part of it.
    fn faulty(&self, parts: &[&str]) -> bool {
        let path = parts.join(".");
        let below = |mark: char| {
            let start = format!("{path}{mark}");
            self.earlier.range(start.as_str()..).next().is_some_and(|path| path.starts_with(&start))
        };
        self.earlier.contains(path.as_str()) || below('.') || below('[')
    }

    /// The declared nodes as selectors see them. Nodes that nothing tells apart (no settings of their own, and named by no
    /// selector) stand together, so that a large fleet costs no more than its kinds of nodes.
    fn kinds_of_nodes(&self) -> Vec<Kind<'a>> {
        let configuration = self.configuration;
        let selectors = configuration.applications.values().filter_map(|a| a.on.as_ref());
        let selectors = selectors.chain(self.declared.iter().filter_map(|declared| declared.common.on));
        let named: BTreeSet<&NodeName> = selectors.flat_map(|selector| &selector.nodes).collect();
        let mut kinds = Vec::new();
        let mut alike: BTreeMap<(&EnvironmentName, &[Role]), Kind<'a>> = BTreeMap::new();
        for (name, node) in &configuration.nodes {
            let target = Target { node: name, environment: &node.environment, roles: &node.roles };
            let kind = Kind { target, node, names: vec![name.as_str()] };
            if !node.overrides.is_empty() || node.hostname.is_some() || named.contains(name) {
                kinds.push(kind);
            } else {
                match alike.entry((&node.environment, node.roles.as_slice())) {
                    Entry::Occupied(mut entry) => entry.get_mut().names.push(name.as_str()),
                    Entry::Vacant(entry) => {
                        entry.insert(kind);
                    }
                }
            }
        }
        kinds.extend(alike.into_values());
        kinds
    }
}

/// Nodes that are alike, seen as one of them.
struct Kind<'a> {
    target: Target<'a>,
    node: &'a Node,
    names: Vec<&'a str>,
}
