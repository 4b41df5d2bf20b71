//! `/install/...` on the listener for agents: the root certificate, the script, the programs.
//!
//! Anybody may ask, so what it may cost is bounded: programs are read from the disk piece by piece as they are sent, so
//! many at a time, and whoever stops reading loses the connection and the place.

use super::{Install, NotServable, Program, command::BASE, signature};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::StreamExt as _;
use muster_app::App;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    fs::File,
    io::AsyncReadExt as _,
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

/// Programs on their way at a time. A whole fleet that is made at once takes turns.
const DOWNLOADS_AT_ONCE: usize = 16;

/// The same from one address: whoever reads slowly on purpose takes half of the places and no more. Hosts behind one address
/// wait for each other.
pub(crate) const DOWNLOADS_AT_ONCE_EACH: usize = DOWNLOADS_AT_ONCE / 2;

/// How long to wait for a turn.
const TURN_PATIENCE: Duration = Duration::from_secs(120);

/// Whoever takes nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(30);

const PIECE_BYTES: usize = 64 * 1024;

/// Pieces that are read ahead of the network.
const PIECES_AHEAD: usize = 4;

const SCRIPT: &str = include_str!("install.sh");

/// Ends the connection that a request came by; in the extensions of the request.
#[derive(Debug, Clone)]
pub(crate) struct Cut(pub(crate) CancellationToken);

/// The downloads that all connections from one address share; in the extensions of the request.
#[derive(Debug, Clone)]
pub(crate) struct Share(pub(crate) Arc<Semaphore>);

struct Shared {
    app: App,
    install: Install,
    downloads: Arc<Semaphore>,
}

/// The routes.
pub(crate) fn router(app: App, install: Install) -> Router {
    let shared = Shared { app, install, downloads: Arc::new(Semaphore::new(DOWNLOADS_AT_ONCE)) };
    let routes = Router::new()
        .route("/root.der", get(root))
        .route("/install.sh", get(script))
        .route("/manifest", get(manifest))
        .route("/manifest.sig", get(manifest_signature))
        .route("/{architecture}/{program}", get(program));
    Router::new().nest(BASE, routes).fallback(elsewhere).with_state(Arc::new(shared))
}

/// One line of text, for people who look at it with curl.
fn refusal(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text + "\n").into_response()
}

async fn elsewhere() -> Response {
    refusal(
        StatusCode::NOT_FOUND,
        format!(
            "this listener is for agents; over HTTP/1.1 it only serves {BASE}/install.sh and what that needs"
        ),
    )
}

async fn root(State(shared): State<Arc<Shared>>) -> Response {
    let der = shared.app.identity().ca.root().to_vec();
    ([(header::CONTENT_TYPE, "application/pkix-cert")], der).into_response()
}

async fn script() -> Response {
    ([(header::CONTENT_TYPE, "text/x-shellscript; charset=utf-8")], SCRIPT).into_response()
}

async fn manifest(State(shared): State<Arc<Shared>>) -> Response {
    match shared.install.catalogue().await {
        Ok(catalogue) => {
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], catalogue.manifest().to_owned())
                .into_response()
        }
        Err(problem) => unservable(&problem),
    }
}

async fn manifest_signature(State(shared): State<Arc<Shared>>) -> Response {
    match shared.install.catalogue().await {
        Ok(catalogue) => {
            let signature = hex::encode(signature(&shared.app, catalogue.manifest()));
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], signature + "\n").into_response()
        }
        Err(problem) => unservable(&problem),
    }
}

/// Where files lie on the controller is nobody's business out there; its operator reads it in the log and from `doctor`.
fn unservable(problem: &NotServable) -> Response {
    tracing::warn!("a host asked for the programs of an agent: {problem}; {}", problem.mend);
    refusal(
        StatusCode::SERVICE_UNAVAILABLE,
        "this controller has no programs for hosts; `muster-controller doctor` says what to do".to_owned(),
    )
}

