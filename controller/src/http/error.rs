//! The one mapping of errors to answers: RFC 9457 problem documents.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use muster_api_types::{InputError, Problem};
use muster_app::{AppError, InputProblem};
use std::error::Error;

/// The media type of problem documents.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// An answer that says what went wrong. Boxed: it is rare, and every handler's result carries its size.
#[derive(Debug)]
pub(crate) struct ApiError(Box<Refusal>);

#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    detail: String,
    hint: Option<String>,
    errors: Vec<InputError>,
    retry_after_s: Option<u32>,
    allow: Option<HeaderValue>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Refusal {
            status,
            code,
            detail: detail.into(),
            hint: None,
            errors: Vec::new(),
            retry_after_s: None,
            allow: None,
        }))
    }

    pub(crate) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// Too much at once; come back after so many seconds.
    pub(crate) fn overloaded(detail: impl Into<String>, retry_after_s: u32) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail);
        error.0.retry_after_s = Some(retry_after_s);
        error
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub(crate) fn with_errors(mut self, errors: Vec<InputError>) -> Self {
        self.0.errors = errors;
        self
    }

    /// Takes over the methods that a route allows.
    pub(crate) fn with_allow(mut self, allow: Option<HeaderValue>) -> Self {
        self.0.allow = allow;
        self
    }
}

/// The words of an error and of everything behind it: for logs, never for answers.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}

pub(crate) fn input_error(problem: InputProblem) -> InputError {
    let InputProblem { file, line, column, path, message, hint } = problem;
    InputError { file, line, column, path, message, hint }
}

impl From<AppError> for ApiError {
    fn from(error: AppError) -> Self {
        match error {
            AppError::InvalidInput { code, detail, hint, problems } => {
                let status = match code {
                    "too_large" | "bundle_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
                    _ => StatusCode::UNPROCESSABLE_ENTITY,
                };
                let mut answer = Self::new(status, code, detail);
                answer.0.hint = hint;
                answer.with_errors(problems.into_iter().map(input_error).collect())
            }
            AppError::Unauthenticated { code, detail } => Self::new(StatusCode::UNAUTHORIZED, code, detail),
            AppError::Forbidden { detail, hint } => {
                Self::new(StatusCode::FORBIDDEN, "forbidden", detail).with_hint(hint)
            }
            AppError::NotFound { kind, name, hint } => {
                let mut answer =
                    Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {kind} {name:?}"));
                answer.0.hint = hint;
                answer
            }
            AppError::Conflict { code, detail, hint } => {
                let mut answer = Self::new(StatusCode::CONFLICT, code, detail);
                answer.0.hint = hint;
                answer
            }
            AppError::TooManyRequests { detail, retry_after_s } => {
                let mut answer = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail)
                    .with_hint(format!("try again in {retry_after_s} s"));
                answer.0.retry_after_s = Some(retry_after_s);
                answer
            }
            AppError::Unavailable { detail, source } => {
                let cause = source.as_deref().map_or_else(String::new, |source| chain(source));
                tracing::warn!(cause, "{detail}");
                let mut answer = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
                    .with_hint("nothing was changed; try again in a moment");
                answer.0.retry_after_s = Some(5);
                answer
            }
            AppError::Internal { detail, source } => {
                tracing::error!(cause = chain(&*source), "{detail}");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
                    .with_hint("the controller's log says more; look for this answer's x-request-id in it")
            }
        }
    }
}

impl From<muster_domain::InvalidName> for ApiError {
    fn from(error: muster_domain::InvalidName) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_name", error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Refusal { status, code, detail, hint, errors, retry_after_s, allow } = *self.0;
        let problem = Problem {
            kind: format!("/problems/{code}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            detail,
            hint,
            errors,
        };
        let body = serde_json::to_vec(&problem).expect("a problem is made of texts and numbers");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"muster\""));
        }
        if let Some(allow) = allow {
            headers.insert(header::ALLOW, allow);
        }
        response
    }
}
