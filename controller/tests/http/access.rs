//! Signing in and out, tokens, CSRF; and what is answered to malformed requests.

use crate::world::{Answer, PASSWORD, World, request};
use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use chrono::TimeDelta;
use muster_domain::user::UserRole;
use serde_json::json;
use sqlx::PgPool;

async fn sign_in(world: &World, username: &str, password: &str) -> Answer {
    let body = json!({ "username": username, "password": password });
    world.send(request(Method::POST, "/api/v1/session", None, Some(body))).await
}

fn cookie(answer: &Answer) -> String {
    let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

fn with_cookie(method: Method, path: &str, cookie: &str, csrf: bool) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header(header::COOKIE, cookie);
    if csrf {
        request = request.header("x-muster-csrf", "1");
    }
    request.body(Body::empty()).unwrap()
}

#[sqlx::test(migrations = "../migrations")]
async fn a_person_signs_in_works_and_signs_out(pool: PgPool) {
    let world = World::new(pool).await;
    let answer = sign_in(&world, "operator", PASSWORD).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["role"], "operator");
    let attributes = answer.headers[header::SET_COOKIE].to_str().unwrap();
    for wanted in ["muster_session=", "HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=604800"] {
        assert!(attributes.contains(wanted), "{attributes}");
    }
    let cookie = cookie(&answer);

    let session = world.send(with_cookie(Method::GET, "/api/v1/session", &cookie, false)).await;
    assert_eq!(session.json()["username"], "operator");
    let forged = world.send(with_cookie(Method::DELETE, "/api/v1/session", &cookie, false)).await;
    assert_eq!(forged.problem(), (403, "csrf".into()));
    let ended = world.send(with_cookie(Method::DELETE, "/api/v1/session", &cookie, true)).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    assert!(ended.headers[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    let after = world.send(with_cookie(Method::GET, "/api/v1/session", &cookie, false)).await;
    assert_eq!(after.problem(), (401, "session_ended".into()));
}

#[sqlx::test(migrations = "../migrations")]
async fn sessions_end_when_idle_and_at_last_anyway(pool: PgPool) {
    let world = World::new(pool).await;
    let get = |cookie: String| with_cookie(Method::GET, "/api/v1/session", &cookie, false);
    let idle = cookie(&sign_in(&world, "viewer", PASSWORD).await);
    world.clock.advance(TimeDelta::hours(13));
    assert_eq!(world.send(get(idle)).await.problem(), (401, "session_ended".into()));

    let used = cookie(&sign_in(&world, "viewer", PASSWORD).await);
    for _ in 0..(7 * 24 / 6 - 1) {
        world.clock.advance(TimeDelta::hours(6));
        assert_eq!(world.send(get(used.clone())).await.status, StatusCode::OK);
    }
    world.clock.advance(TimeDelta::hours(6));
    assert_eq!(world.send(get(used)).await.problem(), (401, "session_ended".into()), "after seven days");
    assert_eq!(world.app.sessions_forget().await.unwrap(), 2);
}

#[sqlx::test(migrations = "../migrations")]
async fn guessing_passwords_is_slowed_and_tells_nothing(pool: PgPool) {
    let world = World::new(pool).await;
    let known = sign_in(&world, "admin", "not the password").await;
    let unknown = sign_in(&world, "nobody", "not the password").await;
    assert_eq!(known.problem(), (401, "sign_in_failed".into()));
    assert_eq!(known.body, unknown.body, "the answer does not tell which accounts there are");
    for _ in 0..4 {
        sign_in(&world, "admin", "not the password").await;
    }
    let slowed = sign_in(&world, "admin", PASSWORD).await;
    assert_eq!(slowed.problem(), (429, "too_many_requests".into()));
    let wait_s: i64 = slowed.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    world.clock.advance(TimeDelta::seconds(wait_s));
    assert_eq!(sign_in(&world, "admin", PASSWORD).await.status, StatusCode::OK);
}

#[sqlx::test(migrations = "../migrations")]
async fn tokens_end_and_are_withdrawn(pool: PgPool) {
    let world = World::new(pool).await;
    let created = world
        .ask(UserRole::Deployer, Method::POST, "/api/v1/tokens", Some(json!({ "name": "ci", "ttl_s": 3600 })))
        .await;
    assert_eq!(created.status, StatusCode::CREATED);
    let created = created.json();
    let secret = created["secret"].as_str().unwrap();
    let path = format!("/api/v1/tokens/{}", created["token"]["id"].as_str().unwrap());

    let child = request(Method::POST, "/api/v1/tokens", Some(secret), Some(json!({ "name": "child" })));
    let child = world.send(child).await.json();
    assert_eq!(
        child["token"]["expires_at"], created["token"]["expires_at"],
        "a token makes none that outlives it"
    );

    let session = || request(Method::GET, "/api/v1/session", Some(secret), None);
    assert_eq!(world.send(session()).await.json()["role"], "deployer");
    let others = world.ask(UserRole::Viewer, Method::DELETE, &path, None).await;
    assert_eq!(others.problem(), (404, "not_found".into()), "the tokens of others are not there");
    world.clock.advance(TimeDelta::seconds(3600));
    assert_eq!(world.send(session()).await.problem(), (401, "token_expired".into()));
    assert_eq!(world.ask(UserRole::Admin, Method::DELETE, &path, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.send(session()).await.problem(), (401, "token_revoked".into()));
    let listed = world.ask(UserRole::Deployer, Method::GET, "/api/v1/tokens", None).await;
    assert!(!String::from_utf8_lossy(&listed.body).contains(secret), "a secret is shown once");
    assert_eq!(listed.json()["items"].as_array().unwrap().len(), 3);
    let too_short = json!({ "name": "x", "ttl_s": 1 });
    let refused = world.ask(UserRole::Viewer, Method::POST, "/api/v1/tokens", Some(too_short)).await;
    assert_eq!(refused.problem(), (422, "invalid_value".into()));
}

#[sqlx::test(migrations = "../migrations")]
async fn malformed_requests_are_answered_with_problems(pool: PgPool) {
    let world = World::new(pool).await;
    let token = world.token(UserRole::Operator);
    let post = |kind: Option<&str>, body: Body| {
        let mut request = request(Method::POST, "/api/v1/rollouts", Some(token), None);
        if let Some(kind) = kind {
            request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
        }
        *request.body_mut() = body;
        request
    };
    let good = r#"{"application":"web","environment":"production","release":"v1"}"#;
    for kind in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        let answer = world.send(post(kind, good.into())).await;
        assert_eq!(answer.problem(), (415, "unsupported_media_type".into()), "{kind:?}");
    }
    let json = Some("application/json; charset=utf-8");
    let huge = world.send(post(json, vec![b' '; 3 * 1024 * 1024].into())).await;
    assert_eq!(huge.problem(), (413, "body_too_large".into()));
    let broken = world.send(post(json, "{".into())).await;
    assert_eq!(broken.problem(), (400, "invalid_json".into()));
    let unknown = world.send(post(json, r#"{"application":"web","enviroment":"x"}"#.into())).await;
    assert_eq!(unknown.problem(), (422, "invalid_input".into()));
    assert!(unknown.json()["errors"][0]["message"].as_str().unwrap().contains("enviroment"));

    let bad_name = world.send(post(json, good.replace("web", "../x").into())).await;
    assert_eq!(bad_name.problem(), (422, "invalid_name".into()));
    assert_eq!(world.get("/api/v1/nodes?enviroment=x").await.problem(), (400, "invalid_query".into()));
    assert_eq!(world.get("/api/v1/nodes?limit=many").await.problem(), (400, "invalid_query".into()));
    assert_eq!(world.get("/api/v1/processes?cursor=x").await.problem(), (422, "invalid_cursor".into()));
    assert_eq!(world.get("/api/v1/nodes/%FF").await.problem().0, 400);
    assert_eq!(world.get("/api/v1/nothing").await.problem(), (404, "no_such_operation".into()));
    assert_eq!(world.get("/api/v1/nodes/app-9").await.problem(), (404, "not_found".into()));
    assert_eq!(world.get("/api/v1/rollouts/x").await.problem(), (404, "not_found".into()));
    let wrong_method = world.ask(UserRole::Admin, Method::DELETE, "/api/v1/overview", None).await;
    assert_eq!(wrong_method.problem(), (405, "method_not_allowed".into()));
    assert!(wrong_method.headers[header::ALLOW].to_str().unwrap().contains("GET"));

    let mut basic = request(Method::GET, "/api/v1/nodes", None, None);
    basic.headers_mut().insert(header::AUTHORIZATION, "Basic YTpi".parse().unwrap());
    assert_eq!(world.send(basic).await.problem(), (401, "authorization_invalid".into()));
}

#[sqlx::test(migrations = "../migrations")]
async fn ten_megabytes_of_garbage_are_a_problem_with_a_place(pool: PgPool) {
    let world = World::new(pool).await;
    let files = json!({ "files": [{ "path": "fleet.yaml", "content": "[ ".repeat(5 * 1024 * 1024) }] });
    let answer = world.ask(UserRole::Operator, Method::PUT, "/api/v1/fleet-configuration", Some(files)).await;
    assert_eq!(answer.problem(), (422, "invalid_fleet_configuration".into()));
    assert!(answer.json()["errors"][0]["file"].is_string());
    assert!(answer.body.len() < 100_000, "the garbage is not sent back");
}

#[sqlx::test(migrations = "../migrations")]
async fn the_database_away_is_said_and_passes(pool: PgPool) {
    let world = World::new(pool).await;
    assert_eq!(world.send(request(Method::GET, "/readyz", None, None)).await.status, StatusCode::OK);
    world.pool.close().await;
    let answer = world.get("/api/v1/nodes").await;
    assert_eq!(answer.problem(), (503, "unavailable".into()));
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
    assert_eq!(world.send(request(Method::GET, "/readyz", None, None)).await.problem().0, 503);
    assert_eq!(world.send(request(Method::GET, "/healthz", None, None)).await.status, StatusCode::OK);
}
