//! The dashboard: files that were built from `web-ui` and are part of this program.

use crate::http::error::ApiError;
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use rust_embed::{Embed, EmbeddedFile};
use std::fmt::Write as _;

#[derive(Embed)]
#[folder = "../web-ui/dist"]
struct Dashboard;

const INDEX: &str = "index.html";
/// The bundler puts files here whose names change with their content.
const HASHED: &str = "assets/";

/// Answers whatever no route takes: a file of the dashboard, or its first page for the paths that it routes itself.
pub(crate) async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path == "api" || path.starts_with("api/") {
        return ApiError::new(
            StatusCode::NOT_FOUND,
            "no_such_operation",
            format!("there is no operation at {}", uri.path()),
        )
        .with_hint("the OpenAPI document at /api/v1/openapi.json lists the operations")
        .into_response();
    }
    if !matches!(method, Method::GET | Method::HEAD) {
        return ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "the dashboard can only be read",
        )
        .with_allow(Some(HeaderValue::from_static("GET, HEAD")))
        .into_response();
    }
    let wanted = if path.is_empty() { INDEX } else { path };
    if let Some(file) = Dashboard::get(wanted) {
        return answer(wanted, file, &headers);
    }
    // A missing picture is missing; a page that the dashboard routes itself begins at the first one.
    let file_like =
        path.rsplit('/').next().is_some_and(|name| name.contains('.')) || path.starts_with(HASHED);
    match Dashboard::get(INDEX) {
        Some(index) if !file_like => answer(INDEX, index, &headers),
        _ => ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no such file").into_response(),
    }
}

fn answer(path: &str, file: EmbeddedFile, asked: &HeaderMap) -> Response {
    let mut etag = String::from("\"");
    for byte in &file.metadata.sha256_hash()[..16] {
        write!(etag, "{byte:02x}").expect("a text can be written to");
    }
    etag.push('"');
    let known = asked
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|tags| tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag));
    let cache = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Response::new(Body::from(file.data.into_owned()));
        let kind = mime_guess::from_path(path).first_or_octet_stream();
        let kind = if kind.type_() == "text" { format!("{kind}; charset=utf-8") } else { kind.to_string() };
        if let Ok(kind) = HeaderValue::from_str(&kind) {
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        response
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}
