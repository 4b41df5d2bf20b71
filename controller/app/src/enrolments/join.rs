//! What hosts do: join with a token, renew a certificate.

use super::{AuthenticatedNode, disagreement};
use crate::{
    App, AppError,
    hubs::{Announcements, LiveMessage},
};
use chrono::{DateTime, TimeDelta, Utc};
use muster_db::{
    Conn, DbError, Tx,
    enrolments::{Enrolment, EnrolmentStatus, NewNode, NodeCertificate},
};
use muster_domain::{
    EnrolmentId, NodeId, NodeName,
    event::{Severity, Subject},
    node::HostFacts,
};
use muster_identity::{IssueError, IssuedCertificate, Secret, SecretHash, Serial, tls::RENEWAL_GRACE};
use std::net::IpAddr;
use uuid::Uuid;

/// The kind of event that a refused host leaves.
const REFUSED: &str = "node.enrolment_refused";

/// Anybody who reaches the listener can be refused, as often as they like: more than this per minute goes to the log only.
const REFUSALS_RECORDED_PER_MINUTE: i64 = 20;

/// Certificates of one node; it needs a few a day. Each is a row that is kept for a month.
const CERTIFICATES_PER_HOUR: i64 = 60;

/// A host that wants to join.
#[derive(Debug, Clone)]
pub struct EnrolRequest {
    /// The id from the token.
    pub token_id: String,
    /// The secret from the token.
    pub token_secret: Secret,
    /// PKCS #10, DER.
    pub csr_der: Vec<u8>,
    /// What the host says of itself.
    pub facts: HostFacts,
    /// Where it calls from.
    pub address: Option<IpAddr>,
}

/// A host that has joined.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// The node that it is now.
    pub node_id: NodeId,
    /// Its name.
    pub node_name: NodeName,
    /// Its certificate.
    pub certificate: IssuedCertificate,
}

/// Why a host may not join. Each text tells the person at the host what to do.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(
        "this controller does not know the join token; it may belong to another fleet, or its invitation is gone"
    )]
    UnknownToken,
    #[error("the secret of the join token is wrong; paste the token again, whole")]
    WrongSecret,
    #[error("the join token ran out at {0}; ask for a new invitation")]
    Expired(DateTime<Utc>),
    #[error("the join token was used at {0}; a token admits one host, ask for a new invitation")]
    Used(DateTime<Utc>),
    #[error(
        "the invitation was taken back, or a newer one of the same name replaced it; use the newest token"
    )]
    Withdrawn,
    #[error(
        "node {0} is already enrolled; ask for an invitation with another name, or one that replaces the node"
    )]
    NameTaken(NodeName),
    #[error("{0}; ask for a new invitation")]
    DeclaredOtherwise(String),
    #[error("{0}")]
    Request(&'static str),
}

impl Refusal {
    const fn code(&self) -> &'static str {
        match self {
            Self::UnknownToken => "token_unknown",
            Self::WrongSecret => "token_wrong_secret",
            Self::Expired(_) => "token_expired",
            Self::Used(_) => "token_used",
            Self::Withdrawn => "token_withdrawn",
            Self::NameTaken(_) => "name_taken",
            Self::DeclaredOtherwise(_) => "declared_otherwise",
            Self::Request(_) => "invalid_certificate_request",
        }
    }
}

impl From<Refusal> for AppError {
    fn from(refusal: Refusal) -> Self {
        let (code, detail) = (refusal.code(), refusal.to_string());
        match refusal {
            Refusal::UnknownToken | Refusal::WrongSecret | Refusal::Expired(_) => {
                Self::Unauthenticated { code, detail }
            }
            Refusal::Used(_) | Refusal::Withdrawn | Refusal::NameTaken(_) | Refusal::DeclaredOtherwise(_) => {
                Self::conflict(code, detail)
            }
            Refusal::Request(_) => Self::invalid(code, detail),
        }
    }
}

/// An enrolment that did not happen: refused, or the controller could not.
enum NotEnrolled {
    Refused(Refusal),
    Failed(AppError),
}

impl From<Refusal> for NotEnrolled {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<AppError> for NotEnrolled {
    fn from(error: AppError) -> Self {
        Self::Failed(error)
    }
}

impl From<DbError> for NotEnrolled {
    fn from(error: DbError) -> Self {
        Self::Failed(error.into())
    }
}

fn issue_failed(error: IssueError) -> NotEnrolled {
    match error {
        IssueError::Request(reason) => Refusal::Request(reason).into(),
        IssueError::IssuerExpired(_)
        | IssueError::NoServiceIssuer
        | IssueError::ReservedName(_)
        | IssueError::Sign(_) => {
            NotEnrolled::Failed(AppError::internal("the certificate could not be issued", error))
        }
    }
}

impl App {
    /// Makes a host a node: checks the token, issues the certificate, compiles the first assignment; all of it or nothing.
    /// A refusal is told to the host and left as an event.
    pub async fn node_enrol(&self, request: EnrolRequest) -> Result<Enrolled, AppError> {
        let mut known = None;
        let refusal = match self.enrol(&request, &mut known).await {
            Ok(enrolled) => return Ok(enrolled),
            Err(NotEnrolled::Failed(error)) => return Err(error),
            Err(NotEnrolled::Refused(refusal)) => refusal,
        };
        let host = host(&request);
        tracing::warn!(host, code = refusal.code(), reason = %refusal, "a host was refused");
        self.refusal_record(known.as_ref(), host, &refusal).await?;
        Err(refusal.into())
    }

