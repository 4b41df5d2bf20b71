//! Unix sockets of applications that may run as another user than we do.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::open::BACKLOG;
use super::{Asker, Bound};
use crate::process::users::Credentials;

/// Opens a unix socket.
pub(super) fn open(path: &Path, asker: Asker<'_>) -> Result<(OwnedFd, Bound), Errno> {
    if !path.is_absolute() {
        return Err(Errno::INVAL);
    }
    // Longer ones could be made here, but nobody could connect.
    SocketAddrUnix::new(path).map_err(|_| Errno::NAMETOOLONG)?;
    let place = Place::of(path)?;
    // We may be root: never create, or clear away, in a folder where the application itself could not.
    let mut clears_only_own = None;
    if let Some(user) = asker.user {
        let folder = rustix::fs::fstat(&place.folder)?;
        if !user.may_write(folder.st_uid, folder.st_gid, folder.st_mode) {
            return Err(Errno::ACCESS);
        }
        if Mode::from_raw_mode(folder.st_mode).contains(Mode::SVTX) {
            clears_only_own = Some(user.uid);
        }
    }
    let address = place.address()?;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, asker.socket_flags(), None)?;
    match rustix::net::bind(&fd, &address) {
        Err(Errno::ADDRINUSE) if place.left_behind() => {
            place.remove(clears_only_own).map_err(|_| Errno::ADDRINUSE)?;
            rustix::net::bind(&fd, &address)?;
        }
        other => other?,
    }
    if let Some(user) = asker.user {
        place.give_to(user)?;
    }
    rustix::net::listen(&fd, BACKLOG)?;
    Ok((fd, Bound::Unix(path.to_owned())))
}

/// Where the file of a unix socket is: its folder, held open, and its name. The application may own the folders on the
/// way and turn their names elsewhere at any moment; what we do as root happens in the folder that was looked at.
pub(super) struct Place {
    folder: OwnedFd,
    name: OsString,
}

impl Place {
    pub(super) fn of(path: &Path) -> Result<Self, Errno> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::INVAL) };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { folder: rustix::fs::open(folder, flags, Mode::empty())?, name: name.to_owned() })
    }

    fn address(&self) -> Result<SocketAddrUnix, Errno> {
        let path = Path::new("/proc/self/fd").join(self.folder.as_raw_fd().to_string()).join(&self.name);
        SocketAddrUnix::new(path).map_err(|_| Errno::NAMETOOLONG)
    }

    /// The socket file itself; nothing else, and never what a link points to.
    fn file(&self) -> Result<(OwnedFd, Stat), Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, &self.name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Socket {
            Ok((file, stat))
        } else {
            Err(Errno::NOTSOCK)
        }
    }

    /// Gives the file that was just made to the user of the application. Anything else that lies there by now, also a
    /// second name of a file of ours, stays as it is.
    pub(super) fn give_to(&self, user: &Credentials) -> Result<(), Errno> {
        let (file, stat) = self.file()?;
        if stat.st_nlink != 1 || stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(Errno::ACCESS);
        }
        let (uid, gid) = (rustix::fs::Uid::from_raw(user.uid), rustix::fs::Gid::from_raw(user.gid));
        rustix::fs::chownat(file, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
    }

    /// Removes the socket file, if it belongs to this user.
    pub(super) fn remove(&self, owner: Option<u32>) -> Result<(), Errno> {
        let (_, stat) = self.file()?;
        if owner.is_some_and(|owner| owner != stat.st_uid) {
            return Err(Errno::ACCESS);
        }
        rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty())
    }

    /// A socket file nobody answers on any longer.
    fn left_behind(&self) -> bool {
        let connect = || -> Result<(), Errno> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
            rustix::net::connect(fd, &self.address()?)
        };
        self.file().is_ok() && connect() == Err(Errno::CONNREFUSED)
    }
}
