//! `muster-supervisor logs`: what applications wrote, for people and for programs.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Local, SecondsFormat, TimeDelta, Utc};
use clap::Args;
use muster_supervisor_protocol::{LogLine, LogStreamName, LogsRequest};

use super::{CommandError, connect};

/// What is shown, and how.
#[derive(Debug, Clone, Args)]
pub struct LogsArguments {
    /// Only these applications; all when none is named.
    #[arg(value_name = "APP")]
    apps: Vec<String>,
    /// State directory of the supervisor.
    #[arg(long)]
    state_dir: PathBuf,
    /// How many of the last lines of each application.
    #[arg(long, short = 'n', default_value_t = 100)]
    lines: u32,
    /// Go on with new lines.
    #[arg(long, short)]
    follow: bool,
    /// Only lines since then: a time ago (`30s`, `10m`, `2h`, `1d`) or a time (`2026-03-07T15:04:05Z`).
    #[arg(long, value_parser = since)]
    since: Option<DateTime<Utc>>,
    /// Only lines that this regular expression matches somewhere.
    #[arg(long, value_name = "REGEX")]
    grep: Option<String>,
    /// Only standard error.
    #[arg(long, conflicts_with = "out")]
    err: bool,
    /// Only standard output.
    #[arg(long)]
    out: bool,
    /// Only these instances.
    #[arg(long = "instance", value_name = "NUMBER")]
    instances: Vec<u32>,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
    /// No colours, not even on a terminal (as with the variable `NO_COLOR`).
    #[arg(long)]
    no_color: bool,
}

/// Readable on dark and on light.
const COLORS: [u8; 6] = [36, 35, 32, 33, 34, 31];

/// Prints log lines.
pub async fn logs(arguments: LogsArguments) -> Result<(), CommandError> {
    let LogsArguments { apps, state_dir, lines, follow, since, grep, err, out, instances, json, no_color } =
        arguments;
    check_names(&state_dir, &apps).await?;
    let stream = match (err, out) {
        (true, _) => Some(LogStreamName::Err),
        (false, true) => Some(LogStreamName::Out),
        (false, false) => None,
    };
    let plain = no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let style = Style { json, color: !plain && io::stdout().is_terminal() };
    let request = LogsRequest { apps, instances, stream, matching: grep, since, lines, follow };
    let client = connect(&state_dir).await?;
    let mut stream = client.logs(request).await.map_err(CommandError::Client)?;
    let mut printer = BufWriter::new(io::stdout());
    loop {
        // Many lines at once are printed at once; the last one of them is not kept back.
        let next = tokio::select! {
            biased;
            next = stream.next() => next,
            () = tokio::time::sleep(Duration::from_millis(1)), if !printer.buffer().is_empty() => {
                match printer.flush() {
                    Ok(()) => continue,
                    Err(error) => return ended(error),
                }
            }
        };
        let Some(line) = next.map_err(CommandError::Client)? else {
            return printer.flush().or_else(ended);
        };
        if let Err(error) = printer.write_all(style.show(&line).as_bytes()) {
            return ended(error);
        }
    }
}

/// `... | head` has seen enough.
fn ended(error: io::Error) -> Result<(), CommandError> {
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(CommandError::Output(error)) }
}

async fn check_names(state_dir: &Path, wanted: &[String]) -> Result<(), CommandError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let known = connect(state_dir).await?.list().await.map_err(CommandError::Client)?;
    match wanted.iter().find(|wanted| known.iter().all(|app| app.name != **wanted)) {
        None => Ok(()),
        Some(name) => Err(super::verbs::unknown(name, &known)),
    }
}

#[derive(Debug, Clone, Copy)]
struct Style {
    json: bool,
    color: bool,
}

impl Style {
    fn show(self, line: &LogLine) -> String {
        if self.json {
            // Nothing in it could not be written.
            return serde_json::to_string(line).map(|text| text + "\n").unwrap_or_default();
        }
        let LogLine { at, app, instance, stream, line } = line;
        let word = match stream {
            LogStreamName::Out => "out",
            LogStreamName::Err => "err",
        };
        if self.color {
            let name: usize = app.bytes().map(usize::from).sum();
            let color = COLORS[name % COLORS.len()];
            let at = at.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S%.3f");
            let word = if *stream == LogStreamName::Err { "\x1b[31merr\x1b[0m" } else { "out" };
            return format!("\x1b[2m{at}\x1b[0m \x1b[{color}m{app}/{instance}\x1b[0m {word}: {line}\n");
        }
        let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
        format!("{at} {app}/{instance} {word}: {line}\n")
    }
}

fn since(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    let wrong =
        || format!("{text:?} is neither a time ago (30s, 10m, 2h, 1d) nor a time (2026-03-07T15:04:05Z)");
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let ago = number.parse::<i64>().ok().and_then(|number| number.checked_mul(seconds));
    let ago = ago.and_then(TimeDelta::try_seconds).ok_or_else(wrong)?;
    Utc::now().checked_sub_signed(ago).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_or_a_time_ago() {
        assert_eq!(since("2026-03-07T15:04:05+01:00").unwrap().to_rfc3339(), "2026-03-07T14:04:05+00:00");
        for (text, seconds) in [("30s", 30), ("10m", 600), ("2h", 7_200), ("1d", 86_400)] {
            let at = since(text).unwrap();
            let ago = (Utc::now() - at).num_seconds();
            assert!((seconds..seconds + 60).contains(&ago), "{text}: {ago}");
        }
        for wrong in ["", "10", "m", "10 m", "tomorrow", "99999999999999999999s", "999999999999d", "-5m"] {
            since(wrong).unwrap_err();
        }
    }

    #[test]
    fn lines_are_shown_as_asked() {
        let line = LogLine {
            at: DateTime::from_timestamp_millis(1_772_908_445_067).unwrap(),
            app: "web".into(),
            instance: 1,
            stream: LogStreamName::Err,
            line: "oh".into(),
        };
        let show = |json, color| Style { json, color }.show(&line);
        assert_eq!(show(false, false), "2026-03-07T18:34:05.067Z web/1 err: oh\n");
        assert!(show(false, true).contains("mweb/1\x1b[0m \x1b[31merr\x1b[0m: oh\n"));
        let read: LogLine = serde_json::from_str(&show(true, true)).unwrap();
        assert_eq!(read, line);
    }
}
