//! What people declare.

use super::{Answer, PageQuery, missing};
use crate::http::{
    Http,
    auth::Caller,
    encode,
    extract::{Json, Path, Query},
    limits,
};
use axum::{
    extract::{DefaultBodyLimit, State},
    http::header,
    response::{IntoResponse as _, Response},
};
use muster_api_types::{
    FleetConfigurationApplied, FleetConfigurationApply, FleetConfigurationDetail, FleetConfigurationDiff,
    FleetConfigurationVersion, Page,
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Http> {
    OpenApiRouter::new()
        .routes(routes!(fleet_configuration_get, fleet_configuration_apply))
        .routes(routes!(fleet_configuration_diff))
        .routes(routes!(fleet_configuration_versions))
        .routes(routes!(fleet_configuration_version_get))
        .routes(routes!(fleet_configuration_schema))
        .layer(DefaultBodyLimit::max(limits::FLEET_FILES_BODY_BYTES))
}

/// The version in force.
#[utoipa::path(get, path = "/api/v1/fleet-configuration", operation_id = "fleet_configuration_get",
    tag = "fleet-configuration",
    responses((status = 200, description = "The version in force", body = FleetConfigurationDetail)))]
async fn fleet_configuration_get(
    State(http): State<Http>,
    caller: Caller,
) -> Answer<FleetConfigurationDetail> {
    let stored = http.app().fleet_configuration_get(caller.actor(), None).await?;
    Ok(axum::Json(encode::configuration_detail(stored)))
}

/// Puts these files in force.
#[utoipa::path(put, path = "/api/v1/fleet-configuration", operation_id = "fleet_configuration_apply",
    tag = "fleet-configuration", request_body = FleetConfigurationApply,
    responses((status = 200, description = "What it did", body = FleetConfigurationApplied)))]
async fn fleet_configuration_apply(
    State(http): State<Http>,
    caller: Caller,
    Json(apply): Json<FleetConfigurationApply>,
) -> Answer<FleetConfigurationApplied> {
    let applied = http.app().fleet_configuration_apply(caller.actor(), encode::fleet_files(apply)).await?;
    Ok(axum::Json(encode::configuration_applied(applied)))
}

/// What putting these files in force would change. Nothing is stored.
#[utoipa::path(post, path = "/api/v1/fleet-configuration/diff", operation_id = "fleet_configuration_diff",
    tag = "fleet-configuration", request_body = FleetConfigurationApply,
    responses((status = 200, description = "What would change", body = FleetConfigurationDiff)))]
async fn fleet_configuration_diff(
    State(http): State<Http>,
    caller: Caller,
    Json(apply): Json<FleetConfigurationApply>,
) -> Answer<FleetConfigurationDiff> {
    let diff = http.app().fleet_configuration_diff(caller.actor(), encode::fleet_files(apply)).await?;
    Ok(axum::Json(encode::configuration_diff(diff)))
}

/// Versions, newest first.
#[utoipa::path(get, path = "/api/v1/fleet-configuration/versions", operation_id = "fleet_configuration_versions",
    tag = "fleet-configuration", params(PageQuery),
    responses((status = 200, description = "Versions", body = Page<FleetConfigurationVersion>)))]
async fn fleet_configuration_versions(
    State(http): State<Http>,
    caller: Caller,
    Query(page): Query<PageQuery>,
) -> Answer<Page<FleetConfigurationVersion>> {
    let page = page.request();
    let versions =
        http.app().fleet_configuration_versions(caller.actor(), page.parse()?, page.rows()).await?;
    let versions = page.page(versions, |version| version.version.to_string());
    Ok(axum::Json(encode::page(versions, encode::configuration_version)))
}

/// One version in full.
#[utoipa::path(get, path = "/api/v1/fleet-configuration/versions/{version}",
    operation_id = "fleet_configuration_version_get", tag = "fleet-configuration",
    params(("version" = i64, Path, description = "The version, from 1")),
    responses((status = 200, description = "The version", body = FleetConfigurationDetail)))]
async fn fleet_configuration_version_get(
    State(http): State<Http>,
    caller: Caller,
    Path(version): Path<String>,
) -> Answer<FleetConfigurationDetail> {
    let version: i64 =
        version.parse().map_err(|_| missing("version of the fleet configuration", &version))?;
    let stored = http.app().fleet_configuration_get(caller.actor(), Some(version)).await?;
    Ok(axum::Json(encode::configuration_detail(stored)))
}

/// The JSON Schema of fleet files, for editors.
#[utoipa::path(get, path = "/api/v1/fleet-configuration/schema", operation_id = "fleet_configuration_schema",
    tag = "fleet-configuration", security(()),
    responses((status = 200, description = "JSON Schema", content_type = "application/schema+json")))]
async fn fleet_configuration_schema() -> Response {
    let schema = axum::Json(muster_app::fleet_configuration_schema()).into_response();
    ([(header::CONTENT_TYPE, "application/schema+json")], schema.into_body()).into_response()
}
