//! Figures: partitions, roll-ups, series, watermarks.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use chrono::{DateTime, TimeDelta, Utc};
use muster_db::metrics;
use muster_domain::{NodeId, metrics::NodeMetrics};
use sqlx::PgPool;
use uuid::Uuid;

fn now() -> DateTime<Utc> {
    "2027-01-15T08:00:00Z".parse().unwrap()
}

fn sample(at: DateTime<Utc>, cpu_percent: f32) -> NodeMetrics {
    NodeMetrics {
        at,
        cpu_percent,
        memory_used_bytes: 1_000,
        memory_total_bytes: 2_000,
        swap_used_bytes: 0,
        disk_used_bytes: 10,
        disk_total_bytes: 100,
        load_1: 1.0,
        load_5: 1.0,
        load_15: 1.0,
        network_rx_bytes_per_s: 5,
        network_tx_bytes_per_s: u64::MAX,
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn partitions_come_and_go_by_day(pool: PgPool) {
    let mut tx = pool.begin().await.unwrap();
    metrics::lock(&mut tx).await.unwrap();
    let (today, node) = (now().date_naive(), NodeId::from_uuid(Uuid::now_v7()));
    assert!(metrics::partitions(&mut tx).await.unwrap().is_empty());
    assert!(
        !metrics::insert_sample(&mut tx, node, &sample(now(), 1.0)).await.unwrap(),
        "no partition, no error"
    );
    metrics::partition_create(&mut tx, today).await.unwrap();
    metrics::partition_create(&mut tx, today).await.unwrap();
    assert_eq!(metrics::partitions(&mut tx).await.unwrap(), [today]);
    assert!(metrics::insert_sample(&mut tx, node, &sample(now(), 1.0)).await.unwrap());
    assert!(
        metrics::insert_sample(&mut tx, node, &sample(now(), 9.0)).await.unwrap(),
        "a redelivery is no error"
    );
    let series =
        metrics::series(&mut tx, node, None, now() - TimeDelta::hours(1), now() + TimeDelta::hours(1), 10);
    let series = series.await.unwrap();
    assert_eq!(series.len(), 1, "nonsense is bounded");
    assert_eq!((series[0].cpu_percent, series[0].network_tx_bytes_per_s), (1.0, 1 << 53));
    assert_eq!(metrics::first_sample(&mut tx).await.unwrap(), Some(now()));
    metrics::partition_drop(&mut tx, today).await.unwrap();
    assert_eq!(metrics::first_sample(&mut tx).await.unwrap(), None);
}

#[sqlx::test(migrations = "../../migrations")]
async fn roll_ups_weigh_by_samples_and_may_be_repeated(pool: PgPool) {
    let conn = &mut *pool.acquire().await.unwrap();
    let node = NodeId::from_uuid(Uuid::now_v7());
    metrics::partition_create(conn, now().date_naive()).await.unwrap();
    // Three samples in the first minute, one in the second.
    for (second, cpu) in [(0, 10.0), (20, 20.0), (40, 30.0), (60, 80.0)] {
        metrics::insert_sample(conn, node, &sample(now() + TimeDelta::seconds(second), cpu)).await.unwrap();
    }
    let to = now() + TimeDelta::minutes(5);
    for _ in 0..2 {
        assert_eq!(metrics::roll_up(conn, 60, None, now(), to).await.unwrap(), 2);
        assert_eq!(metrics::roll_up(conn, 300, Some(60), now(), to).await.unwrap(), 1);
    }
    let minutes = metrics::series(conn, node, Some(60), now(), to, 10).await.unwrap();
    assert_eq!(minutes.iter().map(|m| m.cpu_percent).collect::<Vec<_>>(), [20.0, 80.0]);
    assert_eq!(minutes[1].at, now() + TimeDelta::minutes(1));
    let five = metrics::series(conn, node, Some(300), now(), to, 10).await.unwrap();
    assert_eq!((five[0].cpu_percent, five[0].memory_used_bytes), (35.0, 1_000), "(10 + 20 + 30 + 80) / 4");
    assert_eq!(metrics::roll_up_delete(conn, 60, now() + TimeDelta::minutes(1)).await.unwrap(), 1);
}

#[sqlx::test(migrations = "../../migrations")]
async fn watermarks_never_go_back(pool: PgPool) {
    let conn = &mut *pool.acquire().await.unwrap();
    assert_eq!(metrics::watermark_get(conn, "x").await.unwrap(), None);
    metrics::watermark_set(conn, "x", now()).await.unwrap();
    metrics::watermark_set(conn, "x", now() - TimeDelta::hours(1)).await.unwrap();
    assert_eq!(metrics::watermark_get(conn, "x").await.unwrap(), Some(now()));
}
