//! The event list: append, and nothing else here; reading with filters is in this module too, so that the columns stand once.

use crate::{Conn, DbError};
use chrono::{DateTime, Utc};
use muster_domain::{
    ApplicationName, EnvironmentName, NodeName, RolloutId,
    event::{Event, Severity, Subject},
};
use uuid::Uuid;

/// An event that is about to be stored.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// Stable dotted word.
    pub kind: &'static str,
    /// How much to care.
    pub severity: Severity,
    /// One line for a person.
    pub message: String,
    /// Who caused it.
    pub actor: String,
    /// What it is about.
    pub subject: Subject,
}

/// Which events are asked for. Absent parts do not restrict.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Only those behind this sequence, oldest first.
    pub after: Option<i64>,
    /// Only those before this sequence, newest first.
    pub before: Option<i64>,
    /// At least this severe.
    pub severity: Option<Severity>,
    /// About this node.
    pub node: Option<String>,
    /// About this application.
    pub application: Option<String>,
    /// About this environment.
    pub environment: Option<String>,
    /// Kinds that begin with this word: `node`, `rollout.failed`.
    pub kind: Option<String>,
    /// At most so many.
    pub limit: i64,
}

struct Row {
    sequence: i64,
    at: DateTime<Utc>,
    kind: String,
    severity: String,
    message: String,
    actor: String,
    node: Option<String>,
    environment: Option<String>,
    application: Option<String>,
    rollout_id: Option<Uuid>,
}

impl TryFrom<Row> for Event {
    type Error = DbError;
    fn try_from(row: Row) -> Result<Self, DbError> {
        let corrupt =
            |column: &'static str| move |e: muster_domain::InvalidName| DbError::corrupt("events", column, e);
        Ok(Self {
            sequence: row.sequence,
            at: row.at,
            kind: row.kind,
            severity: severity(&row.severity)?,
            message: row.message,
            actor: row.actor,
            subject: Subject {
                node: row.node.map(NodeName::parse).transpose().map_err(corrupt("node"))?,
                environment: row
                    .environment
                    .map(EnvironmentName::parse)
                    .transpose()
                    .map_err(corrupt("environment"))?,
                application: row
                    .application
                    .map(ApplicationName::parse)
                    .transpose()
                    .map_err(corrupt("application"))?,
                rollout: row.rollout_id.map(RolloutId::from_uuid),
            },
        })
    }
}

pub(crate) fn severity(text: &str) -> Result<Severity, DbError> {
    [Severity::Info, Severity::Warning, Severity::Error]
        .into_iter()
        .find(|s| s.as_str() == text)
        .ok_or_else(|| DbError::corrupt("events", "severity", text))
}

/// Appends an event and gives it back with its sequence.
pub async fn insert(conn: &mut Conn, event: NewEvent) -> Result<Event, DbError> {
    let NewEvent { at, kind, severity, message, actor, subject } = event;
    let sequence = sqlx::query_scalar!(
        "INSERT INTO events (at, kind, severity, message, actor, node, environment, application, rollout_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING sequence",
        at,
        kind,
        severity.as_str(),
        message,
        actor,
        subject.node.as_ref().map(NodeName::as_str),
        subject.environment.as_ref().map(EnvironmentName::as_str),
        subject.application.as_ref().map(ApplicationName::as_str),
        subject.rollout.map(RolloutId::as_uuid),
    )
    .fetch_one(conn)
    .await?;
    Ok(Event { sequence, at, kind: kind.to_owned(), severity, message, actor, subject })
}

/// Reads events: newest first, or oldest first behind `after`.
pub async fn list(conn: &mut Conn, filter: &EventFilter) -> Result<Vec<Event>, DbError> {
    let severities: Vec<String> = [Severity::Info, Severity::Warning, Severity::Error]
        .into_iter()
        .filter(|s| filter.severity.is_none_or(|least| *s >= least))
        .map(|s| s.as_str().to_owned())
        .collect();
    let mut rows = if let Some(after) = filter.after {
        sqlx::query_as!(
            Row,
            "SELECT sequence, at, kind, severity, message, actor, node, environment, application, rollout_id
             FROM events
             WHERE sequence > $1 AND severity = ANY($2)
               AND ($3::text IS NULL OR node = $3) AND ($4::text IS NULL OR application = $4)
               AND ($5::text IS NULL OR environment = $5)
               AND ($6::text IS NULL OR kind = $6 OR starts_with(kind, $6 || '.'))
             ORDER BY sequence LIMIT $7",
            after,
            &severities,
            filter.node,
            filter.application,
            filter.environment,
            filter.kind,
            filter.limit,
        )
        .fetch_all(conn)
        .await?
    } else {
        sqlx::query_as!(
            Row,
            "SELECT sequence, at, kind, severity, message, actor, node, environment, application, rollout_id
             FROM events
             WHERE ($1::bigint IS NULL OR sequence < $1) AND severity = ANY($2)
               AND ($3::text IS NULL OR node = $3) AND ($4::text IS NULL OR application = $4)
               AND ($5::text IS NULL OR environment = $5)
               AND ($6::text IS NULL OR kind = $6 OR starts_with(kind, $6 || '.'))
             ORDER BY sequence DESC LIMIT $7",
            filter.before,
            &severities,
            filter.node,
            filter.application,
            filter.environment,
            filter.kind,
            filter.limit,
        )
        .fetch_all(conn)
        .await?
    };
    rows.drain(..).map(TryInto::try_into).collect()
}

/// Forgets events that are older than `before`. Gives back how many.
pub async fn delete_before(conn: &mut Conn, before: DateTime<Utc>) -> Result<u64, DbError> {
    Ok(sqlx::query!("DELETE FROM events WHERE at < $1", before).execute(conn).await?.rows_affected())
}

/// Forgets all but about the newest `keep` events. Gives back how many.
pub async fn delete_beyond(conn: &mut Conn, keep: i64) -> Result<u64, DbError> {
    Ok(sqlx::query!("DELETE FROM events WHERE sequence <= (SELECT max(sequence) FROM events) - $1", keep)
        .execute(conn)
        .await?
        .rows_affected())
}

/// How many events of a kind there were since a time.
pub async fn count_since(conn: &mut Conn, kind: &str, since: DateTime<Utc>) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM events WHERE at > $2 AND kind = $1"#,
        kind,
        since
    )
    .fetch_one(conn)
    .await?)
}
