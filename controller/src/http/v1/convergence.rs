//! What hosts are and should be: resources in full, plans, turns, modes, restarts, inspections.

use super::{Answer, missing};
use crate::http::{
    Http,
    auth::Caller,
    encode,
    error::ApiError,
    extract::{Json, Path, Query},
    limits,
};
use axum::{
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
};
use chrono::TimeDelta;
use muster_api_types::{
    Inspection, ModeOverride, ModeSet, Page, Plan, PlanCreate, Reboot, RebootCreate, ResourceChange,
    ResourceDetail, Turn,
};
use muster_app::{NewMode, PageRequest};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub(super) fn routes() -> OpenApiRouter<Http> {
    let plans = OpenApiRouter::new()
        .routes(routes!(plan_create))
        .layer(DefaultBodyLimit::max(limits::FLEET_FILES_BODY_BYTES));
    OpenApiRouter::new()
        .merge(plans)
        .routes(routes!(plan_get))
        .routes(routes!(resource_get))
        .routes(routes!(resource_change_list))
        .routes(routes!(turn_list))
        .routes(routes!(turn_release))
        .routes(routes!(node_set_mode))
        .routes(routes!(node_reboot, node_reboot_cancel))
        .routes(routes!(node_inspect))
}

/// Asks nodes what they would change: for what is in force, or for fleet files that are not applied. Nothing is changed to
/// find out. Answers come within seconds: read the plan until it is finished.
#[utoipa::path(post, path = "/api/v1/plans", operation_id = "plan_create", tag = "convergence",
    request_body = PlanCreate,
    responses((status = 201, description = "The plan, as far as it has come", body = Plan)))]
async fn plan_create(
    State(http): State<Http>,
    caller: Caller,
    Json(create): Json<PlanCreate>,
) -> Result<(StatusCode, axum::Json<Plan>), ApiError> {
    let plan = http.app().plan_create(caller.actor(), encode::plan_sent(create)).await?;
    Ok((StatusCode::CREATED, axum::Json(encode::plan(plan))))
}

/// A plan as far as it has come.
#[utoipa::path(get, path = "/api/v1/plans/{id}", operation_id = "plan_get", tag = "convergence",
    params(("id" = Uuid, Path, description = "The plan's id")),
    responses((status = 200, description = "The plan", body = Plan)))]
