//! The pieces that transitions are made of. Each changes the draft and adds the effects that go with the change, so that a
//! change without its effect cannot be written.

use super::{RolloutCtx, RolloutEffect, RolloutRecord, Step};
use chrono::{DateTime, TimeDelta, Utc};
use muster_domain::{
    NodeId, ReleaseId,
    event::Severity,
    rollout::{NodeProgress as P, RolloutNode, RolloutState as S},
};

/// How a rollout ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Settled {
    /// On the new release.
    Completed,
    /// On the former release, because something failed.
    Undone,
    /// On the former release, because a person wanted it.
    Aborted,
}

impl RolloutCtx<'_> {
    /// What to call a node.
    pub(super) fn name(&self, node: NodeId) -> String {
        self.names.get(&node).map_or_else(|| node.to_string(), ToString::to_string)
    }

    fn deadline(&self) -> DateTime<Utc> {
        self.now + self.node_time()
    }

    fn node_time(&self) -> TimeDelta {
        TimeDelta::milliseconds(self.node_deadline_ms.into())
    }

    /// Whether a deadline is over for a node that could be heard all the time that it was given.
    pub(super) fn passed(&self, deadline: DateTime<Utc>) -> bool {
        deadline.max(self.listening_since + self.node_time()) <= self.now
    }
}

