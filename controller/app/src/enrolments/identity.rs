//! Whose certificate it is, until it is nobody's any more.

use crate::{
    Actor, App, AppError, Permission,
    hubs::{Announcements, LiveMessage},
};
use muster_db::{Conn, DbError, Tx};
use muster_domain::{
    NodeId, NodeName,
    event::{Severity, Subject},
};
use muster_identity::{PeerNode, Serial, tls::RENEWAL_GRACE};

/// A node that has proved who it is.
#[derive(Debug, Clone)]
pub struct AuthenticatedNode {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// Its certificate.
    pub peer: PeerNode,
    /// The certificate has run out: nothing but a renewal is allowed.
    pub expired: bool,
}

impl App {
    /// Withdraws the identity of a node, at once: its open connections end, its certificates open no other.
    pub async fn node_revoke(&self, actor: &Actor, name: &NodeName) -> Result<(), AppError> {
        actor.require(Permission::NodeManage)?;
        let mut announcements = Announcements::default();
        let mut tx = self.db().begin().await?;
        let (node, revoked_at) = muster_db::nodes::lock(&mut tx, name.as_str())
            .await?
            .ok_or_else(|| crate::nodes::node_missing(name.as_str()))?;
        if let Some(at) = revoked_at {
            return Err(AppError::conflict("already_revoked", format!("node {name} is revoked since {at}")));
        }
        let serials = self.node_identity_withdraw(&mut tx, node).await?;
        muster_db::enrolments::node_set_revoked(&mut tx, node, self.now()).await?;
        self.event_record(
            &mut tx,
            &mut announcements,
            &actor.name,
            (Severity::Warning, "node.revoked"),
            Subject { node: Some(name.clone()), ..Subject::default() },
            format!("the identity of node {name} was withdrawn"),
        )
        .await?;
        let detail = serde_json::json!({ "certificates": serials.len() });
        self.audit(&mut tx, &actor.name, "node_revoke", format!("node {name}"), detail).await?;
        announcements.live(LiveMessage::Node(name.clone()));
        self.withdrawal_commit(tx, announcements, serials).await
    }

    /// Commits what withdraws certificates, and cuts their connections. In a task of its own: a caller that goes away while
    /// the database answers must not leave a connection open that nobody will cut.
    pub(crate) async fn withdrawal_commit(
        &self,
        tx: Tx,
        announcements: Announcements,
        serials: Vec<Serial>,
    ) -> Result<(), AppError> {
        let app = self.clone();
        let committed = tokio::spawn(async move {
            tx.commit().await.map_err(DbError::from)?;
            app.revocations().add(serials);
            app.publish(announcements);
            Ok(())
        });
        committed.await.map_err(|e| AppError::internal("the certificates could not be withdrawn", e))?
    }

    /// Revokes every certificate of a node. The caller passes the serials to [`App::revocations`] once its transaction is
    /// committed: not before, because a rolled back revocation would lock out a node that nobody revoked.
    pub(crate) async fn node_identity_withdraw(
        &self,
        conn: &mut Conn,
        node: NodeId,
    ) -> Result<Vec<Serial>, AppError> {
        let serials = muster_db::enrolments::certificates_revoke(conn, node, self.now()).await?;
        Ok(serials.into_iter().map(Serial::from_text).collect())
    }

    /// Reads what was revoked before this start. Call it before the agents' listener opens.
    pub async fn revocations_load(&self) -> Result<(), AppError> {
        let mut conn = self.db().conn().await?;
        let serials =
            muster_db::enrolments::certificates_revoked(&mut conn, self.now() - RENEWAL_GRACE).await?;
        self.revocations().add(serials.into_iter().map(Serial::from_text));
        Ok(())
    }

    /// Checks the holder of a verified certificate once more, for every request: a connection outlives much.
    pub async fn node_authenticate(&self, peer: &PeerNode) -> Result<AuthenticatedNode, AppError> {
        let refuse = |code, detail: String| AppError::Unauthenticated { code, detail };
        let revoked = || {
            refuse(
                "certificate_revoked",
                "the identity of this node was withdrawn; join again with a new invitation".to_owned(),
            )
        };
        if self.revocations().contains(&peer.serial) {
            return Err(revoked());
        }
        let mut conn = self.db().conn().await?;
        let holder = muster_db::enrolments::certificate_holder(&mut conn, peer.serial.as_str()).await?;
        match holder {
            Some(holder) if holder.revoked => Err(revoked()),
            Some(holder) if holder.node_id == peer.node_id => Ok(AuthenticatedNode {
                id: holder.node_id,
                name: holder.name,
                peer: peer.clone(),
                expired: peer.expired(self.now()),
            }),
            Some(_) | None => Err(refuse(
                "certificate_unknown",
                "this controller does not know the certificate: the node was removed, or the database is older than the certificate; join again with a new invitation"
                    .to_owned(),
            )),
        }
    }
}
