//! Rollouts: started and aborted by people, driven by what nodes report. What happens next is decided in
//! `muster_planning::rollout`; here its world is loaded, its step stored and its effects carried out, in one transaction.
//! A controller that dies in between leaves the former step in force, and the next one goes on from there.

mod drive;

use crate::{
    Actor, App, AppError, Permission,
    hubs::{Announcements, LiveMessage},
};
use muster_db::{
    Conn, DbError, Tx,
    assignments::CompiledNode,
    rollouts::{NewRollout, RolloutFilter, RolloutKind, StoredRollout},
};
use muster_domain::{
    ApplicationName, EnvironmentName, NodeId, NodeName, ReleaseId, ReleaseVersion, RolloutId,
    event::{Severity, Subject},
    resource::{Mode, ResourceKey},
    rollout::{NodeProgress, RolloutNode},
    selection::Target,
};
use muster_planning::{
    compile::declared_mode,
    liveness,
    rollout::{Refused, RolloutCtx, RolloutEvent, RolloutRecord, preflight, step},
};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// What a step needs to know of the world.
struct World {
    reachable: BTreeSet<NodeId>,
    names: BTreeMap<NodeId, NodeName>,
    held_back: BTreeMap<NodeId, String>,
}

impl World {
    async fn load(conn: &mut Conn) -> Result<Self, DbError> {
        let nodes = muster_db::reports::nodes(conn).await?;
        Ok(Self {
            reachable: nodes.iter().filter(|n| liveness::reachable(n.liveness)).map(|n| n.id).collect(),
            names: nodes.into_iter().map(|n| (n.id, n.name)).collect(),
            held_back: BTreeMap::new(),
        })
    }

    fn ctx(&self, app: &App) -> RolloutCtx<'_> {
        RolloutCtx {
            now: app.now(),
            node_deadline_ms: app.settings().rollout_node_deadline_ms,
            listening_since: app.listening_since(),
            reachable: &self.reachable,
            held_back: &self.held_back,
            names: &self.names,
        }
    }
}

fn subject(rollout: &StoredRollout, node: Option<NodeName>) -> Subject {
    Subject {
        node,
        environment: Some(rollout.environment.clone()),
        application: Some(rollout.application.clone()),
        rollout: Some(rollout.id),
    }
}

fn record(rollout: &StoredRollout) -> RolloutRecord {
    RolloutRecord {
        state: rollout.state.clone(),
        target: rollout.release_id,
        nodes: rollout.nodes.iter().map(|n| n.node.clone()).collect(),
    }
}

impl App {
    /// Moves an environment to a release.
    pub async fn rollout_start(
        &self,
        actor: &Actor,
        application: &ApplicationName,
        environment: &EnvironmentName,
        release: &ReleaseVersion,
    ) -> Result<StoredRollout, AppError> {
        actor.require(Permission::RolloutStart)?;
        let mut tx = self.compile_begin().await?;
        let release_id = self.release_require(&mut tx, application, release).await?;
        self.rollout_begin(tx, actor, application, environment, (release_id, RolloutKind::Deploy)).await
    }

    /// Moves an environment back to the release that ran before, or to one that is named.
    pub async fn rollout_rollback(
        &self,
        actor: &Actor,
        application: &ApplicationName,
        environment: &EnvironmentName,
        release: Option<&ReleaseVersion>,
    ) -> Result<StoredRollout, AppError> {
        actor.require(Permission::RolloutStart)?;
        let mut tx = self.compile_begin().await?;
        let release_id = match release {
            Some(release) => self.release_require(&mut tx, application, release).await?,
            None => {
                let current = muster_db::assignments::target_get(&mut tx, environment, application).await?;
                let before = match current {
                    None => None,
                    Some(current) => {
                        muster_db::rollouts::release_before(&mut tx, environment, application, current)
                            .await?
                    }
                };
                before.ok_or_else(|| {
                    AppError::conflict(
                        "nothing_to_roll_back_to",
                        format!("application {application} has run no other release in environment {environment}"),
                    )
                    .with_hint(format!("name one: `muster rollback {application} --environment {environment} --release VERSION`"))
                })?
            }
        };
        self.rollout_begin(tx, actor, application, environment, (release_id, RolloutKind::Rollback)).await
    }