    async fn enrol(
        &self,
        request: &EnrolRequest,
        known: &mut Option<Enrolment>,
    ) -> Result<Enrolled, NotEnrolled> {
        let now = self.now();
        let id: EnrolmentId = request.token_id.parse().map_err(|_| Refusal::UnknownToken)?;
        let mut tx = self.db().begin().await?;
        // Held until the end: the second of two hosts with one token waits here.
        let enrolment = muster_db::enrolments::lock(&mut tx, id).await?.ok_or(Refusal::UnknownToken)?;
        let enrolment = &*known.insert(enrolment);
        // The secret first: who does not have it learns nothing of the invitation.
        if !SecretHash::from_slice(&enrolment.secret_hash)
            .is_some_and(|hash| hash.matches(&request.token_secret))
        {
            return Err(Refusal::WrongSecret.into());
        }
        match (enrolment.status, enrolment.enrolled_at) {
            (EnrolmentStatus::Withdrawn, _) => return Err(Refusal::Withdrawn.into()),
            (EnrolmentStatus::Enrolled, at) => return Err(Refusal::Used(at.unwrap_or(now)).into()),
            (EnrolmentStatus::Invited, _) if enrolment.expires_at <= now => {
                return Err(Refusal::Expired(enrolment.expires_at).into());
            }
            (EnrolmentStatus::Invited, _) => {}
        }
        // Not before the secret is known to be right: strangers must not stand in this line. A configuration, a secret or
        // a release that is put in force meanwhile would not see the new node, nor the new node it.
        muster_db::assignments::compile_turn(&mut tx).await?;
        // Fleet files may have changed since the invitation.
        if let Some(stored) = muster_db::fleet_configurations::current(&mut tx).await?
            && let Some(text) = disagreement(
                &stored.configuration,
                &enrolment.node_name,
                &enrolment.environment,
                &enrolment.roles,
            )
        {
            return Err(Refusal::DeclaredOtherwise(text).into());
        }
        let (node_id, withdrawn) = self.node_place(&mut tx, enrolment, &request.facts).await?;
        let certificate =
            self.certificate_issue(&mut tx, node_id, &enrolment.node_name, &request.csr_der).await?;
        muster_db::enrolments::set_enrolled(&mut tx, enrolment.id, node_id, now).await?;

        let mut announcements = Announcements::default();
        self.recompile_node(&mut tx, &mut announcements, node_id).await?;
        self.enrolment_record(
            &mut tx,
            &mut announcements,
            enrolment,
            &format!("node {}", enrolment.node_name),
            (Severity::Info, "node.enrolled", "node_enrol"),
            format!("{} joined as node {}", host(request), enrolment.node_name),
        )
        .await?;
        announcements.live(LiveMessage::Node(enrolment.node_name.clone()));
        self.withdrawal_commit(tx, announcements, withdrawn).await?;
        Ok(Enrolled { node_id, node_name: enrolment.node_name.clone(), certificate })
    }

    /// The row of the new node: a fresh one, or that of a revoked or replaced node with the same name. Gives back the
    /// certificates that end with it.
    async fn node_place(
        &self,
        tx: &mut Tx,
        enrolment: &Enrolment,
        facts: &HostFacts,
    ) -> Result<(NodeId, Vec<Serial>), NotEnrolled> {
        let existing = muster_db::nodes::lock(tx, enrolment.node_name.as_str()).await?;
        let mut new = NewNode {
            id: NodeId::from_uuid(Uuid::now_v7()),
            name: &enrolment.node_name,
            environment: &enrolment.environment,
            roles: &enrolment.roles,
            facts,
            at: self.now(),
        };
        match existing {
            None => match muster_db::enrolments::node_insert(tx, &new).await {
                Ok(()) => Ok((new.id, Vec::new())),
                // Another invitation of the same name was faster by a hair.
                Err(error) if error.constraint() == Some("nodes_name_key") => {
                    Err(Refusal::NameTaken(enrolment.node_name.clone()).into())
                }
                Err(error) => Err(error.into()),
            },
            Some((id, revoked_at)) if revoked_at.is_some() || enrolment.node_id == Some(id) => {
                let withdrawn = self.node_identity_withdraw(tx, id).await?;
                new.id = id;
                muster_db::enrolments::node_reuse(tx, &new).await?;
                Ok((id, withdrawn))
            }
            Some(_) => Err(Refusal::NameTaken(enrolment.node_name.clone()).into()),
        }
    }

