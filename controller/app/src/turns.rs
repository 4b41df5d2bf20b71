//! Turns: nodes ask for theirs and give it back, people see who waits for whom and let others go on. Who is next is decided
//! in `muster_planning::turns`, by one caller at a time.

use crate::{
    Actor, App, AppError, NodeHint, Permission,
    hubs::{Announcements, LiveMessage},
    nodes::node_missing,
    redact::Redactor,
    reports::Source,
    shorten,
};
use chrono::{DateTime, Utc};
use muster_db::{
    Conn,
    turns::{MovingNode, TurnNode},
};
use muster_domain::{
    EnvironmentName, NodeId, NodeName, RolloutId,
    assignment::Generation,
    event::{Severity, Subject},
    fleet::Environment,
    node::Role,
    observed::ChangeCause,
    turn::{Turn, TurnAnswer, TurnKind, TurnOutcome, TurnRequest, TurnState},
};
use muster_planning::{
    liveness::reachable,
    turns::{self, Change, Member, TurnCtx},
};
use std::collections::BTreeMap;

/// A node's turn, as people look at it.
#[derive(Debug, Clone)]
pub struct TurnView {
    /// The node.
    pub node: NodeName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// Its roles: what the places are counted by.
    pub roles: Vec<Role>,
    /// What for.
    pub kind: TurnKind,
    /// Whether something new was asked for, or drift is put right.
    pub cause: ChangeCause,
    /// How it stands.
    pub state: TurnState,
    /// What for, in the words of the node.
    pub reason: String,
    /// Whom it waits for, or what failed.
    pub detail: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// When it is lost unless the node asks again.
    pub expires_at: Option<DateTime<Utc>>,
    /// The rollout that moves the node.
    pub rollout: Option<RolloutId>,
}

/// One environment, as far as turns go.
pub(crate) struct TurnWorld {
    environment: EnvironmentName,
    version: i64,
    policy: Environment,
    nodes: Vec<TurnNode>,
    turns: Vec<Turn>,
    moving: BTreeMap<NodeId, String>,
}

fn moving_words(moving: &MovingNode) -> String {
    format!("{} {} is rolled out", moving.application, moving.release)
}

impl TurnWorld {
    /// Loads an environment, for whoever holds the lock for turns. The nodes that `rollout` moves are left out of those
    /// that are moving.
    async fn load(
        conn: &mut Conn,
        environment: EnvironmentName,
        rollout: Option<RolloutId>,
    ) -> Result<Self, AppError> {
        let (version, policy) = muster_db::fleet_configurations::policy(conn, &environment).await?;
        let nodes = muster_db::turns::nodes(conn, Some(&environment)).await?;
        let turns = muster_db::turns::list(conn, Some(&environment)).await?;
        let moving = muster_db::turns::moving(conn, Some(&environment)).await?;
        let moving = moving
            .into_iter()
            .filter(|moving| Some(moving.rollout) != rollout)
            .map(|moving| (moving.node, moving_words(&moving)))
            .collect();
        Ok(Self { environment, version, policy, nodes, turns, moving })
    }

    fn decide<T>(&self, app: &App, decide: impl FnOnce(&TurnCtx<'_>, &[Turn]) -> T) -> T {
        let members = self
            .nodes
            .iter()
            .map(|node| {
                let reachable = reachable(node.liveness);
                (node.id, Member { name: &node.name, roles: &node.roles, reachable })
            })
            .collect();
        let ctx = TurnCtx {
            now: app.now(),
            listening_since: app.listening_since(),
            environment: &self.environment,
            policy: &self.policy,
            configuration_version: self.version,
            members: &members,
            moving: &self.moving,
        };
        decide(&ctx, &self.turns)
    }

    fn name(&self, node: NodeId) -> Option<&NodeName> {
        self.nodes.iter().find(|known| known.id == node).map(|known| &known.name)
    }

    fn turn(&self, node: NodeId) -> Option<&Turn> {
        self.turns.iter().find(|turn| turn.node == node)
    }
}

impl App {
    /// A node asks for its turn, or for longer.
    pub async fn turn_request(&self, node: NodeId, asked: &TurnRequest) -> Result<TurnAnswer, AppError> {
        let mut announcements = Announcements::default();
        let mut tx = self.db().begin().await?;
        let mut world = self.turn_world(&mut tx, &mut announcements, node).await?;
        let (change, answer) = world.decide(self, |ctx, turns| turns::request(ctx, turns, node, asked));
        self.turn_carry_out(&mut tx, &mut announcements, &mut world, change).await?;
        tx.commit().await.map_err(muster_db::DbError::from)?;
        self.publish(announcements);
        Ok(answer)
    }

