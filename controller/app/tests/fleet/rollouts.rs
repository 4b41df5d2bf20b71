//! Rollouts while the fleet changes around them.

use crate::world::{FLEET, World, admin, enrol_request};
use chrono::TimeDelta;
use muster_app::{Clock as _, NodeEvent, NodeReport};
use muster_domain::{
    ApplicationName, EnvironmentName, ReleaseVersion, event::Severity, node::Liveness, rollout::RolloutState,
};
use sqlx::PgPool;
use std::time::Duration;

#[sqlx::test(migrations = "../../migrations")]
async fn a_node_that_is_moved_elsewhere_does_not_take_the_release_along(pool: PgPool) {
    let world = World::new(pool);
    world.apply(FLEET).await;
    world.join("web-1").await;
    world.join("web-2").await;
    world.release("1").await;
    let (shop, production) =
        (ApplicationName::parse("shop").unwrap(), EnvironmentName::parse("production").unwrap());
    let version = ReleaseVersion::parse("1").unwrap();
    let rollout = world.app.rollout_start(&admin(), &shop, &production, &version).await.unwrap();
    world.app.rollouts_drive().await.unwrap();
    assert_eq!(world.carried("web-1").await.as_deref(), Some("1"), "its turn");

    world.apply(&FLEET.replace("web-1: {environment: production", "web-1: {environment: staging")).await;
    assert_eq!(world.carried("web-1").await, None, "staging runs no release of the application");
    world.app.rollouts_drive().await.unwrap();
    // Going back goes for every node that is still there.
    world.clock.advance(TimeDelta::hours(1));
    world.app.rollouts_drive().await.unwrap();
    let ended = world.app.rollout_get(&admin(), rollout.id).await.unwrap();
    let RolloutState::RolledBack { reason } = ended.state else { panic!("{:?}", ended.state) };
    assert!(reason.contains("moved it to another environment"), "{reason}");
    assert_eq!(world.carried("web-1").await, None);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_node_joins_after_or_before_a_change_but_not_beside_it(pool: PgPool) {
    let world = World::new(pool);
    world.apply(FLEET).await;
    let token = world.token("web-1").await;
    // Somebody is about to compile every node.
    let mut change = world.pool.begin().await.unwrap();
    muster_db::assignments::compile_turn(&mut change).await.unwrap();
    let app = world.app.clone();
    let joining = tokio::spawn(async move { app.node_enrol(enrol_request(&token)).await });
    let waits = || async {
        sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .fetch_one(&world.pool)
        .await
        .unwrap()
    };
    while waits().await == 0 {
        assert!(!joining.is_finished(), "it did not wait, so the change misses it and it misses the change");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    change.commit().await.unwrap();
    joining.await.unwrap().unwrap();
}

#[sqlx::test(migrations = "../../migrations")]
async fn nodes_are_not_down_because_the_database_was(pool: PgPool) {
    let world = World::new(pool);
    world.apply(FLEET).await;
    let node = world.join("web-1").await;
    assert_eq!(world.liveness("web-1").await, Liveness::Up);
    // Five minutes without a database, as far as the controller can tell; nobody could beat.
    sqlx::query("ALTER TABLE nodes RENAME TO nodes_away").execute(&world.pool).await.unwrap();
    world.clock.advance(TimeDelta::minutes(5));
    world.app.liveness_scan().await.unwrap_err();
    sqlx::query("ALTER TABLE nodes_away RENAME TO nodes").execute(&world.pool).await.unwrap();
    world.clock.advance(TimeDelta::seconds(1));
    world.app.liveness_scan().await.unwrap();
    assert_eq!(world.liveness("web-1").await, Liveness::Up);
    assert!(world.events("node.down").await.is_empty());
    world.beat(node).await;
    // Silence that can be told from deafness counts.
    world.clock.advance(TimeDelta::seconds(60));
    world.app.liveness_scan().await.unwrap();
    assert_eq!(world.liveness("web-1").await, Liveness::Down);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_node_that_reports_without_end_does_not_fill_the_event_list(pool: PgPool) {
    let world = World::new(pool);
    world.apply(FLEET).await;
    let node = world.join("web-1").await;
    let event = |sequence| {
        NodeReport::Event(NodeEvent {
            sequence,
            at: world.clock.now(),
            kind: "process.exited".into(),
            severity: Severity::Warning,
            message: "x".repeat(10_000),
            application: None,
            process: None,
        })
    };
    for call in 0..3 {
        let reports = (1..=1_000).map(|n| event(call * 1_000 + n)).collect();
        assert_eq!(
            world.app.reports_store(node, reports).await.unwrap(),
            (call + 1) * 1_000,
            "all are taken"
        );
    }
    let kept = world.events("process.exited").await;
    assert_eq!(kept.len(), 2_000);
    assert_eq!(kept[0].message.chars().count(), 1_000);
    assert_eq!(world.events("node.events_dropped").await.len(), 1);
}
