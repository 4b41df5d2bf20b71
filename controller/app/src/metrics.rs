//! Figures of nodes over time: read as a series, kept within bounds.

use crate::{Actor, App, AppError, Permission};
use chrono::{DateTime, TimeDelta, Utc};
use muster_domain::metrics::NodeMetrics;
use muster_planning::retention::{self, RAW_KEEP_DAYS, ROLL_UPS, RollUp};

/// Points of a series unless asked otherwise: about one per two pixels of a graph.
const POINTS_DEFAULT: u32 = 400;
/// The most points that one answer holds.
const POINTS_MAX: u32 = 5_000;
/// The time that is shown unless asked otherwise.
const SPAN_DEFAULT: TimeDelta = TimeDelta::hours(1);
/// One maintenance run catches up with at most so many roll-ups of one step; the next run goes on.
const ROLL_UPS_PER_RUN: usize = 50;

/// Which figures to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct MetricsQuery {
    /// From this time; default: an hour before `to`.
    pub from: Option<DateTime<Utc>>,
    /// To this time; default: now.
    pub to: Option<DateTime<Utc>>,
    /// About so many points at most.
    pub points: Option<u32>,
}

/// Figures over a time.
#[derive(Debug, Clone)]
pub struct MetricsView {
    /// Seconds between points; 0 for raw samples.
    pub step_s: u32,
    /// Oldest first.
    pub points: Vec<NodeMetrics>,
}

/// The finest step that still is kept for `from` and gives no more than `points` points; the coarsest when none does.
/// `None`: raw samples, one per heartbeat.
fn choose_step(
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    now: DateTime<Utc>,
    points: u32,
    heartbeat_ms: u32,
) -> Option<RollUp> {
    let span_ms = (to - from).num_milliseconds().max(0);
    let fits = |step_ms: i64| span_ms / step_ms.max(1) <= i64::from(points);
    let kept = |days: u64| i64::try_from(days).is_ok_and(|days| from >= now - TimeDelta::days(days));
    if fits(i64::from(heartbeat_ms)) && kept(RAW_KEEP_DAYS) {
        return None;
    }
    let fitting = ROLL_UPS.iter().find(|roll_up| fits(roll_up.step_s * 1000) && kept(roll_up.keep_days));
    Some(*fitting.unwrap_or(&ROLL_UPS[ROLL_UPS.len() - 1]))
}

impl App {
    /// The figures of a node over a time, as fine as the number of points allows.
    pub async fn node_metrics(
        &self,
        actor: &Actor,
        name: &str,
        query: MetricsQuery,
    ) -> Result<MetricsView, AppError> {
        actor.require(Permission::FleetView)?;
        let now = self.now();
        let to = query.to.unwrap_or(now);
        let from = query.from.unwrap_or_else(|| to.checked_sub_signed(SPAN_DEFAULT).unwrap_or(to));
        if from >= to {
            return Err(AppError::invalid("invalid_range", "`from` is not before `to`")
                .with_hint("use RFC 3339 times: 2026-01-31T12:00:00Z"));
        }
        let points = query.points.unwrap_or(POINTS_DEFAULT).clamp(1, POINTS_MAX);
        let step = choose_step((from, to), now, points, self.settings().heartbeat_interval_ms);
        let step_s = step.map_or(0, |roll_up| roll_up.step_s);
        let mut conn = self.db().conn().await?;
        let id = self.node_id(&mut conn, name).await?;
        let stored_step = step.map(|_| step_column(step_s));
        let points =
            muster_db::metrics::series(&mut conn, id, stored_step, from, to, i64::from(POINTS_MAX)).await?;
        Ok(MetricsView { step_s: u32::try_from(step_s).unwrap_or(0), points })
    }

