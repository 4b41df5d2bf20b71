//! What happened to processes: the part of events that programs read, with the last words of processes that ended.

use crate::{Conn, DbError, decode, events::severity};
use chrono::{DateTime, Utc};
use muster_domain::{
    ApplicationName, EnvironmentName, NodeName,
    event::Severity,
    observed::{ProcessEvent, ProcessExit},
};

/// What happened to a process on a node.
#[derive(Debug, Clone)]
pub struct ProcessEventRecord {
    /// The number of the event.
    pub sequence: i64,
    /// When, by the node's clock.
    pub at: DateTime<Utc>,
    /// When the controller heard of it.
    pub reported_at: DateTime<Utc>,
    /// Stable dotted word, as in the event.
    pub kind: String,
    /// How much to care.
    pub severity: Severity,
    /// The node.
    pub node: NodeName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// The application.
    pub application: ApplicationName,
    /// What happened.
    pub event: ProcessEvent,
}

/// Which process events are asked for. Absent parts do not restrict.
#[derive(Debug, Clone, Default)]
pub struct ProcessEventFilter {
    /// Only those before this sequence.
    pub before: Option<i64>,
    /// Not older than this.
    pub since: Option<DateTime<Utc>>,
    /// Older than this.
    pub until: Option<DateTime<Utc>>,
    /// Of this application.
    pub application: Option<String>,
    /// In this environment.
    pub environment: Option<String>,
    /// On this node.
    pub node: Option<String>,
    /// Of this instance, or of all instances together.
    pub instance: Option<u32>,
    /// Kinds that begin with this word.
    pub kind: Option<String>,
    /// At most so many.
    pub limit: i64,
}

fn signed(column: &'static str, number: u64) -> Result<i64, DbError> {
    i64::try_from(number).map_err(|e| DbError::corrupt("process_events", column, e))
}

/// Stores what happened to a process, beside its event.
pub async fn insert(conn: &mut Conn, record: &ProcessEventRecord) -> Result<(), DbError> {
    let ProcessEvent { instance, release, reason, restarts, exit } = &record.event;
    let last_stderr = exit.as_ref().map(|exit| exit.last_stderr.as_slice()).unwrap_or_default();
    sqlx::query!(
        "INSERT INTO process_events
                (sequence, at, reported_at, kind, severity, node, environment, application, instance,
                 release_version, reason, restarts, exit_code, signal, out_of_memory, uptime_ms, last_stderr)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        record.sequence,
        record.at,
        record.reported_at,
        record.kind,
        record.severity.as_str(),
        record.node.as_str(),
        record.environment.as_str(),
        record.application.as_str(),
        instance.map(|instance| i32::try_from(instance).unwrap_or(i32::MAX)),
        release.as_ref().map(|release| release.as_str()),
        reason,
        restarts.map(|restarts| signed("restarts", restarts)).transpose()?,
        exit.as_ref().and_then(|exit| exit.code),
        exit.as_ref().and_then(|exit| exit.signal.as_deref()),
        exit.as_ref().is_some_and(|exit| exit.out_of_memory),
        exit.as_ref().map(|exit| signed("uptime_ms", exit.uptime_ms)).transpose()?,
        last_stderr
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Reads process events, newest first.
pub async fn list(conn: &mut Conn, filter: &ProcessEventFilter) -> Result<Vec<ProcessEventRecord>, DbError> {
    const TABLE: &str = "process_events";
    let rows = sqlx::query!(
        "SELECT sequence, at, reported_at, kind, severity, node, environment, application, instance,
                release_version, reason, restarts, exit_code, signal, out_of_memory, uptime_ms, last_stderr
         FROM process_events
         WHERE ($1::bigint IS NULL OR sequence < $1)
           AND ($2::timestamptz IS NULL OR at >= $2) AND ($3::timestamptz IS NULL OR at < $3)
           AND ($4::text IS NULL OR application = $4) AND ($5::text IS NULL OR environment = $5)
           AND ($6::text IS NULL OR node = $6)
           AND ($7::integer IS NULL OR instance = $7 OR instance IS NULL)
           AND ($8::text IS NULL OR kind = $8 OR starts_with(kind, $8 || '.'))
         ORDER BY sequence DESC LIMIT $9",
        filter.before,
        filter.since,
        filter.until,
        filter.application,
        filter.environment,
        filter.node,
        filter.instance.map(|instance| i32::try_from(instance).unwrap_or(i32::MAX)),
        filter.kind,
        filter.limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let exit = match row.uptime_ms {
                None => None,
                Some(uptime_ms) => Some(ProcessExit {
                    code: row.exit_code,
                    signal: row.signal,
                    out_of_memory: row.out_of_memory,
                    uptime_ms: decode::unsigned(TABLE, "uptime_ms", uptime_ms)?,
                    last_stderr: row.last_stderr,
                }),
            };
            let event = ProcessEvent {
                instance: row.instance.map(|n| decode::unsigned(TABLE, "instance", n.into())).transpose()?,
                release: decode::word_opt(TABLE, "release_version", row.release_version)?,
                reason: row.reason,
                restarts: row.restarts.map(|n| decode::unsigned(TABLE, "restarts", n)).transpose()?,
                exit,
            };
            Ok(ProcessEventRecord {
                sequence: row.sequence,
                at: row.at,
                reported_at: row.reported_at,
                kind: row.kind,
                severity: severity(&row.severity)?,
                node: decode::word(TABLE, "node", row.node)?,
                environment: decode::word(TABLE, "environment", row.environment)?,
                application: decode::word(TABLE, "application", row.application)?,
                event,
            })
        })
        .collect()
}

/// Forgets process events that are older than `before`, and all but the newest `keep`. Gives back how many.
pub async fn prune(conn: &mut Conn, before: DateTime<Utc>, keep: i64) -> Result<u64, DbError> {
    let done = sqlx::query!(
        "DELETE FROM process_events
         WHERE reported_at < $1 OR sequence <= (
             SELECT sequence FROM process_events ORDER BY sequence DESC OFFSET $2 LIMIT 1)",
        before,
        keep
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
