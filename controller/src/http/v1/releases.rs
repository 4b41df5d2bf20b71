//! Releases.

use super::{Answer, PageQuery};
use crate::http::{
    Http,
    auth::Caller,
    encode,
    error::ApiError,
    extract::{Json, Path, Query},
};
use axum::{extract::State, http::StatusCode};
use muster_api_types::{Page, Release, ReleaseCreate};
use muster_app::NewRelease;
use muster_domain::{Digest, release::GitOrigin};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Http> {
    OpenApiRouter::new().routes(routes!(release_list, release_create)).routes(routes!(release_get))
}

/// Reads a digest that came in a request.
pub(super) fn digest(text: &str) -> Result<Digest, ApiError> {
    text.parse().map_err(|error: muster_domain::digest::InvalidDigest| {
        let text: String = text.chars().take(80).collect();
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_digest", format!("{text:?} is not a digest"))
            .with_hint(error.to_string())
    })
}

/// The releases of an application, newest first.
#[utoipa::path(get, path = "/api/v1/applications/{name}/releases", operation_id = "release_list", tag = "applications",
    params(("name" = String, Path, description = "The application's name"), PageQuery),
    responses((status = 200, description = "Releases", body = Page<Release>)))]
async fn release_list(
    State(http): State<Http>,
    caller: Caller,
    Path(name): Path<String>,
    Query(page): Query<PageQuery>,
) -> Answer<Page<Release>> {
    let releases = http.app().release_list(caller.actor(), &name, &page.request()).await?;
    Ok(axum::Json(encode::page(releases, encode::release)))
}

/// Makes a release of an uploaded artifact. The same release again is the one that exists.
#[utoipa::path(post, path = "/api/v1/applications/{name}/releases", operation_id = "release_create",
    tag = "applications", params(("name" = String, Path, description = "The application's name")),
    request_body = ReleaseCreate, responses((status = 201, description = "The release", body = Release)))]
async fn release_create(
    State(http): State<Http>,
    caller: Caller,
    Path(name): Path<String>,
    Json(create): Json<ReleaseCreate>,
) -> Result<(StatusCode, axum::Json<Release>), ApiError> {
    let ReleaseCreate { version, artifact_digest, git, build_command } = create;
    let new = NewRelease {
        application: name.parse()?,
        version: version.parse()?,
        artifact_digest: digest(&artifact_digest)?,
        git: git.map(|g| GitOrigin { commit: g.commit, branch: g.branch, dirty: g.dirty }),
        build_command,
    };
    let release = http.app().release_create(caller.actor(), new).await?;
    Ok((StatusCode::CREATED, axum::Json(encode::release(release))))
}

/// One release.
#[utoipa::path(get, path = "/api/v1/applications/{name}/releases/{version}", operation_id = "release_get",
    tag = "applications",
    params(("name" = String, Path, description = "The application's name"),
        ("version" = String, Path, description = "The release's version")),
    responses((status = 200, description = "The release", body = Release)))]
async fn release_get(
    State(http): State<Http>,
    caller: Caller,
    Path((name, version)): Path<(String, String)>,
) -> Answer<Release> {
    Ok(axum::Json(encode::release(http.app().release_get(caller.actor(), &name, &version).await?)))
}