    async fn certificate_issue(
        &self,
        conn: &mut Conn,
        node: NodeId,
        name: &NodeName,
        csr_der: &[u8],
    ) -> Result<IssuedCertificate, NotEnrolled> {
        let now = self.now();
        let certificate =
            self.identity().ca.issue_node_certificate(csr_der, node, name, now).map_err(issue_failed)?;
        let stored = NodeCertificate {
            serial: certificate.serial.as_str().to_owned(),
            node_id: node,
            public_key_sha256: certificate.public_key_sha256.to_vec(),
            issued_at: now,
            not_after: certificate.not_after,
        };
        muster_db::enrolments::certificate_insert(conn, &stored).await?;
        Ok(certificate)
    }

    /// Renews the certificate that a node presented. One that still holds may be renewed with another key; one that has run
    /// out only with the key that the node is bound to, because whoever finds an old certificate must not come back with it.
    pub async fn node_renew(
        &self,
        node: &AuthenticatedNode,
        csr_der: &[u8],
    ) -> Result<IssuedCertificate, AppError> {
        let now = self.now();
        let mut tx = self.db().begin().await?;
        // The lock orders this against a revocation: whichever comes second sees the other.
        let revoked = match muster_db::nodes::lock(&mut tx, node.name.as_str()).await? {
            Some((id, revoked_at)) => id != node.id || revoked_at.is_some(),
            None => true,
        };
        if revoked || self.revocations().contains(&node.peer.serial) {
            return Err(AppError::Unauthenticated {
                code: "certificate_revoked",
                detail: "the identity of this node was withdrawn; join again with a new invitation"
                    .to_owned(),
            });
        }
        let recent =
            muster_db::enrolments::certificates_issued(&mut tx, node.id, now - TimeDelta::hours(1)).await?;
        if recent >= CERTIFICATES_PER_HOUR {
            return Err(AppError::TooManyRequests {
                detail: format!("node {} was issued {recent} certificates within the last hour", node.name),
                retry_after_s: 600,
            });
        }
        let bound = muster_db::enrolments::bound_key(&mut tx, node.id).await?;
        let certificate = match self.certificate_issue(&mut tx, node.id, &node.name, csr_der).await {
            Ok(certificate) => certificate,
            Err(NotEnrolled::Refused(refusal)) => return Err(refusal.into()),
            Err(NotEnrolled::Failed(error)) => return Err(error),
        };
        let key_bound = bound.as_deref() == Some(&node.peer.public_key_sha256[..])
            && certificate.public_key_sha256 == node.peer.public_key_sha256;
        if node.expired && !key_bound {
            return Err(AppError::Unauthenticated {
                code: "key_not_bound",
                detail: "a certificate that has run out can be renewed with the node's present key only; join again with a new invitation"
                    .to_owned(),
            });
        }
        muster_db::enrolments::certificates_forget(&mut tx, node.id, now - RENEWAL_GRACE).await?;
        let mut announcements = Announcements::default();
        if node.expired {
            self.event_record(
                &mut tx,
                &mut announcements,
                &format!("node {}", node.name),
                (Severity::Info, "node.certificate_renewed_late"),
                Subject { node: Some(node.name.clone()), ..Subject::default() },
                format!(
                    "node {} came back and renewed a certificate that had run out at {}",
                    node.name, node.peer.not_after
                ),
            )
            .await?;
        }
        tx.commit().await.map_err(DbError::from)?;
        self.publish(announcements);
        tracing::info!(node = %node.name, not_after = %certificate.not_after, expired = node.expired, "a node certificate was renewed");
        Ok(certificate)
    }

    async fn refusal_record(
        &self,
        enrolment: Option<&Enrolment>,
        host: String,
        refusal: &Refusal,
    ) -> Result<(), AppError> {
        let mut announcements = Announcements::default();
        let mut tx = self.db().begin().await?;
        let recent =
            muster_db::events::count_since(&mut tx, REFUSED, self.now() - TimeDelta::minutes(1)).await?;
        if recent >= REFUSALS_RECORDED_PER_MINUTE {
            return Ok(());
        }
        let wanted = enrolment.map_or_else(String::new, |e| format!(" as node {}", e.node_name));
        self.event_record(
            &mut tx,
            &mut announcements,
            &host,
            (Severity::Warning, REFUSED),
            Subject {
                node: enrolment.map(|e| e.node_name.clone()),
                environment: enrolment.map(|e| e.environment.clone()),
                ..Subject::default()
            },
            format!("{host} was refused{wanted}: {refusal}"),
        )
        .await?;
        tx.commit().await.map_err(DbError::from)?;
        self.publish(announcements);
        Ok(())
    }
}

/// A host in words: its own name is what it says, the address is what we see.
fn host(request: &EnrolRequest) -> String {
    let name: String = request.facts.hostname.chars().filter(|c| !c.is_control()).take(80).collect();
    match (name.as_str(), request.address) {
        ("", None) => "a host".to_owned(),
        ("", Some(address)) => format!("host {address}"),
        (name, None) => format!("host {name:?}"),
        (name, Some(address)) => format!("host {name:?} at {address}"),
    }
}
