//! For those who watch the controller, and for hosts that want to join: answered without a sign-in.

use crate::http::{Http, error::ApiError};
use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Http> {
    OpenApiRouter::new()
        .routes(routes!(health_get))
        .routes(routes!(readiness_get))
        .routes(routes!(ca_get))
        .routes(routes!(openapi_get))
}

/// The process lives.
#[utoipa::path(get, path = "/healthz", operation_id = "health_get", tag = "probes", security(()),
    responses((status = 200, description = "It lives", body = String, content_type = "text/plain")))]
async fn health_get() -> &'static str {
    "ok\n"
}

/// The controller can do its work: its database answers.
#[utoipa::path(get, path = "/readyz", operation_id = "readiness_get", tag = "probes", security(()),
    responses((status = 200, description = "It is ready", body = String, content_type = "text/plain")))]
async fn readiness_get(State(http): State<Http>) -> Result<&'static str, ApiError> {
    http.app().readiness_check().await?;
    Ok("ready\n")
}

/// The root certificate of the fleet, as PEM.
#[utoipa::path(get, path = "/api/v1/ca.pem", operation_id = "ca_get", tag = "probes", security(()),
    responses((status = 200, description = "The root certificate", body = String, content_type = "application/x-pem-file")))]
async fn ca_get(State(http): State<Http>) -> Response {
    ([(header::CONTENT_TYPE, "application/x-pem-file")], root_pem(&http)).into_response()
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", operation_id = "openapi_get", tag = "probes", security(()),
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json")))]
async fn openapi_get() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], crate::openapi::text()).into_response()
}

fn root_pem(http: &Http) -> String {
    let encoded = STANDARD.encode(http.app().identity().ca.root());
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in encoded.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|&byte| char::from(byte)));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
