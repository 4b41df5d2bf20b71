//! How users are looked at, changed and taken away. Their homes stay, whatever becomes of them.

use super::{Look, rendered};
use muster_domain::resource::{DesiredState, Ensure, User};
use muster_planning::convergence::{
    Action, Effort, FIRST_PERSON, FoundUser, Observed, ObservedUser, Verdict, missing_groups, verdict,
};
use muster_platform::{Accounts, FileKind, HostError, NewUser, Ownership, UserChange, UserEntry};
use std::path::Path;

/// The last number that distributions give to people.
const LAST_PERSON: u32 = 60_000;
/// The shell of people, where it is installed; the distribution's `useradd` has a poorer one in mind.
const SHELL: &str = "/bin/bash";
const PLAIN_SHELL: &str = "/bin/sh";
const NO_SHELL: &str = "/usr/sbin/nologin";
/// The home of a service that was given none.
const NO_HOME: &str = "/nonexistent";

pub(super) fn observe(look: Look<'_>, wanted: &User) -> Observed {
    if let Some(unsupported) = rendered::needs_root(look, "users") {
        return unsupported;
    }
    match found(look, wanted) {
        Ok(found) => Observed::User(found),
        Err(error) => Observed::Unreadable(error.to_string()),
    }
}

fn found(look: Look<'_>, wanted: &User) -> Result<ObservedUser, HostError> {
    let User { name, ensure, uid, group, groups, shell, home, comment: _, system: _ } = wanted;
    let accounts = look.host.accounts()?;
    let entry = accounts.user(name);
    let known = entry.map(|entry| entry_found(look, &accounts, entry)).transpose()?;
    if *ensure == Ensure::Absent {
        let processes = entry.map(|entry| look.host.processes_of(entry.uid)).transpose()?;
        let processes = processes.unwrap_or_default();
        return Ok(ObservedUser { found: known, processes, ..ObservedUser::default() });
    }
    let mut missing = Vec::new();
    for group in groups.iter().chain(group) {
        if accounts.group(group).is_none() && look.host.group(group)?.is_none() {
            missing.push(group.clone());
        }
    }
    let shell_missing = match shell {
        Some(shell) => look.host.stat(Path::new(shell))?.is_none(),
        None => false,
    };
    let moving = entry.filter(|entry| home.as_ref().is_some_and(|home| *home != entry.home));
    let holder = uid.filter(|_| entry.is_none()).and_then(|uid| accounts.user_numbered(uid));
    Ok(ObservedUser {
        foreign: known.is_none() && look.host.user(name)?.is_some(),
        found: known,
        uid_taken_by: holder.map(|user| user.name.clone()),
        missing_groups: missing,
        shell_missing,
        processes: moving.map(|entry| look.host.processes_of(entry.uid)).transpose()?.unwrap_or_default(),
    })
}

fn entry_found(look: Look<'_>, accounts: &Accounts, entry: &UserEntry) -> Result<FoundUser, HostError> {
    let UserEntry { name, uid, gid, comment, home, shell } = entry;
    let group = accounts.group_numbered(*gid).map_or_else(|| gid.to_string(), |group| group.name.clone());
    let is_in = |members: &[String]| members.iter().any(|member| member == name);
    let groups = accounts.groups.iter().filter(|group| is_in(&group.members));
    Ok(FoundUser {
        uid: *uid,
        group,
        groups: groups.map(|group| group.name.clone()).collect(),
        shell: shell.clone(),
        home: home.clone(),
        home_exists: Path::new(home).is_absolute() && look.host.stat(Path::new(home))?.is_some(),
        comment: comment.clone(),
    })
}

pub(super) fn apply(look: Look<'_>, wanted: &User, action: Action) -> Result<Option<String>, String> {
    match action {
        Action::CreateUser => create(look, wanted),
        Action::ChangeUser => alter(look, wanted),
        Action::RemoveUser => {
            look.host.remove_user(&wanted.name).map(|()| None).map_err(|error| error.to_string())
        }
        other => Err(format!("{other:?} cannot be done for a user")),
    }
}

fn create(look: Look<'_>, wanted: &User) -> Result<Option<String>, String> {
    let User { name, ensure: _, uid, group, groups, shell, home, comment, system } = wanted;
    let accounts = look.host.accounts().map_err(|error| error.to_string())?;
    let there = |path: &str| look.host.stat(Path::new(path)).is_ok_and(|found| found.is_some());
    let usual = match system {
        true => NO_SHELL,
        false if there(SHELL) => SHELL,
        false => PLAIN_SHELL,
    };
    // A group of its own name that is there already is the one that it would get.
    let own_group = accounts.group(name).map(|group| group.name.as_str());
    let former = if uid.is_none() && !system { former_uid(look, &accounts, wanted) } else { None };
    look.host
        .make_user(&NewUser {
            name,
            uid: uid.or(former),
            group: group.as_deref().or(own_group),
            groups,
            shell: shell.as_deref().unwrap_or(usual),
            home: home.as_deref().or(system.then_some(NO_HOME)),
            comment: comment.as_deref(),
            system: *system,
        })
        .map_err(|error| error.to_string())?;
    if let Some(uid) = former {
        return Ok(Some(format!("it got the number {uid} again, to which its home still belongs")));
    }
    strange_home(look, wanted).map_err(|error| error.to_string())
}

