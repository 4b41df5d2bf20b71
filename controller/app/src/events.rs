//! Events: recorded in the transaction of what they tell, told when it is committed.

use crate::{
    Actor, App, AppError, Permission,
    hubs::{Announcements, LiveMessage},
};
use muster_db::{
    Conn,
    events::{EventFilter, NewEvent},
};
use muster_domain::event::{Event, Severity, Subject};

/// The actor of what the controller does by itself.
pub(crate) const CONTROLLER: &str = "controller";

/// A little over a year, so that "last year at this time" can still be looked up.
const EVENTS_KEPT_DAYS: i64 = 400;
/// However young: about 2 GB, on a disk that releases and figures share.
const EVENTS_KEPT: i64 = 4_000_000;

impl App {
    /// Records an event and gives back its number; it is told when `announcements` are published.
    pub(crate) async fn event_record(
        &self,
        conn: &mut Conn,
        announcements: &mut Announcements,
        actor: &str,
        (severity, kind): (Severity, &'static str),
        subject: Subject,
        message: String,
    ) -> Result<i64, AppError> {
        let new = NewEvent { at: self.now(), kind, severity, message, actor: actor.to_owned(), subject };
        let event = muster_db::events::insert(conn, new).await?;
        let sequence = event.sequence;
        announcements.live(LiveMessage::Event(event));
        Ok(sequence)
    }

    /// Tells what a committed transaction changed.
    pub(crate) fn publish(&self, announcements: Announcements) {
        let Announcements { live, hints, rollouts_touched } = announcements;
        for message in live {
            self.live().send(message);
        }
        for (node, hint) in hints {
            self.hints().send(node, hint);
        }
        if rollouts_touched {
            self.inner.rollouts_wake.notify_one();
        }
    }

    /// Forgets events that are older than `EVENTS_KEPT_DAYS`, and those beyond `EVENTS_KEPT`.
    pub async fn events_maintain(&self) -> Result<(), AppError> {
        let before = self.now() - chrono::TimeDelta::days(EVENTS_KEPT_DAYS);
        let mut conn = self.db().conn().await?;
        let forgotten = muster_db::events::delete_before(&mut conn, before).await?;
        if forgotten > 0 {
            tracing::info!(forgotten, "events older than {EVENTS_KEPT_DAYS} days were forgotten");
        }
        let forgotten = muster_db::events::delete_beyond(&mut conn, EVENTS_KEPT).await?;
        if forgotten > 0 {
            tracing::warn!(forgotten, "there were more than {EVENTS_KEPT} events; the oldest were forgotten");
        }
        Ok(())
    }

    /// Reads events.
    pub async fn event_list(&self, actor: &Actor, filter: &EventFilter) -> Result<Vec<Event>, AppError> {
        actor.require(Permission::FleetView)?;
        let mut conn = self.db().conn().await?;
        Ok(muster_db::events::list(&mut conn, filter).await?)
    }
}
