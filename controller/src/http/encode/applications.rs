//! Applications, environments, releases, logs.

use crate::http::encode::{convergence_counts, process, texts};
use muster_api_types as api;
use muster_app::{
    ApplicationEnvironmentView, ApplicationFullView, ApplicationView, EnvironmentView, LogItem, ReleaseRecord,
};
use muster_domain::{RolloutId, release};

pub(crate) fn environment(view: EnvironmentView) -> api::EnvironmentSummary {
    let EnvironmentView { name, node_count, node_up_count, node_converged_count, convergence } = view;
    api::EnvironmentSummary {
        name: name.into(),
        node_count,
        node_up_count,
        node_converged_count,
        convergence: convergence_counts(convergence),
    }
}

pub(crate) fn application(view: ApplicationView) -> api::ApplicationSummary {
    let ApplicationView { name, declared, environments, release_count, latest_release } = view;
    api::ApplicationSummary {
        name: name.into(),
        declared,
        environments: environments.into_iter().map(application_environment).collect(),
        release_count,
        latest_release: latest_release.map(Into::into),
    }
}

fn application_environment(view: ApplicationEnvironmentView) -> api::ApplicationEnvironment {
    let ApplicationEnvironmentView {
        environment,
        release,
        nodes,
        process_count,
        process_ready_count,
        active_rollout,
    } = view;
    api::ApplicationEnvironment {
        environment: environment.into(),
        release: release.map(Into::into),
        nodes: texts(nodes),
        process_count,
        process_ready_count,
        active_rollout: active_rollout.map(RolloutId::as_uuid),
    }
}

pub(crate) fn application_detail(view: ApplicationFullView) -> api::ApplicationDetail {
    let ApplicationFullView { summary, declaration, processes } = view;
    api::ApplicationDetail {
        summary: application(summary),
        declaration: declaration.map(|declared| {
            serde_json::to_value(declared).expect("a declaration is made of texts and numbers")
        }),
        processes: processes.into_iter().map(process).collect(),
    }
}

pub(crate) fn release(record: ReleaseRecord) -> api::Release {
    let ReleaseRecord { release, build_command, target_of } = record;
    api::Release {
        id: release.id.as_uuid(),
        application: release.application.into(),
        version: release.version.into(),
        artifact_digest: release.artifact_digest.to_string(),
        file_count: release.file_count,
        total_bytes: release.total_bytes,
        git: release.git.map(|release::GitOrigin { commit, branch, dirty }| api::GitOrigin {
            commit,
            branch,
            dirty,
        }),
        build_command,
        created_by: release.created_by,
        created_at: release.created_at,
        target_of: texts(target_of),
    }
}

pub(crate) fn log(item: LogItem) -> api::LogMessage {
    match item {
        LogItem::Line(node, line) => api::LogMessage::Line {
            at: line.at,
            node: node.into(),
            instance: line.instance,
            stream: if line.stderr { api::LogStream::Err } else { api::LogStream::Out },
            line: line.line,
        },
        LogItem::Dropped(node, count) => api::LogMessage::Dropped { node: node.into(), count },
        LogItem::Problem(node, message) => api::LogMessage::Problem { node: node.into(), message },
        LogItem::CaughtUp => api::LogMessage::CaughtUp,
    }
}
