//! How groups are looked at, changed and taken away.

use super::{Look, rendered};
use muster_domain::resource::{Ensure, Group};
use muster_planning::convergence::{Action, Effort, Observed, ObservedGroup, Verdict, verdict};
use muster_platform::{HostError, NewGroup};

pub(super) fn observe(look: Look<'_>, wanted: &Group) -> Observed {
    if let Some(unsupported) = rendered::needs_root(look, "groups") {
        return unsupported;
    }
    match found(look, wanted) {
        Ok(found) => Observed::Group(found),
        Err(error) => Observed::Unreadable(error.to_string()),
    }
}

fn found(look: Look<'_>, wanted: &Group) -> Result<ObservedGroup, HostError> {
    let accounts = look.host.accounts()?;
    let gid = accounts.group(&wanted.name).map(|group| group.gid);
    let to_make = wanted.ensure == Ensure::Present && gid.is_none();
    let to_go = gid.filter(|_| wanted.ensure == Ensure::Absent);
    let holder = wanted.gid.filter(|_| to_make).and_then(|gid| accounts.group_numbered(gid));
    let primary = accounts.users.iter().filter(|user| Some(user.gid) == to_go);
    Ok(ObservedGroup {
        gid,
        foreign: to_make && look.host.group(&wanted.name)?.is_some(),
        gid_taken_by: holder.map(|group| group.name.clone()),
        primary_of: primary.map(|user| user.name.clone()).collect(),
    })
}

pub(super) fn apply(look: Look<'_>, wanted: &Group, action: Action) -> Result<Option<String>, String> {
    let Group { name, ensure: _, gid, system } = wanted;
    let done = match action {
        Action::CreateGroup => look.host.make_group(&NewGroup { name, gid: *gid, system: *system }),
        Action::RemoveGroup => look.host.remove_group(name),
        other => return Err(format!("{other:?} cannot be done for a group")),
    };
    done.map(|()| None).map_err(|error| error.to_string())
}

pub(super) fn diff(_look: Look<'_>, wanted: &Group, observed: &Observed) -> Option<String> {
    let Observed::Group(observed) = observed else { return None };
    let there = |there: bool| Some(if there { "present" } else { "absent" }.to_owned());
    let number = wanted.gid.filter(|_| wanted.ensure == Ensure::Present).map(|gid| gid.to_string());
    rendered::fields(&[
        ("group", there(observed.gid.is_some()), there(wanted.ensure == Ensure::Present)),
        ("gid", observed.gid.map(|gid| gid.to_string()), number),
    ])
}

pub(super) fn remove(look: Look<'_>, wanted: &Group) -> Result<Option<String>, String> {
    if wanted.ensure == Ensure::Absent {
        return Ok(None);
    }
    let gone = Group { ensure: Ensure::Absent, ..wanted.clone() };
    let observed = observe(look, &gone);
    let desired = muster_domain::resource::DesiredState::Group(gone.clone());
    match verdict(&desired, &observed, Effort::default()) {
        Verdict::InPlace => Ok(None),
        Verdict::Change { .. } => {
            apply(look, &gone, Action::RemoveGroup)?;
            Ok(Some(format!("the group {} was removed", gone.name)))
        }
        Verdict::Waiting { reason } | Verdict::Impossible { reason } | Verdict::Unsupported { reason } => {
            Err(reason)
        }
    }
}
