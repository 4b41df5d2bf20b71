//! The listener for people: REST and the dashboard, over HTTPS or, on a loopback address, plain HTTP.

use axum::{Router, extract::ConnectInfo};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

/// A client that has not finished its handshake by then is dropped: a port scanner must not hold a place.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Headers of a request have to arrive within this time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);

/// Connections at once. Each dashboard holds one or two; beyond this, new ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 2_000;

/// How long requests under way may go on after the stop was asked for. Event streams never end by themselves.
const GRACE: Duration = Duration::from_secs(5);

/// How long to wait before accepting again when the process has run out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `shutdown` says so. With `tls`, every connection is TLS.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    mut shutdown: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place.expect("the semaphore is never closed"),
            () = stopped(&mut shutdown) => break,
        };
        let (stream, address) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = stopped(&mut shutdown) => break,
        };
        let connection = Connection { address, place, router: router.clone(), encrypted: tls.is_some() };
        let tls = tls.as_ref().map(|tls| TlsAcceptor::from(Arc::clone(tls)));
        tokio::spawn(accept(connection, stream, tls, shutdown.clone()));
    }
    drop(listener);
    // Every task returns its place when it ends.
    let all = u32::try_from(MAX_CONNECTIONS).expect("the limit fits");
    if timeout(GRACE, places.acquire_many(all)).await.is_err() {
        tracing::info!("connections that were still open are cut");
    }
}

struct Connection {
    address: SocketAddr,
    place: OwnedSemaphorePermit,
    router: Router,
    encrypted: bool,
}

async fn accept(
    connection: Connection,
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    shutdown: watch::Receiver<bool>,
) {
    // Small answers must not wait for a full packet.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = &error as &dyn std::error::Error, "TCP_NODELAY was refused");
    }
    match tls {
        None => connection.serve(stream, shutdown).await,
        Some(acceptor) => match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => connection.serve(stream, shutdown).await,
            Ok(Err(error)) => tracing::debug!(peer = %connection.address, %error, "the TLS handshake failed"),
            Err(_) => tracing::debug!(peer = %connection.address, "the TLS handshake took too long"),
        },
    }
}

impl Connection {
    async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        mut shutdown: watch::Receiver<bool>,
    ) {
        let Self { address, place, router, encrypted } = self;
        let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(ConnectInfo(address));
            request.extensions_mut().insert(crate::http::Encrypted(encrypted));
            request
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(200)
            .keep_alive_interval(Duration::from_secs(30));
        let connection =
            builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
        tokio::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(peer = %address, %error, "a connection ended with an error");
                }
            }
            () = stopped(&mut shutdown) => {
                connection.as_mut().graceful_shutdown();
                // A stream that goes on after the grace is cut with the process.
                drop(timeout(GRACE, connection).await);
            }
        }
        drop(place);
    }
}

/// Ends when the stop was asked for, or nobody is left who could.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    drop(shutdown.wait_for(|stop| *stop).await);
}
