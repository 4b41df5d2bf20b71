//! Ports: two applications cannot have one of a node, and processes of their own cannot share theirs.

use super::{Checker, Kind, processes::Address};
use crate::words::{one_of, quoted};
use muster_domain::{
    ApplicationName,
    fleet::{Application, ApplicationOverride, ExecMode, Instances},
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Where the setting that is in force on a node stands: an override of the node, of its environment, or the declaration.
fn effective<'a, T>(
    declared: Option<T>,
    (name, application): (&'a ApplicationName, &'a Application),
    kind: &Kind<'a>,
    field: &'a str,
    of: impl Fn(&'a ApplicationOverride) -> Option<T>,
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

/// A port of an application on a node.
struct Claim<'a> {
    port: u16,
    /// Only on this address; absent: on all.
    host: Option<IpAddr>,
    at: Vec<&'a str>,
}

impl Claim<'_> {
    fn clashes(&self, port: u16, host: Option<IpAddr>) -> bool {
        let everywhere = |host: Option<IpAddr>| host.is_none_or(|host| host.is_unspecified());
        self.port == port && (everywhere(self.host) || everywhere(host) || self.host == host)
    }
}

/// What an application listens on, as far as it is declared.
fn claims<'a>(both: (&'a ApplicationName, &'a Application), kind: &Kind<'a>) -> Vec<Claim<'a>> {
    let declared = Some(&both.1.listen_fds);
    let sockets = effective(declared, both, kind, "listen_fds", |o| o.listen_fds.as_ref());
    let mut claims: Vec<Claim<'a>> = sockets
        .into_iter()
        .flat_map(|(list, at)| list.iter().map(move |text| (text, at.clone())))
        .filter_map(|(text, at)| match Address::parse(text)? {
            Address::Port { host, port } => Some(Claim { port, host, at }),
            Address::Path => None,
        })
        .collect();
    if let Some((port, at)) = effective(both.1.port, both, kind, "port", |o| o.port)
        && !claims.iter().any(|claim| claim.port == port)
    {
        claims.push(Claim { port, host: None, at });
    }
    claims
}

pub(super) fn check(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    let mut clashes: BTreeMap<(&str, &str, u16), Clash<'_>> = BTreeMap::new();
    let mut forks: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for kind in checker.kinds_of_nodes() {
        let mut taken: Vec<(&str, Claim<'_>)> = Vec::new();
        for (name, application) in configuration.applications.iter().filter(|(_, a)| kind.target.runs(a)) {
            let both = (name, application);
            let mut own = Vec::new();
            for claim in claims(both, &kind) {
                match taken.iter().find(|(_, other)| other.clashes(claim.port, claim.host)) {
                    Some((first, _)) => {
                        let clash = clashes.entry((first, name.as_str(), claim.port));
                        let clash = clash.or_insert_with(|| Clash { at: claim.at, nodes: BTreeSet::new() });
                        clash.nodes.extend(&kind.names);
                    }
                    None => own.push((name.as_str(), claim)),
                }
            }
            taken.extend(own);
            if let Some(at) = shared_in_fork_mode(both, &kind) {
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
            "use exec_mode: cluster, or one instance, or listen_fds, or a port for each with increment_var: PORT",
        );
    }
}

/// Where several instances in fork mode are asked for that would all open one port.
fn shared_in_fork_mode<'a>(
    both: (&'a ApplicationName, &'a Application),
    kind: &Kind<'a>,
) -> Option<Vec<&'a str>> {
    let application = both.1;
    let held = effective(Some(&application.listen_fds), both, kind, "listen_fds", |o| o.listen_fds.as_ref());
    let held = held.is_some_and(|(list, _)| !list.is_empty());
    let own_ports = application.increment_var.as_deref() == Some("PORT");
    effective(application.port, both, kind, "port", |o| o.port)?;
    match effective(application.instances, both, kind, "instances", |o| o.instances)? {
        (Instances::Max(_) | Instances::Count(2..), at)
            if application.mode() == ExecMode::Fork && !held && !own_ports =>
        {
            Some(at)
        }
        _ => None,
    }
}