async fn program(
    State(shared): State<Arc<Shared>>,
    Path((architecture, name)): Path<(String, String)>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let catalogue = match shared.install.catalogue().await {
        Ok(catalogue) => catalogue,
        Err(problem) => return unservable(&problem),
    };
    let Some(program) = catalogue.program(&architecture, &name) else {
        return refusal(
            StatusCode::NOT_FOUND,
            "there is no such program; the manifest lists them".to_owned(),
        );
    };
    let etag = format!("\"{}\"", program.sha256);
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == etag));
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let share = request.extensions().get::<Share>().cloned();
        let turn = timeout(TURN_PATIENCE, turn(share, &shared.downloads)).await;
        let Ok(Ok(turn)) = turn else {
            let mut busy = refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "many hosts are being installed at this moment".to_owned(),
            );
            busy.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
            return busy;
        };
        match send(program, turn, request.extensions().get::<Cut>().cloned()).await {
            Ok(body) => ([(header::CONTENT_LENGTH, program.bytes)], body).into_response(),
            Err(error) => {
                tracing::warn!(path = %program.path.display(), %error, "a program could not be sent to a host");
                return refusal(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the program has just been replaced; begin again".to_owned(),
                );
            }
        }
    };
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// A place among all downloads, and one among those of the same address before it.
struct Turn {
    _own: Option<OwnedSemaphorePermit>,
    _all: OwnedSemaphorePermit,
}

async fn turn(share: Option<Share>, downloads: &Arc<Semaphore>) -> Result<Turn, AcquireError> {
    let own = match share {
        Some(Share(places)) => Some(places.acquire_owned().await?),
        None => None,
    };
    Ok(Turn { _own: own, _all: Arc::clone(downloads).acquire_owned().await? })
}

/// The content of a program, which must be the one that was looked at. `turn` is given back with the last piece.
async fn send(program: &Program, turn: Turn, cut: Option<Cut>) -> io::Result<Body> {
    let file = File::open(&program.path).await?;
    if !program.is(&file.metadata().await?) {
        return Err(io::Error::other("it is another file by now"));
    }
    let (pieces, body) = mpsc::channel(PIECES_AHEAD);
    tokio::spawn(async move {
        let fed = feed(file, &pieces).await;
        drop(turn);
        match fed {
            Ok(()) => {}
            Err(Stopped::Silent) => {
                // The server would wait for its reader for ever.
                if let Some(Cut(connection)) = cut {
                    connection.cancel();
                }
            }
            // The reader is gone; so is its connection.
            Err(Stopped::Gone) => {}
            Err(Stopped::Disk(error)) => {
                // An announced length that is not reached tells the other end.
                drop(pieces.send(Err(error)).await);
            }
        }
    });
    Ok(Body::from_stream(ReceiverStream::new(body).map(|piece: io::Result<Bytes>| piece)))
}

enum Stopped {
    Silent,
    Gone,
    Disk(io::Error),
}

async fn feed(mut file: File, pieces: &mpsc::Sender<io::Result<Bytes>>) -> Result<(), Stopped> {
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let read =
            (&mut file).take(PIECE_BYTES as u64).read_to_end(&mut piece).await.map_err(Stopped::Disk)?;
        if read == 0 {
            return Ok(());
        }
        match timeout(SILENCE, pieces.send(Ok(piece.into()))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Stopped::Gone),
            Err(_) => return Err(Stopped::Silent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_address_leaves_places_to_the_others() {
        let downloads = Arc::new(Semaphore::new(DOWNLOADS_AT_ONCE));
        let share = || Share(Arc::new(Semaphore::new(DOWNLOADS_AT_ONCE_EACH)));
        let (slow, other) = (share(), share());
        let mut held = Vec::new();
        for _ in 0..DOWNLOADS_AT_ONCE_EACH {
            held.push(turn(Some(slow.clone()), &downloads).await.unwrap());
        }
        assert!(
            timeout(TURN_PATIENCE, turn(Some(slow.clone()), &downloads)).await.is_err(),
            "it waits for itself"
        );
        timeout(TURN_PATIENCE, turn(Some(other), &downloads)).await.expect("there is a place left").unwrap();
        held.pop();
        timeout(TURN_PATIENCE, turn(Some(slow), &downloads)).await.expect("it gave one back").unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_stops_reading_gives_the_place_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        std::fs::write(&path, vec![7; 20 * PIECE_BYTES]).unwrap();
        let (pieces, mut reader) = mpsc::channel(PIECES_AHEAD);
        let silent = feed(File::open(&path).await.unwrap(), &pieces).await;
        assert!(matches!(silent, Err(Stopped::Silent)));
        for _ in 0..PIECES_AHEAD {
            assert_eq!(reader.recv().await.unwrap().unwrap().len(), PIECE_BYTES);
        }
        drop(reader);
        let gone = feed(File::open(&path).await.unwrap(), &pieces).await;
        assert!(matches!(gone, Err(Stopped::Gone)));
    }
}
