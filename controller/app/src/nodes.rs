//! Nodes, as people look at them and act on them.

use crate::{
    Actor, App, AppError, NodeHint, Permission,
    hubs::{Announcements, LiveMessage},
    page::{PageRequest, Paged},
    resources::ResourceRecord,
    shorten,
    turns::TurnView,
};
use chrono::{DateTime, TimeDelta, Utc};
use muster_db::{Conn, nodes::NodeFilter, processes::ProcessFilter, reboot_requests::RebootRequest};
use muster_domain::{
    EnvironmentName, NodeId, NodeName,
    event::{Severity, Subject},
    node::Convergence,
};

pub use muster_db::mode_overrides::ModeOverride;
pub use muster_db::nodes::{LatestFigures, NodeOverview};
pub use muster_db::processes::ProcessRecord;

/// Figures that are older say nothing about now.
const FIGURES_RECENT: TimeDelta = TimeDelta::minutes(5);
/// Processes shown of one node; the supervisor allows fewer.
const PROCESSES_OF_A_NODE: i64 = 5_000;

/// Which nodes to list. Absent parts do not restrict.
#[derive(Debug, Clone, Default)]
pub struct NodeQuery {
    /// Of this environment.
    pub environment: Option<String>,
    /// With this role.
    pub role: Option<String>,
    /// Standing so: `converged`, `pending`, `waiting`, `drifted` or `failed`.
    pub convergence: Option<String>,
    /// Which page.
    pub page: PageRequest,
}

/// A node in full.
#[derive(Debug, Clone)]
pub struct NodeView {
    /// What a list shows.
    pub overview: NodeOverview,
    /// When its certificate ends.
    pub certificate_expires_at: Option<DateTime<Utc>>,
    /// Its resources, in the order in which they are applied.
    pub resources: Vec<ResourceRecord>,
    /// Modes that people have set for it and its resources.
    pub mode_overrides: Vec<ModeOverride>,
    /// Its turn, or that it waits for it.
    pub turn: Option<TurnView>,
    /// The restart that a person wants.
    pub reboot_request: Option<RebootRequest>,
    /// Its processes.
    pub processes: Vec<ProcessRecord>,
}

pub(crate) fn node_missing(name: &str) -> AppError {
    AppError::not_found("node", shorten(name)).with_hint("`muster node list` shows the nodes of the fleet")
}

impl App {
    /// Nodes in the order of their names.
    pub async fn node_list(&self, actor: &Actor, query: &NodeQuery) -> Result<Paged<NodeOverview>, AppError> {
        actor.require(Permission::FleetView)?;
        let convergence = match query.convergence.as_deref() {
            None => None,
            Some(text) => Some(Convergence::parse(text).ok_or_else(|| {
                AppError::invalid("invalid_convergence", format!("{:?} is not a way to stand", shorten(text)))
                    .with_hint(format!("use one of {}", Convergence::ALL.map(Convergence::as_str).join(", ")))
            })?),
        };
        let filter = NodeFilter {
            environment: query.environment.as_deref(),
            role: query.role.as_deref(),
            convergence,
            name: None,
            after: query.page.cursor.as_deref(),
        };
        let mut conn = self.db().conn().await?;
        let nodes = self.node_overviews(&mut conn, &filter, query.page.rows()).await?;
        Ok(query.page.page(nodes, |node| node.name.to_string()))
    }

    pub(crate) async fn node_overviews(
        &self,
        conn: &mut Conn,
        filter: &NodeFilter<'_>,
        limit: i64,
    ) -> Result<Vec<NodeOverview>, AppError> {
        Ok(muster_db::nodes::overviews(conn, filter, self.now() - FIGURES_RECENT, limit).await?)
    }

