//! Resources of nodes, as people look at them: one in full, and what was changed when and why.

use crate::{Actor, App, AppError, Permission, nodes::node_missing, page::PageRequest, page::Paged, shorten};
use chrono::TimeDelta;
use muster_domain::NodeName;

pub use muster_db::resources::{ResourceChangeRecord, ResourceRecord};

/// Changes that are shown with one resource.
const CHANGES_SHOWN: i64 = 20;

/// For how long changes are kept.
const CHANGES_KEPT_DAYS: i64 = 180;

/// A resource in full.
#[derive(Debug, Clone)]
pub struct ResourceView {
    /// The node.
    pub node: NodeName,
    /// What the list shows.
    pub record: ResourceRecord,
    /// What differs now.
    pub diff: Option<String>,
    /// What the last change put right.
    pub change_diff: Option<String>,
    /// The last changes, the newest first.
    pub changes: Vec<ResourceChangeRecord>,
}

impl App {
    /// One resource of a node in full.
    pub async fn resource_get(&self, actor: &Actor, name: &str, key: &str) -> Result<ResourceView, AppError> {
        actor.require(Permission::FleetView)?;
        let mut conn = self.db().conn().await?;
        let id = self.node_id(&mut conn, name).await?;
        let record = muster_db::resources::list(&mut conn, id, Some(key)).await?.pop();
        let record = record.ok_or_else(|| {
            AppError::not_found("resource on this node", shorten(key))
                .with_hint(format!("`muster node resources {name}` lists them, as kind:name"))
        })?;
        let (diff, change_diff) = muster_db::resources::diffs(&mut conn, id, key).await?;
        let changes = muster_db::resources::changes(&mut conn, id, Some(key), None, CHANGES_SHOWN).await?;
        Ok(ResourceView { node: name.parse()?, record, diff, change_diff, changes })
    }

    /// What was changed on a node, the newest first; of one resource, when it is named.
    pub async fn resource_change_list(
        &self,
        actor: &Actor,
        name: &str,
        key: Option<&str>,
        page: &PageRequest,
    ) -> Result<Paged<ResourceChangeRecord>, AppError> {
        actor.require(Permission::FleetView)?;
        let before = page.parse()?;
        let mut conn = self.db().conn().await?;
        let id = muster_db::nodes::id(&mut conn, name).await?.ok_or_else(|| node_missing(name))?;
        let changes = muster_db::resources::changes(&mut conn, id, key, before, page.rows()).await?;
        Ok(page.page(changes, |change| change.id.to_string()))
    }

    /// Forgets changes that are older than `CHANGES_KEPT_DAYS`.
    pub async fn resource_changes_maintain(&self) -> Result<(), AppError> {
        let before = self.now() - TimeDelta::days(CHANGES_KEPT_DAYS);
        let mut conn = self.db().conn().await?;
        let forgotten = muster_db::resources::changes_delete_before(&mut conn, before).await?;
        if forgotten > 0 {
            tracing::info!(forgotten, "changes older than {CHANGES_KEPT_DAYS} days were forgotten");
        }
        Ok(())
    }
}
