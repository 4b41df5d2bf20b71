//! Joining a fleet: a token is traded for an identity. The controller is verified before anything is sent to it.

use crate::config::{AgentConfig, jittered};
use crate::identity::{self, Enrolment, EnrolmentBasics, IdentityError, IdentityStore};
use crate::link::dial::{ControllerAddress, DialError, InvalidAddress, dial};
use crate::link::tls;
use muster_domain::{InvalidName, NodeName, node::HostFacts};
use muster_proto::convert::{self, InvalidMessage};
use muster_proto::v1::{self, enrolment_service_client::EnrolmentServiceClient};
use std::time::Duration;
use tonic::Code;
use zeroize::Zeroizing;

/// A join token: `muster_join_<id>_<secret>_<sha256 of the root certificate>`.
pub struct JoinToken {
    id: String,
    secret: Zeroizing<String>,
    root_sha256: [u8; 32],
}

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinToken").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why a node did not join. Each text is one line and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The token cannot be one.
    #[error("this is not a join token; copy the whole line that `muster node invite` printed")]
    Token,
    /// The address cannot be one.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The node is a member already.
    #[error(
        "this node already is {name} of the fleet at {controller}; --force gives up that identity and joins anew"
    )]
    AlreadyJoined {
        /// Its name there.
        name: NodeName,
        /// Where that is.
        controller: String,
    },
    /// There is no connection, or not with the right controller.
    #[error("{source}; {advice}")]
    Dial {
        /// What happened.
        source: DialError,
        /// What to do.
        advice: &'static str,
    },
    /// The controller said no.
    #[error("the controller refused: {reason}")]
    Refused {
        /// In its words.
        reason: String,
    },
    /// The controller did not manage to answer.
    #[error("the controller could not answer ({reason}); the token may still be good, try again")]
    Failed {
        /// What it said.
        reason: String,
    },
    /// The answer makes no sense.
    #[error("the controller's answer cannot be used: {reason}; are both of the same version?")]
    Answer {
        /// What is wrong with it.
        reason: String,
    },
    /// The identity cannot be kept.
    #[error("{}", crate::chain(.0))]
    Identity(#[from] IdentityError),
}

impl JoinError {
    /// Whether somebody decided against it, rather than something being out of order.
    pub fn refusal(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::AlreadyJoined { .. } => true,
            Self::Dial { source, .. } => matches!(source, DialError::WrongController { .. }),
            Self::Token
            | Self::Address(_)
            | Self::Failed { .. }
            | Self::Answer { .. }
            | Self::Identity(_) => false,
        }
    }
}

impl From<InvalidName> for JoinError {
    fn from(error: InvalidName) -> Self {
        Self::Answer { reason: error.to_string() }
    }
}

impl From<InvalidMessage> for JoinError {
    fn from(error: InvalidMessage) -> Self {
        Self::Answer { reason: error.to_string() }
    }
}

impl JoinToken {
    /// SHA-256 of the root certificate of the fleet that it is for.
    pub fn root_sha256(&self) -> &[u8] {
        &self.root_sha256
    }

    /// Reads a token.
    pub fn parse(text: &str) -> Result<Self, JoinError> {
        let rest = text.trim().strip_prefix("muster_join_").ok_or(JoinError::Token)?;
        let mut parts = rest.split('_');
        let (Some(id), Some(secret), Some(pin), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JoinError::Token);
        };
        let plain = |part: &str| {
            (1..=128).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let mut root_sha256 = [0; 32];
        if !plain(id) || !plain(secret) || hex::decode_to_slice(pin, &mut root_sha256).is_err() {
            return Err(JoinError::Token);
        }
        Ok(Self { id: id.to_owned(), secret: Zeroizing::new(secret.to_owned()), root_sha256 })
    }
}

/// What to join with.
#[derive(Debug)]
pub struct JoinRequest {
    /// The token.
    pub token: JoinToken,
    /// Where the controller is.
    pub controller: ControllerAddress,
    /// The agent will run without root.
    pub rootless: bool,
    /// Give up an identity that is already there.
    pub force: bool,
    /// What the host is.
    pub facts: HostFacts,
}

