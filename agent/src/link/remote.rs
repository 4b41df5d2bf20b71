//! Releases from the controller, over whatever connection there is at the moment.

use crate::artifacts::{ArtifactSource, ObjectStream, SourceError};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use muster_domain::Digest;
use muster_proto::v1::{FetchObjectsRequest, GetManifestRequest, agent_service_client::AgentServiceClient};
use muster_proto::{MAX_MANIFEST_BYTES, MAX_MESSAGE_BYTES};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::transport::Channel;

/// Pieces of a bundle between the network and the disk.
const PIECES: usize = 4;

/// How long the next piece may take to come.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The controller as a source of releases.
#[derive(Debug, Default)]
pub struct RemoteArtifacts {
    client: Mutex<Option<AgentServiceClient<Channel>>>,
}

impl RemoteArtifacts {
    /// Not connected yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Uses this connection from now on.
    pub fn connected(&self, channel: Channel) {
        let client = AgentServiceClient::new(channel)
            .max_decoding_message_size(MAX_MANIFEST_BYTES.max(MAX_MESSAGE_BYTES) + 1024)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client);
    }

    /// There is none.
    pub fn disconnected(&self) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn client(&self) -> Result<AgentServiceClient<Channel>, SourceError> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(SourceError::NotConnected)
    }
}

fn translate(status: &tonic::Status) -> SourceError {
    use tonic::Code;
    let said = status.message().to_owned();
    match status.code() {
        Code::NotFound
        | Code::InvalidArgument
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::FailedPrecondition
        | Code::OutOfRange => SourceError::Refused(said),
        _ => SourceError::Lost(said),
    }
}

fn stalled() -> SourceError {
    SourceError::Lost(format!("nothing came for {} s", STALL_TIMEOUT.as_secs()))
}

impl ArtifactSource for RemoteArtifacts {
    fn manifest(&self, artifact: Digest) -> BoxFuture<'_, Result<Vec<u8>, SourceError>> {
        Box::pin(async move {
            let request = GetManifestRequest { artifact_digest: artifact.as_bytes().to_vec() };
            let mut client = self.client()?;
            let answer = tokio::time::timeout(STALL_TIMEOUT, client.get_manifest(request)).await;
            let answer = answer.map_err(|_| stalled())?.map_err(|status| translate(&status))?;
            Ok(answer.into_inner().manifest)
        })
    }

    fn objects(
        &self,
        artifact: Digest,
        digests: Vec<Digest>,
    ) -> BoxFuture<'_, Result<ObjectStream, SourceError>> {
        Box::pin(async move {
            let request = FetchObjectsRequest {
                artifact_digest: artifact.as_bytes().to_vec(),
                digests: digests.iter().map(|digest| digest.as_bytes().to_vec()).collect(),
            };
            let mut client = self.client()?;
            let answer = tokio::time::timeout(STALL_TIMEOUT, client.fetch_objects(request)).await;
            let mut stream =
                answer.map_err(|_| stalled())?.map_err(|status| translate(&status))?.into_inner();
            let (sender, receiver) = mpsc::channel(PIECES);
            tokio::spawn(async move {
                loop {
                    let piece = match tokio::time::timeout(STALL_TIMEOUT, stream.message()).await {
                        Err(_) => Err(stalled()),
                        Ok(Ok(None)) => return,
                        Ok(Ok(Some(piece))) => Ok(Bytes::from(piece.data)),
                        Ok(Err(status)) => Err(translate(&status)),
                    };
                    let last = piece.is_err();
                    // The receiver is gone when the bundle turned out to be bad; nobody wants the rest then.
                    if sender.send(piece).await.is_err() || last {
                        return;
                    }
                }
            });
            Ok(receiver)
        })
    }
}
