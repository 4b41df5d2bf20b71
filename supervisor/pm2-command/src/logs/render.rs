//! One log line as pm2 prints it.

use chrono::{DateTime, Local, SecondsFormat, Utc};
use muster_supervisor_protocol::{LogLine, LogStreamName};
use serde_json::json;

use crate::dayjs;

/// What `--format` puts before each line.
const FORMATTED_TIME: &str = "YYYY-MM-DD-HH:mm:ssZZ";
/// Prefixes are at least this wide.
const MIN_WIDTH: usize = 3;

/// How lines are printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Style {
    /// `0|web  | line`.
    Prefixed {
        /// Format of the time in front.
        timestamp: Option<String>,
    },
    /// The line alone.
    Raw,
    /// `timestamp=… app=web id=0 type=out message=line`.
    Formatted,
    /// One JSON object per line, with pm2's keys.
    Json,
}

/// Prints lines; prefixes grow with the longest name seen.
#[derive(Debug)]
pub(crate) struct Renderer {
    style: Style,
    highlight: Option<String>,
    colours: bool,
    width: usize,
}

impl Renderer {
    pub(crate) fn new(style: Style, highlight: Option<String>, colours: bool) -> Self {
        Self { style, highlight: highlight.filter(|text| !text.is_empty()), colours, width: MIN_WIDTH }
    }

    /// The line with its end; `id` is the `pm_id` of the instance.
    pub(crate) fn line(&mut self, line: &LogLine, id: Option<u32>) -> String {
        let id = id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        match &self.style {
            Style::Raw => format!("{}\n", line.line),
            Style::Json => {
                let object = json!({
                    "message": line.line,
                    "timestamp": time(line.at),
                    "type": stream(line.stream),
                    "process_id": id.parse::<u32>().ok(),
                    "app_name": line.app,
                });
                format!("{object}\n")
            }
            Style::Formatted => {
                let time = dayjs::format(&line.at.with_timezone(&Local), FORMATTED_TIME);
                let kind = match line.stream {
                    LogStreamName::Out => "out",
                    LogStreamName::Err => "error",
                };
                let text = self.highlighted(&line.line);
                format!("timestamp={time} app={} id={id} type={kind} message={text}\n", line.app)
            }
            Style::Prefixed { timestamp } => {
                let mut out = String::new();
                if let Some(pattern) = timestamp {
                    let time = dayjs::format(&line.at.with_timezone(&Local), pattern);
                    out.push_str(&self.coloured("2;90", &format!("{time} ")));
                }
                let name = format!("{id}|{}", line.app);
                self.width = self.width.max(name.chars().count() + 1);
                let colour = match line.stream {
                    LogStreamName::Out => "32",
                    LogStreamName::Err => "31",
                };
                out.push_str(&self.coloured(colour, &format!("{name:<width$} | ", width = self.width)));
                out.push_str(&self.highlighted(&line.line));
                out.push('\n');
                out
            }
        }
    }

    /// A header, in grey and bold.
    pub(crate) fn header(&self, text: &str) -> String {
        format!("{}\n", self.coloured("1;90", text))
    }

    fn highlighted(&self, text: &str) -> String {
        match &self.highlight {
            Some(wanted) if text.contains(wanted.as_str()) => {
                text.replacen(wanted.as_str(), &self.coloured("100", wanted), 1)
            }
            _ => text.to_owned(),
        }
    }

    fn coloured(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// As JavaScript writes a date in JSON.
pub(crate) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

const fn stream(stream: LogStreamName) -> &'static str {
    match stream {
        LogStreamName::Out => "out",
        LogStreamName::Err => "err",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(app: &str, stream: LogStreamName, text: &str) -> LogLine {
        let at = DateTime::parse_from_rfc3339("2026-03-07T15:04:09.042Z").unwrap().into();
        LogLine { at, app: app.into(), instance: 1, stream, line: text.into() }
    }

    #[test]
    fn lines_look_as_those_of_pm2() {
        let mut plain = Renderer::new(Style::Prefixed { timestamp: None }, None, false);
        assert_eq!(plain.line(&line("web", LogStreamName::Out, "hi"), Some(0)), "0|web  | hi\n");
        assert_eq!(plain.line(&line("worker", LogStreamName::Err, "no"), Some(12)), "12|worker  | no\n");
        // Shorter names are padded to the longest so far.
        assert_eq!(plain.line(&line("web", LogStreamName::Out, "hi"), Some(0)), "0|web      | hi\n");
        let mut coloured = Renderer::new(Style::Prefixed { timestamp: None }, Some("hi".into()), true);
        assert_eq!(
            coloured.line(&line("web", LogStreamName::Err, "hi hi"), Some(0)),
            "\u{1b}[31m0|web  | \u{1b}[0m\u{1b}[100mhi\u{1b}[0m hi\n"
        );
    }

    #[test]
    fn the_other_styles_have_the_keys_of_pm2() {
        let out = line("web", LogStreamName::Out, "a \"b\"");
        assert_eq!(Renderer::new(Style::Raw, None, false).line(&out, Some(3)), "a \"b\"\n");
        let json = Renderer::new(Style::Json, None, false).line(&out, Some(3));
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            value,
            json!({"message": "a \"b\"", "timestamp": "2026-03-07T15:04:09.042Z", "type": "out", "process_id": 3, "app_name": "web"})
        );
        let formatted =
            Renderer::new(Style::Formatted, None, false).line(&line("web", LogStreamName::Err, "x"), Some(3));
        assert!(formatted.starts_with("timestamp=2026-03-0"), "{formatted}");
        assert!(formatted.ends_with(" app=web id=3 type=error message=x\n"), "{formatted}");
    }
}