    /// A node has used its turn. One that it does not have changes nothing.
    pub async fn turn_give_back(
        &self,
        node: NodeId,
        generation: Generation,
        outcome: &TurnOutcome,
    ) -> Result<(), AppError> {
        let mut announcements = Announcements::default();
        let mut tx = self.db().begin().await?;
        // What failed may quote what a program printed; everybody who looks at the fleet reads it.
        let mut outcome = outcome.clone();
        if let TurnOutcome::Failed { detail } = &mut outcome {
            Redactor::of(&self.secrets_open(&mut tx).await?).text(detail);
        }
        let mut world = self.turn_world(&mut tx, &mut announcements, node).await?;
        let change = world.decide(self, |ctx, turns| turns::release(ctx, turns, node, generation, &outcome));
        if let Some(change) = change {
            self.turn_carry_out(&mut tx, &mut announcements, &mut world, change).await?;
        }
        tx.commit().await.map_err(muster_db::DbError::from)?;
        self.publish(announcements);
        Ok(())
    }

    /// The environment of a node, settled, under the lock for turns.
    async fn turn_world(
        &self,
        conn: &mut Conn,
        announcements: &mut Announcements,
        node: NodeId,
    ) -> Result<TurnWorld, AppError> {
        muster_db::turns::lock(conn).await?;
        let environment = muster_db::turns::environment_of(conn, node).await?;
        let environment = environment.ok_or_else(|| crate::reports::node_unknown(node))?;
        let mut world = TurnWorld::load(conn, environment, None).await?;
        self.turns_settle(conn, announcements, &mut world).await?;
        Ok(world)
    }

    async fn turns_settle(
        &self,
        conn: &mut Conn,
        announcements: &mut Announcements,
        world: &mut TurnWorld,
    ) -> Result<(), AppError> {
        for change in world.decide(self, turns::settle) {
            self.turn_carry_out(conn, announcements, world, change).await?;
        }
        Ok(())
    }

    async fn turn_carry_out(
        &self,
        conn: &mut Conn,
        announcements: &mut Announcements,
        world: &mut TurnWorld,
        Change { node, turn, notice }: Change,
    ) -> Result<(), AppError> {
        let before = world.turn(node).cloned();
        match &turn {
            Some(turn) if before.as_ref() == Some(turn) => {}
            Some(turn) => muster_db::turns::put(conn, turn).await?,
            None => {
                muster_db::turns::delete(conn, node).await?;
            }
        }
        let state = turn.as_ref().map(|turn| turn.state);
        let state_before = before.map(|turn| turn.state);
        world.turns.retain(|known| known.node != node);
        world.turns.extend(turn);
        world.turns.sort_by_key(|turn| (turn.since, turn.node));
        if state_before != state {
            announcements.live.extend(world.name(node).cloned().map(LiveMessage::Node));
            // A place may have become free.
            if matches!(state_before, Some(TurnState::Granted | TurnState::Failed)) {
                Self::turns_tell_next(announcements, &world.turns);
            }
        }
        if let (Some(notice), Some(name)) = (notice, world.name(node)) {
            let source = Source { id: node, name, environment: &world.environment };
            let what = (notice.severity, notice.kind);
            self.node_event_record(conn, announcements, source, what, source.subject(), notice.message)
                .await?;
        }
        Ok(())
    }

    /// Those who wait look again, and so do rollouts.
    fn turns_tell_next(announcements: &mut Announcements, turns: &[Turn]) {
        for node in turns::next_in_row(turns) {
            announcements.hint(node, NodeHint::TurnChanged);
        }
        announcements.rollouts_touched = true;
    }

    /// Tells those who wait in an environment that a place may have become free.
    pub(crate) async fn turns_freed(
        &self,
        conn: &mut Conn,
        announcements: &mut Announcements,
        environment: &EnvironmentName,
    ) -> Result<(), AppError> {
        let turns = muster_db::turns::list(conn, Some(environment)).await?;
        Self::turns_tell_next(announcements, &turns);
        Ok(())
    }

    /// Why a rollout cannot start with some of its nodes now. Holds the lock for turns until the transaction ends: nobody is
    /// given a place while the rollout takes one.
    pub(crate) async fn turns_held_back(
        &self,
        conn: &mut Conn,
        environment: &EnvironmentName,
        rollout: RolloutId,
        nodes: &[NodeId],
    ) -> Result<BTreeMap<NodeId, String>, AppError> {
        muster_db::turns::lock(conn).await?;
        let world = TurnWorld::load(conn, environment.clone(), Some(rollout)).await?;
        Ok(world.decide(self, |ctx, turns| {
            nodes
                .iter()
                .filter_map(|node| Some((*node, turns::may_start(ctx, turns, *node).err()?)))
                .collect()
        }))
    }

