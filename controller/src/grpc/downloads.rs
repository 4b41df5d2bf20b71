//! Connections that speak HTTP/1.1: hosts that are about to become nodes, and those that fetch a newer agent. Agents
//! themselves offer HTTP/2 only, so the two never meet; nothing that a node may do can be asked for here.

use super::{
    listener::{GRACE, stop},
    turns::Turns,
};
use crate::install::{Cut, DOWNLOADS_AT_ONCE_EACH, Install, Share};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use muster_app::App;
use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpStream,
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Connections at once. Most of them wait for the turn of their download.
const MAX_CONNECTIONS: usize = 256;

/// The same from one address: nobody alone takes all of them.
const MAX_CONNECTIONS_EACH: usize = MAX_CONNECTIONS / 2;

/// A request has to arrive within this time, and the next one within it after an answer.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a connection may last: a debug build of the largest program at 2 Mbit/s.
const LIFE: Duration = Duration::from_secs(600);

/// What is known of a request that fetches a file is little.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Serves them.
#[derive(Clone)]
pub(super) struct Downloads {
    router: Router,
    places: Arc<Semaphore>,
    connections: Turns<IpAddr>,
    downloads: Turns<IpAddr>,
}

/// What counts as one address: of IPv6 a whole network, because a host has as many addresses of it as it likes.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

impl Downloads {
    pub(super) fn new(app: App, install: Install) -> Self {
        Self {
            router: crate::install::router(app, install),
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            connections: Turns::new(MAX_CONNECTIONS_EACH),
            downloads: Turns::new(DOWNLOADS_AT_ONCE_EACH),
        }
    }

    /// Serves one connection to its end.
    pub(super) async fn serve(
        &self,
        stream: TlsStream<TcpStream>,
        address: SocketAddr,
        mut shutdown: watch::Receiver<bool>,
    ) {
        let from = neighbourhood(address.ip());
        let (Some(_own), Ok(_place)) = (self.connections.try_take(from), self.places.try_acquire()) else {
            tracing::warn!(%address, "a connection was closed: too many hosts fetch programs");
            return;
        };
        let cut = CancellationToken::new();
        let extensions = (Cut(cut.clone()), Share(self.downloads.places(from)));
        let service =
            self.router.clone().map_request(move |mut request: http::Request<hyper::body::Incoming>| {
                request.extensions_mut().insert(extensions.0.clone());
                request.extensions_mut().insert(extensions.1.clone());
                request
            });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        tokio::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%address, %error, "a connection of a host ended with an error");
                }
            }
            () = cut.cancelled() => tracing::debug!(%address, "a host stopped reading and was cut"),
            () = tokio::time::sleep(LIFE) => tracing::debug!(%address, "a host took too long and was cut"),
            () = stop(&mut shutdown) => {
                connection.as_mut().graceful_shutdown();
                drop(timeout(GRACE, connection.as_mut()).await);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let of = |text: &str| neighbourhood(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!((of("::ffff:10.0.0.7"), of("10.0.0.7")), ("10.0.0.7".to_owned(), "10.0.0.7".to_owned()));
    }
}