/// A record in the course of one step.
pub(super) struct Draft<'a> {
    pub(super) ctx: &'a RolloutCtx<'a>,
    record: RolloutRecord,
    effects: Vec<RolloutEffect>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(ctx: &'a RolloutCtx<'a>, record: &RolloutRecord) -> Self {
        Self { ctx, record: record.clone(), effects: Vec::new() }
    }

    pub(super) fn into_step(self) -> Step {
        Step { record: self.record, effects: self.effects }
    }

    pub(super) fn nodes(&self) -> &[RolloutNode] {
        &self.record.nodes
    }

    fn position(&self, node: NodeId) -> usize {
        self.record
            .nodes
            .iter()
            .position(|n| n.node == node)
            .expect("foreign nodes are refused before any change")
    }

    pub(super) fn progress(&self, node: NodeId) -> &P {
        &self.record.nodes[self.position(node)].progress
    }

    pub(super) fn former_release(&self, node: NodeId) -> Option<ReleaseId> {
        self.record.nodes[self.position(node)].former_release
    }

    fn set(&mut self, node: NodeId, progress: P) {
        let position = self.position(node);
        self.record.nodes[position].progress = progress;
    }

    fn announce(&mut self, severity: Severity, kind: &'static str, message: String, node: Option<NodeId>) {
        self.effects.push(RolloutEffect::Announce { severity, kind, message, node });
    }

    fn assign(&mut self, node: NodeId, release: Option<ReleaseId>) {
        self.effects.push(RolloutEffect::AssignRelease { node, release });
    }

    /// That it was asked for was told when it was accepted.
    pub(super) fn begin(&mut self) {
        self.record.state = S::Running;
    }

    /// Nodes that are away get the release at once: they catch up alone, and nobody waits for them.
    pub(super) fn release_to_away_nodes(&mut self) {
        let away: Vec<_> =
            self.record.nodes.iter().map(|n| n.node).filter(|n| !self.ctx.reachable.contains(n)).collect();
        for node in away {
            self.leave_behind(node);
        }
    }

    fn leave_behind(&mut self, node: NodeId) {
        self.set(node, P::Away);
        self.assign(node, Some(self.record.target));
        let message = format!("{} is away and catches up when it is back", self.ctx.name(node));
        self.announce(Severity::Warning, "rollout.node_away", message, Some(node));
    }

    /// Gives the release to the next node, unless one is still moving. Without a next node the rollout is complete. A
    /// node that went away before its turn is left behind like one that was away from the start.
    pub(super) fn move_next(&mut self) {
        if self.record.nodes.iter().any(|n| matches!(n.progress, P::Moving { .. })) {
            return;
        }
        loop {
            let untouched = |n: &&RolloutNode| matches!(n.progress, P::Pending | P::Waiting { .. });
            let next = self.record.nodes.iter().find(untouched).map(|n| n.node);
            match next {
                Some(node) if self.ctx.reachable.contains(&node) => {
                    if let Some(reason) = self.ctx.held_back.get(&node) {
                        return self.hold_back(node, reason);
                    }
                    self.set(node, P::Moving { since: self.ctx.now, deadline: self.ctx.deadline() });
                    self.assign(node, Some(self.record.target));
                    return;
                }
                Some(node) => self.leave_behind(node),
                None if self.record.nodes.iter().any(|n| matches!(n.progress, P::Moved { .. })) => {
                    return self.finish(S::Completed);
                }
                // They went away while they waited for their turn: nothing has shown that the release runs.
                None => {
                    let reason = "none of its nodes could be reached when its turn came".to_owned();
                    return self.roll_back(reason, false);
                }
            }
        }
    }

    /// Its turn has not come: said once, and again when it waits for something else.
    fn hold_back(&mut self, node: NodeId, reason: &str) {
        let since = match self.progress(node) {
            P::Waiting { since, .. } => Some(*since),
            _ => None,
        };
        if since.is_none() {
            let message = format!("{} waits for its turn: {reason}", self.ctx.name(node));
            self.announce(Severity::Info, "rollout.node_waiting", message, Some(node));
        }
        let since = since.unwrap_or(self.ctx.now);
        self.set(node, P::Waiting { since, reason: reason.to_owned() });
    }

    pub(super) fn moved(&mut self, node: NodeId) {
        self.set(node, P::Moved { at: self.ctx.now });
        let message = format!("{} runs the release", self.ctx.name(node));
        self.announce(Severity::Info, "rollout.node_moved", message, Some(node));
    }

    /// One node could not: everything that was touched goes back.
    pub(super) fn node_failed(&mut self, node: NodeId, reason: String) {
        let why = format!("{}: {reason}", self.ctx.name(node));
        self.set(node, P::Failed { at: self.ctx.now, reason });
        self.announce(Severity::Error, "rollout.node_failed", why.clone(), Some(node));
        self.roll_back(why, false);
    }

    /// Gives every touched node its former release back, all at once: what failed on one node is not trusted on another
    /// for a moment longer than needed. The supervisor starts the former release before it ends the new one.
    pub(super) fn roll_back(&mut self, reason: String, aborted: bool) {
        self.announce(Severity::Warning, "rollout.rolling_back", format!("going back: {reason}"), None);
        self.record.state = S::RollingBack { reason, aborted };
        for index in 0..self.record.nodes.len() {
            let RolloutNode { node, former_release, progress } = self.record.nodes[index].clone();
            match progress {
                P::Away if !self.ctx.reachable.contains(&node) => {
                    self.assign(node, former_release);
                    let reason = "it is away and finds its former release when it is back".to_owned();
                    self.set(node, P::ReturnUnconfirmed { reason });
                }
                P::Moving { .. } | P::Moved { .. } | P::Failed { .. } | P::Away => {
                    self.assign(node, former_release);
                    self.set(node, P::Returning { since: self.ctx.now, deadline: self.ctx.deadline() });
                }
                // It waits for nothing any more.
                P::Waiting { .. } => self.set(node, P::Pending),
                P::Pending | P::Returning { .. } | P::Returned { .. } | P::ReturnUnconfirmed { .. } => {}
            }
        }
        self.settle();
    }

    pub(super) fn returned(&mut self, node: NodeId) {
        self.set(node, P::Returned { at: self.ctx.now });
        let message = format!("{} runs its former release again", self.ctx.name(node));
        self.announce(Severity::Info, "rollout.node_returned", message, Some(node));
    }

    pub(super) fn return_unconfirmed(&mut self, node: NodeId, reason: String) {
        let message = format!("{}: {reason}", self.ctx.name(node));
        self.set(node, P::ReturnUnconfirmed { reason });
        self.announce(Severity::Error, "rollout.return_unconfirmed", message, Some(node));
    }

    /// Ends going back when no node is waited for any more.
    pub(super) fn settle(&mut self) {
        let S::RollingBack { reason, aborted } = &self.record.state else { return };
        if self.record.nodes.iter().any(|n| matches!(n.progress, P::Returning { .. })) {
            return;
        }
        let reason = reason.clone();
        let end = if *aborted { S::Aborted { reason } } else { S::RolledBack { reason } };
        self.finish(end);
    }

    pub(super) fn finish(&mut self, end: S) {
        let (settled, kind, message) = match &end {
            S::Completed => (Settled::Completed, "rollout.completed", "rollout completed".to_owned()),
            S::RolledBack { reason } => {
                (Settled::Undone, "rollout.rolled_back", format!("rollout failed: {reason}"))
            }
            S::Aborted { reason } => (Settled::Aborted, "rollout.aborted", format!("rollout {reason}")),
            S::Planned | S::Running | S::RollingBack { .. } => return,
        };
        self.record.state = end;
        self.announce(settled.severity(), kind, message, None);
        self.effects.push(RolloutEffect::Finish { completed: matches!(settled, Settled::Completed) });
    }
}
