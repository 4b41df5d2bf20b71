//! What becomes of the sections about hosts.

mod base;
mod edges;
mod entries;
mod firewall;
mod properties;

use super::*;
use crate::example::{ExampleFleet, environment, node_name};
use muster_domain::{
    fleet::{
        Admin, Base, CertificateEntry, CommandEntry, CronJobEntry, EnvValue, FileEntry, FirewallDefaults,
        FirewallEntry, HostsLine, LogrotateEntry, PackageEntry, Selector, ServiceEntry, SystemdUnitEntry,
        UserEntry,
        base::{BaseFirewall, BaseSsh, BaseUpdates, Often, Part, RootLogin},
        declared::Sharing,
    },
    resource::{
        DesiredState, Firewall, FirewallPolicy, Mode, OnRemoval, PackageEnsure, Resource, RuleAction,
        Service, UpdateScope, Validator,
    },
};
use proptest::prelude::*;
use std::collections::BTreeSet;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f amara";
const NODES: [&str; 4] = ["lb-1", "app-1", "app-2", "stage-1"];

/// The shop without its files and applications, for what a test adds.
fn bare() -> ExampleFleet {
    let mut fleet = ExampleFleet::shop();
    fleet.configuration.files.clear();
    fleet.configuration.applications.clear();
    fleet
}

fn with(change: impl FnOnce(&mut FleetConfiguration)) -> ExampleFleet {
    let mut fleet = bare();
    change(&mut fleet.configuration);
    fleet
}

fn based(base: Base) -> ExampleFleet {
    with(|fleet| fleet.base = Some(base))
}

fn admin(sudo: bool) -> Admin {
    Admin { keys: vec![KEY.to_owned()], sudo, groups: Vec::new(), shell: None }
}

fn roles(role: Role) -> Option<Selector> {
    Some(Selector { roles: vec![role], ..Selector::default() })
}

fn keys(content: &AssignmentContent) -> Vec<&str> {
    content.resources.iter().map(|resource| resource.key.as_str()).collect()
}

fn get<'a>(content: &'a AssignmentContent, key: &str) -> &'a Resource {
    let found = content.resources.iter().find(|resource| resource.key.as_str() == key);
    found.unwrap_or_else(|| panic!("{key} is not among {:?}", keys(content)))
}

fn texts(keys: &[ResourceKey]) -> Vec<&str> {
    keys.iter().map(ResourceKey::as_str).collect()
}

fn firewall(content: &AssignmentContent) -> &Firewall {
    match &get(content, "firewall:node").desired {
        DesiredState::Firewall(firewall) => firewall,
        other => panic!("{other:?}"),
    }
}

/// A rule in a line: `allow 443/tcp from 10.0.0.0/8 # comment`.
fn lines(firewall: &Firewall) -> Vec<String> {
    let line = |rule: &muster_domain::resource::FirewallRule| {
        let action = format!("{:?}", rule.action).to_lowercase();
        let port = rule.port.map_or("any".to_owned(), |port| port.to_string());
        let protocol = rule.protocol.map(|p| format!("/{p:?}").to_lowercase()).unwrap_or_default();
        let from = rule.from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
        format!("{action} {port}{protocol}{from} # {}", rule.comment.as_deref().unwrap_or_default())
    };
    firewall.rules.iter().map(line).collect()
}