    /// One node in full.
    pub async fn node_get(&self, actor: &Actor, name: &str) -> Result<NodeView, AppError> {
        actor.require(Permission::FleetView)?;
        let mut conn = self.db().conn().await?;
        let filter = NodeFilter { name: Some(name), ..NodeFilter::default() };
        let overview =
            self.node_overviews(&mut conn, &filter, 1).await?.pop().ok_or_else(|| node_missing(name))?;
        let certificate_expires_at = muster_db::nodes::certificate_expires_at(&mut conn, overview.id).await?;
        let resources = muster_db::resources::list(&mut conn, overview.id, None).await?;
        let mode_overrides = muster_db::mode_overrides::list(&mut conn, overview.id).await?;
        let reboot_request = muster_db::reboot_requests::get(&mut conn, overview.id).await?;
        let turns = self.turn_views(&mut conn, Some(&overview.environment)).await?;
        let turn = turns.into_iter().find(|turn| turn.node == overview.name);
        let filter = ProcessFilter { node: Some(name), ..ProcessFilter::default() };
        let processes = muster_db::processes::list(&mut conn, &filter, PROCESSES_OF_A_NODE).await?;
        Ok(NodeView {
            overview,
            certificate_expires_at,
            resources,
            mode_overrides,
            turn,
            reboot_request,
            processes,
        })
    }

    pub(crate) async fn node_id(&self, conn: &mut Conn, name: &str) -> Result<NodeId, AppError> {
        muster_db::nodes::id(conn, name).await?.ok_or_else(|| node_missing(name))
    }

    /// The environment that the fleet configuration gives a name.
    pub async fn node_declared_environment(
        &self,
        actor: &Actor,
        name: &NodeName,
    ) -> Result<EnvironmentName, AppError> {
        actor.require(Permission::FleetView)?;
        let mut conn = self.db().conn().await?;
        let (_, configuration) = self.configuration_in_force(&mut conn).await?;
        let declared = configuration.nodes.get(name).map(|node| node.environment.clone());
        declared.ok_or_else(|| {
            AppError::invalid(
                "environment_missing",
                format!("the fleet configuration does not declare node {name}"),
            )
            .with_hint(
                "say which environment it belongs to, or declare it in a fleet file and apply that first",
            )
        })
    }

    /// Asks a node to converge now rather than at its next poll.
    pub async fn node_converge(&self, actor: &Actor, name: &str) -> Result<(), AppError> {
        actor.require(Permission::NodeManage)?;
        let mut conn = self.db().conn().await?;
        let id = self.node_id(&mut conn, name).await?;
        if self.hints().send(id, NodeHint::ConvergeNow) {
            return Ok(());
        }
        Err(AppError::conflict(
            "node_not_connected",
            format!("node {name} is not connected to this controller"),
        )
        .with_hint("it converges by itself at its next poll, once it is back"))
    }

    /// Forgets a node whose identity was withdrawn, with everything that it reported. Its name is free again.
    pub async fn node_remove(&self, actor: &Actor, name: &str) -> Result<(), AppError> {
        actor.require(Permission::NodeManage)?;
        let mut announcements = Announcements::default();
        // A rollout may be about to give the node a release: its rows and this one are locked in one order only.
        let mut tx = self.compile_begin().await?;
        let (id, revoked_at) =
            muster_db::nodes::lock(&mut tx, name).await?.ok_or_else(|| node_missing(name))?;
        if revoked_at.is_none() {
            return Err(AppError::conflict(
                "node_not_revoked",
                format!("node {name} still has a valid identity"),
            )
            .with_hint(format!("withdraw it first: `muster node revoke {name}`")));
        }
        muster_db::nodes::delete(&mut tx, id).await?;
        self.audit(
            &mut tx,
            &actor.name,
            "node_remove",
            format!("node {name}"),
            serde_json::json!({ "id": id }),
        )
        .await?;
        let node = name.parse()?;
        self.event_record(
            &mut tx,
            &mut announcements,
            &actor.name,
            (Severity::Info, "node.removed"),
            Subject { node: Some(node), ..Subject::default() },
            format!("node {name} was removed"),
        )
        .await?;
        announcements.live(LiveMessage::Node(name.parse()?));
        tx.commit().await.map_err(muster_db::DbError::from)?;
        self.publish(announcements);
        Ok(())
    }
}
