//! The fleet configuration, secrets, invitations.

use crate::http::encode::roles;
use crate::http::error::input_error;
use muster_api_types as api;
use muster_app::{
    Change, ChangeKind, ConfigurationApplied, ConfigurationDiff, ConfigurationVersion, EnrolmentState,
    EnrolmentSummary, FleetFiles, SecretRecord, StoredConfiguration, StoredFile,
};

/// The one conversion that goes the other way: files as they were sent.
pub(crate) fn fleet_files(apply: api::FleetConfigurationApply) -> FleetFiles {
    let api::FleetConfigurationApply { files, expected_version } = apply;
    FleetFiles { files: files.into_iter().map(fleet_file).collect(), expected_version }
}

/// One file as it was sent.
pub(crate) fn fleet_file(api::FleetFile { path, content }: api::FleetFile) -> StoredFile {
    StoredFile { path, content }
}

fn change(change: Change) -> api::FleetChange {
    let Change { section, name, kind, text } = change;
    api::FleetChange {
        kind: match kind {
            ChangeKind::Added => api::FleetChangeKind::Added,
            ChangeKind::Changed => api::FleetChangeKind::Changed,
            ChangeKind::Removed => api::FleetChangeKind::Removed,
        },
        path: format!("{section}.{name}"),
        diff: text,
    }
}

pub(crate) fn configuration_diff(diff: ConfigurationDiff) -> api::FleetConfigurationDiff {
    let ConfigurationDiff { current_version, changes, affected_nodes, warnings } = diff;
    api::FleetConfigurationDiff {
        current_version,
        changes: changes.into_iter().map(change).collect(),
        affected_nodes,
        warnings: warnings.into_iter().map(input_error).collect(),
    }
}

pub(crate) fn configuration_applied(applied: ConfigurationApplied) -> api::FleetConfigurationApplied {
    let ConfigurationApplied { version, changed, affected_nodes, not_compiled } = applied;
    let not_compiled =
        not_compiled.into_iter().map(|(node, reason)| api::NodeNotCompiled { node, reason }).collect();
    api::FleetConfigurationApplied { version, changed, affected_nodes, not_compiled }
}

pub(crate) fn configuration_version(version: ConfigurationVersion) -> api::FleetConfigurationVersion {
    let ConfigurationVersion { version, author, created_at } = version;
    api::FleetConfigurationVersion { version, author, created_at }
}

pub(crate) fn configuration_detail(stored: StoredConfiguration) -> api::FleetConfigurationDetail {
    let StoredConfiguration { version, author, created_at, files, configuration, digest: _ } = stored;
    api::FleetConfigurationDetail {
        version: api::FleetConfigurationVersion { version, author, created_at },
        files: files
            .into_iter()
            .map(|StoredFile { path, content }| api::FleetFile { path, content })
            .collect(),
        configuration: serde_json::to_value(configuration)
            .expect("a configuration is made of texts and numbers"),
    }
}

pub(crate) fn secret((record, used_by): (SecretRecord, Vec<String>)) -> api::Secret {
    let SecretRecord { environment, name, updated_by, updated_at } = record;
    api::Secret {
        name,
        environment: (!environment.is_empty()).then_some(environment),
        updated_by,
        updated_at,
        used_by,
    }
}

pub(crate) fn enrolment(summary: EnrolmentSummary) -> api::Enrolment {
    api::Enrolment {
        id: summary.id.as_uuid(),
        node: summary.node_name.into(),
        environment: summary.environment.into(),
        roles: roles(&summary.roles),
        status: match summary.state {
            EnrolmentState::Invited => api::EnrolmentStatus::Invited,
            EnrolmentState::Enrolled => api::EnrolmentStatus::Enrolled,
            EnrolmentState::Expired => api::EnrolmentStatus::Expired,
            EnrolmentState::Withdrawn => api::EnrolmentStatus::Withdrawn,
        },
        created_by: summary.created_by,
        created_at: summary.created_at,
        expires_at: summary.expires_at,
        enrolled_at: summary.enrolled_at,
    }
}
