//! Applications: ports, health, versions of Node.js, durations, paths.

use super::{Checker, Kind};
use crate::words::{one_of, quoted};
use muster_domain::{
    ApplicationName,
    fleet::{Application, ApplicationOverride, Duration, ExecMode, Health, Instances},
    host_path,
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    for (name, application) in &configuration.applications {
        let at = |field| ["applications", name.as_str(), field];
        nodejs(checker, &application.nodejs, at("nodejs"));
        if !host_path::stays_inside(&application.script) {
            checker.value(
                &at("script"),
                format!("{} is not a path within the release", quoted(&application.script)),
                "write it relative to the release, without `./` and `..`: server.js, dist/server.js",
            );
        }
        health(checker, name, application);
        durations(checker, name, application);
        arguments(checker, name, application);
        account(checker, application.user.as_deref(), &at("user"));
        for (index, secret) in application.secrets.iter().enumerate() {
            if application.secrets[..index].contains(secret) {
                let index = index.to_string();
                checker.value(
                    &["applications", name.as_str(), "secrets", &index],
                    format!("secret {} is listed twice", quoted(secret)),
                    "list it once",
                );
            }
        }
    }
    ports(checker);
}

fn nodejs(checker: &mut Checker<'_>, range: &str, at: [&str; 3]) {
    let printable = range.len() <= 128 && !range.chars().any(char::is_control) && !range.trim().is_empty();
    if !printable || nodejs_semver::Range::parse(range).is_err() {
        checker.value(
            &at,
            format!("{} is not a range of Node.js versions", quoted(range)),
            "write it as in the engines of package.json: 22, >=20.19, ^22.1.0, 20 || 22",
        );
    }
}

fn health(checker: &mut Checker<'_>, name: &ApplicationName, application: &Application) {
    let at = |field| ["applications", name.as_str(), field];
    let Some(health) = &application.health else { return };
    let has_port = |a: &Application| {
        a.port.is_some() || checker.faulty(&at("port")) || a.overrides.values().any(|o| o.port.is_some())
    };
    if !has_port(application) {
        checker.key(
            &at("health"),
            format!("the health check of {} needs a port to ask on", quoted(name.as_str())),
            "add `port:` to the application",
        );
    }
    if application.wait_ready {
        checker.key(
            &at("wait_ready"),
            "`wait_ready` and `health` are two ways to be ready",
            "keep `health`, or take it out to wait for process.send('ready')",
        );
    }
    let below = |field| ["applications", name.as_str(), "health", field];
    match health {
        Health::Http(path) => {
            let plain =
                path.starts_with('/') && path.len() <= 1024 && path.bytes().all(|b| b.is_ascii_graphic());
            if !plain {
                checker.value(
                    &below("http"),
                    format!("{} is not a path of a request", quoted(path)),
                    "begin with / and leave the host out; write a space as %20: /healthz",
                );
            }
        }
        Health::Tcp(true) => {}
        Health::Tcp(false) => checker.value(
            &below("tcp"),
            "`tcp: false` checks nothing",
            "write `tcp: true`, or take `health` out: then an instance is ready when it listens",
        ),
    }
}

fn durations(checker: &mut Checker<'_>, name: &ApplicationName, application: &Application) {
    let Application { listen_timeout, kill_timeout, min_uptime, restart_delay, .. } = application;
    let check = |checker: &mut Checker<'_>, field: &str, duration: &Option<Duration>, at_least: u32| {
        let Some(duration) = duration else { return };
        let at = ["applications", name.as_str(), field];
        match duration.as_ms() {
            None => checker.value(&at, "this duration is too long", "the longest is 49 days: \"1176h\""),
            Some(ms) if ms < at_least => checker.value(
                &at,
                format!("{} must be more than 0", quoted(field)),
                "write milliseconds (3000), or a whole number with ms, s, m or h (\"10s\")",
            ),
            Some(_) => {}
        }
    };
    check(checker, "listen_timeout", listen_timeout, 1);
    check(checker, "kill_timeout", kill_timeout, 0);
    check(checker, "min_uptime", min_uptime, 0);
    check(checker, "restart_delay", restart_delay, 0);
}

