//! Sessions and API tokens.

use super::{Answer, missing};
use crate::http::{
    Http,
    auth::{Caller, Client, set_cookie},
    encode,
    error::ApiError,
    extract::{Json, Path},
};
use axum::{
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use muster_api_types::{Page, Session, SessionCreate, Token, TokenCreate, TokenCreated};
use muster_domain::TokenId;
use secrecy::{ExposeSecret as _, SecretString};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Http> {
    OpenApiRouter::new()
        .routes(routes!(session_create, session_get, session_delete))
        .routes(routes!(token_list, token_create))
        .routes(routes!(token_revoke))
}

type WithCookie<T> = ([(HeaderName, HeaderValue); 1], T);

/// Signs in with a password. The answer sets the session cookie.
#[utoipa::path(post, path = "/api/v1/session", operation_id = "session_create", tag = "access", security(()),
    request_body = SessionCreate,
    responses((status = 200, description = "Signed in", body = Session)))]
async fn session_create(
    State(http): State<Http>,
    client: Client,
    Json(SessionCreate { username, password }): Json<SessionCreate>,
) -> Result<WithCookie<axum::Json<Session>>, ApiError> {
    let password = SecretString::from(password);
    let (who, cookie) = http.app().session_create(&username, password, client.address).await?;
    let life_s = who.expires_at.map_or(0, |end| (end - http.app().now()).num_seconds());
    let cookie = set_cookie(client, Some((cookie.expose_secret(), life_s)));
    Ok(([(header::SET_COOKIE, cookie)], axum::Json(encode::session(&who))))
}

/// Who is signed in.
#[utoipa::path(get, path = "/api/v1/session", operation_id = "session_get", tag = "access",
    responses((status = 200, description = "Who is signed in", body = Session)))]
async fn session_get(caller: Caller) -> Answer<Session> {
    Ok(axum::Json(encode::session(&caller.0)))
}

/// Signs out.
#[utoipa::path(delete, path = "/api/v1/session", operation_id = "session_delete", tag = "access",
    responses((status = 204, description = "Signed out")))]
async fn session_delete(
    State(http): State<Http>,
    client: Client,
    caller: Caller,
) -> Result<WithCookie<StatusCode>, ApiError> {
    http.app().session_delete(&caller.0).await?;
    Ok(([(header::SET_COOKIE, set_cookie(client, None))], StatusCode::NO_CONTENT))
}

/// The caller's API tokens; everybody's for an admin. Newest first.
#[utoipa::path(get, path = "/api/v1/tokens", operation_id = "token_list", tag = "access",
    responses((status = 200, description = "Tokens, without their secrets", body = Page<Token>)))]
async fn token_list(State(http): State<Http>, caller: Caller) -> Answer<Page<Token>> {
    let tokens = http.app().token_list(caller.actor()).await?;
    Ok(axum::Json(encode::whole(tokens, encode::token)))
}

/// Makes an API token with the caller's rights. Its secret is shown this once.
#[utoipa::path(post, path = "/api/v1/tokens", operation_id = "token_create", tag = "access",
    request_body = TokenCreate,
    responses((status = 201, description = "The token with its secret", body = TokenCreated)))]
async fn token_create(
    State(http): State<Http>,
    caller: Caller,
    Json(TokenCreate { name, ttl_s }): Json<TokenCreate>,
) -> Result<(StatusCode, axum::Json<TokenCreated>), ApiError> {
    let (record, secret) = http.app().token_create(&caller.0, &name, ttl_s).await?;
    let created = TokenCreated { token: encode::token(record), secret: secret.expose_secret().to_owned() };
    Ok((StatusCode::CREATED, axum::Json(created)))
}

/// Withdraws an API token.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", operation_id = "token_revoke", tag = "access",
    params(("id" = uuid::Uuid, Path, description = "The token's id")),
    responses((status = 204, description = "Withdrawn")))]
async fn token_revoke(
    State(http): State<Http>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id: TokenId = id.parse().map_err(|_| missing("token", &id))?;
    http.app().token_revoke(caller.actor(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}
