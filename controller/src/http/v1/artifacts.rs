//! Upload of the files of releases.

use super::{Answer, releases::digest};
use crate::http::{
    Http,
    auth::Caller,
    extract::{Json, Path, body_refused, content_type_require},
    limits,
};
use axum::{
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, FromRequest as _, Request, State},
    http::HeaderMap,
};
use futures_util::TryStreamExt as _;
use http_body_util::Limited;
use muster_api_types::{Artifact, ObjectsMissing, ObjectsQuery, ObjectsStored};
use std::io;
use tokio_util::io::{StreamReader, SyncIoBridge};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Http> {
    OpenApiRouter::new().routes(routes!(artifact_missing))
}

pub(super) fn uploads() -> OpenApiRouter<Http> {
    OpenApiRouter::new()
        .routes(routes!(artifact_objects_put))
        .routes(routes!(artifact_manifest_put))
        .layer(DefaultBodyLimit::max(limits::MANIFEST_BODY_BYTES))
}

/// Which of these objects are not here yet.
#[utoipa::path(post, path = "/api/v1/artifacts/missing", operation_id = "artifact_missing", tag = "artifacts",
    request_body = ObjectsQuery,
    responses((status = 200, description = "Those that are not here", body = ObjectsMissing)))]
async fn artifact_missing(
    State(http): State<Http>,
    caller: Caller,
    Json(ObjectsQuery { digests }): Json<ObjectsQuery>,
) -> Answer<ObjectsMissing> {
    let digests = digests.iter().map(|text| digest(text)).collect::<Result<Vec<_>, _>>()?;
    let missing = http.app().artifact_missing(caller.actor(), digests).await?;
    Ok(axum::Json(ObjectsMissing { missing: missing.iter().map(ToString::to_string).collect() }))
}

/// Stores the objects of a bundle: a zstd-compressed tar of regular files that are named by their BLAKE3 digests. All of
/// them, or none.
#[utoipa::path(put, path = "/api/v1/artifacts/objects", operation_id = "artifact_objects_put", tag = "artifacts",
    request_body(content = Vec<u8>, content_type = "application/zstd", description = "The bundle"),
    responses((status = 200, description = "What was stored", body = ObjectsStored)))]
async fn artifact_objects_put(
    State(http): State<Http>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Answer<ObjectsStored> {
    content_type_require(&headers, "application/zstd")?;
    http.app().artifact_room_check(caller.actor()).await?;
    let stream = Body::new(Limited::new(body, limits::BUNDLE_BODY_BYTES)).into_data_stream();
    let reader = StreamReader::new(stream.map_err(io::Error::other));
    let summary = http.app().artifact_objects_put(caller.actor(), SyncIoBridge::new(reader)).await?;
    Ok(axum::Json(ObjectsStored { stored: summary.objects, bytes: summary.bytes }))
}

/// Stores the manifest of an artifact whose objects are all here.
#[utoipa::path(put, path = "/api/v1/artifacts/manifests/{digest}", operation_id = "artifact_manifest_put",
    tag = "artifacts", params(("digest" = String, Path, description = "BLAKE3 of the manifest's bytes")),
    request_body(content = Object, content_type = "application/json", description = "The canonical manifest"),
    responses((status = 200, description = "The artifact is complete", body = Artifact)))]
async fn artifact_manifest_put(
    State(http): State<Http>,
    caller: Caller,
    Path(text): Path<String>,
    request: Request,
) -> Answer<Artifact> {
    content_type_require(request.headers(), "application/json")?;
    let digest = digest(&text)?;
    http.app().artifact_room_check(caller.actor()).await?;
    let bytes = Bytes::from_request(request, &http).await.map_err(|rejection| body_refused(&rejection))?;
    let artifact = http.app().artifact_manifest_put(caller.actor(), digest, bytes.into()).await?;
    Ok(axum::Json(Artifact {
        digest: artifact.digest.to_string(),
        file_count: artifact.file_count,
        total_bytes: artifact.total_bytes,
    }))
}
