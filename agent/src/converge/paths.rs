//! Applies folders, files and links.

use muster_domain::resource::{DesiredState, Directory, File};
use muster_planning::convergence::Action;
use muster_platform::{Host, Ownership, WriteFile};
use std::path::Path;

pub(super) fn apply(host: &dyn Host, desired: &DesiredState, action: Action) -> Result<(), String> {
    let done = match (desired, action) {
        (DesiredState::Directory(Directory { path, mode, owner, group }), Action::CreateDirectory) => {
            let ownership = ownership(host, owner.as_deref(), group.as_deref())?;
            host.make_directory(Path::new(path), *mode, ownership)
        }
        (DesiredState::File(File { path, content, mode, owner, group, .. }), Action::WriteFile) => {
            let ownership = ownership(host, owner.as_deref(), group.as_deref())?;
            host.write(&WriteFile { path: Path::new(path), content, mode: *mode, ownership })
        }
        (
            DesiredState::Directory(Directory { path, mode, owner, group })
            | DesiredState::File(File { path, mode, owner, group, .. }),
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
    done.map_err(|error| error.to_string())
}

fn ownership(host: &dyn Host, owner: Option<&str>, group: Option<&str>) -> Result<Ownership, String> {
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
