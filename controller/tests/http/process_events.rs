//! Why processes ended or were restarted, as people ask for it.

use crate::world::World;
use chrono::{DateTime, TimeDelta, Utc};
use muster_app::{Clock as _, NodeEvent, NodeReport};
use muster_domain::{
    ApplicationName, NodeId, ReleaseVersion,
    event::Severity,
    observed::{ProcessEvent, ProcessExit},
};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

async fn node(world: &World, name: &str) -> NodeId {
    let id = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO nodes (id, name, environment, roles, enrolled_at, facts, liveness, liveness_changed_at,
                            report_sequence, reported_generation)
         VALUES ($1, $2, 'production', '{app_server}', $3, '{}', 'up', $3, 0, 0)",
    )
    .bind(id)
    .bind(name)
    .bind(world.clock.now())
    .execute(&world.pool)
    .await
    .unwrap();
    NodeId::from_uuid(id)
}

fn exited(sequence: u64, at: DateTime<Utc>, instance: u32) -> NodeReport {
    NodeReport::Event(NodeEvent {
        sequence,
        at,
        kind: "process.exited".into(),
        severity: Severity::Warning,
        message: format!("web #{instance}: exited with code 1 after 50 ms"),
        application: Some(ApplicationName::parse("web").unwrap()),
        process: Some(ProcessEvent {
            instance: Some(instance),
            release: Some(ReleaseVersion::parse("1.4.0").unwrap()),
            reason: "exited with code 1 after 50 ms".into(),
            restarts: Some(sequence),
            exit: Some(ProcessExit {
                code: Some(1),
                signal: None,
                out_of_memory: false,
                uptime_ms: 50,
                last_stderr: vec!["Error: no route".into()],
            }),
        }),
    })
}

fn restarts(answer: &Value) -> Vec<u64> {
    answer["items"].as_array().unwrap().iter().map(|event| event["restarts"].as_u64().unwrap()).collect()
}

#[sqlx::test(migrations = "../migrations")]
async fn process_events_are_filtered_and_read_page_by_page(pool: PgPool) {
    let world = World::new(pool).await;
    let (one, two) = (node(&world, "app-1").await, node(&world, "app-2").await);
    let now = world.clock.now();
    let reports: Vec<NodeReport> = (1..=5)
        .map(|n| {
            let ago = TimeDelta::minutes(10 - i64::try_from(n).unwrap());
            exited(n, now - ago, u32::try_from(n % 2).unwrap())
        })
        .collect();
    assert_eq!(world.app.reports_store(one, reports.clone()).await.unwrap(), 5);
    // A redelivery is recognised.
    assert_eq!(world.app.reports_store(one, reports).await.unwrap(), 5);
    world.app.reports_store(two, vec![exited(6, now + TimeDelta::hours(5), 0)]).await.unwrap();

    let get = async |query: &str| world.get(&format!("/api/v1/process-events{query}")).await.json();
    assert_eq!(restarts(&get("").await), [6, 5, 4, 3, 2, 1]);
    assert_eq!(restarts(&get("?node=app-1&instance=1").await), [5, 3, 1]);
    assert_eq!(restarts(&get("?application=api").await), Vec::<u64>::new());
    assert_eq!(restarts(&get("?environment=production&kind=process&limit=2").await), [6, 5]);
    let since = (now - TimeDelta::minutes(6)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    assert_eq!(restarts(&get(&format!("?node=app-1&since={since}")).await), [5, 4]);
    assert_eq!(restarts(&get(&format!("?until={since}")).await), [3, 2, 1]);
    let first = get("?node=app-1&limit=3").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(restarts(&get(&format!("?node=app-1&limit=3&cursor={cursor}")).await), [2, 1]);

    let newest = get("?limit=1").await["items"][0].clone();
    assert_eq!(newest["at"], newest["reported_at"], "a clock that is ahead does not make the future");
    assert_eq!(
        (newest["node"].as_str(), newest["environment"].as_str()),
        (Some("app-2"), Some("production"))
    );
    assert_eq!(newest["exit"]["last_stderr"][0], "Error: no route");
    let events = world.get("/api/v1/events?kind=process.exited&limit=1").await.json();
    assert_eq!(events["items"][0]["sequence"], newest["sequence"]);

    for bad in ["?since=yesterday", "?instance=-1", "?pid=1"] {
        let refused = world.get(&format!("/api/v1/process-events{bad}")).await;
        assert_eq!(refused.problem(), (400, "invalid_query".into()), "{bad}");
    }
    let refused = world.get("/api/v1/process-events?cursor=x").await;
    assert_eq!(refused.problem(), (422, "invalid_cursor".into()));
}

#[sqlx::test(migrations = "../migrations")]
async fn last_words_are_forgotten_after_months_and_the_line_stays(pool: PgPool) {
    let world = World::new(pool).await;
    let one = node(&world, "app-1").await;
    world.app.reports_store(one, vec![exited(1, world.clock.now(), 0)]).await.unwrap();
    world.clock.advance(TimeDelta::days(60));
    world.app.reports_store(one, vec![exited(2, world.clock.now(), 0)]).await.unwrap();
    world.clock.advance(TimeDelta::days(31));
    world.app.process_events_maintain().await.unwrap();
    world.app.events_maintain().await.unwrap();
    assert_eq!(restarts(&world.get("/api/v1/process-events").await.json()), [2]);
    let events = world.get("/api/v1/events?kind=process.exited").await.json();
    assert_eq!(events["items"].as_array().unwrap().len(), 2);
}
