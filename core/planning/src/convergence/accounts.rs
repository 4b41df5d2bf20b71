//! Decides about accounts: groups, users, and who may sign in as them.
//!
//! What would orphan files or pull the ground from under what runs is not done but said: another number for what exists,
//! removing a user whose processes live, removing what belongs to the system.

use super::{Action, Observed, Verdict, change, keys, mismatch};
use muster_domain::resource::{AuthorizedKey, Ensure, Group, User};

/// The first number that distributions give to people rather than to services.
pub const FIRST_PERSON: u32 = 1000;

/// What was found of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservedGroup {
    /// Its number, when it is in the node's own list.
    pub gid: Option<u32>,
    /// It is known here, from elsewhere than the node's own list.
    pub foreign: bool,
    /// Which group has the number that is wanted; only looked at when that matters.
    pub gid_taken_by: Option<String>,
    /// Users whose primary group it is; only looked at when it should go.
    pub primary_of: Vec<String>,
}

/// What was found of a user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservedUser {
    /// The user, when it is in the node's own list.
    pub found: Option<FoundUser>,
    /// It is known here, from elsewhere than the node's own list.
    pub foreign: bool,
    /// Which user has the number that is wanted; only looked at when that matters.
    pub uid_taken_by: Option<String>,
    /// Groups that are wanted and that the node does not know.
    pub missing_groups: Vec<String>,
    /// The shell that is wanted is not on the node.
    pub shell_missing: bool,
    /// What runs as it, with how many processes: `node (2)`. Only looked at when that matters.
    pub processes: Vec<String>,
}

/// A user as the node's own list has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FoundUser {
    /// Its number.
    pub uid: u32,
    /// Its primary group by name, or by number when that has none.
    pub group: String,
    /// The groups that it is in besides.
    pub groups: Vec<String>,
    /// Its shell.
    pub shell: String,
    /// Its home.
    pub home: String,
    /// Whether its home is there.
    pub home_exists: bool,
    /// Its full name or purpose.
    pub comment: String,
}

/// What was found of the keys of a user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservedKeys {
    /// Why the user can have none: it, or its home, is not there.
    pub trouble: Option<String>,
    /// The file, when there is one.
    pub content: Option<String>,
    /// Owners and modes of folder and file that are not as sshd wants them: `~/.ssh has mode 0755 instead of 0700`.
    pub attributes: Vec<String>,
}

fn impossible(reason: impl Into<String>) -> Verdict {
    Verdict::Impossible { reason: reason.into() }
}

pub(super) fn group(wanted: &Group, observed: &Observed) -> Verdict {
    let Observed::Group(observed) = observed else { return mismatch() };
    let Group { name, ensure, gid: wanted_gid, system } = wanted;
    let ObservedGroup { gid: found, foreign, gid_taken_by, primary_of } = observed;
    match (ensure, found) {
        (Ensure::Absent, None) => Verdict::InPlace,
        (Ensure::Absent, Some(gid)) if *gid < FIRST_PERSON && (*gid == 0 || !system) => {
            impossible(of_the_system("group", name, *gid))
        }
        (Ensure::Absent, Some(_)) if !primary_of.is_empty() => {
            let users = primary_of.join(", ");
            impossible(format!("it is the primary group of {users}; remove them or give them another first"))
        }
        (Ensure::Absent, Some(_)) => change(Action::RemoveGroup, vec!["should not be there".into()]),
        (Ensure::Present, None) if *foreign => impossible(from_elsewhere("group", name, "/etc/group")),
        (Ensure::Present, None) => match (gid_taken_by, wanted_gid) {
            (Some(other), Some(gid)) => impossible(format!("the number {gid} belongs to the group {other}")),
            _ => change(Action::CreateGroup, vec!["is missing".into()]),
        },
        (Ensure::Present, Some(found)) => match wanted_gid {
            Some(wanted) if wanted != found => impossible(format!(
                "it has the number {found} instead of {wanted}; changing it would orphan its files, so that is left to you (groupmod --gid, then chgrp)"
            )),
            _ => Verdict::InPlace,
        },
    }
}

fn of_the_system(kind: &str, name: &str, id: u32) -> String {
    if id == 0 {
        format!("the {kind} {name} is the system's own and is never removed")
    } else {
        format!(
            "the {kind} {name} (number {id}) belongs to the system; declare it with `system: true` if it really should go"
        )
    }
}

fn from_elsewhere(kind: &str, name: &str, file: &str) -> String {
    format!("the {kind} {name} comes from a directory service, not from {file}; it has to be managed there")
}

pub(super) fn user(wanted: &User, observed: &Observed) -> Verdict {
    let Observed::User(observed) = observed else { return mismatch() };
    match (wanted.ensure, &observed.found) {
        (Ensure::Absent, None) => Verdict::InPlace,
        (Ensure::Absent, Some(found)) => removal(wanted, found, &observed.processes),
        (Ensure::Present, _) => presence(wanted, observed),
    }
}

fn removal(wanted: &User, found: &FoundUser, processes: &[String]) -> Verdict {
    if found.uid < FIRST_PERSON && (found.uid == 0 || !wanted.system) {
        return impossible(of_the_system("user", &wanted.name, found.uid));
    }
    if !processes.is_empty() {
        return impossible(format!("{} runs as it; end that first, it is not killed", processes.join(", ")));
    }
    change(Action::RemoveUser, vec!["should not be there".into()])
}

