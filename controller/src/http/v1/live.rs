//! What changes, as it changes.

use crate::http::{Http, auth::Caller, encode, error::ApiError, limits};
use axum::{
    extract::State,
    http::{HeaderName, HeaderValue, header},
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::Stream;
use muster_api_types::LiveMessage;
use muster_app::{LiveMessage as Told, Permission};
use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, MissedTickBehavior, interval, interval_at},
};
use utoipa_axum::{router::OpenApiRouter, routes};

/// One thing is told at most this often; what changes meanwhile is told once, afterwards.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// What waits is looked through this often.
const FLUSH_EVERY: Duration = Duration::from_millis(250);

pub(super) fn routes() -> OpenApiRouter<Http> {
    OpenApiRouter::new().routes(routes!(live_subscribe))
}

/// Server-sent events without buffering on the way.
pub(super) const UNBUFFERED: [(HeaderName, HeaderValue); 2] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
];

/// Keeps a connection alive through proxies.
pub(super) fn keep_alive() -> KeepAlive {
    KeepAlive::new().interval(limits::STREAM_KEEP_ALIVE).text("alive")
}

type Stopped = Result<Event, Infallible>;

/// What changes, as it changes: server-sent events whose data is a LiveMessage. Ends when the sign-in ends.
#[utoipa::path(get, path = "/api/v1/live", operation_id = "live_subscribe", tag = "events",
    responses((status = 200, description = "Messages, as they come", body = LiveMessage,
        content_type = "text/event-stream")))]
async fn live_subscribe(
    State(http): State<Http>,
    caller: Caller,
) -> Result<([(HeaderName, HeaderValue); 2], Sse<impl Stream<Item = Stopped>>), ApiError> {
    caller.actor().require(Permission::FleetView)?;
    let place = Arc::clone(http.streams())
        .try_acquire_owned()
        .map_err(|_| ApiError::overloaded("as many pages as the controller serves are watching", 10))?;
    let mut told = http.app().live().subscribe();
    let stream = async_stream::stream! {
        let _place = place;
        let mut quiet = Quiet::default();
        let mut flush = interval(FLUSH_EVERY);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut recheck = interval_at(Instant::now() + limits::STREAM_RECHECK, limits::STREAM_RECHECK);
        // Headers reach the reader with the first bytes: say something at once.
        yield Ok(Event::default().comment("connected"));
        loop {
            tokio::select! {
                message = told.recv() => match message {
                    Ok(message) => {
                        if let Some(message) = quiet.pass(message, Instant::now()) {
                            yield Ok(encoded(message));
                        }
                    }
                    Err(RecvError::Lagged(_)) => {
                        quiet = Quiet::default();
                        yield Ok(data(&LiveMessage::Resync));
                    }
                    Err(RecvError::Closed) => break,
                },
                _ = flush.tick() => for message in quiet.due(Instant::now()) {
                    yield Ok(encoded(message));
                },
                _ = recheck.tick() => {
                    // A database that is away for a moment ends nobody's sign-in.
                    if matches!(http.app().credential_holds(&caller.0).await, Ok(false)) {
                        break;
                    }
                }
            }
        }
    };
    Ok((UNBUFFERED, Sse::new(stream).keep_alive(keep_alive())))
}

fn encoded(message: Told) -> Event {
    let id = match &message {
        Told::Event(event) => Some(event.sequence.to_string()),
        Told::Node(_) | Told::Rollout(..) | Told::Application(_) | Told::FleetConfiguration(_) => None,
    };
    let event = data(&encode::live(message));
    match id {
        Some(id) => event.id(id),
        None => event,
    }
}

/// One message as an event.
pub(super) fn data<T: serde::Serialize>(message: &T) -> Event {
    // JSON without line breaks, so it is one `data` line.
    Event::default().data(serde_json::to_string(message).expect("a message is made of texts and numbers"))
}

/// Keeps a busy node from flooding the page: one message per topic and second, the last one always.
#[derive(Default)]
struct Quiet {
    topics: HashMap<String, (Instant, Option<Told>)>,
}

impl Quiet {
    fn topic(message: &Told) -> Option<String> {
        match message {
            Told::Node(name) => Some(format!("node/{name}")),
            Told::Rollout(id, _) => Some(format!("rollout/{id}")),
            Told::Application(name) => Some(format!("application/{name}")),
            // Rare, and each one counts.
            Told::FleetConfiguration(_) | Told::Event(_) => None,
        }
    }

    /// The message, if it may be told now; else it waits.
    fn pass(&mut self, message: Told, now: Instant) -> Option<Told> {
        let Some(topic) = Self::topic(&message) else { return Some(message) };
        match self.topics.get_mut(&topic) {
            Some((last, waiting)) if now.duration_since(*last) < TELL_EVERY => {
                *waiting = Some(message);
                None
            }
            _ => {
                self.topics.insert(topic, (now, None));
                Some(message)
            }
        }
    }

    /// What has waited long enough. Forgets topics that are quiet.
    fn due(&mut self, now: Instant) -> Vec<Told> {
        let mut due = Vec::new();
        self.topics.retain(|_, (last, waiting)| {
            if now.duration_since(*last) < TELL_EVERY {
                return true;
            }
            match waiting.take() {
                Some(message) => {
                    due.push(message);
                    *last = now;
                    true
                }
                None => false,
            }
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Told {
        Told::Node(name.parse().unwrap())
    }

    #[test]
    fn a_busy_topic_is_told_once_a_second_and_its_last_change_always() {
        let start = Instant::now();
        let mut quiet = Quiet::default();
        assert!(quiet.pass(node("a"), start).is_some());
        assert!(quiet.pass(node("a"), start).is_none());
        assert!(quiet.pass(node("a"), start).is_none());
        assert!(quiet.pass(node("b"), start).is_some(), "another topic does not wait");
        assert!(quiet.pass(Told::FleetConfiguration(1), start).is_some());
        assert!(quiet.pass(Told::FleetConfiguration(2), start).is_some());
        assert!(quiet.due(start).is_empty());
        assert_eq!(quiet.due(start + TELL_EVERY).len(), 1);
        assert!(quiet.due(start + TELL_EVERY).is_empty());
        assert!(quiet.due(start + TELL_EVERY * 2).is_empty());
        assert!(quiet.topics.is_empty(), "quiet topics cost nothing");
    }
}
