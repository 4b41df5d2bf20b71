//! Walks to the folder that holds a path, one step at a time, holding each folder open: what is written afterwards
//! lands in the folder that was checked, whatever happens to the names meanwhile.
//!
//! A link on the way is followed only when it belongs to root or to the agent itself: `/var/run -> /run` is the
//! system's own, a link of another user could be turned to any place of the system between two looks. Below a rootless
//! root no link is followed at all, because it could lead out.

use crate::host::{Fault, HostError};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// The kernel's own bound.
const MAX_LINK_HOPS: u32 = 40;

/// The folder that holds a path, and the name in it.
pub(super) struct Place {
    pub(super) folder: OwnedFd,
    pub(super) name: OsString,
}

/// Whether missing folders on the way are made. Only below a rootless root, where nothing else makes `/etc`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Parents {
    MustExist,
    CreateBelowRoot,
}

pub(super) fn place(
    action: &'static str,
    root: Option<&Path>,
    path: &Path,
    parents: Parents,
) -> Result<Place, HostError> {
    let fail = |fault| HostError::new(action, path, fault);
    let mut names = components(path).map_err(fail)?;
    let name = names.pop().ok_or_else(|| fail(Fault::IsADirectory))?;
    let create = root.is_some() && parents == Parents::CreateBelowRoot;
    let folder = walk(root, names, create).map_err(fail)?;
    Ok(Place { folder, name })
}

fn components(path: &Path) -> Result<Vec<OsString>, Fault> {
    if !path.is_absolute() {
        return Err(Fault::Other("the path is not absolute".into()));
    }
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir => {}
            Component::Normal(name) => names.push(name.to_owned()),
            Component::CurDir | Component::ParentDir | Component::Prefix(_) => {
                return Err(Fault::Other("the path is not plain".into()));
            }
        }
    }
    Ok(names)
}

/// All steps at once, where the kernel finds no link on the way and nothing is missing: what a look does almost always.
fn stride(root: Option<&Path>, names: &[OsString]) -> Option<OwnedFd> {
    let from = rustix::fs::open(
        root.unwrap_or(Path::new("/")),
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .ok()?;
    let path: PathBuf = names.iter().collect();
    if path.as_os_str().is_empty() {
        return Some(from);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // Whatever is wrong with it, walking step by step says what.
    rustix::fs::openat2(&from, &path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH)
        .ok()
}

fn walk(root: Option<&Path>, names: Vec<OsString>, create: bool) -> Result<OwnedFd, Fault> {
    if let Some(folder) = stride(root, &names) {
        return Ok(folder);
    }
    let mut folder = match root {
        None => open_folder(CWD, OsStr::new("/"))?,
        Some(root) => {
            if create {
                std::fs::create_dir_all(root)?;
            }
            rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?
        }
    };
    // What is left to walk, the next one last.
    let mut left: Vec<OsString> = names.into_iter().rev().collect();
    let mut walked = PathBuf::from("/");
    let mut hops = 0;
    while let Some(name) = left.pop() {
        if name == ".." {
            // Only from the target of a trusted link; the kernel stops at the root by itself.
            folder = open_folder(&folder, OsStr::new(".."))?;
            walked.pop();
            continue;
        }
        let stat = match rustix::fs::statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) if create => {
                rustix::fs::mkdirat(&folder, &name, Mode::from_raw_mode(0o755))?;
                rustix::fs::statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW)?
            }
            other => other?,
        };
        walked.push(&name);
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            folder = open_folder(&folder, &name)?;
            continue;
        }
        hops += 1;
        let own = rustix::process::geteuid().as_raw();
        if root.is_some() || (stat.st_uid != 0 && stat.st_uid != own) {
            return Err(Fault::UnsafeLink { link: walked.display().to_string(), owner: stat.st_uid });
        }
        if hops > MAX_LINK_HOPS {
            return Err(Fault::Other("too many symbolic links".into()));
        }
        let target = rustix::fs::readlinkat(&folder, &name, Vec::new())?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        walked.pop();
        if target.is_absolute() {
            folder = open_folder(CWD, OsStr::new("/"))?;
            walked = PathBuf::from("/");
        }
        for component in target.components().rev() {
            match component {
                Component::Normal(name) => left.push(name.to_owned()),
                Component::ParentDir => left.push("..".into()),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
    }
    Ok(folder)
}

fn open_folder(at: impl std::os::fd::AsFd, name: &OsStr) -> Result<OwnedFd, Fault> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at, name, flags, Mode::empty())?)
}
