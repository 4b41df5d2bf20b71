//! Rollouts.

use muster_api_types as api;
use muster_app::{RolloutKind, StoredRollout, StoredRolloutNode};
use muster_domain::rollout::{NodeProgress, RolloutState};

pub(crate) fn rollout(stored: StoredRollout) -> api::Rollout {
    let (status, reason) = match stored.state {
        RolloutState::Planned => (api::RolloutStatus::Planned, None),
        RolloutState::Running => (api::RolloutStatus::Running, None),
        RolloutState::RollingBack { reason, aborted: _ } => (api::RolloutStatus::RollingBack, Some(reason)),
        RolloutState::Completed => (api::RolloutStatus::Completed, None),
        RolloutState::RolledBack { reason } => (api::RolloutStatus::RolledBack, Some(reason)),
        RolloutState::Aborted { reason } => (api::RolloutStatus::Aborted, Some(reason)),
    };
    api::Rollout {
        id: stored.id.as_uuid(),
        kind: match stored.kind {
            RolloutKind::Deploy => api::RolloutKind::Deploy,
            RolloutKind::Rollback => api::RolloutKind::Rollback,
        },
        application: stored.application.into(),
        environment: stored.environment.into(),
        release: stored.release_version.into(),
        former_release: stored.former_release_version.map(Into::into),
        status,
        reason,
        created_by: stored.created_by,
        created_at: stored.created_at,
        updated_at: stored.updated_at,
        finished_at: stored.finished_at,
        nodes: stored.nodes.into_iter().map(rollout_node).collect(),
    }
}

fn rollout_node(stored: StoredRolloutNode) -> api::RolloutNode {
    use api::RolloutNodeState as State;
    let (state, since, deadline, reason) = match stored.node.progress {
        NodeProgress::Pending => (State::Pending, None, None, None),
        NodeProgress::Waiting { since, reason } => (State::Waiting, Some(since), None, Some(reason)),
        NodeProgress::Away => (State::Away, None, None, None),
        NodeProgress::Moving { since, deadline } => (State::Moving, Some(since), Some(deadline), None),
        NodeProgress::Moved { at } => (State::Moved, Some(at), None, None),
        NodeProgress::Failed { at, reason } => (State::Failed, Some(at), None, Some(reason)),
        NodeProgress::Returning { since, deadline } => (State::Returning, Some(since), Some(deadline), None),
        NodeProgress::Returned { at } => (State::Returned, Some(at), None, None),
        NodeProgress::ReturnUnconfirmed { reason } => (State::ReturnUnconfirmed, None, None, Some(reason)),
    };
    api::RolloutNode {
        node: stored.name.into(),
        state,
        former_release: stored.former_release_version.map(Into::into),
        since,
        deadline,
        reason,
    }
}
