//! Listening sockets that belong to an application, not to one of its processes.
//!
//! All workers of an application share one socket per key. A worker that is gone leaves its connections in the queue
//! of the socket, where its successor finds them.

mod adopted;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::protocol::{AddressType, QueryServer};
use crate::keeper::{Keeper, Parked};
use crate::process::users::Credentials;

/// Listening sockets are parked under keys that begin so.
pub(crate) const PARKED_UNDER: &str = "socket/";

/// Node's own default; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 511;
/// Sockets of one application. They are our descriptors, and an application may ask for ever more of them.
const MAX_SOCKETS: usize = 256;
/// libuv: do not accept IPv4 on an IPv6 socket.
const FLAG_IPV6_ONLY: u64 = 1;
/// libuv: `reuseAddr` of a datagram socket.
const FLAG_UDP_REUSEADDR: u64 = 4;

/// Why there is no socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What the application sees.
    pub(crate) errno: i32,
    /// What a person is told.
    pub(crate) message: String,
}

/// The sockets of one application.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    held: BTreeMap<String, Held>,
}

#[derive(Debug)]
struct Held {
    fd: Arc<OwnedFd>,
    data: Value,
    bound: Bound,
    /// Whom the file of a unix socket was given to, when the application runs as another user.
    owner: Option<u32>,
    /// Lets go in the keeper as well. Before `fd` would do; nobody waits in between.
    _parked: Option<Parked>,
    /// Someone else goes on with it: nothing is cleaned up.
    handed_over: bool,
}

/// A socket as the next supervisor has to know it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SavedSocket {
    key: String,
    data: Value,
    bound: Bound,
    #[serde(default)]
    owner: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Bound {
    Tcp(SocketAddr),
    Udp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp {address}"),
            Self::Udp(address) => write!(f, "udp {address}"),
            Self::Unix(path) => write!(f, "unix {}", path.display()),
        }
    }
}

impl Sockets {
    /// The socket for a key (the one that is held, or a new one) and the data its first user brought along.
    pub(crate) fn get(
        &mut self,
        query: &QueryServer,
        user: Option<&Credentials>,
        keeper: Option<(&Keeper, &str)>,
    ) -> Result<(Arc<OwnedFd>, Value), Refusal> {
        let key = query.key();
        if let Some(held) = self.held.get(&key) {
            return Ok((Arc::clone(&held.fd), held.data.clone()));
        }
        if self.held.len() >= MAX_SOCKETS {
            return Err(refusal(query, Errno::MFILE));
        }
        let (fd, bound) = match keeper.and_then(|(keeper, app)| adopted::take(&keeper.adopted, app, query)) {
            Some(brought) => brought,
            None => open(query, user).map_err(|errno| refusal(query, errno))?,
        };
        let fd = Arc::new(fd);
        let data = query.data.clone();
        let owner = user.map(|user| user.uid);
        let parked = keeper.map(|(keeper, app)| keeper.park(parked_key(app, &key), &*fd));
        let held = Held {
            fd: Arc::clone(&fd),
            data: data.clone(),
            bound,
            owner,
            _parked: parked,
            handed_over: false,
        };
        self.held.insert(key, held);
        Ok((fd, data))
    }

    /// The sockets an earlier supervisor held.
    pub(crate) fn resume(saved: Vec<SavedSocket>, app: &str, keeper: &Keeper) -> Self {
        let mut held = BTreeMap::new();
        for SavedSocket { key, data, bound, owner } in saved {
            match keeper.claim(&parked_key(app, &key)) {
                Some((fd, parked, _)) => {
                    let fd = Arc::new(fd);
                    held.insert(
                        key,
                        Held { fd, data, bound, owner, _parked: Some(parked), handed_over: false },
                    );
                }
                None => tracing::error!(app, socket = %bound, "a listening socket was lost"),
            }
        }
        Self { held }
    }

