//! Users, their keys, and groups.

use super::host::Host;
use muster_domain::{
    host_names,
    resource::{AuthorizedKey, DesiredState, Ensure, Group, ResourceKey, User},
};

/// Adds the groups and users that are meant for the node.
pub(super) fn compile(host: &mut Host<'_, '_>) {
    let configuration = host.input.configuration;
    for (entry_name, entry) in host.entries(&configuration.groups, |entry| entry.common()) {
        let name = host.name(("groups", entry_name), entry.name.as_ref(), host_names::account).to_owned();
        host.add(
            ResourceKey::new("group", &name),
            DesiredState::Group(Group {
                name,
                ensure: entry.ensure.unwrap_or_default(),
                gid: entry.gid,
                system: entry.system,
            }),
        );
    }
    for (entry_name, entry) in host.entries(&configuration.users, |entry| entry.common()) {
        let name = host.name(("users", entry_name), entry.name.as_ref(), host_names::account);
        let place = format!("users.{entry_name}");
        let groups = entry.group.iter().chain(&entry.groups);
        groups.for_each(|group| host.must(group, host_names::account, &place));
        host.add(
            ResourceKey::new("user", name),
            DesiredState::User(User {
                name: name.to_owned(),
                ensure: entry.ensure.unwrap_or_default(),
                uid: entry.uid,
                group: entry.group.clone(),
                groups: entry.groups.clone(),
                shell: entry.shell.clone(),
                home: entry.home.clone(),
                comment: entry.comment.clone(),
                system: entry.system,
            }),
        );
        if !entry.keys.is_empty() && entry.ensure != Some(Ensure::Absent) {
            keys(host, name, &entry.keys, entry.exclusive_keys.unwrap_or(true), &place);
        }
    }
}

/// Adds the keys of a user.
pub(super) fn keys(host: &mut Host<'_, '_>, user: &str, keys: &[String], exclusive: bool, place: &str) {
    let line = |key: &str| !key.trim().is_empty() && host_names::line(key, 16 * 1024);
    keys.iter().for_each(|key| host.must(key, line, place));
    host.add(
        ResourceKey::new("authorized_key", user),
        DesiredState::AuthorizedKey(AuthorizedKey {
            user: user.to_owned(),
            keys: keys.iter().map(|key| key.trim().to_owned()).collect(),
            exclusive,
        }),
    );
}
