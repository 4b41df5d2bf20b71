//! `authorized_keys`, in a folder that belongs to somebody else: the user may put a link, a folder or another's file in its
//! place at any moment. Each folder is held open while it is used, and no link below the home is followed.

use super::files;
use super::resolve::{Parents, Place, place};
use crate::host::{Fault, HostError, KeyFile, Ownership, UserEntry, WriteFile};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

const FOLDER: &str = ".ssh";
const FILE: &str = "authorized_keys";
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// A file that is longer than this is not one of keys.
const MAX_BYTES: u64 = 1024 * 1024;

fn path(user: &UserEntry) -> PathBuf {
    Path::new(&user.home).join(FOLDER).join(FILE)
}

fn other(text: impl Into<String>) -> Fault {
    Fault::Other(text.into())
}

/// The home of a user, held open.
fn home(action: &'static str, user: &UserEntry) -> Result<OwnedFd, HostError> {
    let path = path(user);
    let fail = |fault| HostError::new(action, &path, fault);
    let held = place(action, None, &Path::new(&user.home).join(FOLDER), Parents::MustExist)?.folder;
    let found = rustix::fs::fstat(&held).map_err(|errno| fail(errno.into()))?;
    if ![0, user.uid].contains(&found.st_uid) {
        let owner = found.st_uid;
        return Err(fail(other(format!("the home {} belongs to the user number {owner}", user.home))));
    }
    Ok(held)
}

/// `~/.ssh`, held open, and how it is; `None` when there is nothing of that name.
fn folder(
    action: &'static str,
    user: &UserEntry,
    home: &OwnedFd,
) -> Result<Option<(OwnedFd, Stat)>, HostError> {
    let path = path(user);
    let fail = |fault| HostError::new(action, &path, fault);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let held = match rustix::fs::openat(home, FOLDER, flags, Mode::empty()) {
        Ok(held) => held,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::NOTDIR | Errno::LOOP) => return Err(fail(other("~/.ssh is no folder of the user's own"))),
        Err(errno) => return Err(fail(errno.into())),
    };
    let found = rustix::fs::fstat(&held).map_err(|errno| fail(errno.into()))?;
    if ![0, user.uid].contains(&found.st_uid) {
        return Err(fail(other(format!("~/.ssh belongs to the user number {}", found.st_uid))));
    }
    Ok(Some((held, found)))
}

pub(super) fn read(user: &UserEntry) -> Result<KeyFile, HostError> {
    const ACTION: &str = "read";
    let path = path(user);
    let fail = |fault| HostError::new(ACTION, &path, fault);
    let home = home(ACTION, user)?;
    let Some((folder, found)) = folder(ACTION, user, &home)? else { return Ok(KeyFile::default()) };
    let mut attributes = differences("~/.ssh", &found, user, FOLDER_MODE);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(&folder, FILE, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(KeyFile { attributes, ..KeyFile::default() }),
        Err(Errno::LOOP) => return Err(fail(other("it is a symbolic link; put a file in its place"))),
        Err(errno) => return Err(fail(errno.into())),
    };
    let found = rustix::fs::fstat(&file).map_err(|errno| fail(errno.into()))?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(fail(Fault::NotAFile));
    }
    // Another name of somebody else's file would have its content handed over to the user.
    let own = found.st_uid == user.uid || found.st_uid == 0 && found.st_nlink == 1;
    if !own {
        return Err(fail(other(format!("it is a file of the user number {}", found.st_uid))));
    }
    attributes.extend(differences("authorized_keys", &found, user, FILE_MODE));
    let mut content = Vec::new();
    let read = std::fs::File::from(file).take(MAX_BYTES + 1).read_to_end(&mut content);
    read.map_err(|error| fail(error.into()))?;
    if content.len() as u64 > MAX_BYTES {
        return Err(fail(Fault::TooLarge { max_bytes: MAX_BYTES }));
    }
    let content = String::from_utf8(content).map_err(|_| fail(other("it holds what is no text")))?;
    let roots_own = found.st_uid == 0 && user.uid != 0 && found.st_mode & 0o004 == 0;
    Ok(KeyFile { content: Some(content), attributes, roots_own })
}

fn differences(what: &str, found: &Stat, user: &UserEntry, mode: u32) -> Vec<String> {
    let mut differences = Vec::new();
    if found.st_mode & 0o7777 != mode {
        differences.push(format!("{what} has mode {:04o} instead of {mode:04o}", found.st_mode & 0o7777));
    }
    if found.st_uid != user.uid {
        differences.push(format!("{what} belongs to root instead of {}", user.name));
    }
    differences
}

/// A folder of root's that the user may not look into may have been another one, which the user gave this name: it is handed
/// over only when nothing else is in it than what belongs there.
fn only_what_ssh_keeps(folder: &OwnedFd) -> Result<(), Fault> {
    const NAMES: [&str; 6] = ["authorized_keys", "config", "environment", "id_", "known_hosts", "rc"];
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    for entry in rustix::fs::Dir::new(rustix::fs::openat(folder, ".", flags, Mode::empty())?)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let ours = name.starts_with(".muster-") || NAMES.iter().any(|known| name.starts_with(known));
        if !ours && ![".", ".."].contains(&name.as_str()) {
            let text = format!(
                "~/.ssh belongs to root and holds {name:?}, which is not given away; move it elsewhere"
            );
            return Err(other(text));
        }
    }
    Ok(())
}

pub(super) fn write(user: &UserEntry, content: &str) -> Result<(), HostError> {
    const ACTION: &str = "write";
    let path = path(user);
    let fail = |fault| HostError::new(ACTION, &path, fault);
    let ownership = Ownership { uid: Some(user.uid), gid: Some(user.gid) };
    let home = home(ACTION, user)?;
    if folder(ACTION, user, &home)?.is_none() {
        match rustix::fs::mkdirat(&home, FOLDER, Mode::from_raw_mode(FOLDER_MODE)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(fail(errno.into())),
        }
    }
    let (folder, found) =
        folder(ACTION, user, &home)?.ok_or_else(|| fail(other("~/.ssh was taken away while it was made")))?;
    if found.st_uid == 0 && user.uid != 0 && found.st_mode & 0o005 != 0o005 {
        only_what_ssh_keeps(&folder).map_err(fail)?;
    }
    files::set_attributes_of(&folder, &found, FOLDER_MODE, ownership).map_err(fail)?;
    let held = Place { folder, name: FILE.into() };
    if let Ok(found) = rustix::fs::statat(&held.folder, FILE, AtFlags::SYMLINK_NOFOLLOW)
        && FileType::from_raw_mode(found.st_mode) == FileType::Symlink
    {
        return Err(fail(other("it is a symbolic link; put a file in its place")));
    }
    files::write_in(
        &held,
        &WriteFile { path: &path, content: content.as_bytes(), mode: FILE_MODE, ownership },
    )
}
