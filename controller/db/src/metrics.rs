//! Figures over time: raw samples in day partitions, roll-ups of one minute, five minutes and one hour.

use crate::{Conn, DbError, decode};
use chrono::{DateTime, Days, NaiveDate, Utc};
use muster_domain::{NodeId, metrics::NodeMetrics};
use sqlx::AssertSqlSafe;

/// Only one controller at a time changes partitions.
const PARTITION_LOCK: i64 = 0x6d75_7374_6572_0001;

fn partition(day: NaiveDate) -> String {
    format!("node_metrics_{}", day.format("%Y%m%d"))
}

/// A figure of a host. What is larger than a double can count exactly is nonsense, and must not make a sum overflow: one
/// node would hold up the roll-ups of all.
fn figure(number: u64) -> i64 {
    const LARGEST: u64 = 1 << 53;
    decode::bigint(number.min(LARGEST))
}

/// Stores a sample. A second one of the same time changes nothing. False: there is no partition for its day (the node's
/// clock is far off), and it was left out.
pub async fn insert_sample(conn: &mut Conn, node: NodeId, sample: &NodeMetrics) -> Result<bool, DbError> {
    let NodeMetrics {
        at,
        cpu_percent,
        memory_used_bytes,
        memory_total_bytes,
        swap_used_bytes,
        disk_used_bytes,
        disk_total_bytes,
        load_1,
        load_5,
        load_15,
        network_rx_bytes_per_s,
        network_tx_bytes_per_s,
    } = *sample;
    // Asked for by name: a row without a partition would be an error, and spoil the caller's transaction.
    let known = sqlx::query_scalar!(
        r#"SELECT to_regclass($1::text) IS NOT NULL AS "known!""#,
        partition(at.date_naive())
    )
    .fetch_one(&mut *conn)
    .await?;
    if !known {
        return Ok(false);
    }
    sqlx::query!(
        "INSERT INTO node_metrics (node_id, at, cpu_percent, memory_used_bytes, memory_total_bytes, swap_used_bytes,
             disk_used_bytes, disk_total_bytes, load_1, load_5, load_15, network_rx_bytes_per_s, network_tx_bytes_per_s)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         ON CONFLICT (node_id, at) DO NOTHING",
        node.as_uuid(),
        at,
        decode::finite(cpu_percent),
        figure(memory_used_bytes),
        figure(memory_total_bytes),
        figure(swap_used_bytes),
        figure(disk_used_bytes),
        figure(disk_total_bytes),
        decode::finite(load_1),
        decode::finite(load_5),
        decode::finite(load_15),
        figure(network_rx_bytes_per_s),
        figure(network_tx_bytes_per_s),
    )
    .execute(conn)
    .await?;
    Ok(true)
}

/// Samples of a node, oldest first: raw (`step_s` none) or averages over steps that begin at their times.
pub async fn series(
    conn: &mut Conn,
    node: NodeId,
    step_s: Option<i32>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<NodeMetrics>, DbError> {
    let rows = match step_s {
        None => {
            sqlx::query_as!(
                Row,
                "SELECT at, cpu_percent, memory_used_bytes, memory_total_bytes, swap_used_bytes, disk_used_bytes,
                        disk_total_bytes, load_1, load_5, load_15, network_rx_bytes_per_s, network_tx_bytes_per_s
                 FROM node_metrics WHERE node_id = $1 AND at >= $2 AND at < $3 ORDER BY at LIMIT $4",
                node.as_uuid(),
                from,
                to,
                limit
            )
            .fetch_all(conn)
            .await?
        }
        Some(step_s) => {
            sqlx::query_as!(
                Row,
                "SELECT at, cpu_percent, memory_used_bytes, memory_total_bytes, swap_used_bytes, disk_used_bytes,
                        disk_total_bytes, load_1, load_5, load_15, network_rx_bytes_per_s, network_tx_bytes_per_s
                 FROM node_metrics_rollup
                 WHERE node_id = $1 AND step_s = $2 AND at >= $3 AND at < $4 ORDER BY at LIMIT $5",
                node.as_uuid(),
                step_s,
                from,
                to,
                limit
            )
            .fetch_all(conn)
            .await?
        }
    };
    rows.into_iter().map(TryInto::try_into).collect()
}

struct Row {
    at: DateTime<Utc>,
    cpu_percent: f32,
    memory_used_bytes: i64,
    memory_total_bytes: i64,
    swap_used_bytes: i64,
    disk_used_bytes: i64,
    disk_total_bytes: i64,
    load_1: f32,
    load_5: f32,
    load_15: f32,
    network_rx_bytes_per_s: i64,
    network_tx_bytes_per_s: i64,
}

impl TryFrom<Row> for NodeMetrics {
    type Error = DbError;
    fn try_from(row: Row) -> Result<Self, DbError> {
        let unsigned = |column, number| decode::unsigned("node_metrics", column, number);
        Ok(Self {
            at: row.at,
            cpu_percent: row.cpu_percent,
            memory_used_bytes: unsigned("memory_used_bytes", row.memory_used_bytes)?,
            memory_total_bytes: unsigned("memory_total_bytes", row.memory_total_bytes)?,
            swap_used_bytes: unsigned("swap_used_bytes", row.swap_used_bytes)?,
            disk_used_bytes: unsigned("disk_used_bytes", row.disk_used_bytes)?,
            disk_total_bytes: unsigned("disk_total_bytes", row.disk_total_bytes)?,
            load_1: row.load_1,
            load_5: row.load_5,
            load_15: row.load_15,
            network_rx_bytes_per_s: unsigned("network_rx_bytes_per_s", row.network_rx_bytes_per_s)?,
            network_tx_bytes_per_s: unsigned("network_tx_bytes_per_s", row.network_tx_bytes_per_s)?,
        })
    }
}

/// Waits for other controllers that change partitions, until the transaction ends.
pub async fn lock(conn: &mut Conn) -> Result<(), DbError> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", PARTITION_LOCK).execute(conn).await?;
    Ok(())
}

