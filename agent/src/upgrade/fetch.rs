//! Files from the controller over HTTP/1.1, on the listener that agents use anyway.

use super::{Entry, UpgradeError};
use crate::link::dial::{self, ControllerAddress};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use sha2::{Digest as _, Sha256};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Connecting, TLS included.
const CONNECT_PATIENCE: Duration = Duration::from_secs(20);

/// The head of an answer; the controller may let a download wait for its turn.
const ANSWER_PATIENCE: Duration = Duration::from_secs(150);

/// The next piece of a body.
const PIECE_PATIENCE: Duration = Duration::from_secs(60);

/// What a refusal says about itself.
const MAX_COMPLAINT_BYTES: usize = 4096;

/// A controller.
pub(super) struct Source {
    address: ControllerAddress,
    tls: Arc<ClientConfig>,
}

impl Source {
    pub(super) fn new(address: ControllerAddress, tls: Arc<ClientConfig>) -> Self {
        Self { address, tls }
    }

    /// A short file, whole.
    pub(super) async fn small(&self, path: &str, most: usize) -> Result<Vec<u8>, UpgradeError> {
        let mut answer = self.get(path).await?;
        let mut content = Vec::new();
        while let Some(piece) = piece(path, &mut answer).await? {
            content.extend_from_slice(&piece);
            if content.len() > most {
                return Err(unusable(path, format!("it has more than {most} bytes")));
            }
        }
        Ok(content)
    }

    /// A program, which must be the one of the list.
    pub(super) async fn program(&self, entry: &Entry, to: &Path) -> Result<(), UpgradeError> {
        let failed = |source| UpgradeError::Io { path: to.to_owned(), source };
        let path = format!("{}/{}", entry.architecture, entry.program);
        let mut answer = self.get(&path).await?;
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(failed)?;
        let mut hasher = Sha256::new();
        let mut bytes = 0;
        let damaged = || UpgradeError::Damaged { program: entry.program.clone() };
        while let Some(piece) = piece(&path, &mut answer).await? {
            bytes += piece.len() as u64;
            if bytes > entry.bytes {
                return Err(damaged());
            }
            hasher.update(&piece);
            file.write_all(&piece).map_err(failed)?;
        }
        file.sync_all().map_err(failed)?;
        if bytes != entry.bytes || hex::encode(hasher.finalize()) != entry.sha256 {
            return Err(damaged());
        }
        Ok(())
    }

    /// A connection for each file: there are six.
    async fn get(&self, path: &str) -> Result<Response<Incoming>, UpgradeError> {
        let stream = tokio::time::timeout(CONNECT_PATIENCE, dial::secure(&self.address, self.tls.clone()))
            .await
            .map_err(|_| unusable(path, "there was no connection in time"))??;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unusable(path, crate::chain(&error)))?;
        // Ends with the answer; what goes wrong with it shows there.
        tokio::spawn(async move { drop(connection.await) });
        let request = Request::get(format!("/install/{path}"))
            .header(header::HOST, self.address.to_string().trim_start_matches("https://"))
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .expect("paths are made of plain words");
        let answer = tokio::time::timeout(ANSWER_PATIENCE, sender.send_request(request))
            .await
            .map_err(|_| unusable(path, "it did not answer in time"))?
            .map_err(|error| unusable(path, crate::chain(&error)))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        // A line of text for people.
        let said = tokio::time::timeout(
            PIECE_PATIENCE,
            Limited::new(answer.into_body(), MAX_COMPLAINT_BYTES).collect(),
        )
        .await;
        let said = said.ok().and_then(Result::ok).map(|body| body.to_bytes()).unwrap_or_default();
        let said: String = String::from_utf8_lossy(&said).trim().chars().take(200).collect();
        Err(unusable(path, format!("{status}: {said}")))
    }
}

fn unusable(path: &str, reason: impl Into<String>) -> UpgradeError {
    UpgradeError::Answer { path: path.to_owned(), reason: reason.into() }
}

async fn piece(path: &str, answer: &mut Response<Incoming>) -> Result<Option<Bytes>, UpgradeError> {
    loop {
        let frame = tokio::time::timeout(PIECE_PATIENCE, answer.frame())
            .await
            .map_err(|_| unusable(path, "it came to a halt"))?;
        match frame {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(error)) => return Err(unusable(path, crate::chain(&error))),
        }
    }
}
