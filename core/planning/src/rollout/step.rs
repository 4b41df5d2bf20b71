//! The transition function.

use super::{
    NodeOutcome, Refused, RolloutCtx, RolloutEvent as E, RolloutRecord, Step,
    advance::{Draft, Settled},
};
use muster_domain::{
    NodeId,
    event::Severity,
    rollout::{NodeProgress as P, RolloutNode, RolloutState as S},
};

/// Nodes that a message names; the others are counted.
const NAMES_AT_MOST: usize = 10;

/// Whether a rollout over these nodes could begin now. Asked before it is accepted, so that `muster deploy` is refused
/// with the reason; [`step`] asks again when its turn comes.
pub fn preflight(ctx: &RolloutCtx<'_>, nodes: &[RolloutNode]) -> Result<(), Refused> {
    if nodes.is_empty() {
        return Err(Refused::NoNodes);
    }
    if nodes.iter().any(|n| ctx.reachable.contains(&n.node)) {
        return Ok(());
    }
    let names: Vec<_> = nodes.iter().take(NAMES_AT_MOST).map(|n| ctx.name(n.node)).collect();
    let more = if nodes.len() > NAMES_AT_MOST { ", ..." } else { "" };
    Err(Refused::NothingReachable { count: nodes.len(), names: names.join(", ") + more })
}

/// Decides what follows from an event. Pure: the same arguments give the same step, so replaying the events of a rollout
/// gives its record.
pub fn step(ctx: &RolloutCtx<'_>, record: &RolloutRecord, event: &E) -> Result<Step, Refused> {
    if let E::NodeReported { node, .. } = event
        && !record.nodes.iter().any(|n| n.node == *node)
    {
        return Err(Refused::ForeignNode { node: *node });
    }
    let mut draft = Draft::new(ctx, record);
    match (&record.state, event) {
        (S::Planned, E::Start) => start(&mut draft),
        // Nothing was assigned yet, so a report cannot be about this rollout, and there is no deadline.
        (S::Planned, E::NodeReported { .. } | E::Tick) => {}
        (S::Planned, E::Abort { by }) => {
            draft.finish(S::Aborted { reason: format!("aborted by {by} before it began") });
        }

        (S::Running, E::Start) => {}
        (S::Running, E::NodeReported { node, release, outcome }) => {
            if *release == Some(record.target) {
                node_answered(&mut draft, *node, outcome);
            }
        }
        (S::Running, E::Tick) => running_deadlines(&mut draft),
        (S::Running, E::Abort { by }) => draft.roll_back(format!("aborted by {by}"), true),

        (S::RollingBack { .. }, E::Start) => {}
        (S::RollingBack { .. }, E::NodeReported { node, release, outcome }) => {
            if *release == draft.former_release(*node) {
                node_returned(&mut draft, *node, outcome);
            }
        }
        (S::RollingBack { .. }, E::Tick) => returning_deadlines(&mut draft),
        // It goes back already; how it ends stays as it was decided first.
        (S::RollingBack { .. }, E::Abort { .. }) => {}

        (S::Completed | S::RolledBack { .. } | S::Aborted { .. }, _) => {
            return Err(Refused::Terminal { state: record.state.as_str(), event: event.kind() });
        }
    }
    Ok(draft.into_step())
}

fn start(draft: &mut Draft<'_>) {
    if let Err(refused) = preflight(draft.ctx, draft.nodes()) {
        draft.finish(S::RolledBack { reason: format!("{refused}; nothing was changed") });
        return;
    }
    draft.begin();
    draft.release_to_away_nodes();
    draft.move_next();
}

