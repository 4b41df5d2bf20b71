//! How a chunk looks in a file.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use memchr::memchr;
use muster_supervisor_protocol::LogStreamName;
use serde::{Deserialize, Serialize};

use super::dates;
use super::destination::{Destination, Style};
use super::lines::{pieces, text};

/// The keys of pm2, in its order. Its `message` is what one write brought, with the end of line; ours is one line without.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct JsonLine<'a> {
    #[serde(borrow)]
    pub(crate) message: Cow<'a, str>,
    pub(crate) timestamp: Cow<'a, str>,
    #[serde(rename = "type")]
    pub(crate) stream: LogStreamName,
    pub(crate) process_id: u32,
    pub(crate) app_name: Cow<'a, str>,
}

/// Raw chunks pass untouched.
pub(crate) fn format<'a>(
    destination: &Destination,
    at: DateTime<Utc>,
    bytes: &'a [u8],
    begins_mid_line: bool,
) -> Cow<'a, [u8]> {
    match &destination.style {
        Style::Raw => Cow::Borrowed(bytes),
        Style::Dated(date) => {
            let prefix = format!("{}: ", date.format(at));
            Cow::Owned(prefixed(prefix.as_bytes(), bytes, begins_mid_line))
        }
        Style::Json(date) => {
            let timestamp = date.as_ref().map_or_else(|| dates::iso(at), |date| date.format(at));
            let mut out = Vec::with_capacity(bytes.len() * 2);
            for (piece, continues) in pieces(bytes, begins_mid_line) {
                push_json(&mut out, destination, &timestamp, text(piece, continues));
            }
            Cow::Owned(out)
        }
    }
}

/// A line of ours, in the same style.
pub(crate) fn note(destination: &Destination, at: DateTime<Utc>, message: &str) -> Vec<u8> {
    format(destination, at, format!("{message}\n").as_bytes(), false).into_owned()
}

fn prefixed(prefix: &[u8], mut bytes: &[u8], begins_mid_line: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 2);
    let mut at_start = !begins_mid_line;
    while !bytes.is_empty() {
        let end = memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1);
        if at_start {
            out.extend_from_slice(prefix);
        }
        out.extend_from_slice(&bytes[..end]);
        bytes = &bytes[end..];
        at_start = true;
    }
    out
}

fn push_json(out: &mut Vec<u8>, destination: &Destination, timestamp: &str, message: Cow<'_, str>) {
    let line = JsonLine {
        message,
        timestamp: Cow::Borrowed(timestamp),
        stream: destination.stream,
        process_id: destination.id,
        app_name: Cow::Borrowed(&destination.app),
    };
    let before = out.len();
    match serde_json::to_writer(&mut *out, &line) {
        Ok(()) => out.push(b'\n'),
        // Texts and numbers always can be written; half a line never may.
        Err(_) => out.truncate(before),
    }
}

#[cfg(test)]
mod tests {
    use muster_supervisor_protocol::{AppSpec, LogFormat, LogSettings};

    use super::*;
    use crate::logs::destination::DroppedLines;

    fn formatted(logs: LogSettings, bytes: &[u8], begins_mid_line: bool) -> String {
        let spec = AppSpec { logs, ..AppSpec::new("web", "/srv", "app.js") };
        let destination = Destination::new(&spec, 0, 3, LogStreamName::Err, DroppedLines::default());
        let at = DateTime::from_timestamp_millis(1_772_908_445_067).unwrap();
        String::from_utf8(format(&destination, at, bytes, begins_mid_line).into_owned()).unwrap()
    }

    #[test]
    fn lines_carry_what_was_asked_for() {
        let json = LogSettings { format: LogFormat::Json, ..LogSettings::default() };
        assert_eq!(
            formatted(json.clone(), b"a \"b\"\r\n\xff\n", false),
            "{\"message\":\"a \\\"b\\\"\",\"timestamp\":\"2026-03-07T18:34:05.067Z\",\"type\":\"err\",\"process_id\":3,\"app_name\":\"web\"}\n\
             {\"message\":\"\u{fffd}\",\"timestamp\":\"2026-03-07T18:34:05.067Z\",\"type\":\"err\",\"process_id\":3,\"app_name\":\"web\"}\n"
        );
        let dated = LogSettings { date_format: Some("X".into()), ..LogSettings::default() };
        assert_eq!(formatted(dated.clone(), b"a\nb\n", false), "1772908445: a\n1772908445: b\n");
        assert_eq!(formatted(dated, b"of a line\nb", true), "of a line\n1772908445: b");
        let both = LogSettings { date_format: Some("X".into()), ..json };
        assert!(formatted(both, b"a\n", false).contains("\"timestamp\":\"1772908445\""));
        assert_eq!(formatted(LogSettings::default(), b"a\r\nb", false), "a\r\nb");
    }
}
