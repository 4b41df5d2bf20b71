//! Folders, files and links.

use super::{Look, look};
use muster_domain::resource::{DesiredState, Directory, File, Symlink};
use muster_planning::convergence::{Action, Observed};
use muster_platform::{Host, Ownership, WriteFile};
use std::path::Path;

pub(super) fn observe(look: Look<'_>, desired: &DesiredState) -> Observed {
    let host = look.host;
    let found = match desired {
        DesiredState::Directory(Directory { path, owner, group, mode: _ }) => {
            look::path(host, path, 0, owner.as_deref(), group.as_deref())
        }
        DesiredState::File(file) | DesiredState::SecretFile(file) => {
            let File { path, content, owner, group, .. } = file;
            look::path(host, path, content.len() as u64, owner.as_deref(), group.as_deref())
        }
        DesiredState::Symlink(Symlink { path, target: _ }) => look::path(host, path, 0, None, None),
        other => return Observed::Unreadable(format!("a {} is not a path", other.kind())),
    };
    found.unwrap_or_else(|error| Observed::Unreadable(error.to_string()))
}

pub(super) fn diff(_look: Look<'_>, _desired: &DesiredState, _observed: &Observed) -> Option<String> {
    None
}

pub(super) fn remove(_look: Look<'_>, _desired: &DesiredState) -> Result<Option<String>, String> {
    Ok(None)
}

pub(super) fn apply(
    look: Look<'_>,
    desired: &DesiredState,
    action: Action,
) -> Result<Option<String>, String> {
    let host = look.host;
    let done = match (desired, action) {
        (DesiredState::Directory(Directory { path, mode, owner, group }), Action::CreateDirectory) => {
            let ownership = ownership(host, owner.as_deref(), group.as_deref())?;
            host.make_directory(Path::new(path), *mode, ownership)
        }
        (
            DesiredState::File(File { path, content, mode, owner, group, .. })
            | DesiredState::SecretFile(File { path, content, mode, owner, group, .. }),
            Action::WriteFile,
        ) => {
            if let DesiredState::File(file) | DesiredState::SecretFile(file) = desired {
                super::validate::check(look, file)?;
            }
            let ownership = ownership(host, owner.as_deref(), group.as_deref())?;
            host.write(&WriteFile { path: Path::new(path), content, mode: *mode, ownership })
        }
        (
            DesiredState::Directory(Directory { path, mode, owner, group })
            | DesiredState::File(File { path, mode, owner, group, .. })
            | DesiredState::SecretFile(File { path, mode, owner, group, .. }),
            Action::SetAttributes,
        ) => {
            let ownership = ownership(host, owner.as_deref(), group.as_deref())?;
            host.set_attributes(Path::new(path), *mode, ownership)
        }
        (DesiredState::Symlink(wanted), Action::MakeSymlink) => {
            host.make_symlink(Path::new(&wanted.path), &wanted.target)
        }
        (desired, action) => return Err(format!("{action:?} cannot be done for a {}", desired.kind())),
    };
    done.map(|()| None).map_err(|error| error.to_string())
}

pub(super) fn ownership(
    host: &dyn Host,
    owner: Option<&str>,
    group: Option<&str>,
) -> Result<Ownership, String> {
    let uid = match owner {
        None => None,
        Some(name) => {
            let account = host.user(name).map_err(|error| error.to_string())?;
            Some(account.ok_or_else(|| format!("the user {name:?} does not exist on this node"))?.uid)
        }
    };
    let gid = match group {
        None => None,
        Some(name) => {
            let id = host.group(name).map_err(|error| error.to_string())?;
            Some(id.ok_or_else(|| format!("the group {name:?} does not exist on this node"))?)
        }
    };
    Ok(Ownership { uid, gid })
}