fn arguments(checker: &mut Checker<'_>, name: &ApplicationName, application: &Application) {
    for (field, list) in [("args", &application.args), ("node_args", &application.node_args)] {
        for (index, argument) in list.iter().enumerate().filter(|(_, argument)| argument.contains('\0')) {
            let at = ["applications", name.as_str(), field, &index.to_string()];
            checker.value(&at, format!("{} holds a NUL byte", quoted(argument)), "take it out");
        }
    }
}

/// Names of accounts and groups, as useradd takes them.
pub(super) fn account(checker: &mut Checker<'_>, name: Option<&str>, at: &[&str]) {
    let Some(name) = name else { return };
    let bytes = name.as_bytes();
    let ok = (1..=32).contains(&bytes.len())
        && (bytes[0].is_ascii_lowercase() || bytes[0] == b'_')
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
    if !ok {
        checker.value(
            at,
            format!("{} is not the name of an account", quoted(name)),
            "use up to 32 lower-case letters, digits, - and _, and begin with a letter",
        );
    }
}

/// Where the setting that is in force on a node stands: an override of the node, of its environment, or the declaration.
fn effective<'a, T>(
    declared: Option<T>,
    (name, application): (&'a ApplicationName, &'a Application),
    kind: &Kind<'a>,
    field: &'a str,
    of: impl Fn(&ApplicationOverride) -> Option<T>,
) -> Option<(T, Vec<&'a str>)> {
    let (node, environment) = (kind.target.node.as_str(), kind.target.environment);
    if let Some(value) = kind.node.overrides.get(name).and_then(&of) {
        return Some((value, vec!["nodes", node, "overrides", name.as_str(), field]));
    }
    if let Some(value) = application.overrides.get(environment).and_then(&of) {
        return Some((value, vec!["applications", name.as_str(), "overrides", environment.as_str(), field]));
    }
    declared.map(|value| (value, vec!["applications", name.as_str(), field]))
}

/// Where the later of two applications gets a port, and the nodes on which the other has it already.
struct Clash<'a> {
    at: Vec<&'a str>,
    nodes: BTreeSet<&'a str>,
}

/// Two applications cannot have one port of a node, and processes of their own cannot share theirs.
fn ports(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    let mut clashes: BTreeMap<(&str, &str, u16), Clash<'_>> = BTreeMap::new();
    let mut forks: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for kind in checker.kinds_of_nodes() {
        let mut taken: BTreeMap<u16, &str> = BTreeMap::new();
        for (name, application) in configuration.applications.iter().filter(|(_, a)| kind.target.runs(a)) {
            let both = (name, application);
            let Some((port, at)) = effective(application.port, both, &kind, "port", |o| o.port) else {
                continue;
            };
            if let Some(first) = taken.get(&port) {
                let clash = clashes.entry((first, name.as_str(), port));
                let clash = clash.or_insert_with(|| Clash { at, nodes: BTreeSet::new() });
                clash.nodes.extend(&kind.names);
            } else {
                taken.insert(port, name.as_str());
            }
            let instances = effective(application.instances, both, &kind, "instances", |o| o.instances);
            if application.exec_mode == Some(ExecMode::Fork)
                && let Some((Instances::Max(_) | Instances::Count(2..), at)) = instances
            {
                forks.entry(name.as_str()).or_insert(at);
            }
        }
    }
    for ((first, second, port), Clash { at, nodes }) in clashes {
        let nodes: Vec<_> = nodes.into_iter().collect();
        let some = if nodes.len() > 3 { format!("{} nodes", nodes.len()) } else { nodes.join(" and ") };
        checker.value(
            &at,
            format!("{} and {} both have port {port} on {some}", quoted(first), quoted(second)),
            format!("give {} another port, or choose other nodes with `on:`", one_of(&[first, second])),
        );
    }
    for (name, at) in forks {
        checker.value(
            &at,
            format!("the instances of {} cannot share its port in fork mode", quoted(name)),
            "use exec_mode: cluster, or one instance",
        );
    }
}
