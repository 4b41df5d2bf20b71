//! Rollouts.

use super::{Answer, missing};
use crate::http::{
    Http,
    auth::Caller,
    encode,
    error::ApiError,
    extract::{Json, Path, Query},
};
use axum::{extract::State, http::StatusCode};
use muster_api_types::{Page, Rollout, RolloutRollback, RolloutStart};
use muster_app::{PageRequest, RolloutFilter};
use muster_domain::{ReleaseVersion, RolloutId};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Http> {
    OpenApiRouter::new()
        .routes(routes!(rollout_list, rollout_start))
        .routes(routes!(rollout_rollback))
        .routes(routes!(rollout_get))
        .routes(routes!(rollout_abort))
}

/// Moves an environment to a release.
#[utoipa::path(post, path = "/api/v1/rollouts", operation_id = "rollout_start", tag = "rollouts",
    request_body = RolloutStart, responses((status = 201, description = "The rollout", body = Rollout)))]
async fn rollout_start(
    State(http): State<Http>,
    caller: Caller,
    Json(RolloutStart { application, environment, release }): Json<RolloutStart>,
) -> Result<(StatusCode, axum::Json<Rollout>), ApiError> {
    let (application, environment, release) = (application.parse()?, environment.parse()?, release.parse()?);
    let rollout = http.app().rollout_start(caller.actor(), &application, &environment, &release).await?;
    Ok((StatusCode::CREATED, axum::Json(encode::rollout(rollout))))
}

/// Moves an environment back to the release that ran before, or to one that is named.
#[utoipa::path(post, path = "/api/v1/rollouts/rollback", operation_id = "rollout_rollback", tag = "rollouts",
    request_body = RolloutRollback, responses((status = 201, description = "The rollout", body = Rollout)))]
async fn rollout_rollback(
    State(http): State<Http>,
    caller: Caller,
    Json(RolloutRollback { application, environment, release }): Json<RolloutRollback>,
) -> Result<(StatusCode, axum::Json<Rollout>), ApiError> {
    let (application, environment) = (application.parse()?, environment.parse()?);
    let release: Option<ReleaseVersion> = release.map(|release| release.parse()).transpose()?;
    let rollout =
        http.app().rollout_rollback(caller.actor(), &application, &environment, release.as_ref()).await?;
    Ok((StatusCode::CREATED, axum::Json(encode::rollout(rollout))))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct RolloutListQuery {
    /// Of this application.
    application: Option<String>,
    /// In this environment.
    environment: Option<String>,
    /// `true`: under way; `false`: ended.
    active: Option<bool>,
    /// How many items (default 100, at most 500).
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Rollouts, newest first.
#[utoipa::path(get, path = "/api/v1/rollouts", operation_id = "rollout_list", tag = "rollouts",
    params(RolloutListQuery), responses((status = 200, description = "Rollouts", body = Page<Rollout>)))]
async fn rollout_list(
    State(http): State<Http>,
    caller: Caller,
    Query(query): Query<RolloutListQuery>,
) -> Answer<Page<Rollout>> {
    let RolloutListQuery { application, environment, active, limit, cursor } = query;
    let page = PageRequest { limit, cursor };
    let filter =
        RolloutFilter { application, environment, active, before: page.parse()?, limit: page.rows() };
    let rollouts = http.app().rollout_list(caller.actor(), &filter).await?;
    Ok(axum::Json(encode::page(page.page(rollouts, |rollout| rollout.id.to_string()), encode::rollout)))
}

/// One rollout.
#[utoipa::path(get, path = "/api/v1/rollouts/{id}", operation_id = "rollout_get", tag = "rollouts",
    params(("id" = uuid::Uuid, Path, description = "The rollout's id")),
    responses((status = 200, description = "The rollout", body = Rollout)))]
async fn rollout_get(State(http): State<Http>, caller: Caller, Path(id): Path<String>) -> Answer<Rollout> {
    let id: RolloutId = id.parse().map_err(|_| missing("rollout", &id))?;
    Ok(axum::Json(encode::rollout(http.app().rollout_get(caller.actor(), id).await?)))
}

/// Stops a rollout. Every touched node gets its former release back.
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/abort", operation_id = "rollout_abort", tag = "rollouts",
    params(("id" = uuid::Uuid, Path, description = "The rollout's id")),
    responses((status = 200, description = "The rollout, going back", body = Rollout)))]
async fn rollout_abort(State(http): State<Http>, caller: Caller, Path(id): Path<String>) -> Answer<Rollout> {
    let id: RolloutId = id.parse().map_err(|_| missing("rollout", &id))?;
    Ok(axum::Json(encode::rollout(http.app().rollout_abort(caller.actor(), id).await?)))
}
