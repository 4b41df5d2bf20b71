//! Why processes ended or were restarted.

use crate::{Actor, App, AppError, Permission};
use chrono::TimeDelta;
use muster_db::process_events::{ProcessEventFilter, ProcessEventRecord};

/// For how long the last words of processes are kept; the line in the list of events stays longer.
const PROCESS_EVENTS_KEPT_DAYS: i64 = 90;

/// However young: with at most 8 KiB of last words each, well below 2 GiB.
const PROCESS_EVENTS_KEPT: i64 = 200_000;

impl App {
    /// What happened to processes, newest first.
    pub async fn process_event_list(
        &self,
        actor: &Actor,
        filter: &ProcessEventFilter,
    ) -> Result<Vec<ProcessEventRecord>, AppError> {
        actor.require(Permission::FleetView)?;
        let mut conn = self.db().conn().await?;
        Ok(muster_db::process_events::list(&mut conn, filter).await?)
    }

    /// Forgets process events that are older than `PROCESS_EVENTS_KEPT_DAYS`, and those beyond `PROCESS_EVENTS_KEPT`.
    pub async fn process_events_maintain(&self) -> Result<(), AppError> {
        let before = self.now() - TimeDelta::days(PROCESS_EVENTS_KEPT_DAYS);
        let mut conn = self.db().conn().await?;
        let forgotten = muster_db::process_events::prune(&mut conn, before, PROCESS_EVENTS_KEPT).await?;
        if forgotten > 0 {
            tracing::info!(
                forgotten,
                "reports of processes older than {PROCESS_EVENTS_KEPT_DAYS} days were forgotten"
            );
        }
        Ok(())
    }
}
