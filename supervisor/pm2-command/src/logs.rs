//! `logs`: the last lines of many applications and whatever comes, in the look of pm2.

mod render;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use chrono::{DateTime, Utc};
use muster_supervisor_protocol::{
    Client, ClientError, EventStream, LogLine, LogStream, LogStreamName, LogsRequest, ProcessEvent,
    ProcessEventKind,
};
use serde_json::json;
use tokio::time::Instant;

use crate::context::refused;
use crate::output::print;
use crate::process::Process;
use crate::selector::select;
use crate::{Context, Failure};
use render::{Renderer, Style};

/// pm2's default.
const LINES: u32 = 15;
/// What `--timestamp` alone means.
const TIMESTAMP: &str = "YYYY-MM-DD-HH:mm:ss";
/// How long a supervisor may be away (being upgraded, say) before nobody follows it any more.
const AWAY_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// Arguments.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Id, name, namespace or /regex/; all when not given
    #[arg(value_name = "id|name|namespace", allow_hyphen_values = true)]
    pub selector: Option<String>,
    /// One JSON object per line
    #[arg(long)]
    pub json: bool,
    /// `timestamp=… app=… id=… type=… message=…` per line
    #[arg(long)]
    pub format: bool,
    /// The lines alone
    #[arg(long)]
    pub raw: bool,
    /// Only standard error
    #[arg(long)]
    pub err: bool,
    /// Only standard output
    #[arg(long)]
    pub out: bool,
    /// How many of the last lines to begin with, 15 by default
    #[arg(long, value_name = "n", allow_hyphen_values = true)]
    pub lines: Option<String>,
    /// Put the time before each line, by default as YYYY-MM-DD-HH:mm:ss
    #[arg(long, value_name = "format", num_args = 0..=1, default_missing_value = TIMESTAMP)]
    pub timestamp: Option<String>,
    /// Print what there is and end
    #[arg(long)]
    pub nostream: bool,
    /// Highlight this text
    #[arg(long, value_name = "value", num_args = 0..=1, default_missing_value = "")]
    pub highlight: Option<String>,
}

impl Args {
    fn style(&self) -> Style {
        if self.json {
            Style::Json
        } else if self.format {
            Style::Formatted
        } else if self.raw {
            Style::Raw
        } else {
            Style::Prefixed { timestamp: self.timestamp.clone() }
        }
    }

    fn stream(&self) -> Option<LogStreamName> {
        match (self.err, self.out) {
            (true, _) => Some(LogStreamName::Err),
            (false, true) => Some(LogStreamName::Out),
            (false, false) => None,
        }
    }

    /// Machine-readable streams begin with what is new, as pm2's do.
    fn lines(&self) -> u32 {
        let given = self.lines.as_deref().and_then(|text| text.trim().parse::<i64>().ok());
        let default = if (self.json || self.format) && !self.nostream { 0 } else { LINES };
        given.map_or(default, |n| u32::try_from(n.unsigned_abs()).unwrap_or(u32::MAX))
    }
}

/// Runs it.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let selector = args.selector.clone().unwrap_or_else(|| "all".to_owned());
    let mut client = context.connect().await?;
    let processes = context.processes(&mut client).await?;
    let wanted = Wanted::of(&processes, &selector)?;
    let style = args.style();
    let lines = args.lines();
    let mut viewer = Viewer {
        renderer: Renderer::new(style.clone(), args.highlight.clone(), context.output.style.colours()),
        raw: style == Style::Raw,
        ids: ids(&processes),
        wanted,
        stream: args.stream(),
    };
    if lines > 0 && matches!(style, Style::Prefixed { .. } | Style::Raw) {
        let es = if selector == "all" { "es" } else { "" };
        context.output.line(viewer.renderer.header(&format!(
            "[TAILING] Tailing last {lines} lines for [{selector}] process{es} (change the value with --lines option)"
        )).trim_end());
    }
    let mut request = LogsRequest {
        apps: viewer.wanted.apps(),
        stream: args.stream(),
        lines,
        follow: !args.nostream,
        ..LogsRequest::default()
    };
    let mut last = Last::default();
    loop {
        let mut stream = client.logs(request.clone()).await.map_err(refused)?;
        let mut events = match args.json && !args.nostream {
            true => Some(connect(context).await?.watch().await.map_err(refused)?),
            false => None,
        };
        let ended = viewer.show(context, &mut stream, events.as_mut(), &mut last).await;
        match ended {
            Ok(()) => return Ok(()),
            // It is being replaced, or it is gone: who follows wants to go on.
            Err(ClientError::Closed | ClientError::Framing(_)) if !args.nostream => {}
            Err(error) => return Err(refused(error)),
        }
        client = again(context).await?;
        (request.since, request.lines) = (Some(last.at.unwrap_or_else(Utc::now)), u32::MAX);
    }
}

