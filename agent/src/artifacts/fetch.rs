//! Objects on their way from the controller to the disk: as many bytes in memory as fit into one small channel.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use muster_artifact::{self as artifact, BundleError, ObjectStore, Wanted};
use muster_domain::Digest;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use tokio::sync::mpsc;

/// Pieces of a bundle in their order.
pub type ObjectStream = mpsc::Receiver<Result<Bytes, SourceError>>;

/// Where releases come from: the controller, or what stands for it in a test.
pub trait ArtifactSource: Send + Sync + 'static {
    /// The canonical bytes of a manifest.
    fn manifest(&self, artifact: Digest) -> BoxFuture<'_, Result<Vec<u8>, SourceError>>;
    /// Objects of an artifact, as one bundle.
    fn objects(
        &self,
        artifact: Digest,
        digests: Vec<Digest>,
    ) -> BoxFuture<'_, Result<ObjectStream, SourceError>>;
}

/// Why something could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// There is no connection.
    #[error("the controller is not reachable; it is tried again when it is")]
    NotConnected,
    /// The connection was lost on the way.
    #[error("the connection to the controller was lost ({0}); it is tried again")]
    Lost(String),
    /// The controller said no.
    #[error("the controller refused: {0}")]
    Refused(String),
}

#[derive(Debug)]
pub(super) enum ReceiveError {
    Source(SourceError),
    Bundle(BundleError),
    Disk(io::Error),
}

/// Takes a bundle into the store: every wanted object, verified, or none.
pub(super) fn receive(
    store: &Path,
    pieces: ObjectStream,
    wanted: BTreeMap<artifact::Digest, u64>,
) -> Result<(), ReceiveError> {
    let store = ObjectStore::open(store).map_err(ReceiveError::Disk)?;
    let mut pieces = Pieces { pieces, piece: Bytes::new(), failed: None };
    match store.put_bundle(&mut pieces, &Wanted::Exactly(wanted)) {
        Ok(_) => Ok(()),
        // The stream that broke off is the reason, the bundle that is incomplete only its consequence.
        Err(error) => Err(match (pieces.failed, error) {
            (Some(source), _) => ReceiveError::Source(source),
            (None, BundleError::Store { source, .. }) => ReceiveError::Disk(source),
            (None, error) => ReceiveError::Bundle(error),
        }),
    }
}

/// The pieces as a reader, for a thread that may block.
struct Pieces {
    pieces: ObjectStream,
    piece: Bytes,
    failed: Option<SourceError>,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(error)) => {
                    self.failed = Some(error.clone());
                    return Err(io::Error::other(error));
                }
            }
        }
        let count = buffer.len().min(self.piece.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}