    /// What the next supervisor has to know.
    pub(crate) fn save(&self) -> Vec<SavedSocket> {
        let saved = |(key, held): (&String, &Held)| SavedSocket {
            key: key.clone(),
            data: held.data.clone(),
            bound: held.bound.clone(),
            owner: held.owner,
        };
        self.held.iter().map(saved).collect()
    }

    /// The socket behind a key.
    pub(crate) fn held(&self, key: &str) -> Option<Arc<OwnedFd>> {
        self.held.get(key).map(|held| Arc::clone(&held.fd))
    }

    /// Someone else goes on with them.
    pub(crate) fn hand_over(&mut self) {
        for held in self.held.values_mut() {
            held.handed_over = true;
        }
    }

    /// The TCP port behind a key.
    pub(crate) fn port(&self, key: &str) -> Option<u16> {
        match &self.held.get(key)?.bound {
            Bound::Tcp(address) => Some(address.port()),
            Bound::Udp(_) | Bound::Unix(_) => None,
        }
    }

    /// Lets go of every socket whose key is not wanted any longer; its port is free then.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.held.retain(|key, _| wanted(key));
    }

    /// What is held, in words.
    pub(crate) fn describe(&self) -> Vec<String> {
        self.held.values().map(|held| held.bound.to_string()).collect()
    }

    /// Whether nothing is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Bound::Unix(path) = &self.bound
            && !self.handed_over
            && let Err(error) = Place::of(path).and_then(|place| place.remove(self.owner))
            && error != Errno::NOENT
        {
            tracing::warn!(path = %path.display(), %error, "a unix socket of an application could not be removed");
        }
    }
}

fn parked_key(app: &str, key: &str) -> String {
    format!("{PARKED_UNDER}{app}/{key}")
}

fn refusal(query: &QueryServer, errno: Errno) -> Refusal {
    let place = match (&query.address, query.port) {
        (Some(path), Some(-1) | None) => path.clone(),
        (address, port) => format!("{}:{}", address.as_deref().unwrap_or("*"), port.unwrap_or(0)),
    };
    let why = match errno {
        Errno::ADDRINUSE => "is in use by another process (EADDRINUSE)".to_owned(),
        Errno::ACCESS | Errno::PERM => "may not be used by this user (EACCES)".to_owned(),
        Errno::ADDRNOTAVAIL => "is no address of this machine (EADDRNOTAVAIL)".to_owned(),
        Errno::BADF => "was asked for by descriptor number, which cluster mode cannot serve".to_owned(),
        Errno::MFILE => {
            format!("is one more than the {MAX_SOCKETS} that an application may listen on (EMFILE)")
        }
        other => format!("cannot be listened on: {other}"),
    };
    Refusal { errno: errno.raw_os_error(), message: format!("{place} {why}") }
}

fn open(query: &QueryServer, user: Option<&Credentials>) -> Result<(OwnedFd, Bound), Errno> {
    if query.fd.is_some_and(|fd| fd >= 0) {
        return Err(Errno::BADF);
    }
    let kind = query.kind().ok_or(Errno::INVAL)?;
    let flags = query.flags.unwrap_or(0);
    match kind {
        AddressType::Unix => open_unix(Path::new(query.address.as_deref().ok_or(Errno::INVAL)?), user),
        AddressType::Tcp4 | AddressType::Tcp6 => {
            let (fd, address) = open_ip(query, kind, SocketType::STREAM, flags, true)?;
            rustix::net::listen(&fd, BACKLOG)?;
            Ok((fd, Bound::Tcp(address)))
        }
        AddressType::Udp4 | AddressType::Udp6 => {
            let reuse = flags & FLAG_UDP_REUSEADDR != 0;
            let (fd, address) = open_ip(query, kind, SocketType::DGRAM, flags, reuse)?;
            Ok((fd, Bound::Udp(address)))
        }
    }
}