async fn plan_get(State(http): State<Http>, caller: Caller, Path(id): Path<String>) -> Answer<Plan> {
    let parsed: Uuid = id.parse().map_err(|_| missing("plan", &id))?;
    Ok(axum::Json(encode::plan(http.app().plan_get(caller.actor(), parsed).await?)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ResourceQuery {
    /// The resource, `kind:name`: `file:/etc/motd`.
    key: String,
}

/// One resource of a node in full: what differs, and its last changes.
#[utoipa::path(get, path = "/api/v1/nodes/{name}/resource", operation_id = "resource_get", tag = "convergence",
    params(("name" = String, Path, description = "The node's name"), ResourceQuery),
    responses((status = 200, description = "The resource", body = ResourceDetail)))]
async fn resource_get(
    State(http): State<Http>,
    caller: Caller,
    Path(name): Path<String>,
    Query(ResourceQuery { key }): Query<ResourceQuery>,
) -> Answer<ResourceDetail> {
    let resource = http.app().resource_get(caller.actor(), &name, &key).await?;
    Ok(axum::Json(encode::resource_detail(resource)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ResourceChangeQuery {
    /// Of this resource, `kind:name`; absent: of all.
    key: Option<String>,
    /// How many items (default 100, at most 500).
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// What was changed on a node, the newest first.
#[utoipa::path(get, path = "/api/v1/nodes/{name}/changes", operation_id = "resource_change_list",
    tag = "convergence", params(("name" = String, Path, description = "The node's name"), ResourceChangeQuery),
    responses((status = 200, description = "Changes", body = Page<ResourceChange>)))]
async fn resource_change_list(
    State(http): State<Http>,
    caller: Caller,
    Path(name): Path<String>,
    Query(ResourceChangeQuery { key, limit, cursor }): Query<ResourceChangeQuery>,
) -> Answer<Page<ResourceChange>> {
    let page = PageRequest { limit, cursor };
    let changes = http.app().resource_change_list(caller.actor(), &name, key.as_deref(), &page).await?;
    Ok(axum::Json(encode::page(changes, encode::resource_change)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct TurnQuery {
    /// Of this environment.
    environment: Option<String>,
}

/// Who is changing disruptively, who waits for that, who failed at it; the oldest first.
#[utoipa::path(get, path = "/api/v1/turns", operation_id = "turn_list", tag = "convergence", params(TurnQuery),
    responses((status = 200, description = "Turns", body = Page<Turn>)))]
async fn turn_list(
    State(http): State<Http>,
    caller: Caller,
    Query(TurnQuery { environment }): Query<TurnQuery>,
) -> Answer<Page<Turn>> {
    let environment = environment.map(|name| name.parse()).transpose().map_err(muster_app::AppError::from)?;
    let turns = http.app().turn_list(caller.actor(), environment.as_ref()).await?;
    Ok(axum::Json(encode::whole(turns, encode::turn)))
}

/// Takes a node's turn away, so that others change although it failed or is still changing.
#[utoipa::path(post, path = "/api/v1/nodes/{name}/turn/release", operation_id = "turn_release",
    tag = "convergence", params(("name" = String, Path, description = "The node's name")),
    responses((status = 204, description = "Others may change")))]
async fn turn_release(
    State(http): State<Http>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    http.app().turn_release(caller.actor(), &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets or lifts the mode of a node, or of one resource on it. It holds the agent back on top of what is declared: the
/// strictest of both holds.
#[utoipa::path(put, path = "/api/v1/nodes/{name}/mode", operation_id = "node_set_mode", tag = "convergence",
    params(("name" = String, Path, description = "The node's name")), request_body = ModeSet,
    responses((status = 200, description = "What is set for the node from now on", body = Page<ModeOverride>)))]
async fn node_set_mode(
    State(http): State<Http>,
    caller: Caller,
    Path(name): Path<String>,
    Json(ModeSet { mode, resource, reason, expires_in_s }): Json<ModeSet>,
) -> Answer<Page<ModeOverride>> {
    let new = NewMode {
        resource,
        mode: encode::mode_sent(mode),
        reason,
        expires_in: expires_in_s.map(|seconds| TimeDelta::seconds(seconds.into())),
    };
    let set = http.app().node_set_mode(caller.actor(), &name, new).await?;
    Ok(axum::Json(encode::whole(set, encode::mode_override)))
}

/// Wants a node restarted, in its turn or at once.
#[utoipa::path(post, path = "/api/v1/nodes/{name}/reboot", operation_id = "node_reboot", tag = "convergence",
    params(("name" = String, Path, description = "The node's name")), request_body = RebootCreate,
    responses((status = 202, description = "The node is told with its next sign of life", body = Reboot)))]
async fn node_reboot(
    State(http): State<Http>,
    caller: Caller,
    Path(name): Path<String>,
    Json(RebootCreate { reason, now }): Json<RebootCreate>,
) -> Result<(StatusCode, axum::Json<Reboot>), ApiError> {
    let wanted = http.app().node_reboot(caller.actor(), &name, &reason, now).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(encode::reboot(wanted))))
}

/// Takes the wish for a restart back. A node that is restarting already is not stopped by it.
#[utoipa::path(delete, path = "/api/v1/nodes/{name}/reboot", operation_id = "node_reboot_cancel",
    tag = "convergence", params(("name" = String, Path, description = "The node's name")),
    responses((status = 204, description = "Nobody wants it restarted any more")))]
async fn node_reboot_cancel(
    State(http): State<Http>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    http.app().node_reboot_cancel(caller.actor(), &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks a node what is on its host, and how that would be declared. Nothing is changed and nothing is kept. Answers within
/// half a minute.
#[utoipa::path(post, path = "/api/v1/nodes/{name}/inspect", operation_id = "node_inspect", tag = "convergence",
    params(("name" = String, Path, description = "The node's name")),
    responses((status = 200, description = "What is there", body = Inspection)))]
async fn node_inspect(
    State(http): State<Http>,
    caller: Caller,
    Path(name): Path<String>,
) -> Answer<Inspection> {
    let inspection = http.app().node_inspect(caller.actor(), &name).await?;
    Ok(axum::Json(encode::inspection(inspection)))
}
