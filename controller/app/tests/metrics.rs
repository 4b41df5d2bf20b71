//! Figures from the first sample to the last roll-up, against a real database and a clock that is moved by hand.

use chrono::{DateTime, TimeDelta, Utc};
use muster_app::{Actor, App, Clock as _, ManualClock, MetricsQuery, Settings, UserRole};
use muster_artifact::ObjectStore;
use muster_db::Db;
use muster_domain::{NodeId, UserId, metrics::NodeMetrics};
use muster_identity::{FleetIdentity, Revocations};
use sqlx::PgPool;
use std::sync::Arc;
use uuid::Uuid;

fn sample(at: DateTime<Utc>, cpu_percent: f32) -> NodeMetrics {
    NodeMetrics {
        at,
        cpu_percent,
        memory_used_bytes: 1,
        memory_total_bytes: 2,
        swap_used_bytes: 0,
        disk_used_bytes: 1,
        disk_total_bytes: 2,
        load_1: 0.0,
        load_5: 0.0,
        load_15: 0.0,
        network_rx_bytes_per_s: 0,
        network_tx_bytes_per_s: 0,
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn figures_are_rolled_up_and_old_ones_go(pool: PgPool) {
    let clock = Arc::new(ManualClock::new("2027-01-15T08:00:00Z".parse().unwrap()));
    let folder = tempfile::tempdir().unwrap();
    let (identity, _) = FleetIdentity::open_or_create(folder.path(), clock.now()).unwrap();
    let objects = ObjectStore::open(folder.path().join("objects")).unwrap();
    let settings = Settings::new("https://muster.example:8444".into());
    let db = Db::from_pool(pool.clone());
    let app = App::new(db, clock.clone(), identity, Revocations::new([]), objects, settings);
    let viewer = Actor {
        user: UserId::from_uuid(Uuid::nil()),
        name: "amara".into(),
        role: UserRole::Viewer,
        address: None,
    };
    let node = NodeId::from_uuid(Uuid::now_v7());
    sqlx::query(
        "INSERT INTO nodes (id, name, environment, roles, enrolled_at, facts, liveness, liveness_changed_at,
                            report_sequence, reported_generation)
         VALUES ($1, 'app-1', 'production', '{}', $2, '{}', 'up', $2, 0, 0)",
    )
    .bind(node.as_uuid())
    .bind(clock.now())
    .execute(&pool)
    .await
    .unwrap();

    app.metrics_maintain(clock.now()).await.unwrap();
    let begin = clock.now();
    let mut conn = pool.acquire().await.unwrap();
    for step in 0..720 {
        let at = begin + TimeDelta::seconds(step * 10);
        assert!(muster_db::metrics::insert_sample(&mut conn, node, &sample(at, 50.0)).await.unwrap());
    }
    clock.advance(TimeDelta::hours(2));
    app.metrics_maintain(clock.now()).await.unwrap();
    let read = async |from: TimeDelta, points| {
        let query =
            MetricsQuery { from: Some(clock.now() - from), to: Some(clock.now()), points: Some(points) };
        app.node_metrics(&viewer, "app-1", query).await.unwrap()
    };
    let raw = read(TimeDelta::minutes(30), 400).await;
    assert_eq!((raw.step_s, raw.points.len()), (0, 180));
    let minutes = read(TimeDelta::hours(2), 200).await;
    // Two minutes are left for late reports to settle.
    assert_eq!((minutes.step_s, minutes.points.len()), (60, 118));
    assert!(minutes.points.iter().all(|point| point.cpu_percent == 50.0));
    let coarse = read(TimeDelta::hours(2), 24).await;
    assert_eq!((coarse.step_s, coarse.points.len()), (300, 23));

    // A month later the raw samples and the minutes are gone, the hours are there.
    clock.advance(TimeDelta::days(40));
    for _ in 0..10 {
        app.metrics_maintain(clock.now()).await.unwrap();
    }
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM node_metrics").fetch_one(&pool).await.unwrap();
    assert_eq!(left, 0);
    let steps: Vec<i32> =
        sqlx::query_scalar("SELECT DISTINCT step_s FROM node_metrics_rollup").fetch_all(&pool).await.unwrap();
    assert_eq!(steps, [3600]);
    let partitions = muster_db::metrics::partitions(&mut conn).await.unwrap();
    assert_eq!(partitions.len(), 5, "two days back, today, two ahead: {partitions:?}");
    let long = read(TimeDelta::days(60), 2_000).await;
    assert_eq!(long.step_s, 3600);
    assert_eq!(long.points.len(), 2);
}
