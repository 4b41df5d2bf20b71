//! Why the processes of an application ended or were restarted: one line each, the newest last, as in a log.

use chrono::Utc;
use muster_api_types::{Page, ProcessEvent, Severity};

use crate::arguments::History;
use crate::client::Client;
use crate::failure::Result;
use crate::format::{clock, safe, span};
use crate::output::{Output, Tone};

/// The most that the controller gives at once.
const PAGE: usize = 500;

pub(super) async fn history(output: &Output, client: &Client, command: History) -> Result<()> {
    let since = command
        .since
        .and_then(|since| Utc::now().checked_sub_signed(chrono::Duration::from_std(since).ok()?));
    let filter = [
        ("application", Some(command.name)),
        ("environment", command.environment),
        ("node", command.node),
        ("instance", command.instance.map(|instance| instance.to_string())),
        ("since", since.map(|since| since.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))),
    ];
    let mut events: Vec<ProcessEvent> = Vec::new();
    let mut cursor = None;
    loop {
        let wanted = command.limit.saturating_sub(events.len());
        let mut query = filter.to_vec();
        query.push(("limit", Some(wanted.clamp(1, PAGE).to_string())));
        query.push(("cursor", cursor));
        let page: Page<ProcessEvent> = client.get(&["process-events"], &query).await?;
        events.extend(page.items.into_iter().take(wanted));
        cursor = page.next_cursor;
        if cursor.is_none() || events.len() >= command.limit {
            break;
        }
    }
    events.reverse();
    if output.json() {
        return output.object(&events);
    }
    if events.is_empty() {
        output.note("no process of it ended or was restarted");
    }
    for event in &events {
        output.line(&text(event, output.colour()))?;
        if command.stderr {
            for line in event.exit.iter().flat_map(|exit| &exit.last_stderr) {
                let line = format!("    {}", safe(line, false));
                output.line(&Tone::Quiet.paint(&line, output.colour()))?;
            }
        }
    }
    Ok(())
}

fn text(event: &ProcessEvent, colour: bool) -> String {
    let (mark, tone) = match event.severity {
        Severity::Info => ("·", Tone::Quiet),
        Severity::Warning => ("!", Tone::Warning),
        Severity::Error => ("✗", Tone::Bad),
    };
    let which = match event.instance {
        Some(instance) => format!("{}/{instance}", event.node),
        None => event.node.clone(),
    };
    let mut about = Vec::new();
    about.extend(event.release.as_ref().map(|release| format!("release {release}")));
    if let Some(exit) = &event.exit {
        if exit.out_of_memory {
            about.push("out of memory".to_owned());
        }
        match (exit.code, &exit.signal) {
            (Some(code), _) => about.push(format!("exit code {code}")),
            (None, Some(signal)) => about.push(signal.clone()),
            (None, None) => {}
        }
        about.push(format!("up {}", up(exit.uptime_ms)));
    }
    match event.restarts {
        Some(1) => about.push("1 restart".to_owned()),
        Some(restarts) => about.push(format!("{restarts} restarts")),
        None => {}
    }
    if event.exit.is_none() {
        about.push(event.kind.clone());
    }
    format!(
        "{}  {} {}  {}  {}",
        Tone::Quiet.paint(&clock(event.at), colour),
        tone.paint(mark, colour),
        which,
        safe(&event.reason, false),
        Tone::Quiet.paint(&safe(&about.join(", "), false), colour)
    )
}

/// Short lives matter here: a process that lives for 50 ms never began to work.
fn up(uptime_ms: u64) -> String {
    if uptime_ms < 1000 { format!("{uptime_ms} ms") } else { span(uptime_ms / 1000) }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use muster_api_types::ProcessExit;

    use super::*;

    fn event() -> ProcessEvent {
        ProcessEvent {
            sequence: 7,
            at: DateTime::UNIX_EPOCH,
            reported_at: DateTime::UNIX_EPOCH,
            kind: "process.exited".to_owned(),
            severity: Severity::Warning,
            node: "app-1".to_owned(),
            environment: "production".to_owned(),
            application: "web".to_owned(),
            instance: Some(3),
            release: Some("1.4.0".to_owned()),
            reason: "exited with code 1 after 50 ms: Error: no\u{1b}[2J route\nand more".to_owned(),
            restarts: Some(7),
            exit: Some(ProcessExit {
                code: Some(1),
                signal: None,
                out_of_memory: false,
                uptime_ms: 50,
                last_stderr: Vec::new(),
            }),
        }
    }

    #[test]
    fn why_it_restarted_is_one_line() {
        assert_eq!(
            text(&event(), false),
            "1970-01-01 00:00:00Z  ! app-1/3  exited with code 1 after 50 ms: Error: no[2J routeand more  \
             release 1.4.0, exit code 1, up 50 ms, 7 restarts"
        );
        let exit = ProcessExit {
            code: None,
            signal: Some("SIGKILL".to_owned()),
            out_of_memory: true,
            uptime_ms: 7_200_000,
            last_stderr: Vec::new(),
        };
        let killed = ProcessEvent { reason: "killed".to_owned(), exit: Some(exit), ..event() };
        assert!(text(&killed, false).ends_with("release 1.4.0, out of memory, SIGKILL, up 2 h, 7 restarts"));
        let kind = "process.cron_restart".to_owned();
        let due = ProcessEvent { kind, instance: None, restarts: None, exit: None, ..event() };
        assert!(
            text(&due, false).contains("  ! app-1  ") && text(&due, false).ends_with("process.cron_restart")
        );
    }
}
