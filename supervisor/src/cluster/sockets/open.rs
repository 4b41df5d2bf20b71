//! Opening sockets as Node.js would, for an application that may run as another user than we do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::{Asker, Bound, MAX_SOCKETS, Refusal, unix};
use crate::cluster::protocol::{AddressType, QueryServer};

/// Node's own default; the kernel lowers it to `net.core.somaxconn`.
pub(super) const BACKLOG: i32 = 511;
/// libuv: do not accept IPv4 on an IPv6 socket.
const FLAG_IPV6_ONLY: u64 = 1;
/// libuv: `reuseAddr` of a datagram socket.
const FLAG_UDP_REUSEADDR: u64 = 4;
/// Ports below need a privilege, unless the machine says otherwise.
const FIRST_UNPRIVILEGED: u16 = 1024;

impl Asker<'_> {
    /// Whether it may not have this port: we could give every port, and it could not take this one by itself.
    fn lacks(&self, port: u16) -> bool {
        let is_root = self.user.is_none_or(|user| user.uid == 0);
        !is_root && !self.listed && self.port != Some(port) && port != 0 && port < first_unprivileged()
    }

    /// Node.js does not block anyway. Programs that are given descriptors expect them as systemd gives them: those of
    /// other languages would not understand an `accept` that does not wait.
    pub(super) fn socket_flags(&self) -> SocketFlags {
        if self.listed { SocketFlags::CLOEXEC } else { SocketFlags::CLOEXEC | SocketFlags::NONBLOCK }
    }
}

impl QueryServer {
    fn privileged(&self) -> bool {
        self.port.is_some_and(|port| (1..i64::from(first_unprivileged())).contains(&port))
    }
}

fn first_unprivileged() -> u16 {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(FIRST_UNPRIVILEGED)
}

/// What is told when there is no socket.
pub(super) fn refusal(query: &QueryServer, errno: Errno) -> Refusal {
    let place = match (&query.address, query.port) {
        (Some(path), Some(-1) | None) => path.clone(),
        (address, port) => format!("{}:{}", address.as_deref().unwrap_or("*"), port.unwrap_or(0)),
    };
    let why = match errno {
        Errno::ADDRINUSE => "is in use by another process (EADDRINUSE)".to_owned(),
        Errno::ACCESS | Errno::PERM if query.privileged() && !rustix::process::geteuid().is_root() => {
            "is a privileged port, which needs a supervisor that runs as root (EACCES)".to_owned()
        }
        Errno::ACCESS | Errno::PERM if query.privileged() => {
            "is a privileged port: name it as the `port` of the application, or run it as root (EACCES)"
                .to_owned()
        }
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

/// Opens what is asked for.
pub(super) fn open(query: &QueryServer, asker: Asker<'_>) -> Result<(OwnedFd, Bound), Errno> {
    if query.fd.is_some_and(|fd| fd >= 0) {
        return Err(Errno::BADF);
    }
    let kind = query.kind().ok_or(Errno::INVAL)?;
    let flags = query.flags.unwrap_or(0);
    match kind {
        AddressType::Unix => unix::open(Path::new(query.address.as_deref().ok_or(Errno::INVAL)?), asker),
        AddressType::Tcp4 | AddressType::Tcp6 => {
            let (fd, address) = open_ip(query, asker, kind, SocketType::STREAM, true)?;
            rustix::net::listen(&fd, BACKLOG)?;
            Ok((fd, Bound::Tcp(address)))
        }
        AddressType::Udp4 | AddressType::Udp6 => {
            let reuse = flags & FLAG_UDP_REUSEADDR != 0;
            let (fd, address) = open_ip(query, asker, kind, SocketType::DGRAM, reuse)?;
            Ok((fd, Bound::Udp(address)))
        }
    }
}

fn open_ip(
    query: &QueryServer,
    asker: Asker<'_>,
    kind: AddressType,
    socket_type: SocketType,
    reuse_address: bool,
) -> Result<(OwnedFd, SocketAddr), Errno> {
    let port = u16::try_from(query.port.unwrap_or(0)).map_err(|_| Errno::INVAL)?;
    if asker.lacks(port) {
        return Err(Errno::ACCESS);
    }
    let flags = query.flags.unwrap_or(0);
    let bind = |ip: IpAddr| -> Result<(OwnedFd, SocketAddr), Errno> {
        let family = if ip.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let fd = rustix::net::socket_with(family, socket_type, asker.socket_flags(), None)?;
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