    /// Keeps the figures within their bounds: makes partitions ahead, rolls up what has settled, drops what is too old.
    pub async fn metrics_maintain(&self, now: DateTime<Utc>) -> Result<(), AppError> {
        self.metrics_partitions(now).await?;
        let mut done_to = Vec::new();
        for roll_up in ROLL_UPS {
            let name = watermark(roll_up.step_s);
            let source_to = done_to.last().copied().unwrap_or(now);
            for _ in 0..ROLL_UPS_PER_RUN {
                if !self.metrics_roll_up(roll_up, source_to, &name).await? {
                    break;
                }
            }
            let mut conn = self.db().conn().await?;
            let Some(done) = muster_db::metrics::watermark_get(&mut conn, &name).await? else { break };
            done_to.push(done);
        }
        let mut conn = self.db().conn().await?;
        for (index, roll_up) in ROLL_UPS.into_iter().enumerate() {
            let mut before = retention::delete_before(roll_up, now);
            if index + 1 < ROLL_UPS.len() {
                // What the next step has not taken yet stays, however old: a long stop loses nothing.
                let Some(taken) = done_to.get(index + 1) else { break };
                before = before.min(*taken);
            }
            muster_db::metrics::roll_up_delete(&mut conn, step_column(roll_up.step_s), before).await?;
        }
        Ok(())
    }

    async fn metrics_partitions(&self, now: DateTime<Utc>) -> Result<(), AppError> {
        let mut tx = self.db().begin().await?;
        muster_db::metrics::lock(&mut tx).await?;
        let existing = muster_db::metrics::partitions(&mut tx).await?;
        let settled_to = muster_db::metrics::watermark_get(&mut tx, &watermark(ROLL_UPS[0].step_s)).await?;
        let plan = retention::partitions(&existing, settled_to, now);
        for day in plan.create {
            muster_db::metrics::partition_create(&mut tx, day).await?;
        }
        for day in plan.drop {
            tracing::info!(%day, "dropping raw figures that are rolled up");
            muster_db::metrics::partition_drop(&mut tx, day).await?;
        }
        tx.commit().await.map_err(muster_db::DbError::from)?;
        Ok(())
    }

    /// One roll-up of one step. False: nothing was due.
    async fn metrics_roll_up(
        &self,
        roll_up: RollUp,
        source_to: DateTime<Utc>,
        name: &str,
    ) -> Result<bool, AppError> {
        let mut tx = self.db().begin().await?;
        muster_db::metrics::lock(&mut tx).await?;
        let done_to = muster_db::metrics::watermark_get(&mut tx, name).await?;
        let first = match done_to {
            Some(_) => None,
            None => muster_db::metrics::first_sample(&mut tx).await?,
        };
        let Some(due) = retention::due(roll_up, done_to, source_to, first) else { return Ok(false) };
        let finer = roll_up.from_step_s.map(step_column);
        muster_db::metrics::roll_up(&mut tx, step_column(roll_up.step_s), finer, due.from, due.to).await?;
        muster_db::metrics::watermark_set(&mut tx, name, due.to).await?;
        tx.commit().await.map_err(muster_db::DbError::from)?;
        Ok(true)
    }
}

fn watermark(step_s: i64) -> String {
    format!("node_metrics_rollup_{step_s}")
}

fn step_column(step_s: i64) -> i32 {
    i32::try_from(step_s).expect("a step is an hour at most")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_grows_with_the_span_and_with_age() {
        let now: DateTime<Utc> = "2026-03-10T12:00:00Z".parse().unwrap();
        let step = |ago: TimeDelta, span: TimeDelta| {
            choose_step((now - ago, now - ago + span), now, 400, 10_000).map(|r| r.step_s)
        };
        assert_eq!(step(TimeDelta::hours(1), TimeDelta::hours(1)), None);
        assert_eq!(step(TimeDelta::hours(6), TimeDelta::hours(6)), Some(60));
        assert_eq!(step(TimeDelta::hours(24), TimeDelta::hours(24)), Some(300));
        assert_eq!(step(TimeDelta::days(7), TimeDelta::days(7)), Some(3600));
        assert_eq!(
            step(TimeDelta::days(5), TimeDelta::hours(1)),
            Some(60),
            "raw samples of that day are gone"
        );
        assert_eq!(step(TimeDelta::days(300), TimeDelta::days(300)), Some(3600), "the coarsest there is");
    }
}