/// A node answered for the target release.
fn node_answered(draft: &mut Draft<'_>, node: NodeId, outcome: &NodeOutcome) {
    match (draft.progress(node), outcome) {
        (P::Moving { .. }, NodeOutcome::Ready) => {
            draft.moved(node);
            draft.move_next();
        }
        (P::Away, NodeOutcome::Ready) => draft.moved(node),
        // A node that was away or had moved and cannot run the release after all is as good a reason to go back as one
        // whose turn it is: the release fails on a real host.
        (P::Moving { .. } | P::Away | P::Moved { .. }, NodeOutcome::Failed { reason }) => {
            draft.node_failed(node, reason.clone());
        }
        (P::Moved { .. }, NodeOutcome::Ready) => {}
        // Not given the release yet, or no longer.
        (
            P::Pending
            | P::Waiting { .. }
            | P::Failed { .. }
            | P::Returning { .. }
            | P::Returned { .. }
            | P::ReturnUnconfirmed { .. },
            NodeOutcome::Ready | NodeOutcome::Failed { .. },
        ) => {}
    }
}

/// A node answered for its former release.
fn node_returned(draft: &mut Draft<'_>, node: NodeId, outcome: &NodeOutcome) {
    match (draft.progress(node), outcome) {
        (P::Returning { .. } | P::ReturnUnconfirmed { .. }, NodeOutcome::Ready) => {
            draft.returned(node);
            draft.settle();
        }
        (P::Returning { .. }, NodeOutcome::Failed { reason }) => {
            draft.return_unconfirmed(node, format!("its former release does not run: {reason}"));
            draft.settle();
        }
        (P::ReturnUnconfirmed { .. }, NodeOutcome::Failed { .. }) => {}
        (
            P::Pending
            | P::Waiting { .. }
            | P::Away
            | P::Moving { .. }
            | P::Moved { .. }
            | P::Failed { .. }
            | P::Returned { .. },
            NodeOutcome::Ready | NodeOutcome::Failed { .. },
        ) => {}
    }
}

fn running_deadlines(draft: &mut Draft<'_>) {
    if !draft.nodes().iter().any(|n| matches!(n.progress, P::Moving { .. })) {
        if draft.nodes().iter().any(|n| matches!(n.progress, P::Waiting { .. })) {
            return draft.move_next();
        }
        return moving_node_removed(draft);
    }
    let late = draft
        .nodes()
        .iter()
        .find(|n| matches!(n.progress, P::Moving { deadline, .. } if draft.ctx.passed(deadline)));
    if let Some(node) = late.map(|n| n.node) {
        let heard = if draft.ctx.reachable.contains(&node) { "" } else { ", and it is no longer heard from" };
        let waited = words(draft.ctx.node_deadline_ms);
        draft.node_failed(node, format!("not ready within {waited}{heard}"));
    }
}

/// A node that is removed from the fleet leaves the record, and no report and no deadline of it will come. The others go
/// on, as long as there is one that shows whether the release runs.
fn moving_node_removed(draft: &mut Draft<'_>) {
    let reachable = draft.ctx.reachable;
    let shown = draft.nodes().iter().any(|n| match n.progress {
        P::Moved { .. } => true,
        P::Pending => reachable.contains(&n.node),
        _ => false,
    });
    if shown {
        draft.move_next();
    } else {
        draft.roll_back("the node whose turn it was is no longer part of the fleet".to_owned(), false);
    }
}

fn returning_deadlines(draft: &mut Draft<'_>) {
    let late: Vec<_> = draft
        .nodes()
        .iter()
        .filter(|n| matches!(n.progress, P::Returning { deadline, .. } if draft.ctx.passed(deadline)))
        .map(|n| n.node)
        .collect();
    let waited = words(draft.ctx.node_deadline_ms);
    for node in late {
        draft.return_unconfirmed(node, format!("did not confirm its former release within {waited}"));
    }
    draft.settle();
}

/// A duration for people.
fn words(ms: u32) -> String {
    match (ms / 60_000, ms % 60_000) {
        (minutes, 0) if minutes > 0 => format!("{minutes} min"),
        (_, _) if ms.is_multiple_of(1000) => format!("{} s", ms / 1000),
        (_, _) => format!("{ms} ms"),
    }
}

impl Settled {
    /// How much people should care for the end.
    pub(super) const fn severity(self) -> Severity {
        match self {
            Self::Completed => Severity::Info,
            Self::Undone => Severity::Error,
            Self::Aborted => Severity::Warning,
        }
    }
}
