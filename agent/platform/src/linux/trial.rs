//! Trials in a mount namespace of their own: the file is mounted over what is there, for one thread and the program that it
//! starts. The namespace ends with them, and whatever was mounted in it.

use super::command;
use crate::host::{CommandLine, CommandOutput, Fault, HostError, TrialNetwork, WriteFile};
use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
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
    put_over(scratch, file, &Spot::find(file.path)?)
}

/// Where a file is shown. The folder is held open: whoever owns it may turn its name elsewhere at any moment, and what is
/// mounted by a name would then lie over a folder of the system, with that user's programs in it.
struct Spot {
    folder: OwnedFd,
    /// The names from there on, at least that of the file.
    names: Vec<OsString>,
}

impl Spot {
    /// Links on the way are followed here as the program will follow them; whether they may be followed when the file is put
    /// into place is decided there.
    fn find(path: &Path) -> Result<Self, Fault> {
        let (folder, names) = existing_folder(path)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat2(CWD, &folder, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
        Ok(Self { folder, names })
    }
}

/// Where something that is held open can be found by those who want a name.
fn through(held: &impl AsFd) -> PathBuf {
    format!("/proc/self/fd/{}", held.as_fd().as_raw_fd()).into()
}

/// What is in a folder under a name, held open; a link is not followed.
fn held_in(folder: &OwnedFd, name: &OsStr) -> Result<Option<OwnedFd>, Fault> {
    match rustix::fs::openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
        Ok(held) => Ok(Some(held)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn put_over(scratch: &Path, file: &WriteFile<'_>, spot: &Spot) -> Result<(), Fault> {
    let Spot { folder, names } = spot;
    let name = names.first().ok_or_else(|| Fault::Other("the path names no file".into()))?;
    let options = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("muster-trial", scratch, "tmpfs", options, SCRATCH_OPTIONS)?;
    let former = match held_in(folder, name)? {
        Some(held) => Some((rustix::fs::fstat(&held)?, held)),
        None => None,
    };
    match former.map(|(stat, held)| (FileType::from_raw_mode(stat.st_mode), stat, held)) {
        Some((FileType::Directory, ..)) if names.len() == 1 => Err(Fault::IsADirectory),
        Some((FileType::RegularFile, stat, held)) if names.len() == 1 => {
            let candidate = scratch.join("file");
            put(&candidate, file, (stat.st_uid, stat.st_gid))?;
            Ok(rustix::mount::mount_bind(&candidate, through(&held))?)
        }
        _ => {
            let shown = scratch.join("folder");
            neighbours(folder, &shown, name)?;
            let mut place = shown.clone();
            for (index, part) in names.iter().enumerate() {
                place.push(part);
                if index + 1 < names.len() {
                    fs::create_dir(&place)?;
                }
            }
            put(&place, file, (0, 0))?;
            Ok(rustix::mount::mount_bind_recursive(&shown, through(folder))?)
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
fn neighbours(of: &OwnedFd, folder: &Path, but: &OsStr) -> Result<(), Fault> {
    let model = rustix::fs::fstat(of)?;
    rustix::fs::mkdir(folder, Mode::from_raw_mode(0o700))?;
    for (index, entry) in fs::read_dir(through(of))?.enumerate() {
        let name = entry?.file_name();
        if index >= MAX_ENTRIES {
            return Err(Fault::Other(format!("its folder has more than {MAX_ENTRIES} entries")));
        }
        if name == but {
            continue;
        }
        // One that went away meanwhile is not seen.
        let Some(held) = held_in(of, &name)? else { continue };
        let to = folder.join(&name);
        match FileType::from_raw_mode(rustix::fs::fstat(&held)?.st_mode) {
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&held, "", Vec::new())?;
                std::os::unix::fs::symlink(OsString::from_vec(target.into_bytes()), &to)?;
                continue;
            }
            FileType::Directory => fs::create_dir(&to)?,
            _ => drop(fs::File::create_new(&to)?),
        }
        rustix::mount::mount_bind_recursive(through(&held), &to)?;
    }
    own(folder, model.st_uid, model.st_gid)?;
    Ok(fs::set_permissions(folder, fs::Permissions::from_mode(model.st_mode & 0o7777))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Ownership;

    /// Does something in namespaces of its own; `None` where that is not possible.
    fn apart<T: Send>(act: impl FnOnce() -> T + Send) -> Option<T> {
        std::thread::scope(|scope| {
            let apart = scope.spawn(|| enter(TrialNetwork::Shared).is_ok().then(act));
            apart.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    #[test]
    fn a_folder_that_is_turned_elsewhere_at_the_last_moment_takes_the_file_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for folder in ["scratch", "system", "theirs", "theirs/conf.d"] {
            fs::create_dir(at(folder)).unwrap();
        }
        fs::write(at("system/nginx"), "the program").unwrap();
        for there in [false, true] {
            fs::write(at("theirs/conf.d/nginx"), "their program").unwrap();
            let name = if there { "nginx" } else { "site.conf" };
            let path = at("theirs/conf.d").join(name);
            let file =
                WriteFile { path: &path, content: b"judged", mode: 0o644, ownership: Ownership::default() };
            let seen = apart(|| {
                let spot = Spot::find(&path).unwrap();
                fs::rename(at("theirs/conf.d"), at("theirs/moved")).unwrap();
                std::os::unix::fs::symlink(at("system"), at("theirs/conf.d")).unwrap();
                put_over(&at("scratch"), &file, &spot).unwrap();
                let seen = (fs::read(at("system/nginx")).unwrap(), fs::read(at("theirs/moved").join(name)));
                fs::remove_file(at("theirs/conf.d")).unwrap();
                (seen.0, seen.1.unwrap())
            });
            let Some((system, theirs)) = seen else {
                eprintln!("skipped, because this user may not have a mount namespace of its own");
                return;
            };
            assert_eq!((system.as_slice(), theirs.as_slice()), (&b"the program"[..], &b"judged"[..]));
            fs::rename(at("theirs/moved"), at("theirs/conf.d")).unwrap();
        }
    }

    #[test]
    fn beside_a_new_file_everything_else_of_its_folder_is_seen_and_links_stay_links() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir(at("scratch")).unwrap();
        fs::create_dir_all(at("etc/parts")).unwrap();
        fs::write(at("etc/main"), "main").unwrap();
        std::os::unix::fs::symlink("main", at("etc/alias")).unwrap();
        let path = at("etc/sites/new.conf");
        let file = WriteFile { path: &path, content: b"new", mode: 0o644, ownership: Ownership::default() };
        let seen = apart(|| {
            put_over(&at("scratch"), &file, &Spot::find(&path).unwrap()).unwrap();
            let read = |path: &str| fs::read_to_string(at(path)).unwrap();
            (
                [read("etc/main"), read("etc/alias"), read("etc/sites/new.conf")],
                fs::read_link(at("etc/alias")).unwrap(),
                at("etc/parts").is_dir(),
            )
        });
        let Some((texts, link, folder)) = seen else {
            eprintln!("skipped, because this user may not have a mount namespace of its own");
            return;
        };
        assert_eq!(texts, ["main", "main", "new"]);
        assert_eq!((link.as_path(), folder), (Path::new("main"), true));
        assert!(!at("etc/sites").exists(), "it was seen outside as well");
    }
}
