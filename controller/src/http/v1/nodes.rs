//! Nodes, processes, figures.

use super::Answer;
use crate::http::{
    Http,
    auth::Caller,
    encode,
    error::ApiError,
    extract::{Path, Query},
};
use axum::{extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use muster_api_types::{MetricsSeries, NodeDetail, NodeSummary, Page, Process};
use muster_app::{MetricsQuery, NodeQuery, PageRequest, ProcessQuery};
use muster_domain::NodeName;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Http> {
    OpenApiRouter::new()
        .routes(routes!(node_list))
        .routes(routes!(node_get, node_remove))
        .routes(routes!(node_converge))
        .routes(routes!(node_revoke))
        .routes(routes!(node_metrics))
        .routes(routes!(process_list))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct NodeListQuery {
    /// Of this environment.
    environment: Option<String>,
    /// With this role: `load_balancer`, `app_server`, `datastore`.
    role: Option<String>,
    /// Standing so: `converged`, `pending`, `waiting`, `drifted`, `failed`.
    convergence: Option<String>,
    /// How many items (default 100, at most 500).
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Nodes, by name.
#[utoipa::path(get, path = "/api/v1/nodes", operation_id = "node_list", tag = "nodes", params(NodeListQuery),
    responses((status = 200, description = "Nodes", body = Page<NodeSummary>)))]
async fn node_list(
    State(http): State<Http>,
    caller: Caller,
    Query(NodeListQuery { environment, role, convergence, limit, cursor }): Query<NodeListQuery>,
) -> Answer<Page<NodeSummary>> {
    let query = NodeQuery { environment, role, convergence, page: PageRequest { limit, cursor } };
    let nodes = http.app().node_list(caller.actor(), &query).await?;
    Ok(axum::Json(encode::page(nodes, encode::node_summary)))
}

/// One node in full.
#[utoipa::path(get, path = "/api/v1/nodes/{name}", operation_id = "node_get", tag = "nodes",
    params(("name" = String, Path, description = "The node's name")),
    responses((status = 200, description = "The node", body = NodeDetail)))]
async fn node_get(State(http): State<Http>, caller: Caller, Path(name): Path<String>) -> Answer<NodeDetail> {
    Ok(axum::Json(encode::node_detail(http.app().node_get(caller.actor(), &name).await?)))
}

/// Asks a node to converge now rather than at its next poll.
#[utoipa::path(post, path = "/api/v1/nodes/{name}/converge", operation_id = "node_converge", tag = "nodes",
    params(("name" = String, Path, description = "The node's name")),
    responses((status = 202, description = "It was asked")))]
async fn node_converge(
    State(http): State<Http>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    http.app().node_converge(caller.actor(), &name).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Withdraws a node's identity, at once.
#[utoipa::path(post, path = "/api/v1/nodes/{name}/revoke", operation_id = "node_revoke", tag = "nodes",
    params(("name" = String, Path, description = "The node's name")),
    responses((status = 200, description = "The node, revoked", body = NodeDetail)))]
async fn node_revoke(
    State(http): State<Http>,
    caller: Caller,
    Path(name): Path<String>,
) -> Answer<NodeDetail> {
    let parsed: NodeName = name.parse().map_err(|_| super::missing("node", &name))?;
    http.app().node_revoke(caller.actor(), &parsed).await?;
    Ok(axum::Json(encode::node_detail(http.app().node_get(caller.actor(), &name).await?)))
}

/// Forgets a node whose identity was withdrawn.
#[utoipa::path(delete, path = "/api/v1/nodes/{name}", operation_id = "node_remove", tag = "nodes",
    params(("name" = String, Path, description = "The node's name")),
    responses((status = 204, description = "It is gone")))]
async fn node_remove(
    State(http): State<Http>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    http.app().node_remove(caller.actor(), &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct MetricsParameters {
    /// From this time (RFC 3339); default: an hour before `to`.
    from: Option<DateTime<Utc>>,
    /// To this time (RFC 3339); default: now.
    to: Option<DateTime<Utc>>,
    /// About so many points at most (default 400, at most 5000): the step is chosen to fit.
    points: Option<u32>,
}

/// The figures of a node over a time.
#[utoipa::path(get, path = "/api/v1/nodes/{name}/metrics", operation_id = "node_metrics", tag = "nodes",
    params(("name" = String, Path, description = "The node's name"), MetricsParameters),
    responses((status = 200, description = "The figures", body = MetricsSeries)))]
async fn node_metrics(
    State(http): State<Http>,
    caller: Caller,
    Path(name): Path<String>,
    Query(MetricsParameters { from, to, points }): Query<MetricsParameters>,
) -> Answer<MetricsSeries> {
    let query = MetricsQuery { from, to, points };
    Ok(axum::Json(encode::metrics_series(http.app().node_metrics(caller.actor(), &name, query).await?)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ProcessListQuery {
    /// Of this application.
    application: Option<String>,
    /// In this environment.
    environment: Option<String>,
    /// On this node.
    node: Option<String>,
    /// How many items (default 100, at most 500).
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Processes, by application, node and instance.
#[utoipa::path(get, path = "/api/v1/processes", operation_id = "process_list", tag = "nodes", params(ProcessListQuery),
    responses((status = 200, description = "Processes", body = Page<Process>)))]
async fn process_list(
    State(http): State<Http>,
    caller: Caller,
    Query(query): Query<ProcessListQuery>,
) -> Answer<Page<Process>> {
    let ProcessListQuery { application, environment, node, limit, cursor } = query;
    let query = ProcessQuery { application, environment, node, page: PageRequest { limit, cursor } };
    let processes = http.app().process_list(caller.actor(), &query).await?;
    Ok(axum::Json(encode::page(processes, encode::process)))
}
