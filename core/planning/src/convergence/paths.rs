//! Folders, files and links.

use super::{Action, ObservedPath, PathKind, PathState, Principal, Verdict};
use muster_domain::{
    Digest,
    resource::{Directory, File, Symlink},
};

pub(super) fn directory(wanted: &Directory, observed: &ObservedPath) -> Verdict {
    let Directory { path: _, mode, owner: _, group: _ } = wanted;
    if let Some(verdict) = ownership_blocked(observed) {
        return verdict;
    }
    match &observed.found {
        None => change(Action::CreateDirectory, vec!["is missing".into()]),
        Some(found) if found.kind == PathKind::Directory => attributes(*mode, observed, found),
        Some(found) => in_the_way(&found.kind, "a folder"),
    }
}

pub(super) fn file(wanted: &File, observed: &ObservedPath) -> Verdict {
    let File { path: _, content, mode, owner: _, group: _, sensitive: _, validate: _ } = wanted;
    if let Some(verdict) = ownership_blocked(observed) {
        return verdict;
    }
    let wanted = Digest::from_bytes(*blake3::hash(content).as_bytes());
    match &observed.found {
        None => change(Action::WriteFile, vec!["is missing".into()]),
        Some(found) => match &found.kind {
            PathKind::File(digest) if *digest == wanted => attributes(*mode, observed, found),
            PathKind::File(_) => {
                let mut reasons = vec!["content differs".to_owned()];
                reasons.extend(attribute_differences(*mode, observed, found));
                change(Action::WriteFile, reasons)
            }
            // The link itself is replaced; where it points stays as it is.
            PathKind::Symlink(_) => {
                change(Action::WriteFile, vec!["is a symbolic link instead of a file".into()])
            }
            PathKind::Directory | PathKind::Other => in_the_way(&found.kind, "a file"),
        },
    }
}

pub(super) fn symlink(wanted: &Symlink, observed: &ObservedPath) -> Verdict {
    let Symlink { path: _, target } = wanted;
    match observed.found.as_ref().map(|found| &found.kind) {
        None => change(Action::MakeSymlink, vec!["is missing".into()]),
        Some(PathKind::Symlink(found)) if found == target => Verdict::InPlace,
        Some(PathKind::Symlink(found)) => {
            change(Action::MakeSymlink, vec![format!("points to {found:?} instead of {target:?}")])
        }
        Some(PathKind::File(_)) => change(Action::MakeSymlink, vec!["is a file instead of a link".into()]),
        Some(kind @ (PathKind::Directory | PathKind::Other)) => in_the_way(kind, "a link"),
    }
}

pub(super) fn change(action: Action, reasons: Vec<String>) -> Verdict {
    Verdict::Change { actions: vec![action], reason: reasons.join(", ") }
}

fn in_the_way(found: &PathKind, wanted: &str) -> Verdict {
    let reason = format!("{} is in the place of {wanted}; it is not deleted, move it away", found.noun());
    Verdict::Impossible { reason }
}

/// Owners that this host does not know, or that this agent may not set.
fn ownership_blocked(observed: &ObservedPath) -> Option<Verdict> {
    for (kind, principal, own) in
        [("user", &observed.owner, observed.own.0), ("group", &observed.group, observed.own.1)]
    {
        match principal {
            Principal::Id(id) if !observed.privileged && *id != own => {
                let reason = format!("giving it to another {kind} needs an agent that runs as root");
                return Some(Verdict::Unsupported { reason });
            }
            Principal::Unknown(name) if observed.privileged => {
                let reason =
                    format!("the {kind} {name:?} does not exist on this node; create it or name another");
                return Some(Verdict::Impossible { reason });
            }
            Principal::Unknown(name) => {
                let reason = format!(
                    "the {kind} {name:?} does not exist here, and another {kind} needs an agent that runs as root"
                );
                return Some(Verdict::Unsupported { reason });
            }
            Principal::Any | Principal::Id(_) => {}
        }
    }
    None
}

fn attributes(mode: u32, observed: &ObservedPath, found: &PathState) -> Verdict {
    let reasons = attribute_differences(mode, observed, found);
    if reasons.is_empty() { Verdict::InPlace } else { change(Action::SetAttributes, reasons) }
}

fn attribute_differences(mode: u32, observed: &ObservedPath, found: &PathState) -> Vec<String> {
    let mut reasons = Vec::new();
    if found.mode != mode {
        reasons.push(format!("mode is {:04o} instead of {mode:04o}", found.mode));
    }
    for (kind, principal, id) in
        [("owner", &observed.owner, found.uid), ("group", &observed.group, found.gid)]
    {
        if let Principal::Id(wanted) = principal
            && *wanted != id
        {
            reasons.push(format!("{kind} is {id} instead of {wanted}"));
        }
    }
    reasons
}
