//! Figures, times and untrusted text, for people.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::table::Cell;

/// `94.1 MB`: three or more digits, decimal units, as disks and networks are sold.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Used of all, in percent.
pub(crate) fn share(used: Option<u64>, total: Option<u64>) -> Cell {
    match (used, total) {
        (Some(used), Some(total)) if total > 0 => {
            Cell::new(format!("{} %", u128::from(used) * 100 / u128::from(total)))
        }
        _ => Cell::maybe(None::<String>),
    }
}

/// `2 d 4 h`: the two largest units.
pub(crate) fn span(seconds: u64) -> String {
    let (days, hours, minutes, rest) =
        (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest} s"),
        (0, 0, _) if rest == 0 || minutes >= 10 => format!("{minutes} m"),
        (0, 0, _) => format!("{minutes} m {rest} s"),
        (0, _, 0) => format!("{hours} h"),
        (0, _, _) => format!("{hours} h {minutes} m"),
        (_, 0, _) => format!("{days} d"),
        _ => format!("{days} d {hours} h"),
    }
}

/// How long ago; clocks that differ a little give `0 s ago`.
pub(crate) fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!("{} ago", age(at, now))
}

/// How long since.
pub(crate) fn age(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    span(u64::try_from((now - at).num_seconds()).unwrap_or(0))
}

/// A point in time for a line of a log or an event, in UTC like all times of the product.
pub(crate) fn clock(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// The word of an API enum, as in the JSON: `backing_off` becomes `backing off`.
pub(crate) fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text.replace('_', " "),
        _ => String::new(),
    }
}

/// Makes text that comes from applications and hosts safe for a terminal: no control characters, and escape sequences
/// only if they set colours and colours are wanted.
pub(crate) fn safe(text: &str, colour: bool) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find(char::is_control) {
        result.push_str(&rest[..position]);
        rest = &rest[position..];
        let sequence = colour_sequence(rest);
        if let Some(length) = sequence {
            if colour {
                result.push_str(&rest[..length]);
            }
            rest = &rest[length..];
        } else {
            let control = rest.chars().next().expect("a control character was found here");
            if control == '\t' {
                result.push('\t');
            }
            rest = &rest[control.len_utf8()..];
        }
    }
    result.push_str(rest);
    if colour && result.contains('\u{1b}') {
        result.push_str("\u{1b}[0m");
    }
    result
}

/// The length of an escape sequence that sets colours, if the text begins with one.
fn colour_sequence(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':')?;
    parameters[end..].starts_with('m').then_some(2 + end + 1)
}

/// Reads `90s`, `15m`, `2h`, `7d`, or seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is not a duration: use for example 90s, 15m, 2h or 7d");
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    count.checked_mul(factor).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        let cases =
            [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (94_120_000, "94.1 MB"), (999_960, "1.0 MB")];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(bytes(u64::MAX), "18446744.1 TB");
        let cases = [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 m"),
            (75, "1 m 15 s"),
            (700, "11 m"),
            (3600, "1 h"),
            (3700, "1 h 1 m"),
            (86_400, "1 d"),
            (190_000, "2 d 4 h"),
        ];
        for (seconds, text) in cases {
            assert_eq!(span(seconds), text);
        }
        let now = Utc::now();
        assert_eq!(ago(now + Duration::from_secs(5), now), "0 s ago", "a clock that is ahead does no harm");
    }

    #[test]
    fn durations_are_strict() {
        assert_eq!(parse_duration("15m"), Ok(Duration::from_secs(900)));
        assert_eq!(parse_duration("20"), Ok(Duration::from_secs(20)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(604_800)));
        for bad in ["", "m", "15 m", "1.5h", "-1s", "1w", "99999999999999999999s", "18446744073709551615d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn text_from_elsewhere_cannot_drive_the_terminal() {
        let text = "a\u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7}\u{1b}[2Jb\r\tc\u{9b}d";
        assert_eq!(safe(text, false), "ared ]0;title[2Jb\tcd");
        assert_eq!(safe(text, true), "a\u{1b}[31mred\u{1b}[0m ]0;title[2Jb\tcd\u{1b}[0m");
        assert_eq!(safe("\u{1b}[", true), "[");
        assert_eq!(safe("plain ü", true), "plain ü");
    }
}
