//! What every request passes: an id, a line in the log, a time limit, a place; and what every answer carries.

use crate::http::{Http, error::ApiError, limits};
use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use std::{any::Any, time::Instant};
use tracing::{Instrument as _, field::Empty};
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Scripts, pictures and connections of our own origin only. Styles may be inline: the component kit sets its variables
/// with a style element, and a style cannot run anything.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'";

const EVERY_ANSWER: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Names the request, writes one line about it, and hardens the answer.
pub(crate) async fn observe(request: Request, next: Next) -> Response {
    let id = Uuid::now_v7().to_string();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let api = request.uri().path().starts_with("/api/");
    let span = tracing::info_span!(
        "request",
        request.id = %id,
        http.method = %method,
        http.route = route.as_deref().unwrap_or("-"),
        user = Empty
    );
    let begun = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| {
        if status.is_server_error() {
            tracing::warn!(http.status = status.as_u16(), duration_ms, "answered with an error");
        } else if api && method != axum::http::Method::GET {
            tracing::info!(http.status = status.as_u16(), duration_ms, "answered");
        } else {
            tracing::debug!(http.status = status.as_u16(), duration_ms, "answered");
        }
    });
    let headers = response.headers_mut();
    for (name, value) in EVERY_ANSWER {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    if api && !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Gives an ordinary request a place and a time limit. Who finds no place is told so at once: a queue would only make
/// everybody late.
pub(crate) async fn bound(State(http): State<Http>, request: Request, next: Next) -> Response {
    let Ok(_place) = http.requests().try_acquire() else {
        return ApiError::overloaded("the controller is answering as many requests as it can", 1)
            .into_response();
    };
    match tokio::time::timeout(limits::ANSWER_WITHIN, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(
            StatusCode::GATEWAY_TIMEOUT,
            "timeout",
            format!("the controller did not finish within {} s", limits::ANSWER_WITHIN.as_secs()),
        )
        .with_hint("look whether it took effect before you try again")
        .into_response(),
    }
}

/// Gives an upload its turn and a longer time limit.
pub(crate) async fn bound_upload(State(http): State<Http>, request: Request, next: Next) -> Response {
    let turn = tokio::time::timeout(limits::UPLOAD_TURN, http.uploads().acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        return ApiError::overloaded("other uploads are under way", 5).into_response();
    };
    match tokio::time::timeout(limits::UPLOAD_WITHIN, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(StatusCode::REQUEST_TIMEOUT, "upload_too_slow", "the upload took too long")
            .into_response(),
    }
}

/// A defect in a handler is an answer, not a broken connection.
pub(crate) fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response<Body> {
    let words = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("no words");
    tracing::error!(cause = words, "a request handler panicked");
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the controller has a defect here")
        .with_hint("the controller's log says more; look for this answer's x-request-id in it")
        .into_response()
}