    async fn release_require(
        &self,
        conn: &mut Conn,
        application: &ApplicationName,
        release: &ReleaseVersion,
    ) -> Result<ReleaseId, AppError> {
        muster_db::rollouts::release_find(conn, application, release).await?.ok_or_else(|| {
            AppError::not_found("release", release).with_hint(format!(
                "`muster release list {application}` shows the releases of the application"
            ))
        })
    }

    async fn rollout_begin(
        &self,
        mut tx: Tx,
        actor: &Actor,
        application: &ApplicationName,
        environment: &EnvironmentName,
        (release_id, kind): (ReleaseId, RolloutKind),
    ) -> Result<StoredRollout, AppError> {
        self.environment_require(&mut tx, environment).await?;
        let ground = self.compile_ground(&mut tx).await?;
        let Some(declared) = ground.configuration().applications.get(application) else {
            return Err(AppError::not_found("application", application)
                .with_hint("declare it in a fleet file and run `muster apply -f DIR`"));
        };
        let former = muster_db::assignments::target_get(&mut tx, environment, application).await?;
        let key = ResourceKey::new("application", application);
        let mut nodes = Vec::new();
        for node in muster_db::assignments::nodes_for_compile(&mut tx).await? {
            let target = Target { node: &node.name, environment: &node.environment, roles: &node.roles };
            if node.environment == *environment && target.runs(declared) {
                let head = muster_db::assignments::head(&mut tx, node.id).await?;
                let declared = declared_mode(ground.configuration(), &node.name, environment);
                self.rollout_require_enforced(&mut tx, &node, &key, declared).await?;
                let former_release = head.and_then(|h| h.releases.get(application).map(|r| r.release_id));
                nodes.push(RolloutNode { node: node.id, former_release, progress: NodeProgress::Pending });
            }
        }
        let world = World::load(&mut tx).await?;
        preflight(&world.ctx(self), &nodes).map_err(|refused| {
            let hint = match &refused {
                Refused::NoNodes => {
                    "give a node of the environment the role app_server (or name it in the application's `on:`), and let a host join as it"
                }
                _ => "`muster node list` shows the nodes; look at their agents",
            };
            AppError::conflict("rollout_refused", format!("application {application} cannot be deployed to environment {environment}: {refused}"))
                .with_hint(hint)
        })?;
        let new = NewRollout {
            id: RolloutId::from_uuid(Uuid::now_v7()),
            environment: environment.clone(),
            application: application.clone(),
            release_id,
            former_release_id: former,
            kind,
            created_by: actor.name.clone(),
            created_at: self.now(),
            nodes,
        };
        if let Err(error) = muster_db::rollouts::insert(&mut tx, &new).await {
            if error.constraint() != Some(muster_db::rollouts::ONE_ACTIVE) {
                return Err(error.into());
            }
            drop(tx);
            return Err(self.rollout_in_progress(application, environment).await);
        }
        let mut announcements = Announcements::default();
        let stored = muster_db::rollouts::get(&mut tx, new.id)
            .await?
            .ok_or_else(|| AppError::internal("the rollout was not stored", "no row"))?;
        let verb = match kind {
            RolloutKind::Deploy => "deploys",
            RolloutKind::Rollback => "rolls back to",
        };
        let message = format!(
            "{} {verb} {application} {} in {environment}, on {} one after another",
            actor.name,
            stored.release_version,
            match stored.nodes.len() {
                1 => "1 node".to_owned(),
                n => format!("{n} nodes"),
            }
        );
        self.event_record(
            &mut tx,
            &mut announcements,
            &actor.name,
            (Severity::Info, "rollout.started"),
            subject(&stored, None),
            message,
        )
        .await?;
        announcements.live(LiveMessage::Rollout(stored.id, application.clone()));
        announcements.rollouts_touched = true;
        tx.commit().await.map_err(DbError::from)?;
        self.publish(announcements);
        Ok(stored)
    }

