//! Decoding of requests. Whatever does not fit is answered with a problem document that says what would.

use crate::http::error::ApiError;
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::IntoResponse as _,
};
use muster_api_types::InputError;
use serde::de::DeserializeOwned;

/// A JSON body. Unknown fields are refused by the types themselves.
pub(crate) struct Json<T>(pub(crate) T);

/// Refuses a body of another media type: a form of a foreign page can send some of them without asking.
pub(crate) fn content_type_require(headers: &HeaderMap, wanted: &str) -> Result<(), ApiError> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    let detail = if essence.is_empty() {
        "the request has no content type".to_owned()
    } else {
        format!("the content type {:?} is not understood here", essence.chars().take(80).collect::<String>())
    };
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
        .with_hint(format!("send the body as {wanted}")))
}

/// What is answered when a body cannot be read to its end.
pub(crate) fn body_refused(rejection: &BytesRejection) -> ApiError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "the body is larger than this operation takes",
        )
    } else {
        ApiError::bad_request("body_incomplete", "the body did not arrive as a whole")
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        content_type_require(request.headers(), "application/json")?;
        let bytes =
            Bytes::from_request(request, state).await.map_err(|rejection| body_refused(&rejection))?;
        parse(&bytes).map(Json)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut deserializer);
    let error = match parsed {
        Ok(value) => match deserializer.end() {
            Ok(()) => return Ok(value),
            Err(error) => return Err(not_json(&error)),
        },
        Err(error) => error,
    };
    let path = error.path().to_string();
    let error = error.into_inner();
    if error.classify() != serde_json::error::Category::Data {
        return Err(not_json(&error));
    }
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = text.strip_suffix(&place).unwrap_or(&text).to_owned();
    let path = if path == "." { String::new() } else { path };
    Err(ApiError::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "invalid_input",
        "the body does not fit this operation",
    )
    .with_hint("the OpenAPI document at /api/v1/openapi.json says what fits")
    .with_errors(vec![InputError {
        file: None,
        line: u32::try_from(error.line()).ok(),
        column: u32::try_from(error.column()).ok(),
        path,
        message,
        hint: None,
    }]))
}

fn not_json(error: &serde_json::Error) -> ApiError {
    ApiError::bad_request("invalid_json", format!("the body is not JSON: {error}"))
}

/// Parameters of the query.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(ApiError::bad_request("invalid_query", rejection.body_text())
                .with_hint("the OpenAPI document at /api/v1/openapi.json lists the parameters")),
        }
    }
}

/// Parameters of the path.
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => {
                let status = rejection.into_response().status();
                Err(ApiError::new(status, "invalid_path", "a part of the path cannot be read"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;
    use muster_api_types::{Problem, RolloutStart};

    async fn problem(body: &str) -> Problem {
        let error = parse::<RolloutStart>(body.as_bytes()).unwrap_err();
        let body = to_bytes(error.into_response().into_body(), 10_000).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn what_is_wrong_is_named_with_its_place() {
        let unknown = problem("{\"application\": \"web\",\n \"enviroment\": \"x\"}").await;
        assert_eq!((unknown.status, unknown.code.as_str()), (422, "invalid_input"));
        assert_eq!(unknown.errors[0].line, Some(2));
        assert!(
            unknown.errors[0].message.starts_with("unknown field `enviroment`"),
            "{}",
            unknown.errors[0].message
        );

        let wrong = problem("{\"application\": 3}").await;
        assert_eq!(wrong.errors[0].path, "application");

        for broken in ["", "{", "{} {}", "\u{0}"] {
            let answer = problem(broken).await;
            assert!(
                matches!(answer.code.as_str(), "invalid_json" | "invalid_input"),
                "{broken:?}: {answer:?}"
            );
        }
        let deep = "[".repeat(100_000);
        assert!(matches!(problem(&deep).await.status, 400 | 422), "deep nesting is refused, not followed");
    }
}
