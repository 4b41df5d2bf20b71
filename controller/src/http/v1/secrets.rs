//! Secrets. Values come in and never go out.

use super::Answer;
use crate::http::{
    Http,
    auth::Caller,
    encode,
    error::ApiError,
    extract::{Json, Path, Query},
};
use axum::{extract::State, http::StatusCode};
use muster_api_types::{Page, Secret, SecretSet};
use muster_domain::EnvironmentName;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Http> {
    OpenApiRouter::new().routes(routes!(secret_list)).routes(routes!(secret_set, secret_delete))
}

/// Secrets without their values, by name.
#[utoipa::path(get, path = "/api/v1/secrets", operation_id = "secret_list", tag = "secrets",
    responses((status = 200, description = "Secrets", body = Page<Secret>)))]
async fn secret_list(State(http): State<Http>, caller: Caller) -> Answer<Page<Secret>> {
    let secrets = http.app().secret_list(caller.actor()).await?;
    Ok(axum::Json(encode::whole(secrets, encode::secret)))
}

/// Sets a secret.
#[utoipa::path(put, path = "/api/v1/secrets/{name}", operation_id = "secret_set", tag = "secrets",
    params(("name" = String, Path, description = "The secret's name")), request_body = SecretSet,
    responses((status = 204, description = "It is set")))]
async fn secret_set(
    State(http): State<Http>,
    caller: Caller,
    Path(name): Path<String>,
    Json(SecretSet { value, environment }): Json<SecretSet>,
) -> Result<StatusCode, ApiError> {
    let value = SecretString::from(value);
    let environment = environment_parse(environment)?;
    http.app().secret_set(caller.actor(), &name, environment.as_ref(), value).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct SecretDeleteQuery {
    /// The value for this environment; absent: the one for every environment that has none of its own.
    environment: Option<String>,
}

/// Forgets a secret.
#[utoipa::path(delete, path = "/api/v1/secrets/{name}", operation_id = "secret_delete", tag = "secrets",
    params(("name" = String, Path, description = "The secret's name"), SecretDeleteQuery),
    responses((status = 204, description = "It is forgotten")))]
async fn secret_delete(
    State(http): State<Http>,
    caller: Caller,
    Path(name): Path<String>,
    Query(SecretDeleteQuery { environment }): Query<SecretDeleteQuery>,
) -> Result<StatusCode, ApiError> {
    let environment = environment_parse(environment)?;
    http.app().secret_delete(caller.actor(), &name, environment.as_ref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn environment_parse(name: Option<String>) -> Result<Option<EnvironmentName>, ApiError> {
    Ok(name.map(|name| name.parse()).transpose()?)
}
