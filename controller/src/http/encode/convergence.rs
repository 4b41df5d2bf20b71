//! What hosts are and should be.

use crate::http::encode::{fleet_file, resource, roles};
use muster_api_types as api;
use muster_app::{
    ConvergenceCounts, FleetFiles, Inspection, ModeOverride, NewPlan, NodePlanView, PlanState, PlanView,
    RebootRequest, ResourceChangeRecord, ResourceView, TurnView,
};
use muster_domain::{RolloutId, node, observed, plan, resource as domain, turn};

pub(crate) const fn convergence(convergence: node::Convergence) -> api::Convergence {
    match convergence {
        node::Convergence::Converged => api::Convergence::Converged,
        node::Convergence::Pending => api::Convergence::Pending,
        node::Convergence::Waiting => api::Convergence::Waiting,
        node::Convergence::Drifted => api::Convergence::Drifted,
        node::Convergence::Failed => api::Convergence::Failed,
    }
}

pub(crate) const fn convergence_counts(counts: ConvergenceCounts) -> api::ConvergenceCounts {
    let ConvergenceCounts { converged, pending, waiting, drifted, failed } = counts;
    api::ConvergenceCounts { converged, pending, waiting, drifted, failed }
}

pub(crate) const fn mode(mode: domain::Mode) -> api::Mode {
    match mode {
        domain::Mode::Enforce => api::Mode::Enforce,
        domain::Mode::Report => api::Mode::Report,
        domain::Mode::Ignore => api::Mode::Ignore,
    }
}

/// A mode as it was sent.
pub(crate) const fn mode_sent(mode: api::Mode) -> domain::Mode {
    match mode {
        api::Mode::Enforce => domain::Mode::Enforce,
        api::Mode::Report => domain::Mode::Report,
        api::Mode::Ignore => domain::Mode::Ignore,
    }
}

pub(crate) const fn cause(cause: observed::ChangeCause) -> api::ChangeCause {
    match cause {
        observed::ChangeCause::Intentional => api::ChangeCause::Intentional,
        observed::ChangeCause::Corrective => api::ChangeCause::Corrective,
    }
}

pub(crate) fn mode_override(set: ModeOverride) -> api::ModeOverride {
    let ModeOverride { key, mode: how, reason, set_by, set_at, expires_at } = set;
    api::ModeOverride { resource: key, mode: mode(how), reason, set_by, set_at, expires_at }
}

pub(crate) fn turn(view: TurnView) -> api::Turn {
    let TurnView {
        node,
        environment,
        roles: of,
        kind,
        cause: why,
        state,
        reason,
        detail,
        since,
        expires_at,
        rollout,
    } = view;
    api::Turn {
        node: node.into(),
        environment: environment.into(),
        roles: roles(&of),
        kind: match kind {
            turn::TurnKind::Change => api::TurnKind::Change,
            turn::TurnKind::Reboot => api::TurnKind::Reboot,
        },
        cause: cause(why),
        state: match state {
            turn::TurnState::Waiting => api::TurnState::Waiting,
            turn::TurnState::Granted => api::TurnState::Granted,
            turn::TurnState::Failed => api::TurnState::Failed,
        },
        reason,
        detail,
        since,
        expires_at,
        rollout: rollout.map(RolloutId::as_uuid),
    }
}

pub(crate) fn reboot(request: RebootRequest) -> api::Reboot {
    let RebootRequest { id, requested_by, requested_at, reason, at_once } = request;
    api::Reboot { id, requested_by, requested_at, reason, now: at_once }
}

pub(crate) fn resource_detail(view: ResourceView) -> api::ResourceDetail {
    let ResourceView { node, record, diff, change_diff, changes } = view;
    api::ResourceDetail {
        node: node.into(),
        state: resource(record),
        diff,
        change_diff,
        changes: changes.into_iter().map(resource_change).collect(),
    }
}

pub(crate) fn resource_change(record: ResourceChangeRecord) -> api::ResourceChange {
    let ResourceChangeRecord { id, key, at, generation, cause: why, detail, diff } = record;
    api::ResourceChange { id, key, at, generation: generation.get(), cause: cause(why), detail, diff }
}

/// What to plan, as it was sent.
pub(crate) fn plan_sent(create: api::PlanCreate) -> NewPlan {
    let api::PlanCreate { files, node, environment } = create;
    let files = files.map(|files| FleetFiles {
        files: files.into_iter().map(fleet_file).collect(),
        expected_version: None,
    });
    NewPlan { files, node, environment }
}

pub(crate) fn plan(view: PlanView) -> api::Plan {
    let PlanView { id, created_by, created_at, candidate, finished, nodes } = view;
    let nodes = nodes.into_iter().map(node_plan).collect();
    api::Plan { id, created_by, created_at, candidate, finished, nodes }
}

fn node_plan(view: NodePlanView) -> api::NodePlan {
    let NodePlanView { node, environment, state } = view;
    let mut shown = api::NodePlan {
        node: node.into(),
        environment: environment.into(),
        state: api::NodePlanState::Waiting,
        problem: None,
        change_count: 0,
        generation: None,
        reboot_required: None,
        resources: Vec::new(),
        unchanged_count: 0,
    };
    match state {
        PlanState::Waiting => {}
        PlanState::Missing => shown.state = api::NodePlanState::Missing,
        PlanState::Problem(problem) => {
            shown.state = api::NodePlanState::Problem;
            shown.problem = Some(problem);
        }
        PlanState::Planned(planned) => {
            let plan::NodePlan { generation, revision: _, resources, reboot_required } = planned;
            let (quiet, told): (Vec<_>, Vec<_>) =
                resources.into_iter().partition(|r| r.change == plan::PlannedChange::None);
            let changes = told.iter().filter(|r| r.change.changes() && r.mode == domain::Mode::Enforce);
            shown.state = api::NodePlanState::Planned;
            shown.change_count = u32::try_from(changes.count()).unwrap_or(u32::MAX);
            shown.unchanged_count = u32::try_from(quiet.len()).unwrap_or(u32::MAX);
            shown.generation = Some(generation.get());
            shown.reboot_required = reboot_required;
            shown.resources = told.into_iter().map(planned_resource).collect();
        }
    }
    shown
}

fn planned_resource(resource: plan::PlannedResource) -> api::PlannedResource {
    let plan::PlannedResource { key, change, mode: how, cause: why, disruptive, detail, diff } = resource;
    api::PlannedResource {
        key: key.into(),
        change: match change {
            plan::PlannedChange::None => api::PlannedChange::None,
            plan::PlannedChange::Change => api::PlannedChange::Change,
            plan::PlannedChange::Remove => api::PlannedChange::Remove,
            plan::PlannedChange::Release => api::PlannedChange::Release,
            plan::PlannedChange::Reload => api::PlannedChange::Reload,
            plan::PlannedChange::Restart => api::PlannedChange::Restart,
            plan::PlannedChange::Run => api::PlannedChange::Run,
            plan::PlannedChange::Skip => api::PlannedChange::Skip,
            plan::PlannedChange::Unknown => api::PlannedChange::Unknown,
        },
        mode: mode(how),
        cause: why.map(cause),
        disruptive,
        detail,
        diff,
    }
}

pub(crate) fn inspection(inspection: Inspection) -> api::Inspection {
    let Inspection { node, inventory, proposal } = inspection;
    api::Inspection {
        node: node.into(),
        fragment: proposal.fragment,
        notes: proposal.notes,
        inventory: serde_json::to_value(inventory).expect("an inventory is made of texts and numbers"),
    }
}
