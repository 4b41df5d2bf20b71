//! Opens files in folders that may belong to somebody with fewer rights than ours.
//!
//! A supervisor that runs as root writes log files and pid files where specs say, and that is often a folder of the
//! user an application runs as. Whoever may write to the folder may put a symbolic link there, and with it say which
//! file of root's we write to. So the way to a file is walked link by link: those of root are followed, and those of
//! another user lead only into folders of that user, where nothing is won by them. A supervisor that is not root has no
//! rights that a link could borrow, and opens what it is told.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, chownat, fstat, fstatfs, mkdirat, openat,
    readlinkat,
};
use rustix::io::Errno;
use rustix::process::Uid;

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;

/// How a file is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    flags: OFlags,
    /// Of a file that is made.
    mode: u32,
    /// Of folders that are made; none are without.
    folders: Option<u32>,
}

impl How {
    /// A pipe nobody reads or writes, or a device, must not stop us.
    fn new(flags: OFlags, mode: u32, folders: Option<u32>) -> Self {
        Self { flags: flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC, mode, folders }
    }

    /// What is there, from its beginning.
    pub(crate) fn read() -> Self {
        Self::new(OFlags::RDONLY, 0, None)
    }

    /// At the end of what is there; with its folders when there is nothing.
    pub(crate) fn append(mode: u32, folders: u32) -> Self {
        Self::new(OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE, mode, Some(folders))
    }

    /// In place of what is there; with its folders when there is nothing.
    pub(crate) fn overwrite(mode: u32, folders: u32) -> Self {
        Self::new(OFlags::WRONLY | OFlags::TRUNC | OFlags::CREATE, mode, Some(folders))
    }

    /// What is there, and nothing is left in it.
    pub(crate) fn empty() -> Self {
        Self::new(OFlags::WRONLY | OFlags::TRUNC, 0, None)
    }

    /// A file that was not there.
    pub(crate) fn create_new(mode: u32) -> Self {
        Self::new(OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, mode, None)
    }
}

/// Opens a file.
pub(crate) fn open(path: &Path, how: How) -> io::Result<File> {
    let us = rustix::process::geteuid();
    if us.is_root() {
        return open_as(path, how, us);
    }
    if let (Some(mode), Some(folder)) = (how.folders, path.parent()) {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().recursive(true).mode(mode).create(folder)?;
    }
    Ok(openat(CWD, path, how.flags, Mode::from_raw_mode(how.mode))?.into())
}

fn open_as(path: &Path, how: How, us: Uid) -> io::Result<File> {
    let mode = Mode::from_raw_mode(how.mode);
    let Way { folder, name, kernels } = walk(path, how.folders.map(Mode::from_raw_mode), us)?;
    // Whatever was put there since we looked is not followed.
    let flags = if kernels { how.flags } else { how.flags | OFlags::NOFOLLOW };
    Ok(openat(&folder, &name, flags, mode)?.into())
}

/// The end of a way.
struct Way {
    folder: OwnedFd,
    name: OsString,
    /// It is a link of the kernel's that only the kernel can follow, such as `/dev/stdout`.
    kernels: bool,
}

