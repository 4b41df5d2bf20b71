//! Accepting connections of agents.

use super::{connection, downloads::Downloads, services, turns::Turns};
use crate::install::Install;
use muster_app::App;
use muster_domain::NodeId;
use rustls::ServerConfig;
use std::{sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// Connections at once: a fleet of 10,000 nodes that all reconnect. A node holds one, two while it reconnects; beyond this,
/// new ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 20_000;

/// Connections at once of one node.
const MAX_CONNECTIONS_PER_NODE: usize = 8;

/// Connections at once without the identity of a node. Anybody can open one and hold it for half a minute.
const MAX_UNIDENTIFIED: usize = 256;

/// Who may still connect.
#[derive(Clone)]
pub(super) struct Doors {
    nodes: Turns<NodeId>,
    unidentified: Arc<Semaphore>,
}

impl Doors {
    fn new() -> Self {
        Self {
            nodes: Turns::new(MAX_CONNECTIONS_PER_NODE),
            unidentified: Arc::new(Semaphore::new(MAX_UNIDENTIFIED)),
        }
    }

    /// A place for whoever has just shown who they are; none when they have too many.
    pub(super) fn enter(&self, node: Option<NodeId>) -> Option<OwnedSemaphorePermit> {
        match node {
            Some(node) => self.nodes.try_take(node),
            None => Arc::clone(&self.unidentified).try_acquire_owned().ok(),
        }
    }
}

/// How long calls under way may go on after the stop was asked for. Watch streams never end by themselves.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// How long to wait before accepting again when the process has run out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves agents on `listener` until `shutdown` says so, and hands out `install` to hosts that want one. `tls` is `muster_identity::tls::agents_config`, with the
/// revocations of `app`; these must be loaded before.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    app: App,
    install: Install,
    mut shutdown: watch::Receiver<bool>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let services = services(app.clone());
    let downloads = Downloads::new(app.clone(), install);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let doors = Doors::new();
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place.expect("the semaphore is never closed"),
            () = stop(&mut shutdown) => break,
        };
        let (stream, address) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection of an agent could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = stop(&mut shutdown) => break,
        };
        let (acceptor, services, downloads, app, doors, shutdown) = (
            acceptor.clone(),
            services.clone(),
            downloads.clone(),
            app.clone(),
            doors.clone(),
            shutdown.clone(),
        );
        // Its own task: a handshake that dawdles holds up nobody else.
        tokio::spawn(async move {
            connection::run(stream, address, &acceptor, (services, &downloads), (&app, &doors), shutdown)
                .await;
            drop(place);
        });
    }
    drop(listener);
    // Every connection returns its place when it ends; each ends within the grace.
    let all = u32::try_from(MAX_CONNECTIONS).expect("the limit fits");
    if timeout(GRACE + Duration::from_secs(1), places.acquire_many(all)).await.is_err() {
        tracing::warn!("connections of agents were still open at the stop");
    }
}

/// Returns when the process is asked to stop. (A function of its own, because the guard that `wait_for` gives back must not
/// live across an await.)
pub(super) async fn stop(shutdown: &mut watch::Receiver<bool>) {
    // An error means that nobody is left to ask, which comes to the same.
    drop(shutdown.wait_for(|stop| *stop).await);
}
