//! Files, folders and links.

use super::digests;
use super::resolve::{Parents, Place, place};
use crate::host::{Fault, FileKind, FileStat, HostError, Ownership, WriteFile};
use muster_domain::Digest;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, StatxAttributes, StatxFlags, Uid};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

fn at<T>(action: &'static str, path: &Path, result: Result<T, impl Into<Fault>>) -> Result<T, HostError> {
    result.map_err(|fault| HostError::new(action, path, fault.into()))
}

pub(super) fn stat(root: Option<&Path>, path: &Path) -> Result<Option<FileStat>, HostError> {
    const ACTION: &str = "look at";
    let place = match place(ACTION, root, path, Parents::MustExist) {
        Ok(place) => place,
        Err(HostError { fault: Fault::NotFound | Fault::NotADirectory, .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(stat) = at(ACTION, path, stat_in(&place))? else { return Ok(None) };
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => {
            let target = at(ACTION, path, rustix::fs::readlinkat(&place.folder, &place.name, Vec::new()))?;
            FileKind::Symlink { target: target.to_string_lossy().into_owned() }
        }
        _ => FileKind::Other,
    };
    Ok(Some(FileStat {
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
    }))
}

fn stat_in(place: &Place) -> Result<Option<Stat>, Fault> {
    match rustix::fs::statat(&place.folder, &place.name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Opens a regular file for reading; a link is not followed, a pipe is not waited on.
fn open(action: &'static str, root: Option<&Path>, path: &Path) -> Result<File, HostError> {
    let place = place(action, root, path, Parents::MustExist)?;
    open_in(action, &place, path)
}

fn open_in(action: &'static str, place: &Place, path: &Path) -> Result<File, HostError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(&place.folder, &place.name, flags, Mode::empty()) {
        Err(rustix::io::Errno::LOOP) => return Err(HostError::new(action, path, Fault::NotAFile)),
        other => File::from(at(action, path, other)?),
    };
    if at(action, path, file.metadata())?.is_file() {
        Ok(file)
    } else {
        Err(HostError::new(action, path, Fault::NotAFile))
    }
}

pub(super) fn digest(
    root: Option<&Path>,
    path: &Path,
    max_bytes: u64,
    known: &digests::Cache,
) -> Result<Option<Digest>, HostError> {
    let place = place("read", root, path, Parents::MustExist)?;
    // What is known is not even opened.
    let rests = at("read", path, stat_in(&place))?.map(|stat| digests::FileState::from(&stat));
    if let Some(digest) =
        rests.filter(|rests| rests.size <= max_bytes).and_then(|rests| known.get(path, rests))
    {
        return Ok(Some(digest));
    }
    let mut file = open_in("read", &place, path)?;
    let before = at("read", path, rustix::fs::fstat(&file))?;
    let state = digests::FileState::from(&before);
    // Not even a file that is longer than what is wanted has to be read to know that it differs.
    if state.size > max_bytes {
        return Ok(None);
    }
    let mut hasher = blake3::Hasher::new();
    let mut buffer = [0; 16 * 1024];
    let mut left = std::io::Read::by_ref(&mut file).take(max_bytes.saturating_add(1));
    loop {
        let count = at("read", path, left.read(&mut buffer))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    if hasher.count() > max_bytes {
        return Ok(None);
    }
    let digest = Digest::from_bytes(*hasher.finalize().as_bytes());
    let after = at("read", path, rustix::fs::fstat(&file))?;
    known.put(path, state, digests::FileState::from(&after), digest);
    Ok(Some(digest))
}

pub(super) fn read(root: Option<&Path>, path: &Path, max_bytes: u64) -> Result<Vec<u8>, HostError> {
    let file = open("read", root, path)?;
    let mut content = Vec::new();
    at("read", path, file.take(max_bytes + 1).read_to_end(&mut content))?;
    if content.len() as u64 > max_bytes {
        return Err(HostError::new("read", path, Fault::TooLarge { max_bytes }));
    }
    Ok(content)
}

/// The name under which something is prepared beside its place. Always the same for one name: what a killed run left
/// behind is found and replaced by the next.
fn temporary_name(name: &OsStr) -> OsString {
    let digest = Digest::from_bytes(*blake3::hash(name.as_bytes()).as_bytes());
    format!(".muster-{}.tmp", digest.short()).into()
}

pub(super) fn write(root: Option<&Path>, file: &WriteFile<'_>) -> Result<(), HostError> {
    let place = place("write", root, file.path, Parents::CreateBelowRoot)?;
    write_in(&place, file)
}

/// The same in a folder that is held open already.
pub(super) fn write_in(place: &Place, file: &WriteFile<'_>) -> Result<(), HostError> {
    const ACTION: &str = "write";
    let former = at(ACTION, file.path, stat_in(place))?;
    if former.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory) {
        return Err(HostError::new(ACTION, file.path, Fault::IsADirectory));
    }
    let own_folder = at(ACTION, file.path, only_ours(place))?;
    let former =
        former.filter(|stat| own_folder && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
    let ownership = Ownership {
        uid: file.ownership.uid.or(former.map(|stat| stat.st_uid)),
        gid: file.ownership.gid.or(former.map(|stat| stat.st_gid)),
    };
    let temporary = temporary_name(&place.name);
    let written = write_beside(place, &temporary, file, ownership)
        .and_then(|()| Ok(rustix::fs::renameat(&place.folder, &temporary, &place.folder, &place.name)?));
    if let Err(fault) = written {
        discard(place, &temporary);
        return Err(HostError::new(ACTION, file.path, explained(place, fault)));
    }
    at(ACTION, file.path, sync_folder(place))
}

/// Whether nobody but the agent's own user can put anything into the folder. Where others can, the owner of a file that is
/// found there says nothing about who should own the next one.
fn only_ours(place: &Place) -> Result<bool, Fault> {
    let folder = rustix::fs::fstat(&place.folder)?;
    Ok(folder.st_uid == rustix::process::geteuid().as_raw() && folder.st_mode & 0o022 == 0)
}

/// That root is denied something has one reason that nobody thinks of first.
fn explained(place: &Place, fault: Fault) -> Fault {
    if fault != Fault::PermissionDenied {
        return fault;
    }
    let immutable = |folder: &OwnedFd, name: &OsStr, flags: AtFlags| {
        rustix::fs::statx(folder, name, flags | AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()).is_ok_and(
            |found| found.stx_attributes.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND),
        )
    };
    let held = immutable(&place.folder, &place.name, AtFlags::empty())
        || immutable(&place.folder, OsStr::new(""), AtFlags::EMPTY_PATH);
    if held { Fault::Immutable } else { fault }
}

fn write_beside(
    place: &Place,
    temporary: &OsStr,
    file: &WriteFile<'_>,
    ownership: Ownership,
) -> Result<(), Fault> {
    discard(place, temporary);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Nobody else may read it before it has its owner and mode.
    let mut handle =
        File::from(rustix::fs::openat(&place.folder, temporary, flags, Mode::from_raw_mode(0o600))?);
    handle.write_all(file.content)?;
    let made = rustix::fs::fstat(&handle)?;
    change_owner(&handle, &made, ownership)?;
    rustix::fs::fchmod(&handle, Mode::from_raw_mode(file.mode))?;
    handle.sync_all()?;
    Ok(())
}

fn change_owner(handle: impl AsFd, stat: &Stat, ownership: Ownership) -> Result<(), Fault> {
    let uid = ownership.uid.filter(|uid| *uid != stat.st_uid).map(Uid::from_raw);
    let gid = ownership.gid.filter(|gid| *gid != stat.st_gid).map(Gid::from_raw);
    if uid.is_some() || gid.is_some() {
        rustix::fs::chownat(handle, "", uid, gid, AtFlags::EMPTY_PATH)?;
    }
    Ok(())
}

/// Removes a prepared file that will not be used. That it is not there is the usual case; if it cannot be removed, the
/// exclusive creation that follows, or the next run, says so.
fn discard(place: &Place, temporary: &OsStr) {
    rustix::fs::unlinkat(&place.folder, temporary, AtFlags::empty()).ok();
}

fn sync_folder(place: &Place) -> Result<(), Fault> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle: OwnedFd = rustix::fs::openat(&place.folder, ".", flags, Mode::empty())?;
    Ok(rustix::fs::fsync(&handle)?)
}

pub(super) fn make_directory(
    root: Option<&Path>,
    path: &Path,
    mode: u32,
    ownership: Ownership,
) -> Result<(), HostError> {
    let made = place("create", root, path, Parents::CreateBelowRoot)?;
    rustix::fs::mkdirat(&made.folder, &made.name, Mode::from_raw_mode(0o700))
        .map_err(|errno| HostError::new("create", path, explained(&made, errno.into())))?;
    set_attributes_in("create", path, &made, mode, ownership)?;
    at("create", path, sync_folder(&made))
}

pub(super) fn set_attributes(
    root: Option<&Path>,
    path: &Path,
    mode: u32,
    ownership: Ownership,
) -> Result<(), HostError> {
    const ACTION: &str = "set owner and mode of";
    let place = place(ACTION, root, path, Parents::MustExist)?;
    set_attributes_in(ACTION, path, &place, mode, ownership)
}

fn set_attributes_in(
    action: &'static str,
    path: &Path,
    place: &Place,
    mode: u32,
    ownership: Ownership,
) -> Result<(), HostError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = at(action, path, rustix::fs::openat(&place.folder, &place.name, flags, Mode::empty()))?;
    let stat = at(action, path, rustix::fs::fstat(&handle))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
        let link = path.display().to_string();
        return Err(HostError::new(action, path, Fault::UnsafeLink { link, owner: stat.st_uid }));
    }
    // Whoever can write to the folder may have put another name of somebody else's file there.
    let several_names = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink > 1;
    if several_names && !at(action, path, only_ours(place))? {
        return Err(HostError::new(action, path, Fault::SeveralNames));
    }
    let explain = |fault: Fault| HostError::new(action, path, explained(place, fault));
    set_attributes_of(&handle, &stat, mode, ownership).map_err(explain)
}