fn walk(path: &Path, folders: Option<Mode>, us: Uid) -> io::Result<Way> {
    let mut parts = VecDeque::new();
    let mut at = enter(&mut parts, path)?.map_or_else(|| folder(CWD, "."), Ok)?;
    let mut links = 0;
    // Whose links were followed, besides ours.
    let mut led_by: Option<Uid> = None;
    while let Some(part) = parts.pop_front() {
        let last = parts.is_empty();
        let found = match openat(&at, &part, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        {
            Ok(found) => found,
            Err(Errno::NOENT) if last => return arrived(at, part, led_by, path),
            Err(Errno::NOENT) => {
                let Some(mode) = folders else { return Err(Errno::NOENT.into()) };
                make_folder(&at, &part, mode, led_by, path)?;
                parts.push_front(part);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let stat = fstat(&found)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            if last {
                return arrived(at, part, led_by, path);
            }
            at = found;
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(Errno::LOOP.into());
        }
        let owner = Uid::from_raw(stat.st_uid);
        if owner != us {
            match led_by {
                Some(other) if other != owner => return Err(refused(path, other)),
                _ => led_by = Some(owner),
            }
        } else if last && led_by.is_none() && fstatfs(&found)?.f_type == PROC_SUPER_MAGIC {
            return Ok(Way { folder: at, name: part, kernels: true });
        }
        let target = PathBuf::from(OsString::from_vec(readlinkat(&found, "", Vec::new())?.into_bytes()));
        if let Some(root) = enter(&mut parts, &target)? {
            at = root;
        }
    }
    Err(Errno::ISDIR.into())
}

/// Puts the parts of a path in front of others. The root folder, when the path begins there.
fn enter(parts: &mut VecDeque<OsString>, path: &Path) -> io::Result<Option<OwnedFd>> {
    for component in path.components().rev() {
        match component {
            Component::Normal(part) => parts.push_front(part.to_owned()),
            Component::ParentDir => parts.push_front(OsString::from("..")),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    path.has_root().then(|| folder(CWD, "/")).transpose()
}

fn folder(at: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    Ok(openat(at, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

fn arrived(folder: OwnedFd, name: OsString, led_by: Option<Uid>, path: &Path) -> io::Result<Way> {
    check(&folder, led_by, path)?;
    Ok(Way { folder, name, kernels: false })
}

/// Somebody's links lead only into folders of theirs.
fn check(folder: &OwnedFd, led_by: Option<Uid>, path: &Path) -> io::Result<()> {
    match led_by {
        Some(user) if fstat(folder)?.st_uid != user.as_raw() => Err(refused(path, user)),
        _ => Ok(()),
    }
}

/// Makes a folder, which belongs to whoever led there.
fn make_folder(at: &OwnedFd, name: &OsStr, mode: Mode, led_by: Option<Uid>, path: &Path) -> io::Result<()> {
    check(at, led_by, path)?;
    match mkdirat(at, name, mode) {
        Ok(()) if led_by.is_some() => Ok(chownat(at, name, led_by, None, AtFlags::SYMLINK_NOFOLLOW)?),
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn refused(path: &Path, user: Uid) -> io::Error {
    let message = format!(
        "a symbolic link of user {} on the way to {} leads to a folder that is not of that user: name the folder itself",
        user.as_raw(),
        path.display()
    );
    io::Error::new(io::ErrorKind::PermissionDenied, message)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};

    use super::*;

    #[test]
    fn links_of_ours_are_followed_and_folders_are_made() {
        let dir = tempfile::tempdir().unwrap();
        let us = rustix::process::geteuid();
        fs::create_dir(dir.path().join("real")).unwrap();
        symlink("real/../real", dir.path().join("link")).unwrap();
        symlink(dir.path().join("real/target.log"), dir.path().join("real/out.log")).unwrap();
        let path = dir.path().join("link/a/b/out.log");
        open_as(&path, How::append(0o640, 0o750), us).unwrap().write_all(b"one").unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("real/a/b/out.log")).unwrap(), "one");
        assert_eq!(fs::metadata(dir.path().join("real/a")).unwrap().permissions().mode() & 0o777, 0o750);
        open_as(&dir.path().join("link/out.log"), How::overwrite(0o600, 0o700), us)
            .unwrap()
            .write_all(b"two")
            .unwrap();
        let mut text = String::new();
        open_as(&dir.path().join("real/target.log"), How::read(), us)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "two");
        let missing = open_as(&dir.path().join("nowhere/out.log"), How::read(), us).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        symlink("loop", dir.path().join("loop")).unwrap();
        open_as(&dir.path().join("loop/x"), How::read(), us).unwrap_err();
        assert_eq!(
            open_as(Path::new("/"), How::append(0o600, 0o700), us).unwrap_err().kind(),
            io::ErrorKind::IsADirectory
        );
        let mut status = String::new();
        open_as(Path::new("/proc/self/status"), How::read(), us)
            .unwrap()
            .read_to_string(&mut status)
            .unwrap();
        assert!(status.contains(&format!("Pid:\t{}", std::process::id())), "as the kernel leads it");
        // What `/dev/stdout` is.
        let file = fs::File::create(dir.path().join("stdout")).unwrap();
        let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        symlink(link, dir.path().join("to-stdout")).unwrap();
        open_as(&dir.path().join("to-stdout"), How::append(0o640, 0o750), us)
            .unwrap()
            .write_all(b"three")
            .unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("stdout")).unwrap(), "three");
    }

    #[test]
    fn links_of_another_lead_only_into_folders_of_that_user() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("home/mine")).unwrap();
        // As files of root are to an application.
        for (target, name) in
            [("/proc/version", "out.log"), ("/proc", "proc"), ("/", "root"), ("mine", "link")]
        {
            symlink(target, path("home").join(name)).unwrap();
        }
        let mut us = rustix::process::geteuid();
        if us.is_root() {
            for name in ["home", "home/mine", "home/out.log", "home/proc", "home/root", "home/link"] {
                lchown(path(name), Some(65_534), None).unwrap();
            }
        } else {
            us = Uid::from_raw(us.as_raw() + 1);
        }
        for name in ["home/out.log", "home/proc/version", "home/root/proc/version", "home/link/../../x"] {
            let error = open_as(&path(name), How::read(), us).unwrap_err();
            let expected = match name {
                // The folder of the test is of somebody else only when root runs it.
                "home/link/../../x" if !rustix::process::geteuid().is_root() => io::ErrorKind::NotFound,
                _ => io::ErrorKind::PermissionDenied,
            };
            assert_eq!(error.kind(), expected, "{name}: {error}");
        }
        open_as(&path("home/root/nowhere/x"), How::append(0o640, 0o750), us).unwrap_err();
        assert!(!Path::new("/nowhere").exists());
        // Their own folder, by a link of theirs.
        open_as(&path("home/link/logs/out.log"), How::append(0o640, 0o750), us).unwrap();
        let made = fs::metadata(path("home/mine/logs")).unwrap();
        assert_eq!(made.uid(), fs::metadata(path("home/mine")).unwrap().uid());
    }

    #[test]
    fn a_pipe_without_an_other_end_stops_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        for how in [How::append(0o600, 0o700), How::overwrite(0o600, 0o700), How::empty()] {
            open(&pipe, how).unwrap_err();
        }
        open(&pipe, How::read()).unwrap();
    }
}
