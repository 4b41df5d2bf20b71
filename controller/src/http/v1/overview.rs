//! The first page, and environments.

use super::Answer;
use crate::http::{Http, auth::Caller, encode};
use axum::extract::State;
use muster_api_types::{EnvironmentSummary, Overview, Page};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Http> {
    OpenApiRouter::new().routes(routes!(overview_get)).routes(routes!(environment_list))
}

/// Are we fine, and if not, where?
#[utoipa::path(get, path = "/api/v1/overview", operation_id = "overview_get", tag = "overview",
    responses((status = 200, description = "What the first page shows", body = Overview)))]
async fn overview_get(State(http): State<Http>, caller: Caller) -> Answer<Overview> {
    Ok(axum::Json(encode::overview(http.app().overview_get(caller.actor()).await?)))
}

/// Environments with their health, by name.
#[utoipa::path(get, path = "/api/v1/environments", operation_id = "environment_list", tag = "overview",
    responses((status = 200, description = "Environments", body = Page<EnvironmentSummary>)))]
async fn environment_list(State(http): State<Http>, caller: Caller) -> Answer<Page<EnvironmentSummary>> {
    let environments = http.app().environment_list(caller.actor()).await?;
    Ok(axum::Json(encode::whole(environments, encode::environment)))
}
