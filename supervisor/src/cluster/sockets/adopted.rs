//! Whether a socket that was brought to us is the one an application asks for.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, sockopt};

use super::Bound;
use crate::adopted::Adopted;
use crate::cluster::protocol::{AddressType, QueryServer};

/// libuv: do not accept IPv4 on an IPv6 socket.
const IPV6_ONLY: u64 = 1;

/// The socket of an application at the address it asks for.
pub(super) fn take(adopted: &Adopted, app: &str, query: &QueryServer) -> Option<(OwnedFd, Bound)> {
    let (fd, bound) = adopted.take(app, |fd| fits(fd, query))?;
    tracing::info!(app, socket = %bound, "the application goes on with the socket it had");
    Some((fd, bound))
}

fn fits(fd: &OwnedFd, query: &QueryServer) -> Option<Bound> {
    if query.fd.is_some_and(|fd| fd >= 0) || sockopt::socket_type(fd).ok()? != SocketType::STREAM {
        return None;
    }
    let name = rustix::net::getsockname(fd).ok()?;
    match query.kind()? {
        AddressType::Unix => {
            let path = SocketAddrUnix::try_from(name).ok()?;
            let path = PathBuf::from(path.path()?.to_str().ok()?);
            (query.address.as_deref()? == path.to_str()?).then_some(Bound::Unix(path))
        }
        AddressType::Tcp4 | AddressType::Tcp6 => {
            let bound = SocketAddr::try_from(name).ok()?;
            // Port 0 is any port, and nothing says which of them.
            let port = query.port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)?;
            let address = match query.address.as_deref().filter(|address| !address.is_empty()) {
                Some(address) => bound.ip() == address.parse::<std::net::IpAddr>().ok()?,
                None => bound.ip().is_unspecified(),
            };
            let v6_only = query.flags.unwrap_or(0) & IPV6_ONLY != 0;
            let families = match sockopt::socket_domain(fd).ok()? {
                AddressFamily::INET6 => sockopt::ipv6_v6only(fd).ok()? == v6_only,
                _ => true,
            };
            (bound.port() == port && address && families).then_some(Bound::Tcp(bound))
        }
        AddressType::Udp4 | AddressType::Udp6 => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asks(address: Option<&str>, port: u16, kind: i64) -> QueryServer {
        serde_json::from_value(json!({"address": address, "port": port, "addressType": kind})).unwrap()
    }

    #[test]
    fn an_application_gets_the_socket_of_its_address_once() {
        let adopted = Adopted::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let offer = adopted.offer("web", vec![listener.try_clone().unwrap().into()]);
        for other in [asks(Some("127.0.0.2"), port, 4), asks(None, port, 4), asks(Some("127.0.0.1"), 1, 4)] {
            assert!(take(&adopted, "web", &other).is_none(), "{other:?}");
        }
        let wanted = asks(Some("127.0.0.1"), port, 4);
        assert!(take(&adopted, "api", &wanted).is_none());
        let (_, bound) = take(&adopted, "web", &wanted).unwrap();
        assert_eq!(bound, Bound::Tcp(listener.local_addr().unwrap()));
        assert!(take(&adopted, "web", &wanted).is_none());
        drop(offer);
        let any = std::net::TcpListener::bind("[::]:0").unwrap();
        let port = any.local_addr().unwrap().port();
        let offer = adopted.offer("web", vec![any.into()]);
        drop(offer);
        assert!(take(&adopted, "web", &asks(None, port, 4)).is_none(), "the client has gone");
    }
}