/// What to say of a home that was there before its user.
fn strange_home(look: Look<'_>, wanted: &User) -> Result<Option<String>, HostError> {
    let accounts = look.host.accounts()?;
    let Some(user) = accounts.user(&wanted.name).filter(|_| !wanted.system) else { return Ok(None) };
    let found = look.host.stat(Path::new(&user.home))?;
    let owner = found.map(|found| found.uid).filter(|owner| *owner != user.uid);
    Ok(owner.map(|owner| {
        let name =
            accounts.user_numbered(owner).map_or_else(|| owner.to_string(), |owner| owner.name.clone());
        format!("its home {} was there before and still belongs to {name}", user.home)
    }))
}

/// The number that a user of this name seems to have had: that of the owner of its home, when nobody has it now. What it
/// left behind, and what still runs, is its own again.
fn former_uid(look: Look<'_>, accounts: &Accounts, wanted: &User) -> Option<u32> {
    let home = wanted.home.clone().unwrap_or_else(|| format!("/home/{}", wanted.name));
    let found = look.host.stat(Path::new(&home)).ok()??;
    let of_a_person = (FIRST_PERSON..=LAST_PERSON).contains(&found.uid);
    let free = accounts.user_numbered(found.uid).is_none();
    (found.kind == FileKind::Directory && of_a_person && free).then_some(found.uid)
}

fn alter(look: Look<'_>, wanted: &User) -> Result<Option<String>, String> {
    let User { name, ensure: _, uid: _, group, groups, shell, home, comment, system: _ } = wanted;
    let text = |error: HostError| error.to_string();
    let accounts = look.host.accounts().map_err(text)?;
    let entry = accounts.user(name).ok_or_else(|| format!("the user {name} is not there any more"))?;
    let found = entry_found(look, &accounts, entry).map_err(text)?;
    let differing = |wanted: &Option<String>, found: &String| wanted.clone().filter(|value| value != found);
    let (group, shell) = (differing(group, &found.group), differing(shell, &found.shell));
    let (home, comment) = (differing(home, &found.home), differing(comment, &found.comment));
    let change = UserChange {
        group: group.as_deref(),
        join: missing_groups(groups, &found),
        shell: shell.as_deref(),
        home: home.as_deref(),
        comment: comment.as_deref(),
    };
    look.host.change_user(name, &change).map_err(text)?;
    let place = home.as_ref().unwrap_or(&found.home);
    if look.host.stat(Path::new(place)).map_err(text)?.is_none() && place != NO_HOME && !wanted.system {
        let ownership = Ownership { uid: Some(entry.uid), gid: Some(entry.gid) };
        look.host.make_directory(Path::new(place), 0o750, ownership).map_err(text)?;
    }
    let moved = home.is_some() && found.home_exists;
    Ok(moved.then(|| format!("what is in {} was left there", found.home)))
}

pub(super) fn diff(_look: Look<'_>, wanted: &User, observed: &Observed) -> Option<String> {
    let Observed::User(observed) = observed else { return None };
    let User { name: _, ensure, uid, group, groups, shell, home, comment, system: _ } = wanted;
    let there = |there: bool| Some(if there { "present" } else { "absent" }.to_owned());
    let user = ("user", there(observed.found.is_some()), there(*ensure == Ensure::Present));
    if *ensure == Ensure::Absent {
        return rendered::fields(&[user]);
    }
    let found = observed.found.clone().unwrap_or_default();
    let old = |value: String| observed.found.as_ref().map(|_| value);
    let missing = missing_groups(groups, &found);
    let joined = (!missing.is_empty()).then(|| [found.groups.join(","), missing.join(",")].join(",+"));
    rendered::fields(&[
        user,
        ("uid", old(found.uid.to_string()), uid.map(|uid| uid.to_string())),
        ("group", old(found.group.clone()), group.clone()),
        ("groups", old(found.groups.join(",")), joined),
        ("shell", old(found.shell.clone()), shell.clone()),
        ("home", old(found.home.clone()), home.clone()),
        ("comment", old(found.comment.clone()), comment.clone()),
    ])
}

pub(super) fn remove(look: Look<'_>, wanted: &User) -> Result<Option<String>, String> {
    if wanted.ensure == Ensure::Absent {
        return Ok(None);
    }
    let gone = User { ensure: Ensure::Absent, ..wanted.clone() };
    let observed = observe(look, &gone);
    match verdict(&DesiredState::User(gone.clone()), &observed, Effort::default()) {
        Verdict::InPlace => Ok(None),
        Verdict::Change { .. } => {
            apply(look, &gone, Action::RemoveUser)?;
            Ok(Some(format!("the user {} was removed, its home was kept", gone.name)))
        }
        Verdict::Waiting { reason } | Verdict::Impossible { reason } | Verdict::Unsupported { reason } => {
            Err(reason)
        }
    }
}
