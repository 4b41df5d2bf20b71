//! Nodes, resources, processes, figures.

use crate::http::encode::{cause, convergence, mode, mode_override, reboot, turn};
use muster_api_types as api;
use muster_app::{MetricsView, NodeOverview, NodeView, ProcessRecord, ResourceRecord};
use muster_domain::{metrics, node, observed};

fn liveness(liveness: node::Liveness) -> api::Liveness {
    match liveness {
        node::Liveness::Pending => api::Liveness::Pending,
        node::Liveness::Up => api::Liveness::Up,
        node::Liveness::Late => api::Liveness::Late,
        node::Liveness::Down => api::Liveness::Down,
        node::Liveness::Revoked => api::Liveness::Revoked,
    }
}

/// The words of roles.
pub(crate) fn roles(roles: &[node::Role]) -> Vec<String> {
    roles.iter().map(|role| role.as_str().to_owned()).collect()
}

pub(crate) fn node_summary(node: NodeOverview) -> api::NodeSummary {
    let figures = node.figures;
    api::NodeSummary {
        id: node.id.as_uuid(),
        name: node.name.into(),
        environment: node.environment.into(),
        roles: roles(&node.roles),
        liveness: liveness(node.liveness),
        liveness_changed_at: node.liveness_changed_at,
        last_heartbeat_at: node.last_heartbeat_at,
        converged: node.converged,
        generation: node.generation.get(),
        reported_generation: node.reported_generation.get(),
        convergence: convergence(node.convergence),
        problem_count: node.failed_count.saturating_add(node.drifted_count),
        resource_count: node.resource_count,
        failed_count: node.failed_count,
        drifted_count: node.drifted_count,
        waiting_count: node.waiting_count,
        reboot_required: node.reboot_required,
        mode: mode(node.mode),
        mode_override_count: node.mode_override_count,
        process_count: node.process_count,
        process_ready_count: node.process_ready_count,
        cpu_percent: figures.map(|f| f.cpu_percent),
        memory_used_bytes: figures.map(|f| f.memory_used_bytes),
        memory_total_bytes: figures.map(|f| f.memory_total_bytes),
        disk_used_bytes: figures.map(|f| f.disk_used_bytes),
        disk_total_bytes: figures.map(|f| f.disk_total_bytes),
        load_1: figures.map(|f| f.load_1),
    }
}

pub(crate) fn node_detail(view: NodeView) -> api::NodeDetail {
    let NodeView {
        overview,
        certificate_expires_at,
        resources,
        mode_overrides,
        turn: of_turn,
        reboot_request,
        processes,
    } = view;
    api::NodeDetail {
        enrolled_at: overview.enrolled_at,
        revoked_at: overview.revoked_at,
        certificate_expires_at,
        facts: node_facts(overview.facts.clone()),
        converged_at: overview.converged_at,
        compile_error: overview.compile_error.clone(),
        mode_overrides: mode_overrides.into_iter().map(mode_override).collect(),
        turn: of_turn.map(turn),
        reboot_request: reboot_request.map(reboot),
        resources: resources.into_iter().map(resource).collect(),
        processes: processes.into_iter().map(process).collect(),
        summary: node_summary(overview),
    }
}

fn node_facts(facts: node::HostFacts) -> api::NodeFacts {
    let node::HostFacts { hostname, os, kernel, architecture, cpus, memory_bytes, agent_version, rootless } =
        facts;
    api::NodeFacts { hostname, os, kernel, architecture, cpus, memory_bytes, agent_version, rootless }
}

