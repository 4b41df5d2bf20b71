//! Applications.

use super::{Answer, PageQuery};
use crate::http::{
    Http,
    auth::Caller,
    encode,
    extract::{Path, Query},
};
use axum::extract::State;
use muster_api_types::{ApplicationDetail, ApplicationSummary, Page};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Http> {
    OpenApiRouter::new().routes(routes!(application_list)).routes(routes!(application_get))
}

/// Applications that are declared or have releases, by name.
#[utoipa::path(get, path = "/api/v1/applications", operation_id = "application_list", tag = "applications",
    params(PageQuery), responses((status = 200, description = "Applications", body = Page<ApplicationSummary>)))]
async fn application_list(
    State(http): State<Http>,
    caller: Caller,
    Query(page): Query<PageQuery>,
) -> Answer<Page<ApplicationSummary>> {
    let applications = http.app().application_list(caller.actor(), &page.request()).await?;
    Ok(axum::Json(encode::page(applications, encode::application)))
}

/// One application in full.
#[utoipa::path(get, path = "/api/v1/applications/{name}", operation_id = "application_get", tag = "applications",
    params(("name" = String, Path, description = "The application's name")),
    responses((status = 200, description = "The application", body = ApplicationDetail)))]
async fn application_get(
    State(http): State<Http>,
    caller: Caller,
    Path(name): Path<String>,
) -> Answer<ApplicationDetail> {
    let application = http.app().application_get(caller.actor(), &name).await?;
    Ok(axum::Json(encode::application_detail(application)))
}
