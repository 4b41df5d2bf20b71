//! Names that stand for something else: it has to be there.

use super::Checker;
use crate::words::{did_you_mean, quoted};
use muster_domain::fleet::Selector;

/// Wrong references that are given a guess at what was meant.
const GUESS_AT_MOST: usize = 500;

#[derive(Clone, Copy)]
enum Kind {
    Environment,
    Node,
    Application,
}

pub(super) fn check(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    for (name, node) in &configuration.nodes {
        let name = name.as_str();
        exists(checker, Kind::Environment, node.environment.as_str(), &["nodes", name, "environment"], false);
        for application in node.overrides.keys() {
            let application = application.as_str();
            exists(checker, Kind::Application, application, &["nodes", name, "overrides", application], true);
        }
    }
    for (name, application) in &configuration.applications {
        let name = name.as_str();
        for environment in application.overrides.keys() {
            let environment = environment.as_str();
            let at = ["applications", name, "overrides", environment];
            exists(checker, Kind::Environment, environment, &at, true);
        }
        if let Some(on) = &application.on {
            selector(checker, on, &["applications", name, "on"]);
        }
    }
    for declared in checker.declared {
        if let Some(on) = declared.common.on {
            // Parts of the base role share one selector.
            let parts = if declared.at[0] == "base" { 1 } else { 2 };
            let at: Vec<&str> = declared.at.iter().take(parts).map(AsRef::as_ref).chain(["on"]).collect();
            selector(checker, on, &at);
        }
    }
}

fn selector(checker: &mut Checker<'_>, selector: &Selector, at: &[&str]) {
    let Selector { environments, roles: _, nodes } = selector;
    let mut each = |kind: Kind, list: &str, names: Vec<&str>| {
        for (index, name) in names.into_iter().enumerate() {
            let index = index.to_string();
            let at: Vec<&str> = at.iter().copied().chain([list, index.as_str()]).collect();
            exists(checker, kind, name, &at, false);
        }
    };
    each(Kind::Environment, "environments", environments.iter().map(AsRef::as_ref).collect());
    each(Kind::Node, "nodes", nodes.iter().map(AsRef::as_ref).collect());
}

fn exists(checker: &mut Checker<'_>, kind: Kind, name: &str, at: &[&str], in_key: bool) {
    let (word, section, known) = match kind {
        Kind::Environment => ("environment", "environments", &checker.names.environments),
        Kind::Node => ("node", "nodes", &checker.names.nodes),
        Kind::Application => ("application", "applications", &checker.names.applications),
    };
    if known.contains(name) {
        return;
    }
    // Far more than are reported; guessing costs the product of both numbers.
    let guess = match checker.found.len() {
        0..GUESS_AT_MOST => did_you_mean(name, known.iter().map(String::as_str)),
        _ => String::new(),
    };
    let message = format!("there is no {word} {}{guess}", quoted(name));
    let hint = if known.is_empty() {
        format!("declare it under `{section}:`")
    } else {
        let some: Vec<_> = known.iter().take(12).map(String::as_str).collect();
        let more = if known.len() > some.len() { ", ..." } else { "" };
        format!("declared under `{section}:` are {}{more}", some.join(", "))
    };
    if in_key {
        checker.key(at, message, hint);
    } else {
        checker.value(at, message, hint);
    }
}
