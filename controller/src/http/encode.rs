//! From what use cases give to what the API says. Exhaustive matches: a new word cannot be forgotten.

mod applications;
mod convergence;
mod fleet;
mod nodes;
mod rollouts;

pub(crate) use applications::*;
pub(crate) use convergence::*;
pub(crate) use fleet::*;
pub(crate) use nodes::*;
pub(crate) use rollouts::*;

use muster_api_types as api;
use muster_app::{
    AttentionView, LiveMessage, OverviewView, Paged, ProcessEventRecord, SignedIn, TokenRecord,
};
use muster_domain::{event, observed, user};

/// A page, item by item.
pub(crate) fn page<T, U>(paged: Paged<T>, item: impl FnMut(T) -> U) -> api::Page<U> {
    api::Page { items: paged.items.into_iter().map(item).collect(), next_cursor: paged.next }
}

/// A list that is never cut.
pub(crate) fn whole<T, U>(items: Vec<T>, item: impl FnMut(T) -> U) -> api::Page<U> {
    api::Page { items: items.into_iter().map(item).collect(), next_cursor: None }
}

/// Names as texts.
pub(crate) fn texts<T: ToString>(names: impl IntoIterator<Item = T>) -> Vec<String> {
    names.into_iter().map(|name| name.to_string()).collect()
}

fn user_role(role: user::UserRole) -> api::UserRole {
    match role {
        user::UserRole::Viewer => api::UserRole::Viewer,
        user::UserRole::Deployer => api::UserRole::Deployer,
        user::UserRole::Operator => api::UserRole::Operator,
        user::UserRole::Admin => api::UserRole::Admin,
    }
}

pub(crate) fn session(who: &SignedIn) -> api::Session {
    api::Session {
        username: who.actor.name.clone(),
        role: user_role(who.actor.role),
        expires_at: who.expires_at,
        controller_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

pub(crate) fn token(record: TokenRecord) -> api::Token {
    api::Token {
        id: record.id.as_uuid(),
        name: record.name,
        username: record.username,
        created_at: record.created_at,
        expires_at: record.expires_at,
        last_used_at: record.last_used_at,
        revoked_at: record.revoked_at,
    }
}

fn severity(severity: event::Severity) -> api::Severity {
    match severity {
        event::Severity::Info => api::Severity::Info,
        event::Severity::Warning => api::Severity::Warning,
        event::Severity::Error => api::Severity::Error,
    }
}

pub(crate) fn event(event: event::Event) -> api::Event {
    let event::Event { sequence, at, kind, severity: how, message, actor, subject } = event;
    api::Event {
        sequence,
        at,
        kind,
        severity: severity(how),
        message,
        actor,
        node: subject.node.map(Into::into),
        environment: subject.environment.map(Into::into),
        application: subject.application.map(Into::into),
        rollout: subject.rollout.map(muster_domain::RolloutId::as_uuid),
    }
}

pub(crate) fn process_event(record: ProcessEventRecord) -> api::ProcessEvent {
    let ProcessEventRecord {
        sequence,
        at,
        reported_at,
        kind,
        severity: how,
        node,
        environment,
        application,
        event,
    } = record;
    let observed::ProcessEvent { instance, release, reason, restarts, exit } = event;
    api::ProcessEvent {
        sequence,
        at,
        reported_at,
        kind,
        severity: severity(how),
        node: node.into(),
        environment: environment.into(),
        application: application.into(),
        instance,
        release: release.map(Into::into),
        reason,
        restarts,
        exit: exit.map(|exit| {
            let observed::ProcessExit { code, signal, out_of_memory, uptime_ms, last_stderr } = exit;
            api::ProcessExit { code, signal, out_of_memory, uptime_ms, last_stderr }
        }),
    }
}

pub(crate) fn live(message: LiveMessage) -> api::LiveMessage {
    match message {
        LiveMessage::Node(name) => api::LiveMessage::Node { name: name.into() },
        LiveMessage::Rollout(id, application) => {
            api::LiveMessage::Rollout { id: id.as_uuid(), application: application.into() }
        }
        LiveMessage::Application(name) => api::LiveMessage::Application { name: name.into() },
        LiveMessage::FleetConfiguration(version) => api::LiveMessage::FleetConfiguration { version },
        LiveMessage::Event(happened) => api::LiveMessage::Event { event: event(happened) },
    }
}

fn attention(view: AttentionView) -> api::Attention {
    let AttentionView { severity: how, message, hint, node, application } = view;
    api::Attention {
        severity: severity(how),
        message,
        hint,
        node: node.map(Into::into),
        application: application.map(Into::into),
    }
}

pub(crate) fn overview(view: OverviewView) -> api::Overview {
    api::Overview {
        attention: view.attention.into_iter().map(attention).collect(),
        environments: view.environments.into_iter().map(environment).collect(),
        convergence: convergence_counts(view.convergence),
        turns: view.turns.into_iter().map(turn).collect(),
        nodes: view.nodes.into_iter().map(node_summary).collect(),
        missing_nodes: texts(view.missing_nodes),
        active_rollouts: view.active_rollouts.into_iter().map(rollout).collect(),
        recent_events: view.recent_events.into_iter().map(event).collect(),
        fleet_configuration_version: view.fleet_configuration_version,
        application_count: view.application_count,
    }
}
