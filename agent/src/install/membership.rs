//! Whether a host that is being installed has to join, or is a member already.

use crate::config::AgentConfig;
use crate::identity::{Enrolment, IdentityError, IdentityStore};
use crate::join::{JoinError, JoinRequest, join};
use crate::link::dial::{self, ControllerAddress};
use crate::link::tls;
use muster_proto::v1::{self, agent_service_client::AgentServiceClient};
use sha2::{Digest as _, Sha256};
use tonic::Code;

/// What was found or done.
#[derive(Debug)]
pub enum Membership {
    /// It was a member, and stays it; an invitation was not used.
    Kept(Enrolment),
    /// It joined just now.
    Joined(Enrolment),
}

/// Why a host is no member.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// Nobody invited it.
    #[error(
        "this host has not joined a fleet, and no join token was given; run the line that `muster node invite` prints"
    )]
    NoInvitation,
    /// It belongs to somebody else.
    #[error(
        "this host is node {name} of another fleet, at {controller}; `muster-agent uninstall` ends that, --force gives up that identity only"
    )]
    OtherFleet {
        /// Its name there.
        name: String,
        /// Where that is.
        controller: String,
    },
    /// Joining failed.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The identity that is there cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl MembershipError {
    /// Whether somebody decided against it, rather than something being out of order.
    pub fn refusal(&self) -> bool {
        match self {
            Self::OtherFleet { .. } => true,
            Self::Join(error) => error.refusal(),
            Self::NoInvitation | Self::Identity(_) => false,
        }
    }
}

/// Makes sure that the host is a member. With an invitation, an identity that its controller refuses (because it was
/// revoked, say) is replaced by a new one; one that works is kept, and the invitation stays unused.
pub async fn ensure(
    config: &AgentConfig,
    invitation: Option<JoinRequest>,
) -> Result<Membership, MembershipError> {
    let store = IdentityStore::new(config.state_dir.clone());
    if !store.joined() {
        let invitation = invitation.ok_or(MembershipError::NoInvitation)?;
        return Ok(Membership::Joined(join(config, invitation).await?));
    }
    let Some(mut invitation) = invitation else { return Ok(Membership::Kept(store.enrolment()?)) };
    if invitation.force {
        return Ok(Membership::Joined(join(config, invitation).await?));
    }
    let known = store.enrolment()?;
    let root = store.credentials()?.root;
    if Sha256::digest(&root).as_slice() != invitation.token.root_sha256() {
        return Err(MembershipError::OtherFleet {
            name: known.node_name.to_string(),
            controller: known.controller_url,
        });
    }
    if let Some(reason) = refused(config, &store, &invitation.controller).await {
        tracing::warn!(
            "the identity of node {} is of no use any more ({reason}): joining anew",
            known.node_name
        );
        invitation.force = true;
        return Ok(Membership::Joined(join(config, invitation).await?));
    }
    Ok(Membership::Kept(known))
}

/// Whether the controller does not take the identity that is there. That it cannot be asked is no refusal.
async fn refused(
    config: &AgentConfig,
    store: &IdentityStore,
    controller: &ControllerAddress,
) -> Option<String> {
    let enrolment = store.enrolment().ok()?;
    let config_tls = tls::enrolled(store.credentials().ok()?).ok()?;
    let timeout = config.intervals.connect_timeout;
    if let Some(reason) = dial::refusal(controller, config_tls.clone(), timeout).await.ok()? {
        return Some(reason.to_owned());
    }
    // The certificate is good; the node may be unknown all the same.
    let connection = dial::dial(controller, config_tls, timeout).await.ok()?;
    let mut client = AgentServiceClient::new(connection.channel);
    let call = client.get_assignment(v1::GetAssignmentRequest::default());
    let status = tokio::time::timeout(config.intervals.call_timeout, call).await.ok()?.err()?;
    // A certificate that has just run out is renewed by the agent itself.
    let lasts = config.clock.now() < enrolment.certificate_not_after;
    let no = matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied);
    (no && lasts).then(|| status.message().to_owned())
}
