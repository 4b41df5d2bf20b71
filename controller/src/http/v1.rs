//! The operations, one module per noun. An operation is named like the use case that it calls.

mod access;
mod applications;
mod artifacts;
mod convergence;
mod enrolments;
mod events;
mod fleet_configuration;
mod live;
mod logs;
mod nodes;
mod overview;
mod process_events;
mod releases;
mod rollouts;
mod secrets;

use crate::http::{Http, error::ApiError};
use muster_app::PageRequest;
use utoipa_axum::router::OpenApiRouter;

/// An answer in JSON.
type Answer<T> = Result<axum::Json<T>, ApiError>;

/// Operations that are done within seconds.
pub(crate) fn ordinary() -> OpenApiRouter<Http> {
    OpenApiRouter::new()
        .merge(access::routes())
        .merge(overview::routes())
        .merge(nodes::routes())
        .merge(convergence::routes())
        .merge(enrolments::routes())
        .merge(applications::routes())
        .merge(releases::routes())
        .merge(logs::routes())
        .merge(artifacts::routes())
        .merge(rollouts::routes())
        .merge(events::routes())
        .merge(process_events::routes())
        .merge(live::routes())
        .merge(fleet_configuration::routes())
        .merge(secrets::routes())
}

/// Operations whose bodies are large.
pub(crate) fn uploads() -> OpenApiRouter<Http> {
    artifacts::uploads()
}

/// Parameters of a list.
#[derive(Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    /// How many items (default 100, at most 500).
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl PageQuery {
    fn request(self) -> PageRequest {
        PageRequest { limit: self.limit, cursor: self.cursor }
    }
}

/// A number or an id in a path that cannot be one names nothing.
fn missing(kind: &'static str, name: &str) -> ApiError {
    muster_app::AppError::not_found(kind, name.chars().take(80).collect::<String>()).into()
}
