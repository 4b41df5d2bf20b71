//! The driver: what nodes say becomes events, a step is decided, stored, and its effects carried out, in one transaction.

use crate::{
    App, AppError,
    events::CONTROLLER,
    hubs::{Announcements, LiveMessage},
};
use muster_db::{DbError, Tx, rollouts::StoredRollout};
use muster_domain::{
    ApplicationName, NodeId, ReleaseId, RolloutId,
    observed::ResourceStatus,
    resource::{Mode, ResourceKey},
    rollout::{NodeProgress, RolloutNode, RolloutState},
};
use muster_planning::rollout::{NodeOutcome, Refused, RolloutEffect, RolloutEvent, RolloutRecord, step};

use super::{World, record, subject};

impl App {
    /// Waits until something happened that a rollout may wait for. A wake-up may be early; the driver looks again anyway.
    pub async fn rollouts_wait(&self) {
        self.inner.rollouts_wake.notified().await;
    }

    /// Takes every rollout under way as far as it goes now. Another controller's hold on one is respected.
    pub async fn rollouts_drive(&self) -> Result<(), AppError> {
        let active = {
            let mut conn = self.db().conn().await?;
            muster_db::rollouts::active(&mut conn).await?
        };
        let mut first_error = None;
        for id in active {
            if let Err(error) = self.rollout_drive(id).await {
                // One broken rollout must not hold up the others.
                tracing::error!(rollout.id = %id, error = &error as &dyn std::error::Error, "the rollout could not be driven");
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    async fn rollout_drive(&self, id: RolloutId) -> Result<(), AppError> {
        let mut announcements = Announcements::default();
        let mut tx = self.compile_begin().await?;
        let Some(stored) = muster_db::rollouts::lock(&mut tx, id).await? else { return Ok(()) };
        if stored.state.terminal() {
            return Ok(());
        }
        let mut world = World::load(&mut tx).await?;
        let untouched: Vec<NodeId> = stored
            .nodes
            .iter()
            .filter(|n| matches!(n.node.progress, NodeProgress::Pending | NodeProgress::Waiting { .. }))
            .map(|n| n.node.node)
            .collect();
        if !untouched.is_empty() {
            world.held_back =
                self.turns_held_back(&mut tx, &stored.environment, stored.id, &untouched).await?;
        }
        let before = record(&stored);
        let mut current = before.clone();
        let mut effects = Vec::new();
        for event in self.rollout_events(&mut tx, &stored).await? {
            match step(&world.ctx(self), &current, &event) {
                Ok(next) => {
                    current = next.record;
                    effects.extend(next.effects);
                }
                // An earlier event of this round ended it.
                Err(Refused::Terminal { .. }) => break,
                Err(refused) => {
                    return Err(AppError::internal("the rollout does not fit its nodes", refused));
                }
            }
        }
        if current == before && effects.is_empty() {
            return Ok(());
        }
        let next = muster_planning::rollout::Step { record: current, effects };
        self.step_store(&mut tx, &mut announcements, &stored, &before, next, (&world, CONTROLLER)).await?;
        tx.commit().await.map_err(DbError::from)?;
        self.publish(announcements);
        Ok(())
    }

    /// What happened since the last step, read from the state of the world: nothing is lost by not having been there.
    async fn rollout_events(
        &self,
        tx: &mut Tx,
        rollout: &StoredRollout,
    ) -> Result<Vec<RolloutEvent>, AppError> {
        if rollout.state == RolloutState::Planned {
            return Ok(vec![RolloutEvent::Start]);
        }
        let mut events = Vec::new();
        for node in &rollout.nodes {
            let (given, settled) = match &node.node.progress {
                NodeProgress::Moving { .. } => (Some(rollout.release_id), false),
                NodeProgress::Returning { .. } => (node.node.former_release, false),
                // Nobody waits for these any more, but a release that crashes after a minute, or on the node that was
                // away, must not go on to the next node.
                NodeProgress::Away | NodeProgress::Moved { .. } => (Some(rollout.release_id), true),
                NodeProgress::Pending
                | NodeProgress::Waiting { .. }
                | NodeProgress::Failed { .. }
                | NodeProgress::Returned { .. }
                | NodeProgress::ReturnUnconfirmed { .. } => continue,
            };
            let outcome = if settled {
                self.settled_outcome(tx, node.node.node, &rollout.application).await?
            } else {
                self.node_outcome(tx, node.node.node, &rollout.application, given).await?
            };
            if let Some(outcome) = outcome {
                events.push(RolloutEvent::NodeReported { node: node.node.node, release: given, outcome });
            }
        }
        events.push(RolloutEvent::Tick);
        Ok(events)
    }

    /// How a node fares that nobody waits for: only what it says of the release itself counts, not that it is away, was
    /// moved elsewhere, or is restarting an instance just now.
    async fn settled_outcome(
        &self,
        tx: &mut Tx,
        node: NodeId,
        application: &ApplicationName,
    ) -> Result<Option<NodeOutcome>, AppError> {
        let Some(head) = muster_db::assignments::head(tx, node).await? else { return Ok(None) };
        let key = ResourceKey::new("application", application);
        let Some(known) = muster_db::resources::known_one(tx, node, &key).await? else { return Ok(None) };
        if known.generation < head.generation {
            return Ok(None);
        }
        Ok(match known.status {
            ResourceStatus::Converged if known.mode == Mode::Ignore => None,
            ResourceStatus::Converged => Some(NodeOutcome::Ready),
            ResourceStatus::Failed => Some(NodeOutcome::Failed { reason: known.detail }),
            ResourceStatus::Skipped
            | ResourceStatus::Unsupported
            | ResourceStatus::Drifted
            | ResourceStatus::Waiting => None,
        })
    }

    /// How a node fared with the release that it was given; `None` while it has not answered.
    async fn node_outcome(
        &self,
        tx: &mut Tx,
        node: NodeId,
        application: &ApplicationName,
        given: Option<ReleaseId>,
    ) -> Result<Option<NodeOutcome>, AppError> {
        let Some(compiled) = muster_db::assignments::node_for_compile(tx, node).await? else {
            return Ok(Some(NodeOutcome::Failed { reason: "its identity was withdrawn".to_owned() }));
        };
        if let Some(error) = compiled.compile_error {
            return Ok(Some(NodeOutcome::Failed {
                reason: format!("its assignment cannot be compiled: {error}"),
            }));
        }
        let Some(head) = muster_db::assignments::head(tx, node).await? else { return Ok(None) };
        if head.releases.get(application).map(|r| r.release_id) != given {
            return Ok(Some(NodeOutcome::Failed {
                reason: "its assignment no longer carries the release: the fleet configuration took the application from it, or moved it to another environment".to_owned(),
            }));
        }
        let key = ResourceKey::new("application", application);
        if given.is_none() {
            // The application is to be gone: a report of this generation without it says that it is.
            let Some(node) = muster_db::reports::node_lock(tx, node).await? else { return Ok(None) };
            return Ok((node.reported_generation >= head.generation).then_some(NodeOutcome::Ready));
        }
        let Some(known) = muster_db::resources::known_one(tx, node, &key).await? else { return Ok(None) };
        if known.generation < head.generation {
            return Ok(None);
        }
        Ok(match known.status {
            // It was not even looked at.
            ResourceStatus::Converged if known.mode == Mode::Ignore => Some(NodeOutcome::Failed {
                reason: format!("its mode there is {}, so nothing is changed", known.mode.as_str()),
            }),
            ResourceStatus::Converged => Some(NodeOutcome::Ready),
            ResourceStatus::Drifted => Some(NodeOutcome::Failed {
                reason: format!(
                    "its mode there is {}, so nothing is changed: {}",
                    known.mode.as_str(),
                    known.detail
                ),
            }),
            ResourceStatus::Failed | ResourceStatus::Unsupported => {
                Some(NodeOutcome::Failed { reason: known.detail })
            }
            ResourceStatus::Skipped => {
                Some(NodeOutcome::Failed { reason: format!("it was not tried: {}", known.detail) })
            }
            ResourceStatus::Waiting => None,
        })
    }

    pub(super) async fn step_store(
        &self,
        tx: &mut Tx,
        announcements: &mut Announcements,
        rollout: &StoredRollout,
        before: &RolloutRecord,
        next: muster_planning::rollout::Step,
        (world, actor): (&World, &str),
    ) -> Result<(), AppError> {
        let touched: Vec<RolloutNode> = next
            .record
            .nodes
            .iter()
            .zip(&before.nodes)
            .filter(|(new, old)| new != old)
            .map(|(new, _)| new.clone())
            .collect();
        muster_db::rollouts::update(tx, rollout.id, rollout.step, &next.record.state, &touched, self.now())
            .await?;
        let moves = |n: &&RolloutNode| {
            matches!(n.progress, NodeProgress::Moving { .. } | NodeProgress::Returning { .. })
        };
        let (before_moving, moving) =
            (before.nodes.iter().filter(moves).count(), next.record.nodes.iter().filter(moves).count());
        if moving < before_moving || next.record.state.terminal() {
            self.turns_freed(tx, announcements, &rollout.environment).await?;
        }
        for effect in next.effects {
            match effect {
                RolloutEffect::AssignRelease { node, release } => {
                    muster_db::assignments::node_release_set(tx, node, &rollout.application, release).await?;
                    self.recompile_node(tx, announcements, node).await?;
                }
                RolloutEffect::Announce { severity, kind, message, node } => {
                    let node = node.and_then(|id| world.names.get(&id).cloned());
                    // On the fleet's one time axis a line has to stand alone.
                    let message = format!(
                        "{} {} in {}: {message}",
                        rollout.application, rollout.release_version, rollout.environment
                    );
                    self.event_record(
                        tx,
                        announcements,
                        actor,
                        (severity, kind),
                        subject(rollout, node),
                        message,
                    )
                    .await?;
                }
                RolloutEffect::Finish { completed } => {
                    self.rollout_finish(tx, announcements, rollout, completed).await?;
                }
            }
        }
        announcements.live(LiveMessage::Rollout(rollout.id, rollout.application.clone()));
        announcements.live(LiveMessage::Application(rollout.application.clone()));
        // What was given to a node may already be there, and the next step is due.
        announcements.rollouts_touched = true;
        Ok(())
    }

    /// From now on the nodes follow their environment again: its target is the new release, or still the former one.
    async fn rollout_finish(
        &self,
        tx: &mut Tx,
        announcements: &mut Announcements,
        rollout: &StoredRollout,
        completed: bool,
    ) -> Result<(), AppError> {
        if completed {
            muster_db::assignments::target_set(
                tx,
                &rollout.environment,
                &rollout.application,
                rollout.release_id,
                self.now(),
            )
            .await?;
        }
        let nodes: Vec<NodeId> = rollout.nodes.iter().map(|n| n.node.node).collect();
        muster_db::assignments::node_releases_clear(tx, &nodes, &rollout.application).await?;
        // Every node of the environment, not only those of the rollout: one may have joined meanwhile.
        self.recompile_all(tx, announcements).await?;
        Ok(())
    }
}
