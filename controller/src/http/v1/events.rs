//! Events.

use super::Answer;
use crate::http::{Http, auth::Caller, encode, extract::Query};
use axum::extract::State;
use muster_api_types::{Event, Page, Severity};
use muster_app::{EventFilter, PageRequest};
use muster_domain::event;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Http> {
    OpenApiRouter::new().routes(routes!(event_list))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct EventListQuery {
    /// Only those behind this sequence, oldest first.
    after: Option<i64>,
    /// Only those before this sequence, newest first.
    before: Option<i64>,
    /// At least this severe.
    severity: Option<Severity>,
    /// About this node.
    node: Option<String>,
    /// About this application.
    application: Option<String>,
    /// About this environment.
    environment: Option<String>,
    /// Of this kind, or of the kinds that begin with this word: `node`, `rollout.failed`.
    kind: Option<String>,
    /// How many items (default 100, at most 500).
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// What happened: newest first, or with `after` oldest first behind it.
#[utoipa::path(get, path = "/api/v1/events", operation_id = "event_list", tag = "events", params(EventListQuery),
    responses((status = 200, description = "Events", body = Page<Event>)))]
async fn event_list(
    State(http): State<Http>,
    caller: Caller,
    Query(query): Query<EventListQuery>,
) -> Answer<Page<Event>> {
    let EventListQuery {
        mut after,
        mut before,
        severity,
        node,
        application,
        environment,
        kind,
        limit,
        cursor,
    } = query;
    let page = PageRequest { limit, cursor };
    if let Some(sequence) = page.parse::<i64>()? {
        // A page goes on in the direction of the one before.
        *(if after.is_some() { &mut after } else { &mut before }) = Some(sequence);
    }
    let severity = severity.map(|least| match least {
        Severity::Info => event::Severity::Info,
        Severity::Warning => event::Severity::Warning,
        Severity::Error => event::Severity::Error,
    });
    let filter =
        EventFilter { after, before, severity, node, application, environment, kind, limit: page.rows() };
    let events = http.app().event_list(caller.actor(), &filter).await?;
    Ok(axum::Json(encode::page(page.page(events, |event| event.sequence.to_string()), encode::event)))
}
