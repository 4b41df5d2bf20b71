//! Restarts that people want: kept until the node says that it did so, told to it with every heartbeat.

use crate::{
    Actor, App, AppError, Permission,
    hubs::{Announcements, LiveMessage},
    mode_overrides::check_reason,
    nodes::node_missing,
    reports::Source,
};
use muster_db::{Conn, nodes::NodeFilter, reboot_requests::RebootRequest};
use muster_domain::{
    NodeName,
    event::{Severity, Subject},
};
use uuid::Uuid;

impl App {
    /// Wants a node restarted: in its turn, or at once.
    pub async fn node_reboot(
        &self,
        actor: &Actor,
        name: &str,
        reason: &str,
        at_once: bool,
    ) -> Result<RebootRequest, AppError> {
        actor.require(Permission::NodeManage)?;
        let reason = check_reason(reason)?;
        let wanted = RebootRequest {
            id: Uuid::now_v7(),
            requested_by: actor.name.clone(),
            requested_at: self.now(),
            reason,
            at_once,
        };
        self.reboot_require_root(name).await?;
        let mut announcements = Announcements::default();
        let mut tx = self.db().begin().await?;
        let (id, revoked_at) =
            muster_db::nodes::lock(&mut tx, name).await?.ok_or_else(|| node_missing(name))?;
        if revoked_at.is_some() {
            return Err(AppError::conflict(
                "node_revoked",
                format!("node {name} no longer belongs to the fleet: its identity was withdrawn"),
            )
            .with_hint("it cannot be told anything; invite it again, or restart the host yourself"));
        }
        muster_db::reboot_requests::put(&mut tx, id, &wanted).await?;
        let detail = serde_json::json!({ "reason": wanted.reason, "at_once": at_once });
        self.audit(&mut tx, &actor.name, "node_reboot", format!("node {name}"), detail).await?;
        let how = if at_once { "at once" } else { "in its turn" };
        let message = format!("{} wants node {name} restarted {how}: {}", actor.name, wanted.reason);
        self.reboot_tell(&mut tx, &mut announcements, &actor.name, ("node.reboot_requested", name), message)
            .await?;
        tx.commit().await.map_err(muster_db::DbError::from)?;
        self.publish(announcements);
        Ok(wanted)
    }

    /// Refuses a node whose agent may not restart its host: it would be waited for in vain.
    async fn reboot_require_root(&self, name: &str) -> Result<(), AppError> {
        let mut conn = self.db().conn().await?;
        let filter = NodeFilter { name: Some(name), ..NodeFilter::default() };
        let node = self.node_overviews(&mut conn, &filter, 1).await?.pop();
        if node.ok_or_else(|| node_missing(name))?.facts.rootless {
            return Err(AppError::conflict(
                "node_rootless",
                format!("the agent of node {name} runs without root and cannot restart its host"),
            ));
        }
        Ok(())
    }

    /// Takes the wish back. A node that is restarting already is not stopped by it.
    pub async fn node_reboot_cancel(&self, actor: &Actor, name: &str) -> Result<(), AppError> {
        actor.require(Permission::NodeManage)?;
        let mut announcements = Announcements::default();
        let mut tx = self.db().begin().await?;
        let id = muster_db::nodes::id(&mut tx, name).await?.ok_or_else(|| node_missing(name))?;
        if !muster_db::reboot_requests::delete(&mut tx, id, None).await? {
            return Err(AppError::conflict(
                "no_reboot_requested",
                format!("nobody wants node {name} restarted"),
            ));
        }
        self.audit(&mut tx, &actor.name, "node_reboot_cancel", format!("node {name}"), serde_json::json!({}))
            .await?;
        let message = format!("{} no longer wants node {name} restarted", actor.name);
        self.reboot_tell(&mut tx, &mut announcements, &actor.name, ("node.reboot_cancelled", name), message)
            .await?;
        tx.commit().await.map_err(muster_db::DbError::from)?;
        self.publish(announcements);
        Ok(())
    }

    async fn reboot_tell(
        &self,
        conn: &mut Conn,
        announcements: &mut Announcements,
        actor: &str,
        (kind, name): (&'static str, &str),
        message: String,
    ) -> Result<(), AppError> {
        let node: NodeName = name.parse()?;
        announcements.live(LiveMessage::Node(node.clone()));
        let about = Subject { node: Some(node), ..Subject::default() };
        self.event_record(conn, announcements, actor, (Severity::Info, kind), about, message).await?;
        Ok(())
    }

    /// What a node that beats is to know: the restart that is wanted, unless it says that it did just that.
    pub(crate) async fn reboot_look(
        &self,
        conn: &mut Conn,
        announcements: &mut Announcements,
        node: Source<'_>,
        rebooted_for: Option<Uuid>,
    ) -> Result<Option<RebootRequest>, AppError> {
        let wanted = muster_db::reboot_requests::get(conn, node.id).await?;
        let Some(done) = wanted.as_ref().filter(|wanted| rebooted_for == Some(wanted.id)) else {
            return Ok(wanted);
        };
        muster_db::reboot_requests::delete(conn, node.id, Some(done.id)).await?;
        let message =
            format!("{} was restarted, as {} wanted: {}", node.name, done.requested_by, done.reason);
        let what = (Severity::Info, "node.rebooted");
        self.node_event_record(conn, announcements, node, what, node.subject(), message).await?;
        Ok(None)
    }
}
