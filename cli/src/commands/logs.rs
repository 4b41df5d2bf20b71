//! What an application writes, from all its instances at once.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use muster_api_types::{LogMessage, LogStream};
use reqwest::{Method, header};

use crate::arguments::Logs;
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::format::{clock, safe};
use crate::lines::for_each_line;
use crate::output::{Output, Tone};

const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

pub(super) async fn logs(output: &Output, client: &Client, command: Logs) -> Result<()> {
    let mut printer = Printer {
        output,
        timestamps: command.timestamps,
        sources: HashMap::new(),
        last: HashMap::new(),
        seen: HashMap::new(),
        connected: false,
        problems: 0,
        lines: 0,
    };
    let mut pause = FIRST_RETRY;
    let (mut again, mut lost) = (false, false);
    loop {
        let shown = printer.lines;
        let result = read(client, &command, &mut printer, again).await;
        match result {
            Ok(()) if !command.follow => {
                return match (printer.lines, printer.problems) {
                    (0, 1..) => Err(Failure::failed("no node could be asked for its lines")),
                    (0, 0) => {
                        output.note(&format!("{} has written nothing", command.application));
                        Ok(())
                    }
                    _ => Ok(()),
                };
            }
            // The controller ended the answer, as it does when it stops.
            Ok(()) => {}
            Err(failure) if failure.transient && command.follow && printer.connected => {
                if !std::mem::replace(&mut lost, true) {
                    output.warning(&format!("{}; trying again", failure.message));
                }
            }
            Err(failure) => return Err(failure),
        }
        if shown < printer.lines {
            pause = FIRST_RETRY;
            lost = false;
        }
        again = true;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_RETRY);
    }
}

async fn read(client: &Client, command: &Logs, printer: &mut Printer<'_>, again: bool) -> Result<()> {
    let query = [
        ("environment", command.environment.clone()),
        ("node", command.node.clone()),
        ("instance", command.instance.map(|instance| instance.to_string())),
        ("lines", Some(command.lines.to_string())),
        ("follow", command.follow.then(|| "true".to_owned())),
    ];
    let request = client
        .request(Method::GET, &["applications", &command.application, "logs"], &query)
        .header(header::ACCEPT, "application/x-ndjson");
    let response = client.send(request).await?;
    printer.connected = true;
    // After a break, the past lines come again: those that were shown are left out.
    printer.seen = if again { printer.last.clone() } else { HashMap::new() };
    for_each_line(response, |message| printer.print(message)).await
}

type Source = (String, u32);

struct Printer<'a> {
    output: &'a Output,
    timestamps: bool,
    sources: HashMap<Source, u8>,
    last: HashMap<Source, DateTime<Utc>>,
    /// What was shown before a break; looked at until the past lines are through. A node whose clock was set back writes
    /// older times from then on, which are news all the same.
    seen: HashMap<Source, DateTime<Utc>>,
    /// The controller has answered at least once.
    connected: bool,
    problems: u32,
    lines: u64,
}

impl Printer<'_> {
    fn print(&mut self, message: LogMessage) -> Result<()> {
        match &message {
            LogMessage::Line { at, node, instance, stream, line } => {
                let source = (node.clone(), *instance);
                if self.seen.get(&source).is_some_and(|seen| at <= seen) {
                    return Ok(());
                }
                self.last.insert(source.clone(), *at);
                self.lines += 1;
                if self.output.json() {
                    return self.output.object_line(&message);
                }
                let text = self.text(*at, &source, *stream, line);
                self.output.line(&text)
            }
            LogMessage::Dropped { node, count } => {
                self.output.warning(&format!("{count} lines of {node} were left out: they came too fast"));
                if self.output.json() { self.output.object_line(&message) } else { Ok(()) }
            }
            LogMessage::Problem { node, message: reason } => {
                self.problems += 1;
                self.output.warning(&format!("{node}: {}", safe(reason, false)));
                if self.output.json() { self.output.object_line(&message) } else { Ok(()) }
            }
            LogMessage::CaughtUp => {
                self.seen.clear();
                Ok(())
            }
        }
    }

    fn text(&mut self, at: DateTime<Utc>, source: &Source, stream: LogStream, line: &str) -> String {
        let next = u8::try_from(self.sources.len() % 256).unwrap_or_default();
        let number = *self.sources.entry(source.clone()).or_insert(next);
        let colour = self.output.colour();
        let mark = match stream {
            LogStream::Out => Tone::Quiet.paint("|", colour),
            LogStream::Err => Tone::Bad.paint("!", colour),
        };
        let prefix = Tone::Source(number).paint(&format!("{}/{}", source.0, source.1), colour);
        let line = safe(line, colour);
        if self.timestamps {
            format!("{} {prefix} {mark} {line}", Tone::Quiet.paint(&clock(at), colour))
        } else {
            format!("{prefix} {mark} {line}")
        }
    }
}
