//! Modes that people set on top of what is declared: to look at a node, or at one resource, without the agent putting right
//! what it finds. They only ever hold the agent back (`muster_planning::modes`).

use crate::{
    Actor, App, AppError, Permission,
    events::CONTROLLER,
    hubs::{Announcements, LiveMessage},
    nodes::node_missing,
    shorten,
};
use chrono::TimeDelta;
use muster_db::{Conn, mode_overrides::ModeOverride};
use muster_domain::{
    NodeId,
    event::{Severity, Subject},
    resource::{Mode, ResourceKey},
};
use muster_planning::modes::ModeOverrides;

/// Overrides of one node; whoever wants more wants the whole node.
const OVERRIDES_AT_MOST: i64 = 200;
/// The longest reason.
const REASON_CHARS: usize = 300;
/// The longest time; longer is a declaration.
const LONGEST: TimeDelta = TimeDelta::days(366);

/// A mode that a person wants.
#[derive(Debug, Clone)]
pub struct NewMode {
    /// Of this resource; absent: of the whole node.
    pub resource: Option<String>,
    /// The mode; `enforce` lifts what was set.
    pub mode: Mode,
    /// Why; may be empty only with `enforce`.
    pub reason: String,
    /// For so long; absent: until somebody lifts it.
    pub expires_in: Option<TimeDelta>,
}

/// A reason as it was typed: one line, not empty.
pub(crate) fn check_reason(text: &str) -> Result<String, AppError> {
    let reason = text.trim();
    if reason.is_empty() || reason.chars().count() > REASON_CHARS || reason.chars().any(char::is_control) {
        return Err(AppError::invalid(
            "reason_missing",
            format!("a reason of one line with at most {REASON_CHARS} characters is needed"),
        )
        .with_hint("say why in a few words: others will see the node like this and wonder"));
    }
    Ok(reason.to_owned())
}

impl App {
    /// Sets or lifts the mode of a node, or of one resource on it. Gives back what is set for the node from now on.
    pub async fn node_set_mode(
        &self,
        actor: &Actor,
        name: &str,
        new: NewMode,
    ) -> Result<Vec<ModeOverride>, AppError> {
        actor.require(Permission::NodeManage)?;
        let NewMode { resource, mode, reason, expires_in } = new;
        let lifts = mode == Mode::Enforce;
        let reason = if lifts && reason.trim().is_empty() { String::new() } else { check_reason(&reason)? };
        if expires_in.is_some_and(|time| time <= TimeDelta::zero() || time > LONGEST) {
            return Err(AppError::invalid("invalid_duration", "a mode can be set for a second to a year"));
        }
        let mut announcements = Announcements::default();
        let mut tx = self.compile_begin().await?;
        let id = muster_db::nodes::id(&mut tx, name).await?.ok_or_else(|| node_missing(name))?;
        let changed = if lifts {
            muster_db::mode_overrides::delete(&mut tx, id, resource.as_deref()).await?
        } else {
            if let Some(resource) = &resource {
                self.resource_require(&mut tx, id, resource).await?;
            }
            if muster_db::mode_overrides::count(&mut tx, id).await? >= OVERRIDES_AT_MOST {
                return Err(AppError::conflict(
                    "too_many_modes",
                    format!("node {name} has {OVERRIDES_AT_MOST} modes set already"),
                )
                .with_hint("set the mode of the whole node, or lift some"));
            }
            let set = ModeOverride {
                key: resource.clone(),
                mode,
                reason: reason.clone(),
                set_by: actor.name.clone(),
                set_at: self.now(),
                expires_at: expires_in.map(|time| self.now() + time),
            };
            muster_db::mode_overrides::put(&mut tx, id, &set).await?;
            true
        };
        if changed {
            let of =
                resource.as_ref().map_or_else(|| format!("node {name}"), |r| format!("{r} on node {name}"));
            let detail = serde_json::json!({
                "mode": mode.as_str(), "reason": reason, "expires_in_s": expires_in.map(|t| t.num_seconds()),
            });
            self.audit(&mut tx, &actor.name, "node_set_mode", of.clone(), detail).await?;
            let message = match mode {
                Mode::Enforce => format!("{} lifted the mode that was set for {of}", actor.name),
                Mode::Report | Mode::Ignore => {
                    format!("{} set the mode {} for {of}: {reason}", actor.name, mode.as_str())
                }
            };
            self.mode_tell(&mut tx, &mut announcements, &actor.name, id, message).await?;
            self.recompile_node(&mut tx, &mut announcements, id).await?;
        }
        let set = muster_db::mode_overrides::list(&mut tx, id).await?;
        tx.commit().await.map_err(muster_db::DbError::from)?;
        self.publish(announcements);
        Ok(set)
    }

    async fn mode_tell(
        &self,
        conn: &mut Conn,
        announcements: &mut Announcements,
        actor: &str,
        node: NodeId,
        message: String,
    ) -> Result<(), AppError> {
        let name = muster_db::reports::node_name(conn, node).await?;
        announcements.live.extend(name.clone().map(LiveMessage::Node));
        let about = Subject { node: name, ..Subject::default() };
        let what = (Severity::Info, "node.mode_set");
        self.event_record(conn, announcements, actor, what, about, message).await?;
        Ok(())
    }

    /// Refuses a resource that the node does not have: a mode for a typing error would hold nothing back.
    async fn resource_require(&self, conn: &mut Conn, node: NodeId, resource: &str) -> Result<(), AppError> {
        let known = match ResourceKey::parse(resource) {
            Ok(key) => {
                let reported = muster_db::resources::known_one(conn, node, &key).await?.is_some();
                reported || self.assignment_names(conn, node, &key).await?
            }
            Err(_) => false,
        };
        if known {
            return Ok(());
        }
        Err(AppError::not_found("resource on this node", shorten(resource))
            .with_hint("`muster node resources NAME` lists them, as kind:name"))
    }

    /// What people set for a node, as the compiler wants it.
    pub(crate) async fn mode_overrides(
        &self,
        conn: &mut Conn,
        node: NodeId,
    ) -> Result<ModeOverrides, AppError> {
        let now = self.now();
        let mut overrides = ModeOverrides::default();
        for set in muster_db::mode_overrides::list(conn, node).await? {
            if set.expires_at.is_some_and(|at| at <= now) {
                continue;
            }
            match set.key {
                None => overrides.node = set.mode,
                Some(key) => {
                    let key = ResourceKey::parse(key)
                        .map_err(|e| AppError::internal("a stored mode is for no resource", e))?;
                    overrides.resources.insert(key, set.mode);
                }
            }
        }
        Ok(overrides)
    }

    /// Lifts the modes that have run out.
    pub async fn mode_overrides_expire(&self) -> Result<(), AppError> {
        let now = self.now();
        if !muster_db::mode_overrides::any_expired(&mut *self.db().conn().await?, now).await? {
            return Ok(());
        }
        let mut announcements = Announcements::default();
        let mut tx = self.compile_begin().await?;
        let expired = muster_db::mode_overrides::delete_expired(&mut tx, now).await?;
        let mut nodes: Vec<NodeId> = Vec::new();
        for (node, key) in expired {
            let of = key.as_deref().unwrap_or("the node");
            let message = format!("the mode that was set for {of} has run out");
            self.mode_tell(&mut tx, &mut announcements, CONTROLLER, node, message).await?;
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        for node in nodes {
            self.recompile_node(&mut tx, &mut announcements, node).await?;
        }
        tx.commit().await.map_err(muster_db::DbError::from)?;
        self.publish(announcements);
        Ok(())
    }
}