    /// Takes away what ran out, in every environment that has turns.
    pub async fn turns_maintain(&self) -> Result<(), AppError> {
        let mut announcements = Announcements::default();
        let mut tx = self.db().begin().await?;
        let environments = muster_db::turns::environments(&mut tx).await?;
        if environments.is_empty() {
            return Ok(());
        }
        muster_db::turns::lock(&mut tx).await?;
        for environment in environments {
            let mut world = TurnWorld::load(&mut tx, environment, None).await?;
            self.turns_settle(&mut tx, &mut announcements, &mut world).await?;
        }
        tx.commit().await.map_err(muster_db::DbError::from)?;
        self.publish(announcements);
        Ok(())
    }

    /// Who is changing, who waits and who failed; the oldest first.
    pub async fn turn_list(
        &self,
        actor: &Actor,
        environment: Option<&EnvironmentName>,
    ) -> Result<Vec<TurnView>, AppError> {
        actor.require(Permission::FleetView)?;
        let mut conn = self.db().conn().await?;
        self.turn_views(&mut conn, environment).await
    }

    pub(crate) async fn turn_views(
        &self,
        conn: &mut Conn,
        environment: Option<&EnvironmentName>,
    ) -> Result<Vec<TurnView>, AppError> {
        let turns = muster_db::turns::list(conn, environment).await?;
        let moving = muster_db::turns::moving(conn, environment).await?;
        if turns.is_empty() && moving.is_empty() {
            return Ok(Vec::new());
        }
        let nodes = muster_db::turns::nodes(conn, environment).await?;
        let nodes: BTreeMap<NodeId, TurnNode> = nodes.into_iter().map(|node| (node.id, node)).collect();
        let mut views = Vec::new();
        for moving in &moving {
            let Some(node) = nodes.get(&moving.node) else { continue };
            views.push(TurnView {
                node: node.name.clone(),
                environment: node.environment.clone(),
                roles: node.roles.clone(),
                kind: TurnKind::Change,
                cause: ChangeCause::Intentional,
                state: TurnState::Granted,
                reason: moving_words(moving),
                detail: String::new(),
                since: moving.since,
                expires_at: None,
                rollout: Some(moving.rollout),
            });
        }
        for turn in turns.into_iter().filter(|turn| !moving.iter().any(|m| m.node == turn.node)) {
            let Some(node) = nodes.get(&turn.node) else { continue };
            let Turn {
                node: _,
                kind,
                cause,
                reason,
                generation: _,
                configuration_version: _,
                state,
                since,
                expires_at,
                detail,
            } = turn;
            views.push(TurnView {
                node: node.name.clone(),
                environment: node.environment.clone(),
                roles: node.roles.clone(),
                kind,
                cause,
                state,
                reason,
                detail,
                since,
                expires_at,
                rollout: None,
            });
        }
        views.sort_by(|a, b| (a.since, &a.node).cmp(&(b.since, &b.node)));
        Ok(views)
    }

    /// Takes a node's turn away, so that others go on although it failed or is still changing.
    pub async fn turn_release(&self, actor: &Actor, name: &str) -> Result<(), AppError> {
        actor.require(Permission::NodeManage)?;
        let mut announcements = Announcements::default();
        let mut tx = self.db().begin().await?;
        muster_db::turns::lock(&mut tx).await?;
        let id = muster_db::nodes::id(&mut tx, name).await?.ok_or_else(|| node_missing(name))?;
        let environment = muster_db::turns::environment_of(&mut tx, id).await?;
        let environment = environment.ok_or_else(|| node_missing(name))?;
        let world = TurnWorld::load(&mut tx, environment.clone(), None).await?;
        let Some(turn) = world.turn(id) else {
            let detail = if world.moving.contains_key(&id) {
                format!("node {} is being moved by a rollout, which holds its place", shorten(name))
            } else {
                format!("node {} has no turn and waits for none", shorten(name))
            };
            return Err(AppError::conflict("node_has_no_turn", detail).with_hint(
                "`muster node turns` shows who has one; `muster rollout abort ID` ends a rollout",
            ));
        };
        muster_db::turns::delete(&mut tx, id).await?;
        let detail = serde_json::json!({
            "state": turn.state.as_str(), "reason": turn.reason, "detail": turn.detail,
        });
        self.audit(&mut tx, &actor.name, "turn_release", format!("node {name}"), detail).await?;
        let node: NodeName = name.parse()?;
        let message = format!(
            "{} let the others change although {node} {} ({})",
            actor.name,
            match turn.state {
                TurnState::Failed => "failed",
                TurnState::Granted => "may be changing",
                TurnState::Waiting => "was waiting",
            },
            turn.reason
        );
        let about = Subject {
            node: Some(node.clone()),
            environment: Some(environment.clone()),
            ..Subject::default()
        };
        self.event_record(
            &mut tx,
            &mut announcements,
            &actor.name,
            (Severity::Warning, "node.turn_released"),
            about,
            message,
        )
        .await?;
        self.turns_freed(&mut tx, &mut announcements, &environment).await?;
        announcements.live(LiveMessage::Node(node));
        tx.commit().await.map_err(muster_db::DbError::from)?;
        self.publish(announcements);
        Ok(())
    }
}
