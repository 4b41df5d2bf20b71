//! How hosts become nodes, stay nodes and stop being nodes: invitation, enrolment, renewal, revocation.
//!
//! People invite (here) and revoke ([`identity`]); hosts enrol and renew ([`join`]); every request of a node passes
//! [`App::node_authenticate`].

mod identity;
mod join;
#[cfg(test)]
mod tests;

pub use identity::AuthenticatedNode;
pub use join::{EnrolRequest, Enrolled};

use crate::{Actor, App, AppError, Permission, hubs::Announcements};
use chrono::{DateTime, TimeDelta, Utc};
use muster_db::{
    Conn, DbError,
    enrolments::{Enrolment, EnrolmentStatus},
};
use muster_domain::{
    EnrolmentId, EnvironmentName, NodeName,
    event::{Severity, Subject},
    fleet::FleetConfiguration,
    node::Role,
};
use muster_identity::JoinToken;
use secrecy::SecretString;
use uuid::Uuid;

/// How long an invitation holds unless somebody says otherwise: long enough to paste a line, too short to be found later.
pub const DEFAULT_INVITATION_LIFE: TimeDelta = TimeDelta::minutes(15);

/// The longest that an invitation may hold.
pub const MAX_INVITATION_LIFE: TimeDelta = TimeDelta::days(7);

/// Whom to invite.
#[derive(Debug, Clone)]
pub struct InviteRequest {
    /// The name that the node will have.
    pub name: NodeName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// What it is for. Empty: what the fleet configuration says of this name.
    pub roles: Vec<Role>,
    /// How long the invitation holds.
    pub life: TimeDelta,
    /// The name belongs to an enrolled node, and the new host is to take its place.
    pub replace: bool,
}

/// An invitation with its token, which is shown once.
#[derive(Debug)]
pub struct Invitation {
    /// Its id.
    pub id: EnrolmentId,
    /// The roles that the node will have.
    pub roles: Vec<Role>,
    /// What the host presents.
    pub token: SecretString,
    /// Until when.
    pub expires_at: DateTime<Utc>,
    /// Where the host presents it.
    pub controller_url: String,
}

/// What became of an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnrolmentState {
    /// A host may join with it.
    Invited,
    /// A host joined with it.
    Enrolled,
    /// It was taken back.
    Withdrawn,
    /// Nobody came in time.
    Expired,
}

impl EnrolmentState {
    /// The word in REST and the dashboard.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::Enrolled => "enrolled",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }
}

/// An invitation as people see it later: without its secret.
#[derive(Debug, Clone)]
pub struct EnrolmentSummary {
    /// Its id.
    pub id: EnrolmentId,
    /// The name.
    pub node_name: NodeName,
    /// The environment.
    pub environment: EnvironmentName,
    /// What the node is for.
    pub roles: Vec<Role>,
    /// Who invited.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Until when it holds.
    pub expires_at: DateTime<Utc>,
    /// What became of it.
    pub state: EnrolmentState,
    /// When a host joined.
    pub enrolled_at: Option<DateTime<Utc>>,
}

impl App {
    /// Invites a host: makes the token that it joins with, once. A former invitation of the name ends.
    pub async fn node_invite(&self, actor: &Actor, request: InviteRequest) -> Result<Invitation, AppError> {
        actor.require(Permission::NodeManage)?;
        if request.life < TimeDelta::minutes(1) || request.life > MAX_INVITATION_LIFE {
            return Err(AppError::invalid(
                "invalid_life",
                "an invitation holds for one minute to seven days",
            ));
        }
        let now = self.now();
        let mut tx = self.db().begin().await?;
        let InviteRequest { name, environment, mut roles, life, replace } = request;
        let configuration = muster_db::fleet_configurations::current(&mut tx).await?.map(|c| c.configuration);
        if let Some(configuration) = &configuration {
            self.environment_require(&mut tx, &environment).await?;
            if let (true, Some(declared)) = (roles.is_empty(), configuration.nodes.get(&name)) {
                roles.clone_from(&declared.roles);
            }
            if let Some(disagreement) = disagreement(configuration, &name, &environment, &roles) {
                return Err(AppError::conflict("declared_otherwise", disagreement).with_hint(
                    "invite with what is declared, or change the fleet files and apply them first",
                ));
            }
        }
        muster_db::enrolments::withdraw_name(&mut tx, &name).await?;
        let replaced = match muster_db::nodes::lock(&mut tx, name.as_str()).await? {
            Some((id, None)) if replace => Some(id),
            Some((_, None)) => {
                return Err(AppError::conflict("name_taken", format!("node {name:?} is already enrolled", name = name.as_str()))
                    .with_hint("choose another name; or, if another host is to take its place, revoke the node first or invite with `--replace`"));
            }
            Some((_, Some(_))) | None => None,
        };
        let token =
            JoinToken::generate(EnrolmentId::from_uuid(Uuid::now_v7()), self.identity().ca.root_sha256());
        let enrolment = Enrolment {
            id: token.id,
            node_name: name,
            environment,
            roles,
            secret_hash: token.secret.hash().as_bytes().to_vec(),
            created_by: actor.name.clone(),
            created_at: now,
            expires_at: now + life,
            status: EnrolmentStatus::Invited,
            enrolled_at: None,
            node_id: replaced,
        };
        muster_db::enrolments::insert(&mut tx, &enrolment).await?;
        let mut announcements = Announcements::default();
        self.enrolment_record(
            &mut tx,
            &mut announcements,
            &enrolment,
            &actor.name,
            (Severity::Info, "node.invited", "node_invite"),
            format!(
                "a host was invited to join as node {}{}",
                enrolment.node_name,
                if replaced.is_some() { " in the place of the present one" } else { "" }
            ),
        )
        .await?;
        tx.commit().await.map_err(DbError::from)?;
        self.publish(announcements);
        Ok(Invitation {
            id: token.id,
            roles: enrolment.roles,
            token: SecretString::from(token.reveal().as_str()),
            expires_at: enrolment.expires_at,
            controller_url: self.settings().agent_url.clone(),
        })
    }

