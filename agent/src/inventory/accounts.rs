//! Users who are people or applications, their keys, and groups.

use super::source::Source;
use muster_domain::inventory::{InstalledGroup, InstalledUser};
use std::collections::{BTreeMap, BTreeSet};

/// The first number of an account that is not the system's.
const FIRST: u32 = 1000;
/// `nobody` and above are the system's again.
const LAST: u32 = 59_999;

struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

fn all_groups(source: &mut Source<'_>) -> Vec<Group> {
    let text = source.text("/etc/group").unwrap_or_default();
    let group = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, gid, members] = fields[..] else { return None };
        let members = members.split(',').filter(|member| !member.is_empty()).map(str::to_owned).collect();
        Some(Group { name: name.to_owned(), gid: gid.parse().ok()?, members })
    };
    text.lines().filter_map(group).collect()
}

/// Users from 1000 on, and root when somebody may sign in as root.
pub(super) fn users(source: &mut Source<'_>) -> Vec<InstalledUser> {
    let text = source.text("/etc/passwd").unwrap_or_default();
    let groups = all_groups(source);
    let names: BTreeMap<u32, &str> = groups.iter().map(|group| (group.gid, group.name.as_str())).collect();
    let sudoers = sudoers(source);
    let mut users = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, comment, home, shell] = fields[..] else { continue };
        let (Ok(uid), Ok(gid)) = (uid.parse::<u32>(), gid.parse::<u32>()) else { continue };
        if uid != 0 && !(FIRST..=LAST).contains(&uid) {
            continue;
        }
        let authorized_keys = keys(source, home);
        if uid == 0 && authorized_keys.is_empty() {
            continue;
        }
        let others =
            groups.iter().filter(|group| group.gid != gid && group.members.iter().any(|m| m == name));
        users.push(InstalledUser {
            name: name.to_owned(),
            uid,
            group: names.get(&gid).map_or_else(|| gid.to_string(), |name| (*name).to_owned()),
            groups: others.map(|group| group.name.clone()).collect(),
            home: home.to_owned(),
            shell: shell.to_owned(),
            comment: comment.trim_end_matches(',').to_owned(),
            sudo: sudoers.contains(name),
            authorized_keys,
        });
    }
    users
}

/// Groups from 1000 on that are no user's own.
pub(super) fn groups(source: &mut Source<'_>) -> Vec<InstalledGroup> {
    let passwd = source.text("/etc/passwd").unwrap_or_default();
    let users: BTreeSet<&str> = passwd.lines().filter_map(|line| line.split(':').next()).collect();
    all_groups(source)
        .into_iter()
        .filter(|group| (FIRST..=LAST).contains(&group.gid) && !users.contains(group.name.as_str()))
        .map(|Group { name, gid, members }| InstalledGroup { name, gid, members })
        .collect()
}

/// Lines of a user's `authorized_keys` that are keys. The file is the user's, and may be anything: what does not look like a
/// key is not repeated.
fn keys(source: &mut Source<'_>, home: &str) -> Vec<String> {
    if !home.starts_with('/') || home.split('/').any(|part| part == "..") {
        return Vec::new();
    }
    let text = source.text(&format!("{home}/.ssh/authorized_keys")).unwrap_or_default();
    text.lines().map(str::trim).filter(|line| is_key(line)).map(str::to_owned).collect()
}

fn is_key(line: &str) -> bool {
    let kind = |word: &str| {
        ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|start| word.starts_with(start))
    };
    let mut words = line.split_whitespace().skip_while(|word| !kind(word)).skip(1);
    line.len() <= 16 * 1024
        && !line.starts_with('#')
        && words.next().is_some_and(|key| key.starts_with("AAAA"))
}

/// Users that files of sudo name.
fn sudoers(source: &mut Source<'_>) -> BTreeSet<String> {
    let mut files = vec!["/etc/sudoers".to_owned()];
    files.extend(source.names("/etc/sudoers.d").into_iter().map(|name| format!("/etc/sudoers.d/{name}")));
    let mut users = BTreeSet::new();
    for file in files {
        let text = source.text(&file).unwrap_or_default();
        users.extend(text.lines().filter_map(sudoer).map(str::to_owned));
    }
    users.remove("root");
    users
}

fn sudoer(line: &str) -> Option<&str> {
    let (name, rest) = line.trim().split_once(char::is_whitespace)?;
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    (plain && rest.trim_start().starts_with("ALL") && rest.contains('=')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_not_repeated() {
        assert!(is_key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA amara"));
        assert!(is_key("from=\"10.0.0.0/8\",no-pty ssh-rsa AAAAB3Nza x"));
        for other in
            ["root:$6$salt$hash:19000:0:99999:7:::", "# ssh-ed25519 AAAA", "ssh-ed25519", "", "ssh-rsa xyz"]
        {
            assert!(!is_key(other), "{other}");
        }
    }

    #[test]
    fn sudo_is_read_from_rules_for_users() {
        assert_eq!(sudoer("amara ALL=(ALL) NOPASSWD:ALL"), Some("amara"));
        assert_eq!(sudoer("%sudo ALL=(ALL:ALL) ALL"), None);
        assert_eq!(sudoer("Defaults env_reset"), None);
    }
}
