//! The link to the controller: connects, stays connected, pulls assignments, delivers reports.
//!
//! Hints tell that something changed; polling finds out even when no hint comes. Whatever ends a connection, the answer
//! is the same: a pause, and a new one.

pub mod backoff;
mod certificates;
pub mod dial;
pub mod farewell;
mod inspecting;
mod planning;
pub mod reach;
pub mod remote;
mod renewal;
mod session;
pub mod tls;
pub mod turns;

use crate::config::AgentConfig;
use crate::converge::{Nudges, Planner};
use crate::identity::{Enrolment, IdentityError, IdentityStore};
use crate::ledger::Ledger;
use crate::runner::ApplicationRunner;
use backoff::Backoff;
use dial::{Connection, ControllerAddress, DialError, InvalidAddress, dial};
use muster_domain::assignment::Generation;
use muster_platform::Host;
use remote::RemoteArtifacts;
use std::sync::Arc;
use tonic::transport::Channel;
use turns::RemoteTurns;

/// The link of one agent.
pub struct Link {
    pub(crate) config: AgentConfig,
    pub(crate) store: IdentityStore,
    pub(crate) enrolment: Enrolment,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) nudges: Arc<Nudges>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) runner: Arc<dyn ApplicationRunner>,
    pub(crate) remote: Arc<RemoteArtifacts>,
    pub(crate) turns: Arc<RemoteTurns>,
    pub(crate) planner: Planner,
    /// The refusal that was reported last: the same one is not told at every poll.
    pub(crate) last_refusal: Option<(Generation, String)>,
    /// When in the life of a certificate it is renewed, between 0 and 1 of the room for that.
    pub(crate) renewal_share: f64,
    /// Before this moment it is not renewed again, whatever the clock of this machine says.
    pub(crate) renewed_until: Option<tokio::time::Instant>,
}

/// Why there is no connection any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// It could not be made.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// It was lost.
    #[error("the connection to the controller was lost: {0}")]
    Lost(String),
    /// The controller does not want this node.
    #[error("the controller refuses this node: {0}")]
    Refused(String),
    /// The node cannot prove who it is.
    #[error("the identity of this node cannot be used: {0}")]
    Identity(String),
}

impl From<IdentityError> for LinkError {
    fn from(error: IdentityError) -> Self {
        Self::Identity(crate::chain(&error))
    }
}

impl From<rustls::Error> for LinkError {
    fn from(error: rustls::Error) -> Self {
        Self::Identity(error.to_string())
    }
}

impl From<InvalidAddress> for LinkError {
    fn from(error: InvalidAddress) -> Self {
        Self::Identity(error.to_string())
    }
}

impl From<tonic::Status> for LinkError {
    fn from(status: tonic::Status) -> Self {
        let said =
            if status.message().is_empty() { status.code().to_string() } else { status.message().to_owned() };
        match status.code() {
            tonic::Code::Unauthenticated | tonic::Code::PermissionDenied => Self::Refused(said),
            // What TLS has to say about a refused certificate stands in the causes.
            _ => match std::error::Error::source(&status) {
                Some(cause) => Self::Lost(format!("{said}: {}", crate::chain(cause))),
                None => Self::Lost(said),
            },
        }
    }
}

impl Link {
    /// Connects and serves until it is dropped.
    pub async fn run(mut self) {
        let mut backoff =
            Backoff::new(self.config.intervals.reconnect_min, self.config.intervals.reconnect_max);
        let mut last_error = String::new();
        loop {
            let ended = self.connect_and_serve(&mut backoff, &mut last_error).await;
            self.remote.disconnected();
            self.turns.disconnected();
            let pause = match ended {
                // With the new certificate, at once.
                Ok(()) => continue,
                Err(error) => {
                    let text = error.to_string();
                    crate::notify::status(&format!("not connected: {text}"));
                    // The same trouble is told once, not at every attempt.
                    if text == last_error {
                        tracing::debug!("{text}");
                    } else {
                        tracing::warn!("{text}; the node stays as it is, and is kept so");
                        last_error = text;
                    }
                    backoff.next_pause()
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn connect_and_serve(
        &mut self,
        backoff: &mut Backoff,
        last_error: &mut String,
    ) -> Result<(), LinkError> {
        let Connection { channel, farewell } = self.connect().await?;
        let served = self.serve(channel, backoff, last_error).await;
        // What TLS said explains more than the end of the stream that followed.
        served.map_err(|error| match farewell.refusal() {
            Some(reason) => LinkError::Dial(DialError::Refused { reason }),
            None => error,
        })
    }

    async fn serve(
        &mut self,
        channel: Channel,
        backoff: &mut Backoff,
        last_error: &mut String,
    ) -> Result<(), LinkError> {
        if self.renewal_due() {
            match self.renew(channel.clone()).await {
                Ok(()) => return Ok(()),
                // A node that cannot renew (a full disk, say) still has a good certificate, and must not look dead.
                Err(error) if self.certificate_good() => {
                    tracing::warn!("the certificate could not be renewed yet: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        let mut session = session::Session::begin(self, channel).await?;
        tracing::info!(controller = %session.controller(), "connected to the controller");
        crate::notify::status(&format!("{}{}", crate::notify::CONNECTED, session.controller()));
        backoff.reset();
        last_error.clear();
        session.serve().await
    }

    async fn connect(&self) -> Result<Connection, LinkError> {
        let address = ControllerAddress::parse(&self.enrolment.controller_url)?;
        let tls = tls::enrolled(self.store.credentials()?)?;
        Ok(dial(&address, tls, self.config.intervals.connect_timeout).await?)
    }
}
