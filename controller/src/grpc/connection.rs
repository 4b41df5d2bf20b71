//! One connection of an agent: from the handshake to its end, which may come from outside.
//!
//! A connection ends at once when its certificate is revoked, when the certificate runs out, and shortly after it was
//! opened when it carries no valid identity. "At once" includes calls and streams under way: they are dropped with it.

use super::{
    authenticate::{Authenticate, Peer},
    downloads::Downloads,
    listener::{Doors, GRACE, stop},
};
use chrono::{DateTime, Utc};
use hyper::{rt::Executor, server::conn::http2};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use muster_app::App;
use muster_identity::{PeerNode, tls};
use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpStream, sync::watch, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tower::ServiceExt as _;

/// A client that has not finished its handshake by then is dropped: a port scanner must not hold a place.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection without a valid identity may last. Enrolment and renewal take well under a second; a place is not
/// to be held by whoever cannot do anything else.
const UNIDENTIFIED_LIFE: Duration = Duration::from_secs(30);

/// Calls at once on one connection. An agent has a watch, a heartbeat, a report, a fetch, and a stream per reader of logs.
const MAX_STREAMS: u32 = 64;

/// The headers of the protocol take a few hundred bytes.
const MAX_HEADERS_BYTES: u32 = 16 * 1024;

/// HTTP/2 pings: find an end that vanished without a word, and keep middleboxes from forgetting the connection.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// TCP probes, for the time in which nothing else is under way: the first after a minute, three more, ten seconds apart.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// Serves one connection to its end.
pub(super) async fn run(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: &TlsAcceptor,
    (services, downloads): (Authenticate<Routes>, &Downloads),
    (app, doors): (&App, &Doors),
    shutdown: watch::Receiver<bool>,
) {
    if let Err(error) = tune(&stream) {
        tracing::debug!(%address, %error, "the socket could not be tuned");
    }
    let stream = match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "the TLS handshake of an agent failed");
            return;
        }
        Err(_) => {
            tracing::debug!(%address, "the TLS handshake of an agent took too long");
            return;
        }
    };
    // What says nothing about protocols (wget) speaks HTTP/1.1; agents always say.
    if stream.get_ref().1.alpn_protocol() != Some(tls::HTTP_2) {
        downloads.serve(stream, address, shutdown).await;
        return;
    }
    let node = match identity(&stream, app) {
        Ok(node) => node,
        Err(error) => {
            // The verifier admitted it, so this does not happen; without an identity there is nothing to serve.
            tracing::error!(%address, %error, "a verified certificate names no node");
            return;
        }
    };
    let Some(_place) = doors.enter(node.as_ref().map(|node| node.node_id)) else {
        let who =
            node.map_or_else(|| "without an identity".to_owned(), |node| format!("of node {}", node.node_id));
        tracing::warn!(%address, "a connection was closed: too many {who} are open");
        return;
    };
    let peer = Arc::new(Peer { address, node });
    serve(stream, &peer, services, app, shutdown).await;
}

fn identity(stream: &TlsStream<TcpStream>, app: &App) -> Result<Option<PeerNode>, muster_identity::NotANode> {
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    certificate
        .map(|certificate| PeerNode::from_certificate(certificate, app.identity().ca.fleet_id()))
        .transpose()
}

async fn serve(
    stream: TlsStream<TcpStream>,
    peer: &Arc<Peer>,
    services: Authenticate<Routes>,
    app: &App,
    mut shutdown: watch::Receiver<bool>,
) {
    let address = peer.address;
    let extension = Arc::clone(peer);
    let service = services.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Arc::clone(&extension));
        request
    });
    let calls = Calls(CancellationToken::new());
    let cut = calls.0.clone().drop_guard();
    let connection = http2::Builder::new(calls)
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%address, %error, "a connection of an agent ended with an error");
            }
        }
        reason = end(peer, app) => {
            tracing::info!(%address, reason, "a connection of an agent was cut");
        }
        () = stop(&mut shutdown) => {
            connection.as_mut().graceful_shutdown();
            // A watch that goes on after the grace is cut.
            drop(timeout(GRACE, connection.as_mut()).await);
        }
    }
    // Ends every call that is still under way; the socket closes with the connection.
    drop(cut);
}

/// Returns when the connection has to end, with the reason.
async fn end(peer: &Peer, app: &App) -> &'static str {
    let now = app.now();
    match &peer.node {
        Some(node) if !node.expired(now) => tokio::select! {
            () = app.revocations().revoked(&node.serial) => "the certificate was revoked",
            () = tokio::time::sleep(until(node.not_after, now)) => "the certificate ran out",
        },
        Some(node) => tokio::select! {
            () = app.revocations().revoked(&node.serial) => "the certificate was revoked",
            () = tokio::time::sleep(UNIDENTIFIED_LIFE) => "its certificate had run out before",
        },
        None => {
            tokio::time::sleep(UNIDENTIFIED_LIFE).await;
            "it has no identity"
        }
    }
}

fn until(end: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (end - now).to_std().unwrap_or_default()
}

fn tune(stream: &TcpStream) -> std::io::Result<()> {
    use rustix::net::sockopt;
    // Small answers must not wait for a full packet.
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    Ok(())
}

/// Runs the calls of one connection, and ends them with it.
#[derive(Clone)]
struct Calls(CancellationToken);

impl<F> Executor<F> for Calls
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, call: F) {
        let cut = self.0.clone();
        tokio::spawn(async move {
            cut.run_until_cancelled_owned(call).await;
        });
    }
}