    /// Takes back an invitation that nobody has used.
    pub async fn enrolment_withdraw(&self, actor: &Actor, id: EnrolmentId) -> Result<(), AppError> {
        actor.require(Permission::NodeManage)?;
        let mut tx = self.db().begin().await?;
        let enrolment = muster_db::enrolments::lock(&mut tx, id)
            .await?
            .ok_or_else(|| AppError::not_found("invitation", id))?;
        if !muster_db::enrolments::withdraw(&mut tx, id).await? {
            return Err(AppError::conflict(
                "not_open",
                format!("the invitation of node {} is no longer open", enrolment.node_name),
            ));
        }
        let mut announcements = Announcements::default();
        self.enrolment_record(
            &mut tx,
            &mut announcements,
            &enrolment,
            &actor.name,
            (Severity::Info, "node.invitation_withdrawn", "enrolment_withdraw"),
            format!("the invitation of node {} was taken back", enrolment.node_name),
        )
        .await?;
        tx.commit().await.map_err(DbError::from)?;
        self.publish(announcements);
        Ok(())
    }

    /// Invitations behind `before`, newest first.
    pub async fn enrolment_list(
        &self,
        actor: &Actor,
        before: Option<EnrolmentId>,
        limit: i64,
    ) -> Result<Vec<EnrolmentSummary>, AppError> {
        actor.require(Permission::FleetView)?;
        let now = self.now();
        let mut conn = self.db().conn().await?;
        let enrolments = muster_db::enrolments::list(&mut conn, before, limit).await?;
        Ok(enrolments.into_iter().map(|enrolment| summary(enrolment, now)).collect())
    }

    async fn enrolment_record(
        &self,
        conn: &mut Conn,
        announcements: &mut Announcements,
        enrolment: &Enrolment,
        actor: &str,
        (severity, kind, action): (Severity, &'static str, &'static str),
        message: String,
    ) -> Result<(), AppError> {
        let subject = Subject {
            node: Some(enrolment.node_name.clone()),
            environment: Some(enrolment.environment.clone()),
            ..Subject::default()
        };
        self.event_record(conn, announcements, actor, (severity, kind), subject, message).await?;
        let detail = serde_json::json!({
            "enrolment": enrolment.id,
            "environment": enrolment.environment,
            "roles": enrolment.roles,
        });
        self.audit(conn, actor, action, format!("node {}", enrolment.node_name), detail).await
    }
}

fn summary(enrolment: Enrolment, now: DateTime<Utc>) -> EnrolmentSummary {
    let Enrolment {
        id,
        node_name,
        environment,
        roles,
        secret_hash: _,
        created_by,
        created_at,
        expires_at,
        status,
        enrolled_at,
        node_id: _,
    } = enrolment;
    let state = match status {
        EnrolmentStatus::Invited if expires_at <= now => EnrolmentState::Expired,
        EnrolmentStatus::Invited => EnrolmentState::Invited,
        EnrolmentStatus::Enrolled => EnrolmentState::Enrolled,
        EnrolmentStatus::Withdrawn => EnrolmentState::Withdrawn,
    };
    EnrolmentSummary {
        id,
        node_name,
        environment,
        roles,
        created_by,
        created_at,
        expires_at,
        state,
        enrolled_at,
    }
}

/// Where an invitation and the fleet configuration say different things of a node.
fn disagreement(
    configuration: &FleetConfiguration,
    name: &NodeName,
    environment: &EnvironmentName,
    roles: &[Role],
) -> Option<String> {
    let declared = configuration.nodes.get(name)?;
    if declared.environment != *environment {
        return Some(format!(
            "the fleet configuration puts node {name} into environment {}, the invitation into {environment}",
            declared.environment
        ));
    }
    let sorted = |roles: &[Role]| {
        let mut words: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        words.join(", ")
    };
    let (wanted, given) = (sorted(&declared.roles), sorted(roles));
    (wanted != given).then(|| {
        format!("the fleet configuration gives node {name} the roles [{wanted}], the invitation gives it [{given}]")
    })
}
