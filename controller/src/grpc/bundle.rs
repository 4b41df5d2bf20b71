//! The files of releases, to the nodes that are to run them.
//!
//! Reading and compressing blocks, so it happens on a thread of its own that waits whenever the node is slower.

use super::{
    status::{refused, status},
    turns::Turns,
};
use muster_app::App;
use muster_artifact::{Manifest, ObjectStore};
use muster_domain::{Digest, NodeId};
use muster_proto::{MAX_DIGESTS_PER_FETCH, MAX_MANIFEST_BYTES, MAX_PIECE_BYTES, v1};
use std::{
    io::{self, Read as _, Write},
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio::sync::{
    Semaphore,
    mpsc::{self, error::SendTimeoutError},
};
use tonic::{Code, Status};

/// Pieces that wait for the network: enough to keep it busy, 1 MiB per node.
const PIECES_BUFFERED: usize = 4;

/// Bundles that are compressed at once in this process. A deployment to many nodes goes node by node, so more would only
/// compete for the processors that requests need.
static BUNDLES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(8)));

/// Bundles of one node at once, so that one that reads slowly leaves room for others.
static BUNDLES_PER_NODE: LazyLock<Turns<NodeId>> = LazyLock::new(|| Turns::new(2));

/// A node that takes no piece for so long is given up, and asks again when it is well: until then it would hold a place.
const PIECE_PATIENCE: Duration = Duration::from_secs(60);

/// The manifest of an artifact in the node's assignment.
pub(super) async fn manifest(app: &App, node: NodeId, artifact: Digest) -> Result<Vec<u8>, Status> {
    app.artifact_require_assigned(node, artifact).await.map_err(status)?;
    let objects = app.objects().clone();
    blocking(move || read_manifest(&objects, artifact)).await
}

/// Objects of an artifact in the node's assignment, as one bundle in pieces.
pub(super) async fn fetch(
    app: &App,
    node: NodeId,
    artifact: Digest,
    digests: Vec<Digest>,
) -> Result<mpsc::Receiver<Result<v1::BundlePiece, Status>>, Status> {
    if digests.len() > MAX_DIGESTS_PER_FETCH {
        return Err(refused(
            Code::InvalidArgument,
            "too_many",
            format!(
                "{} digests at once are too many; ask for {MAX_DIGESTS_PER_FETCH} at a time",
                digests.len()
            ),
        ));
    }
    app.artifact_require_assigned(node, artifact).await.map_err(status)?;
    let objects = app.objects().clone();
    let checked = objects.clone();
    let digests = blocking(move || {
        let manifest = Manifest::parse(&read_manifest(&checked, artifact)?)
            .map_err(|error| damaged(artifact, &error))?;
        let known = manifest.objects();
        match digests.iter().find(|digest| !known.contains_key(digest)) {
            Some(other) => Err(refused(
                Code::NotFound,
                "not_found",
                format!("object {} is not part of artifact {}", other.short(), artifact.short()),
            )),
            None => Ok(digests),
        }
    })
    .await?;
    let own_place = BUNDLES_PER_NODE.take(node).await;
    let place = Arc::clone(&BUNDLES).acquire_owned().await.expect("the semaphore is never closed");
    let (sender, receiver) = mpsc::channel(PIECES_BUFFERED);
    tokio::task::spawn_blocking(move || {
        let mut pieces = Pieces {
            sender,
            buffer: Vec::with_capacity(MAX_PIECE_BYTES),
            patience: PIECE_PATIENCE,
            stalled: false,
        };
        let written = objects.write_bundle(&mut pieces, digests).map(drop);
        let sent = match written {
            Ok(()) => pieces.flush(),
            Err(_) if pieces.stalled || pieces.sender.is_closed() => Err(io::ErrorKind::BrokenPipe.into()),
            Err(error) => pieces.send(Err(damaged(artifact, &error))),
        };
        if sent.is_err() {
            tracing::debug!(node = %node, stalled = pieces.stalled, "a node went away while it fetched objects");
        }
        drop((place, own_place));
    });
    Ok(receiver)
}

fn read_manifest(objects: &ObjectStore, artifact: Digest) -> Result<Vec<u8>, Status> {
    let mut bytes = Vec::new();
    objects
        .open_object(artifact)
        .and_then(|file| file.take(MAX_MANIFEST_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| damaged(artifact, &error))?;
    if bytes.len() > MAX_MANIFEST_BYTES {
        return Err(refused(
            Code::FailedPrecondition,
            "manifest_too_large",
            format!("the manifest of artifact {} is longer than a node accepts", artifact.short()),
        ));
    }
    Ok(bytes)
}

fn damaged(artifact: Digest, error: &dyn std::error::Error) -> Status {
    tracing::error!(artifact = %artifact, %error, "the files of an artifact cannot be read; is the object store complete?");
    refused(
        Code::Internal,
        "artifact_unreadable",
        format!("the controller cannot read artifact {}; its log says why", artifact.short()),
    )
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "reading an artifact ended abruptly");
        Err(refused(Code::Internal, "internal", "the controller could not read the artifact"))
    })
}

/// Cuts what is written into messages.
struct Pieces {
    sender: mpsc::Sender<Result<v1::BundlePiece, Status>>,
    buffer: Vec<u8>,
    patience: Duration,
    /// The node took nothing for as long as that.
    stalled: bool,
}

impl Pieces {
    /// Waits for room, on a thread that may block.
    fn send(&mut self, piece: Result<v1::BundlePiece, Status>) -> io::Result<()> {
        let sent = tokio::runtime::Handle::current().block_on(self.sender.send_timeout(piece, self.patience));
        self.stalled = matches!(sent, Err(SendTimeoutError::Timeout(_)));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MAX_PIECE_BYTES - self.buffer.len();
        let taken = room.min(bytes.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == MAX_PIECE_BYTES {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let data = std::mem::replace(&mut self.buffer, Vec::with_capacity(MAX_PIECE_BYTES));
        self.send(Ok(v1::BundlePiece { data }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_that_stops_reading_is_given_up() {
        let (sender, mut receiver) = mpsc::channel(1);
        let written = tokio::task::spawn_blocking(move || {
            let patience = Duration::from_millis(10);
            let mut pieces = Pieces { sender, buffer: Vec::new(), patience, stalled: false };
            let written = io::copy(&mut io::repeat(7), &mut pieces);
            (written.is_err(), pieces.stalled)
        });
        assert_eq!(
            tokio::time::timeout(Duration::from_secs(30), written).await.unwrap().unwrap(),
            (true, true)
        );
        assert_eq!(
            receiver.recv().await.unwrap().unwrap().data.len(),
            MAX_PIECE_BYTES,
            "what was sent is there"
        );
    }
}
