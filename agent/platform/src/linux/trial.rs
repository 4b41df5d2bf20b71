//! Trials in a mount namespace of their own: the file is mounted over what is there, for one thread and the program that it
//! starts. The namespace ends with them, and whatever was mounted in it.

use super::command;
use crate::host::{CommandLine, CommandOutput, Fault, HostError, TrialNetwork, WriteFile};
use rustix::fs::{Gid, Mode, Uid};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Entries of a folder that are shown again one by one. Folders of configuration have far fewer.
const MAX_ENTRIES: usize = 4096;

/// Room for the file, and for the names of its neighbours.
const SCRATCH_OPTIONS: &std::ffi::CStr = c"mode=0755,size=64m";

const ACTION: &str = "try out";

/// `scratch` is a folder of the agent's own: what is mounted over it is seen by the trial only.
pub(super) fn try_with(
    scratch: &Path,
    file: &WriteFile<'_>,
    network: TrialNetwork,
    command: &CommandLine,
) -> Result<CommandOutput, HostError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(scratch)
        .map_err(|error| HostError::new("create", scratch, error.into()))?;
    std::thread::scope(|scope| {
        let trial = scope.spawn(|| {
            enter(network).map_err(|fault| HostError::new(ACTION, file.path, fault))?;
            show(scratch, file).map_err(|fault| HostError::new(ACTION, file.path, fault))?;
            command::run(command)
        });
        match trial.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Leaves the namespaces that this thread shares with the others.
fn enter(network: TrialNetwork) -> Result<(), Fault> {
    let mut flags = UnshareFlags::NEWNS;
    if network == TrialNetwork::Own {
        flags |= UnshareFlags::NEWNET;
    }
    #[expect(
        deprecated,
        reason = "what makes it unsafe is sharing no files any more, and files stay shared"
    )]
    rustix::thread::unshare(flags)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    Ok(rustix::mount::mount_change("/", private)?)
}

fn show(scratch: &Path, file: &WriteFile<'_>) -> Result<(), Fault> {
    // Links on the way are followed here as the program will follow them; whether they may be followed when the file is put
    // into place is decided there.
    let (folder, missing) = existing_folder(file.path)?;
    let name = missing.first().ok_or_else(|| Fault::Other("the path names no file".into()))?;
    let options = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("muster-trial", scratch, "tmpfs", options, SCRATCH_OPTIONS)?;
    let place = folder.join(name);
    let former = match fs::symlink_metadata(&place) {
        Ok(former) => Some(former),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    match former {
        Some(former) if former.is_dir() => Err(Fault::IsADirectory),
        Some(former) if former.is_file() => {
            let candidate = scratch.join("file");
            put(&candidate, file, (former.uid(), former.gid()))?;
            Ok(rustix::mount::mount_bind(&candidate, &place)?)
        }
        _ => {
            let shown = scratch.join("folder");
            neighbours(&folder, &shown, name)?;
            let mut place = shown.clone();
            for (index, part) in missing.iter().enumerate() {
                place.push(part);
                if index + 1 < missing.len() {
                    fs::create_dir(&place)?;
                }
            }
            put(&place, file, (0, 0))?;
            Ok(rustix::mount::mount_bind_recursive(&shown, &folder)?)
        }
    }
}

/// The deepest folder on the way that is there, and the names from there on; at least that of the file.
fn existing_folder(path: &Path) -> Result<(PathBuf, Vec<OsString>), Fault> {
    let (mut left, mut missing) = (path, Vec::new());
    while let (Some(folder), Some(name)) = (left.parent(), left.file_name()) {
        missing.insert(0, name.to_owned());
        match fs::canonicalize(folder) {
            Ok(folder) => return Ok((folder, missing)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => left = folder,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Fault::NotFound)
}

fn put(path: &Path, file: &WriteFile<'_>, (uid, gid): (u32, u32)) -> Result<(), Fault> {
    fs::write(path, file.content)?;
    own(path, file.ownership.uid.unwrap_or(uid), file.ownership.gid.unwrap_or(gid))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(file.mode))?)
}

fn own(path: &Path, uid: u32, gid: u32) -> Result<(), Fault> {
    Ok(rustix::fs::chown(path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
}

/// Makes a folder in which everything of another one is seen but one name.
fn neighbours(of: &Path, folder: &Path, but: &std::ffi::OsStr) -> Result<(), Fault> {
    let model = fs::metadata(of)?;
    rustix::fs::mkdir(folder, Mode::from_raw_mode(0o700))?;
    for (index, entry) in fs::read_dir(of)?.enumerate() {
        let entry = entry?;
        if index >= MAX_ENTRIES {
            return Err(Fault::Other(format!("its folder has more than {MAX_ENTRIES} entries")));
        }
        if entry.file_name() == but {
            continue;
        }
        let (from, to): (PathBuf, PathBuf) = (entry.path(), folder.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&from)?, &to)?;
            continue;
        }
        if kind.is_dir() {
            fs::create_dir(&to)?;
        } else {
            fs::File::create_new(&to)?;
        }
        rustix::mount::mount_bind_recursive(&from, &to)?;
    }
    own(folder, model.uid(), model.gid())?;
    Ok(fs::set_permissions(folder, fs::Permissions::from_mode(model.mode() & 0o7777))?)
}
