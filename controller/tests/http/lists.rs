//! Pages of lists, and the shapes of what is shown.

use crate::world::World;
use axum::http::{Method, StatusCode};
use muster_domain::user::UserRole;
use serde_json::{Value, json};
use sqlx::PgPool;

/// Reads a list page by page.
async fn all(world: &World, path: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let between = if path.contains('?') { '&' } else { '?' };
        let page = match &cursor {
            None => world.get(path).await,
            Some(cursor) => world.get(&format!("{path}{between}cursor={cursor}")).await,
        };
        assert_eq!(page.status, StatusCode::OK, "{:?}", page.body);
        let page = page.json();
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        assert!(items.len() < 1000, "a list ends");
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return items,
        }
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn events_are_read_page_by_page_both_ways(pool: PgPool) {
    let world = World::new(pool).await;
    world.declare().await;
    for number in 0..5 {
        let path = format!("/api/v1/secrets/KEY_{number}");
        let set = world.ask(UserRole::Operator, Method::PUT, &path, Some(json!({ "value": "hidden" }))).await;
        assert_eq!(set.status, StatusCode::NO_CONTENT, "{:?}", set.body);
    }
    let sequences =
        |events: &[Value]| events.iter().map(|e| e["sequence"].as_i64().unwrap()).collect::<Vec<_>>();
    let newest_first = all(&world, "/api/v1/events?limit=2").await;
    assert!(sequences(&newest_first).is_sorted_by(|a, b| a > b));
    let oldest_first = all(&world, "/api/v1/events?limit=2&after=0").await;
    assert!(sequences(&oldest_first).is_sorted_by(|a, b| a < b));
    assert_eq!(newest_first.len(), oldest_first.len());
    assert_eq!(all(&world, "/api/v1/events?kind=secret.set").await.len(), 5);
    assert_eq!(all(&world, "/api/v1/events?severity=error").await.len(), 0);
    let secrets = world.get("/api/v1/secrets").await;
    assert_eq!(secrets.json()["items"].as_array().unwrap().len(), 5);
    assert!(!String::from_utf8_lossy(&secrets.body).contains("hidden"), "a value never comes out");
}

#[sqlx::test(migrations = "../migrations")]
async fn what_is_declared_is_shown_before_anything_runs(pool: PgPool) {
    let world = World::new(pool).await;
    assert_eq!(world.get("/api/v1/fleet-configuration").await.problem(), (404, "not_found".into()));
    world.declare().await;
    let overview = world.get("/api/v1/overview").await.json();
    assert_eq!(overview["missing_nodes"], json!(["app-1"]));
    assert_eq!(overview["attention"], json!([]));
    assert_eq!(overview["application_count"], 1);
    let environments = world.get("/api/v1/environments").await.json();
    assert_eq!(environments["items"][0]["name"], "production");
    assert_eq!(environments["items"][0]["node_count"], 1);
    let application = world.get("/api/v1/applications/web").await.json();
    assert_eq!(application["declared"], true);
    assert_eq!(application["environments"][0]["nodes"], json!(["app-1"]));
    assert_eq!(application["declaration"]["script"], "server.js");
    assert_eq!(all(&world, "/api/v1/applications?limit=1").await.len(), 1);
    assert_eq!(world.get("/api/v1/applications/api").await.problem(), (404, "not_found".into()));
    let version = world.get("/api/v1/fleet-configuration/versions/1").await.json();
    assert_eq!((&version["version"], &version["author"]), (&json!(1), &json!("operator")));
    assert_eq!(all(&world, "/api/v1/fleet-configuration/versions?limit=1").await.len(), 1);
    assert_eq!(
        world.get("/api/v1/fleet-configuration/versions/2").await.problem(),
        (404, "not_found".into())
    );
    let nothing = json!({ "application": "web", "environment": "production", "release": "v1" });
    let start = world.ask(UserRole::Deployer, Method::POST, "/api/v1/rollouts", Some(nothing)).await;
    assert_eq!(start.problem(), (404, "not_found".into()));
}

#[sqlx::test(migrations = "../migrations")]
async fn with_programs_an_invitation_installs_the_agent(pool: PgPool) {
    let world = World::new(pool).await;
    world.declare().await;
    std::fs::create_dir_all(&world.programs).unwrap();
    for name in muster_controller::install::PROGRAMS {
        // The first bytes of a program for x86_64.
        let mut content = b"\x7fELF\x02\x01\x01".to_vec();
        content.resize(18, 0);
        content.extend(62_u16.to_le_bytes());
        std::fs::write(world.programs.join(name), content).unwrap();
    }
    let body = json!({ "node": "app-1" });
    let created = world.ask(UserRole::Operator, Method::POST, "/api/v1/enrolments", Some(body)).await.json();
    let (token, command) = (created["token"].as_str().unwrap(), created["command"].as_str().unwrap());
    assert!(command.starts_with(&format!("echo {token} | sh -c '")), "{command}");
    assert!(command.contains("u=https://muster.example:8444/install;"), "{command}");
    assert!(created["install_problem"].is_null());
    let user_data = created["cloud_init"].as_str().unwrap();
    assert!(user_data.starts_with("#cloud-config\n") && user_data.contains(token), "{user_data}");
}

#[sqlx::test(migrations = "../migrations")]
async fn an_invitation_takes_what_is_declared_and_is_shown_once(pool: PgPool) {
    let world = World::new(pool).await;
    world.declare().await;
    let create = |body| world.ask(UserRole::Operator, Method::POST, "/api/v1/enrolments", Some(body));
    let created = create(json!({ "node": "app-1" })).await;
    assert_eq!(created.status, StatusCode::CREATED, "{:?}", created.body);
    let created = created.json();
    assert_eq!(created["enrolment"]["environment"], "production");
    assert_eq!(created["enrolment"]["roles"], json!(["app_server"]));
    let token = created["token"].as_str().unwrap();
    assert_eq!(
        created["command"],
        format!("echo {token} | muster-agent join --controller https://muster.example:8444")
    );
    let problem = created["install_problem"].as_str().unwrap();
    assert!(problem.contains("holds no programs") && problem.contains("--agent-dir"), "{problem}");
    assert!(created["cloud_init"].is_null());
    assert_eq!(create(json!({ "node": "db-1" })).await.problem(), (422, "environment_missing".into()));
    let bad_role = json!({ "node": "db-1", "environment": "staging", "roles": ["database"] });
    assert_eq!(create(bad_role).await.problem(), (422, "invalid_role".into()));

    let listed = world.get("/api/v1/enrolments").await;
    assert_eq!(listed.json()["items"][0]["status"], "invited");
    assert!(!String::from_utf8_lossy(&listed.body).contains(token));
    let path = format!("/api/v1/enrolments/{}", created["enrolment"]["id"].as_str().unwrap());
    assert_eq!(
        world.ask(UserRole::Operator, Method::DELETE, &path, None).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(world.ask(UserRole::Operator, Method::DELETE, &path, None).await.status, StatusCode::CONFLICT);
}
