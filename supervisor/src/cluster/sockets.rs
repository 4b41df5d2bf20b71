//! Listening sockets that belong to an application, not to one of its processes.
//!
//! All workers of an application share one socket per key. A worker that is gone leaves its connections in the queue
//! of the socket, where its successor finds them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
        let (fd, bound) = open(query, user).map_err(|errno| refusal(query, errno))?;
        let fd = Arc::new(fd);
        let data = query.data.clone();
        let parked = keeper.map(|(keeper, app)| keeper.park(parked_key(app, &key), &*fd));
        let held =
            Held { fd: Arc::clone(&fd), data: data.clone(), bound, _parked: parked, handed_over: false };
        self.held.insert(key, held);
        Ok((fd, data))
    }

    /// The sockets an earlier supervisor held.
    pub(crate) fn resume(saved: Vec<SavedSocket>, app: &str, keeper: &Keeper) -> Self {
        let mut held = BTreeMap::new();
        for SavedSocket { key, data, bound } in saved {
            match keeper.claim(&parked_key(app, &key)) {
                Some((fd, parked, _)) => {
                    let fd = Arc::new(fd);
                    held.insert(key, Held { fd, data, bound, _parked: Some(parked), handed_over: false });
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
            && let Err(error) = std::fs::remove_file(path)
            && error.kind() != std::io::ErrorKind::NotFound
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
    // We may be root: never create in a folder where the application itself could not.
    if let Some(user) = user {
        let parent = path.parent().ok_or(Errno::INVAL)?;
        let meta = std::fs::metadata(parent).map_err(|_| Errno::NOENT)?;
        if !user.may_write(meta.uid(), meta.gid(), meta.mode()) {
            return Err(Errno::ACCESS);
        }
    }
    let address = SocketAddrUnix::new(path).map_err(|_| Errno::NAMETOOLONG)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match rustix::net::bind(&fd, &address) {
        Err(Errno::ADDRINUSE) if left_behind(path) => {
            std::fs::remove_file(path).map_err(|_| Errno::ADDRINUSE)?;
            rustix::net::bind(&fd, &address)?;
        }
        other => other?,
    }
    let held = Bound::Unix(path.to_owned());
    if let Some(user) = user {
        rustix::fs::chown(
            path,
            Some(rustix::fs::Uid::from_raw(user.uid)),
            Some(rustix::fs::Gid::from_raw(user.gid)),
        )?;
    }
    rustix::net::listen(&fd, BACKLOG)?;
    Ok((fd, held))
}

/// A socket file nobody answers on any longer.
fn left_behind(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
        && std::os::unix::net::UnixStream::connect(path)
            .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn query(address: Option<&str>, port: i64, address_type: serde_json::Value) -> QueryServer {
        serde_json::from_value(json!({
            "index": 0, "address": address, "port": port, "addressType": address_type, "flags": 0, "seq": 1
        }))
        .unwrap()
    }

    #[test]
    fn port_zero_is_picked_once_and_shared() {
        let mut sockets = Sockets::default();
        let any = query(Some("127.0.0.1"), 0, json!(4));
        let (first, data) =
            sockets.get(&QueryServer { data: json!("keys"), ..any.clone() }, None, None).unwrap();
        assert_eq!(data, json!("keys"));
        let (second, data) =
            sockets.get(&QueryServer { data: json!("other keys"), ..any.clone() }, None, None).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(data, json!("keys"), "all workers share what the first one brought");
        assert_ne!(sockets.port(&any.key()), Some(0));
    }

    #[test]
    fn a_taken_port_is_refused_with_its_errno_and_free_again_when_let_go() {
        let mut sockets = Sockets::default();
        let first = query(Some("127.0.0.1"), 0, json!(4));
        sockets.get(&first, None, None).unwrap();
        let port = sockets.port(&first.key()).unwrap();
        let mut other = Sockets::default();
        let wanted = query(Some("127.0.0.1"), port.into(), json!(4));
        let refusal = other.get(&wanted, None, None).unwrap_err();
        assert_eq!(refusal.errno, Errno::ADDRINUSE.raw_os_error());
        assert!(refusal.message.contains(&format!("127.0.0.1:{port} is in use")), "{}", refusal.message);
        sockets.retain(|_| false);
        other.get(&wanted, None, None).unwrap();
    }

    #[test]
    fn every_address_type_can_be_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.sock");
        let mut sockets = Sockets::default();
        for wanted in [
            query(None, 0, json!(4)),
            query(Some("::1"), 0, json!(6)),
            query(path.to_str(), -1, json!(-1)),
            query(Some("127.0.0.1"), 0, json!("udp4")),
            query(None, 0, json!("udp4")),
        ] {
            sockets.get(&wanted, None, None).unwrap_or_else(|refusal| panic!("{wanted:?}: {refusal:?}"));
        }
        assert_eq!(sockets.describe().len(), 5);
        assert!(path.exists());
        sockets.retain(|_| false);
        assert!(!path.exists(), "the path goes with the socket");
    }

    #[test]
    fn a_socket_file_left_behind_by_a_crash_is_taken_over_but_no_other_file_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let mut sockets = Sockets::default();
        sockets.get(&query(path.to_str(), -1, json!(-1)), None, None).unwrap();
        let file = dir.path().join("precious");
        std::fs::write(&file, "data").unwrap();
        let refusal = sockets.get(&query(file.to_str(), -1, json!(-1)), None, None).unwrap_err();
        assert_eq!(refusal.errno, Errno::ADDRINUSE.raw_os_error());
        assert_eq!(std::fs::read_to_string(file).unwrap(), "data");
    }

    #[test]
    fn nonsense_is_an_errno_not_a_panic() {
        let mut sockets = Sockets::default();
        for wanted in [
            query(Some("not an address"), 1, json!(4)),
            query(Some("127.0.0.1"), 70_000, json!(4)),
            query(None, -1, json!(-1)),
            query(Some("relative.sock"), -1, json!(-1)),
            query(None, 1, json!("carrier pigeon")),
        ] {
            sockets.get(&wanted, None, None).unwrap_err();
        }
    }
}
