//! Logs of applications, from the nodes that run them.

use super::live::{UNBUFFERED, data, keep_alive};
use crate::http::{
    Http,
    auth::Caller,
    encode,
    error::ApiError,
    extract::{Path, Query},
    limits,
};
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response, sse::Sse},
};
use futures_util::{Stream, StreamExt as _};
use muster_api_types::LogMessage;
use muster_app::{LogQuery, LogReader};
use serde::Deserialize;
use std::convert::Infallible;
use tokio::time::{Instant, interval_at};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Http> {
    OpenApiRouter::new().routes(routes!(log_read))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct LogParameters {
    /// In this environment.
    environment: Option<String>,
    /// On this node.
    node: Option<String>,
    /// Of this instance.
    instance: Option<u32>,
    /// How many past lines per instance (default 100, at most 10000).
    lines: Option<u32>,
    /// Go on with new lines until the reader goes away.
    #[serde(default)]
    follow: bool,
}

/// The logs of an application: newline-delimited JSON, or server-sent events for a reader that accepts
/// `text/event-stream`. Every message is a LogMessage.
#[utoipa::path(get, path = "/api/v1/applications/{name}/logs", operation_id = "log_read", tag = "applications",
    params(("name" = String, Path, description = "The application's name"), LogParameters),
    responses((status = 200, description = "Lines, as they come", content(
        (LogMessage = "application/x-ndjson"), (LogMessage = "text/event-stream")))))]
async fn log_read(
    State(http): State<Http>,
    caller: Caller,
    Path(application): Path<String>,
    Query(parameters): Query<LogParameters>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let LogParameters { environment, node, instance, lines, follow } = parameters;
    let query = LogQuery { application, environment, node, instance, lines, follow };
    let reader = http.app().log_read(caller.actor(), query).await?;
    let messages = messages(http, caller, reader);
    let wanted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("");
    if wanted.contains("text/event-stream") {
        let events = messages.map(|message| Ok::<_, Infallible>(data(&message)));
        return Ok((UNBUFFERED, Sse::new(events).keep_alive(keep_alive())).into_response());
    }
    let lines = messages.map(|message| {
        let mut line = serde_json::to_vec(&message).expect("a message is made of texts and numbers");
        line.push(b'\n');
        Ok::<_, Infallible>(Bytes::from(line))
    });
    let mut response = (UNBUFFERED, Body::from_stream(lines)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

/// What the nodes answer, until they end, the reader goes away or the sign-in ends.
fn messages(http: Http, caller: Caller, mut reader: LogReader) -> impl Stream<Item = LogMessage> {
    async_stream::stream! {
        let mut recheck = interval_at(Instant::now() + limits::STREAM_RECHECK, limits::STREAM_RECHECK);
        loop {
            tokio::select! {
                item = reader.next() => match item {
                    Some(item) => yield encode::log(item),
                    None => break,
                },
                _ = recheck.tick() => {
                    if matches!(http.app().credential_holds(&caller.0).await, Ok(false)) {
                        break;
                    }
                }
            }
        }
    }
}