fn presence(wanted: &User, observed: &ObservedUser) -> Verdict {
    let User { name, ensure: _, uid, group: _, groups: _, shell, home: _, comment: _, system: _ } = wanted;
    if observed.found.is_none() && observed.foreign {
        return impossible(from_elsewhere("user", name, "/etc/passwd"));
    }
    if let Some(missing) = observed.missing_groups.first() {
        return impossible(format!("the group {missing} does not exist on this node; declare it"));
    }
    if let Some(shell) = shell.as_ref().filter(|_| observed.shell_missing) {
        return impossible(format!(
            "the shell {shell} is not on this node; install the package that brings it"
        ));
    }
    let Some(found) = &observed.found else {
        return match (&observed.uid_taken_by, uid) {
            (Some(other), Some(uid)) => impossible(format!("the number {uid} belongs to the user {other}")),
            _ => change(Action::CreateUser, vec!["is missing".into()]),
        };
    };
    if let Some(uid) = uid.filter(|uid| *uid != found.uid) {
        return impossible(format!(
            "it has the number {} instead of {uid}; changing it would orphan its files, so that is left to you (usermod --uid, then chown)",
            found.uid
        ));
    }
    let reasons = user_differences(wanted, found);
    let moves = wanted.home.as_ref().is_some_and(|home| *home != found.home);
    if moves && !observed.processes.is_empty() {
        let running = observed.processes.join(", ");
        return impossible(format!("its home can only be changed when nothing runs as it: {running} does"));
    }
    if reasons.is_empty() { Verdict::InPlace } else { change(Action::ChangeUser, reasons) }
}

/// What is different about a user that is there, in words.
pub fn user_differences(wanted: &User, found: &FoundUser) -> Vec<String> {
    let User { name: _, ensure: _, uid: _, group, groups, shell, home, comment, system: _ } = wanted;
    let mut reasons = Vec::new();
    let fields = [
        ("primary group", group, &found.group),
        ("shell", shell, &found.shell),
        ("home", home, &found.home),
        ("comment", comment, &found.comment),
    ];
    for (what, wanted, found) in fields {
        if let Some(wanted) = wanted
            && wanted != found
        {
            reasons.push(format!("{what} is {found:?} instead of {wanted:?}"));
        }
    }
    let missing = missing_groups(groups, found);
    if !missing.is_empty() {
        reasons.push(format!("is not in {}", missing.join(", ")));
    }
    if reasons.is_empty() && home_is_missing(wanted, found) {
        reasons.push(format!("its home {} is missing", found.home));
    }
    reasons
}

/// The groups that it should be in and is not.
pub fn missing_groups<'a>(wanted: &'a [String], found: &FoundUser) -> Vec<&'a str> {
    let is_in = |group: &str| found.group == group || found.groups.iter().any(|known| known == group);
    wanted.iter().map(String::as_str).filter(|group| !is_in(group)).collect()
}

/// Whether its home should be made. Accounts of services have none that anybody misses.
fn home_is_missing(wanted: &User, found: &FoundUser) -> bool {
    let person = !wanted.system && found.uid >= FIRST_PERSON;
    (person || wanted.home.is_some() && !wanted.system) && !found.home_exists && found.home != "/nonexistent"
}

pub(super) fn authorized_key(wanted: &AuthorizedKey, observed: &Observed) -> Verdict {
    let Observed::Keys(observed) = observed else { return mismatch() };
    let AuthorizedKey { user: _, keys, exclusive } = wanted;
    if let Some(fault) = keys.iter().find_map(|line| keys::fault(line)) {
        return impossible(fault);
    }
    let ObservedKeys { trouble, content, attributes } = observed;
    if let Some(trouble) = trouble {
        // Nobody signs in as a user that is not there.
        return if keys.is_empty() { Verdict::InPlace } else { impossible(trouble.clone()) };
    }
    let target = authorized_keys(wanted, content.as_deref().unwrap_or_default());
    let mut reasons = Vec::new();
    match content {
        None if keys.is_empty() && !exclusive => return Verdict::InPlace,
        None => reasons.push("is missing".to_owned()),
        Some(content) if *content != target => reasons.push(key_difference(content, &target)),
        Some(_) => {}
    }
    reasons.extend(attributes.iter().cloned());
    if reasons.is_empty() { Verdict::InPlace } else { change(Action::WriteKeys, reasons) }
}

/// What the file of the user should hold, given what it holds.
pub fn authorized_keys(wanted: &AuthorizedKey, content: &str) -> String {
    keys::merged(content, &wanted.keys, wanted.exclusive)
}

fn key_difference(found: &str, wanted: &str) -> String {
    let count = |one: &str, other: &str| {
        let keys = one.lines().filter(|line| keys::fault(line).is_none());
        keys.filter(|line| !other.lines().any(|known| known == *line)).count()
    };
    match (count(wanted, found), count(found, wanted)) {
        (0, 0) => "the keys stand in another order, or outside the block that is managed".to_owned(),
        (missing, 0) => format!("{missing} of the keys are missing"),
        (0, extra) => format!("{extra} keys should not be there"),
        (missing, extra) => format!("{missing} of the keys are missing, {extra} should not be there"),
    }
}
