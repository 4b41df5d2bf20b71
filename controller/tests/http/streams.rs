//! Answers that go on: live messages and logs.

use crate::world::{World, request};
use axum::{
    body::Body,
    http::{Method, StatusCode, header},
};
use http_body_util::BodyExt as _;
use muster_app::{LogBatch, LogLine, NodeHint};
use muster_domain::{NodeId, user::UserRole};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::time::Duration;
use tokio::time::timeout;
use tower::ServiceExt as _;
use uuid::Uuid;

/// Reads until the text holds `wanted`.
async fn read_until(body: &mut Body, wanted: &str) -> String {
    let mut text = String::new();
    while !text.contains(wanted) {
        let frame = timeout(Duration::from_secs(10), body.frame()).await;
        let frame = frame.unwrap_or_else(|_| panic!("{wanted:?} did not come: {text}")).unwrap().unwrap();
        text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
    text
}

#[sqlx::test(migrations = "../migrations")]
async fn what_changes_is_told_as_it_changes(pool: PgPool) {
    let world = World::new(pool).await;
    let ask = request(Method::GET, "/api/v1/live", Some(world.token(UserRole::Viewer)), None);
    let answer = world.router.clone().oneshot(ask).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut body = answer.into_body();
    read_until(&mut body, "connected").await;
    world.declare().await;
    let text = read_until(&mut body, "fleet_configuration.applied").await;
    assert!(text.contains(r#"data: {"topic":"event","event":{"sequence":"#), "{text}");
    assert!(text.contains("id: "), "an event can be resumed from: {text}");
}

async fn node_with_process(world: &World) -> NodeId {
    let id = Uuid::now_v7();
    let now = world.app.now();
    sqlx::query(
        "INSERT INTO nodes (id, name, environment, roles, enrolled_at, facts, liveness, liveness_changed_at,
                            report_sequence, reported_generation)
         VALUES ($1, 'app-1', 'production', '{app_server}', $2, $3, 'up', $2, 0, 0)",
    )
    .bind(id)
    .bind(now)
    .bind(serde_json::to_value(muster_domain::node::HostFacts::default()).unwrap())
    .execute(&world.pool)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO processes (node_id, application, instance, state, restarts, cpu_percent, memory_bytes, reported_at)
         VALUES ($1, 'web', 0, 'ready', 0, 0, 0, $2)",
    )
    .bind(id)
    .bind(now)
    .execute(&world.pool)
    .await
    .unwrap();
    NodeId::from_uuid(id)
}

#[sqlx::test(migrations = "../migrations")]
async fn logs_come_from_the_nodes_and_end_with_them(pool: PgPool) {
    let world = World::new(pool).await;
    assert_eq!(world.get("/api/v1/applications/web/logs").await.problem(), (409, "no_processes".into()));
    let node = node_with_process(&world).await;
    let away = world.get("/api/v1/applications/web/logs").await;
    assert_eq!(away.status, StatusCode::OK);
    assert!(String::from_utf8_lossy(&away.body).contains("is not connected"), "{:?}", away.body);

    let mut hints = world.app.hints().subscribe(node);
    let path = "/api/v1/applications/web/logs?lines=5";
    let asking = {
        let ask = request(Method::GET, path, Some(world.token(UserRole::Viewer)), None);
        tokio::spawn(world.router.clone().oneshot(ask))
    };
    let hint = timeout(Duration::from_secs(10), hints.recv()).await.unwrap().unwrap();
    let NodeHint::LogRequest { request_id, lines: 5, follow: false, .. } = hint else { panic!("{hint:?}") };
    let line = LogLine { at: world.app.now(), instance: 0, stderr: true, line: "it's on".into() };
    let batch = LogBatch { lines: vec![line], dropped: 3, error: None };
    let stranger = NodeId::from_uuid(Uuid::now_v7());
    assert!(!world.app.logs_deliver(stranger, request_id, batch.clone()).await, "a node that was not asked");
    assert!(world.app.logs_deliver(node, request_id, batch.clone()).await);
    world.app.logs_finished(node, request_id).await;
    let body = asking.await.unwrap().unwrap().into_body().collect().await.unwrap().to_bytes();
    let messages: Vec<Value> = String::from_utf8(body.to_vec())
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(messages[0], json!({ "type": "dropped", "node": "app-1", "count": 3 }));
    assert_eq!((&messages[1]["line"], &messages[1]["stream"]), (&json!("it's on"), &json!("err")));
    assert_eq!(messages[2], json!({ "type": "caught_up" }));
    assert_eq!(messages.len(), 3);
    assert!(!world.app.logs_deliver(node, request_id, batch).await, "nobody reads any more");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_reader_who_goes_away_is_told_to_the_nodes(pool: PgPool) {
    let world = World::new(pool).await;
    let node = node_with_process(&world).await;
    let mut hints = world.app.hints().subscribe(node);
    let mut ask = request(
        Method::GET,
        "/api/v1/applications/web/logs?follow=true",
        Some(world.token(UserRole::Viewer)),
        None,
    );
    ask.headers_mut().insert(header::ACCEPT, "text/event-stream".parse().unwrap());
    let answer = world.router.clone().oneshot(ask).await.unwrap();
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
    let hint = timeout(Duration::from_secs(10), hints.recv()).await.unwrap().unwrap();
    let NodeHint::LogRequest { request_id, follow: true, .. } = hint else { panic!("{hint:?}") };
    assert!(
        world.app.logs_deliver(node, request_id, LogBatch::default()).await,
        "a node without lines answers as well"
    );
    let mut body = answer.into_body();
    let text = read_until(&mut body, "caught_up").await;
    assert!(!text.contains("problem"), "{text}");
    drop(body);
    let ended = timeout(Duration::from_secs(10), hints.recv()).await.unwrap().unwrap();
    assert_eq!(ended, NodeHint::LogRequestEnded { request_id });
}