    /// Refuses a node on which the agent changes nothing: the rollout would fail there, and take the others back.
    async fn rollout_require_enforced(
        &self,
        conn: &mut Conn,
        node: &CompiledNode,
        key: &ResourceKey,
        declared: Mode,
    ) -> Result<(), AppError> {
        let mode = self.mode_overrides(conn, node.id).await?.over(key, declared);
        if mode == Mode::Enforce {
            return Ok(());
        }
        let hint = if declared == Mode::Enforce {
            format!(
                "`muster node show {0}` says who set it and why; `muster node mode {0} enforce` lifts it",
                node.name
            )
        } else {
            format!(
                "the fleet files say `enforcement: {}` for the node or its environment; take that out and run `muster apply`",
                declared.as_str()
            )
        };
        Err(AppError::conflict(
            "node_not_enforced",
            format!(
                "{key} on node {} has the mode {}: nothing would be changed there",
                node.name,
                mode.as_str()
            ),
        )
        .with_hint(hint))
    }

    /// Says who holds the place.
    async fn rollout_in_progress(
        &self,
        application: &ApplicationName,
        environment: &EnvironmentName,
    ) -> AppError {
        let filter = RolloutFilter {
            application: Some(application.to_string()),
            environment: Some(environment.to_string()),
            active: Some(true),
            before: None,
            limit: 1,
        };
        let holder = match self.db().conn().await {
            Ok(mut conn) => {
                muster_db::rollouts::list(&mut conn, &filter).await.unwrap_or_default().into_iter().next()
            }
            Err(_) => None,
        };
        let who = holder.map_or_else(String::new, |r| {
            format!(
                " ({} to {}, started by {} at {})",
                r.id,
                r.release_version,
                r.created_by,
                r.created_at.format("%H:%M:%SZ")
            )
        });
        AppError::conflict(
            "rollout_in_progress",
            format!("a rollout of application {application} in environment {environment} is under way{who}"),
        )
        .with_hint("wait for it (`muster rollout list`) or stop it (`muster rollout abort ID`)")
    }

    /// Stops a rollout and gives every touched node its former release back.
    pub async fn rollout_abort(&self, actor: &Actor, id: RolloutId) -> Result<StoredRollout, AppError> {
        actor.require(Permission::RolloutStart)?;
        let mut announcements = Announcements::default();
        let mut tx = self.compile_begin().await?;
        let Some(stored) = muster_db::rollouts::lock_wait(&mut tx, id).await? else {
            return Err(AppError::not_found("rollout", id));
        };
        let world = World::load(&mut tx).await?;
        let event = RolloutEvent::Abort { by: actor.name.clone() };
        let before = record(&stored);
        let next = step(&world.ctx(self), &before, &event).map_err(|refused| {
            AppError::conflict("rollout_ended", refused)
                .with_hint("start a new one with `muster deploy` or `muster rollback`")
        })?;
        self.step_store(&mut tx, &mut announcements, &stored, &before, next, (&world, &actor.name)).await?;
        tx.commit().await.map_err(DbError::from)?;
        self.publish(announcements);
        self.rollout_read(id).await
    }

    /// One rollout.
    pub async fn rollout_get(&self, actor: &Actor, id: RolloutId) -> Result<StoredRollout, AppError> {
        actor.require(Permission::FleetView)?;
        self.rollout_read(id).await
    }

    async fn rollout_read(&self, id: RolloutId) -> Result<StoredRollout, AppError> {
        let mut conn = self.db().conn().await?;
        muster_db::rollouts::get(&mut conn, id).await?.ok_or_else(|| AppError::not_found("rollout", id))
    }

    /// Rollouts, newest first.
    pub async fn rollout_list(
        &self,
        actor: &Actor,
        filter: &RolloutFilter,
    ) -> Result<Vec<StoredRollout>, AppError> {
        actor.require(Permission::FleetView)?;
        let mut conn = self.db().conn().await?;
        Ok(muster_db::rollouts::list(&mut conn, filter).await?)
    }
}