/// The days that have a partition.
pub async fn partitions(conn: &mut Conn) -> Result<Vec<NaiveDate>, DbError> {
    let names = sqlx::query_scalar!(
        r#"SELECT c.relname::text AS "name!" FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
           WHERE i.inhparent = 'node_metrics'::regclass ORDER BY c.relname"#
    )
    .fetch_all(conn)
    .await?;
    // A partition of another name was made by hand, and is left alone.
    Ok(names
        .iter()
        .filter_map(|name| NaiveDate::parse_from_str(name.strip_prefix("node_metrics_")?, "%Y%m%d").ok())
        .collect())
}

/// Makes the partition of a day.
pub async fn partition_create(conn: &mut Conn, day: NaiveDate) -> Result<(), DbError> {
    // Built from a date and nothing else.
    let statement = format!(
        "CREATE TABLE IF NOT EXISTS {} PARTITION OF node_metrics FOR VALUES FROM ('{day}T00:00:00Z') TO ('{}T00:00:00Z')",
        partition(day),
        day + Days::new(1),
    );
    sqlx::query(AssertSqlSafe(statement)).execute(conn).await?;
    Ok(())
}

/// Drops the partition of a day, with every sample in it.
pub async fn partition_drop(conn: &mut Conn, day: NaiveDate) -> Result<(), DbError> {
    // Built from a date and nothing else.
    let statement = format!("DROP TABLE IF EXISTS {}", partition(day));
    sqlx::query(AssertSqlSafe(statement)).execute(conn).await?;
    Ok(())
}

/// The time of the oldest raw sample.
pub async fn first_sample(conn: &mut Conn) -> Result<Option<DateTime<Utc>>, DbError> {
    Ok(sqlx::query_scalar!("SELECT min(at) FROM node_metrics").fetch_one(conn).await?)
}

/// Computes the buckets of `step_s` that begin in `from..to`, from raw samples or from a finer step. Repeating it gives
/// the same rows.
pub async fn roll_up(
    conn: &mut Conn,
    step_s: i32,
    from_step_s: Option<i32>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<u64, DbError> {
    let done = match from_step_s {
        None => sqlx::query_file!("queries/metrics_roll_up_raw.sql", step_s, from, to).execute(conn).await?,
        Some(finer) => {
            sqlx::query_file!("queries/metrics_roll_up.sql", step_s, from, to, finer).execute(conn).await?
        }
    };
    Ok(done.rows_affected())
}

/// Deletes roll-ups of a step from before a time.
pub async fn roll_up_delete(conn: &mut Conn, step_s: i32, before: DateTime<Utc>) -> Result<u64, DbError> {
    let done = sqlx::query!("DELETE FROM node_metrics_rollup WHERE step_s = $1 AND at < $2", step_s, before)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}

/// How far a background work has come.
pub async fn watermark_get(conn: &mut Conn, name: &str) -> Result<Option<DateTime<Utc>>, DbError> {
    Ok(sqlx::query_scalar!("SELECT at FROM watermarks WHERE name = $1", name).fetch_optional(conn).await?)
}

/// Notes how far a background work has come; never goes back.
pub async fn watermark_set(conn: &mut Conn, name: &str, at: DateTime<Utc>) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO watermarks (name, at) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET at = GREATEST(watermarks.at, EXCLUDED.at)",
        name,
        at
    )
    .execute(conn)
    .await?;
    Ok(())
}
