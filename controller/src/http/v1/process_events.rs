//! Why processes ended or were restarted.

use super::Answer;
use crate::http::{Http, auth::Caller, encode, extract::Query};
use axum::extract::State;
use chrono::{DateTime, Utc};
use muster_api_types::{Page, ProcessEvent};
use muster_app::{PageRequest, ProcessEventFilter};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Http> {
    OpenApiRouter::new().routes(routes!(process_event_list))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ProcessEventListQuery {
    /// Of this application.
    application: Option<String>,
    /// In this environment.
    environment: Option<String>,
    /// On this node.
    node: Option<String>,
    /// Of this instance, and what happened to all instances together.
    instance: Option<u32>,
    /// Not older than this.
    since: Option<DateTime<Utc>>,
    /// Older than this.
    until: Option<DateTime<Utc>>,
    /// Of this kind, or of the kinds that begin with this word: `process.exited`.
    kind: Option<String>,
    /// How many items (default 100, at most 500).
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Why processes ended, were restarted or were replaced, newest first. What a process wrote last to standard error is part
/// of its exit; values of secrets never are.
#[utoipa::path(get, path = "/api/v1/process-events", operation_id = "process_event_list", tag = "events",
    params(ProcessEventListQuery),
    responses((status = 200, description = "Process events", body = Page<ProcessEvent>)))]
async fn process_event_list(
    State(http): State<Http>,
    caller: Caller,
    Query(query): Query<ProcessEventListQuery>,
) -> Answer<Page<ProcessEvent>> {
    let ProcessEventListQuery { application, environment, node, instance, since, until, kind, limit, cursor } =
        query;
    let page = PageRequest { limit, cursor };
    let before = page.parse::<i64>()?;
    let limit = page.rows();
    let filter =
        ProcessEventFilter { before, since, until, application, environment, node, instance, kind, limit };
    let events = http.app().process_event_list(caller.actor(), &filter).await?;
    Ok(axum::Json(encode::page(page.page(events, |event| event.sequence.to_string()), encode::process_event)))
}
