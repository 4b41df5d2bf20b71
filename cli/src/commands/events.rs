//! What happened in the fleet, oldest first.

use std::time::Duration;

use chrono::{DateTime, Utc};
use muster_api_types::{Event, Page, Severity};

use crate::arguments::Events;
use crate::client::Client;
use crate::failure::Result;
use crate::format::{clock, safe};
use crate::output::{Output, Tone};

/// Without `--since`.
const NEWEST: usize = 50;
const PAGE: usize = 200;
const POLL_INTERVAL: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(15);

pub(super) async fn events(output: &Output, client: &Client, command: Events) -> Result<()> {
    let since = command
        .since
        .and_then(|since| Utc::now().checked_sub_signed(chrono::Duration::from_std(since).ok()?));
    let filter = [
        ("application", command.application.clone()),
        ("environment", command.environment.clone()),
        ("node", command.node.clone()),
    ];
    let past = past(client, &filter, since).await?;
    let last = match past.last() {
        Some(event) => event.sequence,
        // Nothing matched yet: following begins behind whatever has happened so far.
        None if command.follow => newest(client).await?,
        None => 0,
    };
    if output.json() && !command.follow {
        return output.object(&past);
    }
    if past.is_empty() && !command.follow {
        output.note("nothing happened");
    }
    for event in &past {
        print(output, event)?;
    }
    if command.follow { follow(output, client, &filter, last).await } else { Ok(()) }
}

/// The newest events, or all since a time, oldest first.
async fn past(
    client: &Client,
    filter: &[(&str, Option<String>)],
    since: Option<DateTime<Utc>>,
) -> Result<Vec<Event>> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let limit = if since.is_some() { PAGE } else { NEWEST };
        let mut query = filter.to_vec();
        query.push(("limit", Some(limit.to_string())));
        query.push(("before", events.last().map(|event| event.sequence.to_string())));
        let page: Page<Event> = client.get(&["events"], &query).await?;
        let full = page.items.len() >= limit;
        let before = events.len();
        events.extend(page.items.into_iter().filter(|event| since.is_none_or(|since| event.at >= since)));
        let reached_the_start = events.len() - before < limit;
        if since.is_none() || !full || reached_the_start {
            events.reverse();
            return Ok(events);
        }
    }
}

/// The number of the newest event of the fleet; 0 when nothing ever happened.
async fn newest(client: &Client) -> Result<i64> {
    let page: Page<Event> = client.get(&["events"], &[("limit", Some("1".to_owned()))]).await?;
    Ok(page.items.first().map_or(0, |event| event.sequence))
}

/// Asks for what is newer, again and again: nothing is missed when the controller restarts.
async fn follow(
    output: &Output,
    client: &Client,
    filter: &[(&str, Option<String>)],
    last: i64,
) -> Result<()> {
    let mut after = last;
    let mut pause = POLL_INTERVAL;
    loop {
        let mut query = filter.to_vec();
        query.push(("after", Some(after.to_string())));
        query.push(("limit", Some(PAGE.to_string())));
        match client.get::<Page<Event>>(&["events"], &query).await {
            Ok(page) => {
                if pause > POLL_INTERVAL {
                    output.note("the controller is back");
                }
                pause = POLL_INTERVAL;
                let full = page.items.len() >= PAGE;
                for event in &page.items {
                    print(output, event)?;
                    after = after.max(event.sequence);
                }
                if full {
                    continue;
                }
            }
            Err(failure) if failure.transient => {
                if pause == POLL_INTERVAL {
                    output.warning(&format!("{}; trying again", failure.message));
                }
                pause = (pause * 2).min(LONGEST_RETRY);
            }
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(pause).await;
    }
}

fn print(output: &Output, event: &Event) -> Result<()> {
    if output.json() { output.object_line(event) } else { output.line(&text(event, output.colour())) }
}

fn text(event: &Event, colour: bool) -> String {
    let (mark, tone) = match event.severity {
        Severity::Info => ("·", Tone::Quiet),
        Severity::Warning => ("!", Tone::Warning),
        Severity::Error => ("✗", Tone::Bad),
    };
    format!(
        "{}  {} {}  {}",
        Tone::Quiet.paint(&clock(event.at), colour),
        tone.paint(mark, colour),
        safe(&event.message, false),
        Tone::Quiet.paint(&format!("{} by {}", event.kind, event.actor), colour)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let event = Event {
            sequence: 7,
            at: DateTime::UNIX_EPOCH,
            kind: "node.down".to_owned(),
            severity: Severity::Error,
            message: "app-1 was not heard for 90 s\nand more".to_owned(),
            actor: "controller".to_owned(),
            node: None,
            environment: None,
            application: None,
            rollout: None,
        };
        assert_eq!(
            text(&event, false),
            "1970-01-01 00:00:00Z  ✗ app-1 was not heard for 90 sand more  node.down by controller"
        );
    }
}