/// Waits for the supervisor that comes after the one that is gone. None is started: what it ran is gone with it.
async fn again(context: &Context) -> Result<Client, Failure> {
    let deadline = Instant::now() + AWAY_LIMIT;
    loop {
        if let Some(client) = context.connect_running().await {
            return Ok(client);
        }
        if Instant::now() >= deadline {
            return Err(
                Failure::new("the daemon is gone").hint("start applications again, or `pm2 resurrect`")
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn connect(context: &Context) -> Result<Client, Failure> {
    context.connect_running().await.ok_or_else(|| Failure::new("the daemon is gone"))
}

/// Lines that were printed, so that none is printed twice after a new connection.
#[derive(Debug, Default)]
struct Last {
    at: Option<DateTime<Utc>>,
    /// Those of that very moment.
    lines: Vec<LogLine>,
}

impl Last {
    /// False: it was printed already.
    fn take(&mut self, line: &LogLine) -> bool {
        match self.at {
            Some(at) if line.at == at => {
                if self.lines.contains(line) {
                    return false;
                }
            }
            Some(at) if line.at < at => {}
            _ => {
                self.at = Some(line.at);
                self.lines.clear();
            }
        }
        if self.at == Some(line.at) {
            self.lines.push(line.clone());
        }
        true
    }
}

/// Which instances are shown.
#[derive(Debug)]
enum Wanted {
    All,
    /// Applications, and of each the instances (all when empty).
    Some(BTreeMap<String, Vec<u32>>),
}

impl Wanted {
    fn of(processes: &[Process], selector: &str) -> Result<Self, Failure> {
        if selector == "all" {
            return Ok(Self::All);
        }
        let mut apps: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for place in select(processes, selector)? {
            let process = &processes[place];
            apps.entry(process.name.clone()).or_default().push(process.instance.index);
        }
        for (app, instances) in &mut apps {
            // The whole application, also with the instances that come.
            let all = processes.iter().filter(|process| process.name == *app);
            if all.clone().all(|process| instances.contains(&process.instance.index)) {
                instances.clear();
            }
        }
        Ok(Self::Some(apps))
    }

    fn apps(&self) -> Vec<String> {
        match self {
            Self::All => Vec::new(),
            Self::Some(apps) => apps.keys().cloned().collect(),
        }
    }

    fn means(&self, line: &LogLine) -> bool {
        match self {
            Self::All => true,
            Self::Some(apps) => apps
                .get(&line.app)
                .is_some_and(|instances| instances.is_empty() || instances.contains(&line.instance)),
        }
    }
}

fn ids(processes: &[Process]) -> BTreeMap<(String, u32), u32> {
    let id = |process: &Process| ((process.name.clone(), process.instance.index), process.id());
    processes.iter().map(id).collect()
}

struct Viewer {
    renderer: Renderer,
    raw: bool,
    ids: BTreeMap<(String, u32), u32>,
    wanted: Wanted,
    stream: Option<LogStreamName>,
}

impl Viewer {
    async fn show(
        &mut self,
        context: &Context,
        stream: &mut LogStream,
        mut events: Option<&mut EventStream>,
        last: &mut Last,
    ) -> Result<(), ClientError> {
        loop {
            tokio::select! {
                line = stream.next() => match line? {
                    Some(line) => {
                        if self.means(&line) && last.take(&line) {
                            self.print(context, &line).await;
                        }
                    }
                    None => return Ok(()),
                },
                event = next(events.as_deref_mut()) => self.tell(&event?),
            }
        }
    }

    /// The supervisor chose already; an older one knows fewer conditions.
    fn means(&self, line: &LogLine) -> bool {
        self.wanted.means(line) && self.stream.is_none_or(|stream| stream == line.stream)
    }

    async fn print(&mut self, context: &Context, line: &LogLine) {
        let key = (line.app.clone(), line.instance);
        if !self.ids.contains_key(&key)
            && let Some(mut client) = context.connect_running().await
            && let Ok(processes) = context.processes(&mut client).await
        {
            // It was started after us.
            self.ids = ids(&processes);
        }
        let text = self.renderer.line(line, self.ids.get(&key).copied());
        if self.raw && line.stream == LogStreamName::Err {
            // Nobody is left to tell when standard error is gone.
            drop(std::io::stderr().lock().write_all(text.as_bytes()));
        } else {
            print(&text);
        }
    }

    /// Events stand among the lines of `--json`.
    fn tell(&self, event: &ProcessEvent) {
        let Some(status) = status(event.kind) else { return };
        let object = json!({
            "timestamp": render::time(event.at),
            "type": "process_event",
            "status": status,
            "app_name": event.app,
        });
        print(&format!("{object}\n"));
    }
}

async fn next(events: Option<&mut EventStream>) -> Result<ProcessEvent, ClientError> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

/// pm2's word for an event.
const fn status(kind: ProcessEventKind) -> Option<&'static str> {
    match kind {
        ProcessEventKind::Started => Some("start"),
        ProcessEventKind::Ready => Some("online"),
        ProcessEventKind::Exited => Some("exit"),
        ProcessEventKind::Restarting
        | ProcessEventKind::MemoryRestart
        | ProcessEventKind::CronRestart
        | ProcessEventKind::WatchRestart => Some("restart"),
        ProcessEventKind::CrashLooping => Some("restart overlimit"),
        ProcessEventKind::Replaced => Some("reload"),
        ProcessEventKind::Stopped => Some("stop"),
        ProcessEventKind::Deleted => Some("delete"),
        ProcessEventKind::BackingOff
        | ProcessEventKind::Stopping
        | ProcessEventKind::ReplaceFailed
        | ProcessEventKind::OutOfMemory
        | ProcessEventKind::Missed
        | ProcessEventKind::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(ms: i64, text: &str) -> LogLine {
        let at = DateTime::from_timestamp_millis(ms).unwrap();
        LogLine { at, app: "web".into(), instance: 0, stream: LogStreamName::Out, line: text.into() }
    }

    #[test]
    fn a_new_connection_repeats_no_line() {
        let mut last = Last::default();
        for (ms, text) in [(1, "a"), (2, "b"), (2, "c")] {
            assert!(last.take(&line(ms, text)));
        }
        // Everything since the last moment comes once more, and what is new.
        assert!(!last.take(&line(2, "b")) && !last.take(&line(2, "c")));
        assert!(last.take(&line(2, "d")) && last.take(&line(3, "b")));
    }
}