/// The same for what is held open already, if only by its path.
pub(super) fn set_attributes_of(
    handle: &OwnedFd,
    stat: &Stat,
    mode: u32,
    ownership: Ownership,
) -> Result<(), Fault> {
    // The owner first: changing it clears the set-user-id bits.
    change_owner(handle, stat, ownership)?;
    // A handle opened by path alone cannot be changed directly, its name in /proc can; it works without read permission.
    let by_handle = format!("/proc/self/fd/{}", handle.as_raw_fd());
    Ok(rustix::fs::chmodat(CWD, by_handle, Mode::from_raw_mode(mode), AtFlags::empty())?)
}

pub(super) fn make_symlink(root: Option<&Path>, path: &Path, target: &str) -> Result<(), HostError> {
    const ACTION: &str = "link";
    let place = place(ACTION, root, path, Parents::CreateBelowRoot)?;
    if at(ACTION, path, stat_in(&place))?
        .is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
    {
        return Err(HostError::new(ACTION, path, Fault::IsADirectory));
    }
    let temporary = temporary_name(&place.name);
    discard(&place, &temporary);
    rustix::fs::symlinkat(target, &place.folder, &temporary)
        .map_err(|errno| HostError::new(ACTION, path, explained(&place, errno.into())))?;
    if let Err(errno) = rustix::fs::renameat(&place.folder, &temporary, &place.folder, &place.name) {
        discard(&place, &temporary);
        return Err(HostError::new(ACTION, path, explained(&place, errno.into())));
    }
    at(ACTION, path, sync_folder(&place))
}

pub(super) fn remove(root: Option<&Path>, path: &Path) -> Result<(), HostError> {
    const ACTION: &str = "remove";
    let place = match place(ACTION, root, path, Parents::MustExist) {
        Ok(place) => place,
        Err(HostError { fault: Fault::NotFound, .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let Some(stat) = at(ACTION, path, stat_in(&place))? else { return Ok(()) };
    let flags = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => AtFlags::REMOVEDIR,
        _ => AtFlags::empty(),
    };
    rustix::fs::unlinkat(&place.folder, &place.name, flags)
        .map_err(|errno| HostError::new(ACTION, path, explained(&place, errno.into())))
}
