//! Applications, as people look at them: how many releases each has, and what each environment should run.

use crate::{Conn, DbError, decode};
use muster_domain::{ApplicationName, EnvironmentName, ReleaseVersion, RolloutId};

/// The releases of an application, in numbers.
#[derive(Debug, Clone)]
pub struct ReleaseCount {
    /// The application.
    pub application: ApplicationName,
    /// How many there are.
    pub release_count: u32,
    /// The version of the newest.
    pub latest: ReleaseVersion,
}

/// Every application that has releases, in the order of their names; or the one of this name.
pub async fn release_counts(
    conn: &mut Conn,
    application: Option<&str>,
) -> Result<Vec<ReleaseCount>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT application, count(*) AS "release_count!",
                  (array_agg(version ORDER BY created_at DESC, id DESC))[1] AS "latest!"
           FROM releases
           WHERE $1::text IS NULL OR application = $1
           GROUP BY application
           ORDER BY application"#,
        application
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ReleaseCount {
                application: decode::word("releases", "application", row.application)?,
                release_count: decode::unsigned("releases", "count", row.release_count)?,
                latest: decode::word("releases", "version", row.latest)?,
            })
        })
        .collect()
}

/// What an environment should run of an application.
#[derive(Debug, Clone)]
pub struct TargetRecord {
    /// The environment.
    pub environment: EnvironmentName,
    /// The application.
    pub application: ApplicationName,
    /// The release's version.
    pub release: ReleaseVersion,
}

/// What every environment should run; of every application, or of the one of this name.
pub async fn targets(conn: &mut Conn, application: Option<&str>) -> Result<Vec<TargetRecord>, DbError> {
    let rows = sqlx::query!(
        "SELECT t.environment, t.application, r.version
         FROM release_targets t JOIN releases r ON r.id = t.release_id
         WHERE $1::text IS NULL OR t.application = $1
         ORDER BY t.application, t.environment",
        application
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(TargetRecord {
                environment: decode::word("release_targets", "environment", row.environment)?,
                application: decode::word("release_targets", "application", row.application)?,
                release: decode::word("releases", "version", row.version)?,
            })
        })
        .collect()
}

/// Rollouts under way, at most one per application and environment.
pub async fn active_rollouts(
    conn: &mut Conn,
    application: Option<&str>,
) -> Result<Vec<(ApplicationName, EnvironmentName, RolloutId)>, DbError> {
    let rows = sqlx::query!(
        "SELECT id, application, environment FROM rollouts
         WHERE status IN ('planned', 'running', 'rolling_back') AND ($1::text IS NULL OR application = $1)
         ORDER BY application, environment",
        application
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok((
                decode::word("rollouts", "application", row.application)?,
                decode::word("rollouts", "environment", row.environment)?,
                RolloutId::from_uuid(row.id),
            ))
        })
        .collect()
}