fn open_ip(
    query: &QueryServer,
    kind: AddressType,
    socket_type: SocketType,
    flags: u64,
    reuse_address: bool,
) -> Result<(OwnedFd, SocketAddr), Errno> {
    let port = u16::try_from(query.port.unwrap_or(0)).map_err(|_| Errno::INVAL)?;
    let bind = |ip: IpAddr| -> Result<(OwnedFd, SocketAddr), Errno> {
        let family = if ip.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let socket_flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = rustix::net::socket_with(family, socket_type, socket_flags, None)?;
        if reuse_address {
            sockopt::set_socket_reuseaddr(&fd, true)?;
        }
        if ip.is_ipv6() {
            sockopt::set_ipv6_v6only(&fd, flags & FLAG_IPV6_ONLY != 0)?;
        }
        rustix::net::bind(&fd, &SocketAddr::new(ip, port))?;
        let bound = SocketAddr::try_from(rustix::net::getsockname(&fd)?).map_err(|_| Errno::INVAL)?;
        Ok((fd, bound))
    };
    match (query.address.as_deref().filter(|address| !address.is_empty()), kind) {
        (Some(address), _) => bind(address.parse().map_err(|_| Errno::INVAL)?),
        // As Node does: all addresses of both families, or of IPv4 alone where there is no IPv6.
        (None, AddressType::Udp4) => bind(Ipv4Addr::UNSPECIFIED.into()),
        (None, _) => bind(Ipv6Addr::UNSPECIFIED.into()).or_else(|errno| match errno {
            Errno::ADDRINUSE | Errno::ACCESS => Err(errno),
            _ => bind(Ipv4Addr::UNSPECIFIED.into()),
        }),
    }
}

fn open_unix(path: &Path, user: Option<&Credentials>) -> Result<(OwnedFd, Bound), Errno> {
    if !path.is_absolute() {
        return Err(Errno::INVAL);
    }
    // Longer ones could be made here, but nobody could connect.
    SocketAddrUnix::new(path).map_err(|_| Errno::NAMETOOLONG)?;
    let place = Place::of(path)?;
    // We may be root: never create, or clear away, in a folder where the application itself could not.
    let mut clears_only_own = None;
    if let Some(user) = user {
        let folder = rustix::fs::fstat(&place.folder)?;
        if !user.may_write(folder.st_uid, folder.st_gid, folder.st_mode) {
            return Err(Errno::ACCESS);
        }
        if Mode::from_raw_mode(folder.st_mode).contains(Mode::SVTX) {
            clears_only_own = Some(user.uid);
        }
    }
    let address = place.address()?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match rustix::net::bind(&fd, &address) {
        Err(Errno::ADDRINUSE) if place.left_behind() => {
            place.remove(clears_only_own).map_err(|_| Errno::ADDRINUSE)?;
            rustix::net::bind(&fd, &address)?;
        }
        other => other?,
    }
    if let Some(user) = user {
        place.give_to(user)?;
    }
    rustix::net::listen(&fd, BACKLOG)?;
    Ok((fd, Bound::Unix(path.to_owned())))
}

/// Where the file of a unix socket is: its folder, held open, and its name. The application may own the folders on the
/// way and turn their names elsewhere at any moment; what we do as root happens in the folder that was looked at.
struct Place {
    folder: OwnedFd,
    name: OsString,
}

impl Place {
    fn of(path: &Path) -> Result<Self, Errno> {
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
    fn give_to(&self, user: &Credentials) -> Result<(), Errno> {
        let (file, stat) = self.file()?;
        if stat.st_nlink != 1 || stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(Errno::ACCESS);
        }
        let (uid, gid) = (rustix::fs::Uid::from_raw(user.uid), rustix::fs::Gid::from_raw(user.gid));
        rustix::fs::chownat(file, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
    }

    /// Removes the socket file, if it belongs to this user.
    fn remove(&self, owner: Option<u32>) -> Result<(), Errno> {
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

#[cfg(test)]
mod tests;
