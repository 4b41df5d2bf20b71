//! Connections that speak HTTP/1.1: hosts that are about to become nodes, and those that fetch a newer agent. Agents
//! themselves offer HTTP/2 only, so the two never meet; nothing that a node may do can be asked for here.

use super::listener::{GRACE, stop};
use crate::install::{Cut, Install};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use muster_app::App;
use std::{net::SocketAddr, sync::Arc, time::Duration};
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
}

impl Downloads {
    pub(super) fn new(app: App, install: Install) -> Self {
        Self {
            router: crate::install::router(app, install),
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        }
    }

    /// Serves one connection to its end.
    pub(super) async fn serve(
        &self,
        stream: TlsStream<TcpStream>,
        address: SocketAddr,
        mut shutdown: watch::Receiver<bool>,
    ) {
        let Ok(_place) = self.places.try_acquire() else {
            tracing::warn!(%address, "a connection was closed: too many hosts fetch programs");
            return;
        };
        let cut = CancellationToken::new();
        let extension = Cut(cut.clone());
        let service =
            self.router.clone().map_request(move |mut request: http::Request<hyper::body::Incoming>| {
                request.extensions_mut().insert(extension.clone());
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
