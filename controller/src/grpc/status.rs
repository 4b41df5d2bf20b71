//! The one mapping of use-case errors to gRPC.

use muster_app::AppError;
use muster_proto::convert::InvalidMessage;
use std::error::Error;
use tonic::{Code, Status, metadata::MetadataValue};

/// The metadata key of the stable word that says which refusal it is.
pub(super) const CODE_KEY: &str = "muster-code";

/// What a caller is told. Causes of internal errors go to the log.
pub(super) fn status(error: AppError) -> Status {
    let (grpc, code, hint) = match &error {
        AppError::InvalidInput { code, hint, .. } => (Code::InvalidArgument, *code, hint.clone()),
        AppError::Unauthenticated { code, .. } => (Code::Unauthenticated, *code, None),
        AppError::Forbidden { hint, .. } => (Code::PermissionDenied, "forbidden", Some(hint.clone())),
        AppError::NotFound { hint, .. } => (Code::NotFound, "not_found", hint.clone()),
        AppError::Conflict { code, hint, .. } => (Code::FailedPrecondition, *code, hint.clone()),
        AppError::TooManyRequests { .. } => (Code::ResourceExhausted, "too_many_requests", None),
        AppError::Unavailable { .. } => (Code::Unavailable, "unavailable", None),
        AppError::Internal { .. } => (Code::Internal, "internal", None),
    };
    match &error {
        AppError::Internal { .. } => tracing::error!(error = chain(&error), "a call of an agent failed"),
        AppError::Unavailable { .. } => {
            tracing::warn!(error = chain(&error), "a call of an agent could not be served")
        }
        _ => {}
    }
    let text = match hint {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    };
    with_code(Status::new(grpc, text), code)
}

/// A refusal of this layer.
pub(super) fn refused(grpc: Code, code: &'static str, text: impl Into<String>) -> Status {
    with_code(Status::new(grpc, text), code)
}

/// A message that does not fit the protocol.
pub(super) fn invalid(error: InvalidMessage) -> Status {
    refused(Code::InvalidArgument, "invalid_message", error.to_string())
}

fn with_code(mut status: Status, code: &'static str) -> Status {
    status.metadata_mut().insert(CODE_KEY, MetadataValue::from_static(code));
    status
}

/// An error and everything behind it.
fn chain(error: &(dyn Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| (*error).source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