/// Joins, and writes the identity into the state folder.
pub async fn join(config: &AgentConfig, request: JoinRequest) -> Result<Enrolment, JoinError> {
    let store = IdentityStore::new(config.state_dir.clone());
    if store.joined() && !request.force {
        let known = store.enrolment()?;
        return Err(JoinError::AlreadyJoined { name: known.node_name, controller: known.controller_url });
    }
    let tls = tls::pinned(request.token.root_sha256)
        .map_err(|error| JoinError::Answer { reason: error.to_string() })?;
    let connection =
        dial(&request.controller, tls, config.intervals.connect_timeout).await.map_err(advise)?;

    config.state_dir.create().map_err(|source| IdentityError::Io {
        action: "create",
        path: config.state_dir.root().to_owned(),
        source,
    })?;
    let key = identity::make_key()?;
    // With --force the former key stays until the new identity is there.
    if !store.joined() {
        store.write_key(&key)?;
    }
    let enrol = v1::EnrolRequest {
        token_id: request.token.id.clone(),
        token_secret: request.token.secret.to_string(),
        csr_der: identity::certificate_request(&key)?,
        facts: Some((&request.facts).into()),
    };
    let mut client = EnrolmentServiceClient::new(connection.channel);
    let answer = with_deadline(config.intervals.call_timeout, client.enrol(enrol)).await?;
    let wire = answer.identity.ok_or_else(|| JoinError::Answer { reason: "it holds no identity".into() })?;
    let basics = EnrolmentBasics {
        node_id: convert::node_id("node_id", &answer.node_id)?,
        node_name: NodeName::parse(answer.node_name)?,
        controller_url: request.controller.to_string(),
        rootless: request.rootless,
    };
    let enrolment = identity::enrolment_from(basics, &wire, config.clock.now())?;
    if request.force {
        give_up_former_identity(config)?;
    }
    store.write_key(&key)?;
    store.write_identity(&enrolment, &wire)?;
    Ok(enrolment)
}

/// What was accepted for another identity must not be in force for this one. It is kept, out of the way.
fn give_up_former_identity(config: &AgentConfig) -> Result<(), IdentityError> {
    let ledger = config.state_dir.ledger();
    let mut kept = ledger.clone().into_os_string();
    kept.push(format!(".before-{}", config.clock.now().timestamp()));
    let failed = |action, path: std::path::PathBuf| move |source| IdentityError::Io { action, path, source };
    crate::durable::remove(&config.state_dir.enrolment())
        .map_err(failed("remove", config.state_dir.enrolment()))?;
    match std::fs::rename(&ledger, kept) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed("set aside", ledger)(error)),
        _ => Ok(()),
    }
}

fn advise(source: DialError) -> JoinError {
    let advice = match &source {
        DialError::Unreachable { .. } | DialError::TimedOut { .. } => {
            "check the address, that the controller runs, and that no firewall is between"
        }
        DialError::WrongController { .. } => {
            "nothing was sent to it; check --controller, and that the token is from this fleet"
        }
        DialError::Clock { .. } => "nothing was sent to it; compare the clocks of both with `date --utc`",
        DialError::Tls { .. } | DialError::Lost { .. } | DialError::Refused { .. } => {
            "check that the address is the controller's listener for agents (port 8444 by default)"
        }
    };
    JoinError::Dial { source, advice }
}

async fn with_deadline<T>(
    timeout: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, JoinError> {
    match tokio::time::timeout(jittered(timeout), call).await {
        Err(_) => Err(JoinError::Failed { reason: "it took too long".into() }),
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(match status.code() {
            Code::PermissionDenied
            | Code::Unauthenticated
            | Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::AlreadyExists
            | Code::NotFound => JoinError::Refused { reason: status.message().to_owned() },
            _ => JoinError::Failed { reason: status.message().to_owned() },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_four_parts_and_hide_their_secret() {
        let pin = "ab".repeat(32);
        let token = JoinToken::parse(&format!(" muster_join_id1_s3cret_{pin}\n")).unwrap();
        assert_eq!((token.id.as_str(), token.secret.as_str()), ("id1", "s3cret"));
        assert!(!format!("{token:?}").contains("s3cret"));
        for bad in [
            "",
            "muster_join_a_b",
            "muster_api_a_b_c",
            &format!("muster_join_a_b_{pin}_x"),
            "muster_join_a_b_zz",
        ] {
            assert!(matches!(JoinToken::parse(bad), Err(JoinError::Token)), "{bad:?}");
        }
    }
}
