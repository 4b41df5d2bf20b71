//! Invitations.

use super::{Answer, PageQuery, missing};
use crate::http::{
    Http,
    auth::Caller,
    encode,
    error::ApiError,
    extract::{Json, Path, Query},
};
use crate::install::{self, Offer};
use axum::{extract::State, http::StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use muster_api_types::{Enrolment, EnrolmentCreate, EnrolmentCreated, EnrolmentStatus, Page};
use muster_app::{DEFAULT_INVITATION_LIFE, InviteRequest};
use muster_domain::{EnrolmentId, EnvironmentName, NodeName, node::Role};
use secrecy::ExposeSecret as _;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Http> {
    OpenApiRouter::new().routes(routes!(enrolment_list, enrolment_create)).routes(routes!(enrolment_withdraw))
}

/// Invitations, newest first.
#[utoipa::path(get, path = "/api/v1/enrolments", operation_id = "enrolment_list", tag = "enrolments", params(PageQuery),
    responses((status = 200, description = "Invitations, without their tokens", body = Page<Enrolment>)))]
async fn enrolment_list(
    State(http): State<Http>,
    caller: Caller,
    Query(page): Query<PageQuery>,
) -> Answer<Page<Enrolment>> {
    let page = page.request();
    let before: Option<EnrolmentId> = page.parse()?;
    let enrolments = http.app().enrolment_list(caller.actor(), before, page.rows()).await?;
    Ok(axum::Json(encode::page(page.page(enrolments, |e| e.id.to_string()), encode::enrolment)))
}

/// Invites a host to become a node. The token is shown this once.
#[utoipa::path(post, path = "/api/v1/enrolments", operation_id = "enrolment_create", tag = "enrolments",
    request_body = EnrolmentCreate,
    responses((status = 201, description = "The invitation with its token", body = EnrolmentCreated)))]
async fn enrolment_create(
    State(http): State<Http>,
    caller: Caller,
    Json(create): Json<EnrolmentCreate>,
) -> Result<(StatusCode, axum::Json<EnrolmentCreated>), ApiError> {
    let EnrolmentCreate { node, environment, roles, ttl_s, replace } = create;
    let name: NodeName = node.parse()?;
    let environment: EnvironmentName = match environment {
        Some(environment) => environment.parse()?,
        None => http.app().node_declared_environment(caller.actor(), &name).await?,
    };
    let roles = roles.iter().map(|role| role_parse(role)).collect::<Result<Vec<_>, _>>()?;
    let life = ttl_s.map_or(DEFAULT_INVITATION_LIFE, |s| TimeDelta::seconds(i64::from(s)));
    let request =
        InviteRequest { name: name.clone(), environment: environment.clone(), roles, life, replace };
    let invitation = http.app().node_invite(caller.actor(), request).await?;
    let token = invitation.token.expose_secret().to_owned();
    let controller_url = invitation.controller_url;
    let offer = offer(&http, &controller_url, &token, &name, invitation.expires_at).await;
    let (command, cloud_init, install_problem) = match offer {
        Ok(Offer { command, cloud_init }) => (command, Some(cloud_init), None),
        // On standard input, so that no list of processes shows the token.
        Err(problem) => {
            (format!("echo {token} | muster-agent join --controller {controller_url}"), None, Some(problem))
        }
    };
    let created = EnrolmentCreated {
        enrolment: Enrolment {
            id: invitation.id.as_uuid(),
            node: name.into(),
            environment: environment.into(),
            roles: encode::roles(&invitation.roles),
            status: EnrolmentStatus::Invited,
            created_by: caller.actor().name.clone(),
            created_at: invitation.expires_at - life,
            expires_at: invitation.expires_at,
            enrolled_at: None,
        },
        command,
        cloud_init,
        install_problem,
        token,
        controller_url,
    };
    Ok((StatusCode::CREATED, axum::Json(created)))
}

/// The line that installs the agent and joins, or why there is none.
async fn offer(
    http: &Http,
    controller_url: &str,
    token: &str,
    name: &NodeName,
    expires_at: DateTime<Utc>,
) -> Result<Offer, String> {
    let problem =
        |reason: String, mend: &str| format!("the agent cannot be installed from here: {reason}; {mend}");
    http.install().catalogue().await.map_err(|found| problem(found.reason.clone(), &found.mend))?;
    install::offer(controller_url, token, name.as_str(), expires_at)
        .map_err(|unusable| problem(unusable.to_string(), "start the controller with a plain --agent-url"))
}

fn role_parse(text: &str) -> Result<Role, ApiError> {
    Role::parse(text).ok_or_else(|| {
        let known: Vec<&str> = Role::ALL.into_iter().map(Role::as_str).collect();
        let text: String = text.chars().take(80).collect();
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_role", format!("there is no role {text:?}"))
            .with_hint(format!("use {}", known.join(", ")))
    })
}

/// Takes back an invitation that nobody has used.
#[utoipa::path(delete, path = "/api/v1/enrolments/{id}", operation_id = "enrolment_withdraw", tag = "enrolments",
    params(("id" = uuid::Uuid, Path, description = "The invitation's id")),
    responses((status = 204, description = "Taken back")))]
async fn enrolment_withdraw(
    State(http): State<Http>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id: EnrolmentId = id.parse().map_err(|_| missing("invitation", &id))?;
    http.app().enrolment_withdraw(caller.actor(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}