pub(crate) fn resource(record: ResourceRecord) -> api::ResourceState {
    let ResourceRecord {
        key,
        status,
        mode: how,
        detail,
        differs,
        reported_at,
        changed_at,
        change,
        change_detail,
    } = record;
    // Of one that is as it should be, what was found before it was changed is history.
    let put_right = status == observed::ResourceStatus::Converged && change_detail.as_ref() == Some(&detail);
    let detail = if put_right { String::new() } else { detail };
    api::ResourceState {
        kind: key.split_once(':').map_or("", |(kind, _)| kind).to_owned(),
        key,
        status: match status {
            observed::ResourceStatus::Converged => api::ResourceStatus::Converged,
            observed::ResourceStatus::Failed => api::ResourceStatus::Failed,
            observed::ResourceStatus::Skipped => api::ResourceStatus::Skipped,
            observed::ResourceStatus::Unsupported => api::ResourceStatus::Unsupported,
            observed::ResourceStatus::Drifted => api::ResourceStatus::Drifted,
            observed::ResourceStatus::Waiting => api::ResourceStatus::Waiting,
        },
        mode: mode(how),
        detail,
        differs,
        reported_at,
        changed_at,
        change: change.map(cause),
        change_detail,
    }
}

pub(crate) fn process(record: ProcessRecord) -> api::Process {
    api::Process {
        node: record.node.into(),
        environment: record.environment.into(),
        application: record.application.into(),
        instance: record.instance,
        release: record.release.map(Into::into),
        state: match record.state {
            observed::ProcessState::Stopped => api::ProcessState::Stopped,
            observed::ProcessState::Starting => api::ProcessState::Starting,
            observed::ProcessState::Ready => api::ProcessState::Ready,
            observed::ProcessState::BackingOff => api::ProcessState::BackingOff,
            observed::ProcessState::CrashLooping => api::ProcessState::CrashLooping,
            observed::ProcessState::Stopping => api::ProcessState::Stopping,
        },
        pid: record.pid,
        restarts: record.restarts,
        started_at: record.started_at,
        cpu_percent: record.cpu_percent,
        memory_bytes: record.memory_bytes,
        unstable_restarts: record.unstable_restarts,
        last_exit: record.last_exit,
        limits_by: record.limits_by,
        dropped_log_lines: record.dropped_log_lines,
        listening: record.listening,
        last_failure: record.last_failure,
        reported_at: record.reported_at,
    }
}

pub(crate) fn metrics_series(view: MetricsView) -> api::MetricsSeries {
    api::MetricsSeries { step_s: view.step_s, points: view.points.into_iter().map(metrics_point).collect() }
}

fn metrics_point(point: metrics::NodeMetrics) -> api::MetricsPoint {
    let metrics::NodeMetrics {
        at,
        cpu_percent,
        memory_used_bytes,
        memory_total_bytes,
        swap_used_bytes,
        disk_used_bytes,
        disk_total_bytes,
        load_1,
        load_5,
        load_15,
        network_rx_bytes_per_s,
        network_tx_bytes_per_s,
    } = point;
    api::MetricsPoint {
        at,
        cpu_percent,
        memory_used_bytes,
        memory_total_bytes,
        swap_used_bytes,
        disk_used_bytes,
        disk_total_bytes,
        load_1,
        load_5,
        load_15,
        network_rx_bytes_per_s,
        network_tx_bytes_per_s,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use muster_domain::resource::Mode;

    #[test]
    fn what_was_put_right_is_not_how_it_is() {
        let shown = |status, detail: &str, change_detail: Option<&str>| {
            let record = ResourceRecord {
                key: "file:/etc/motd".to_owned(),
                status,
                mode: Mode::Enforce,
                detail: detail.to_owned(),
                differs: false,
                reported_at: DateTime::UNIX_EPOCH,
                changed_at: None,
                change: None,
                change_detail: change_detail.map(str::to_owned),
            };
            resource(record).detail
        };
        let (converged, drifted) = (observed::ResourceStatus::Converged, observed::ResourceStatus::Drifted);
        assert_eq!(shown(converged, "is missing", Some("is missing")), "");
        assert_eq!(shown(converged, "22.11.0 satisfies 22", None), "22.11.0 satisfies 22");
        assert_eq!(shown(drifted, "content differs", Some("content differs")), "content differs");
    }
}
