//! Times in the format language of dayjs, as pm2's users write them: `YYYY-MM-DD HH:mm:ss Z`.

use std::fmt::{Display, Write};

use chrono::{DateTime, Datelike, TimeZone, Timelike};

/// Longest first, so that `YYYY` is not read as two `YY`.
const TOKENS: [&str; 27] = [
    "YYYY", "MMMM", "dddd", "MMM", "ddd", "SSS", "YY", "MM", "DD", "HH", "hh", "mm", "ss", "ZZ", "dd", "M",
    "D", "d", "H", "h", "m", "s", "Z", "A", "a", "X", "x",
];

/// The time in this format. What is no token is copied; text in brackets is copied without them.
pub(crate) fn format<Tz: TimeZone>(at: &DateTime<Tz>, pattern: &str) -> String
where
    Tz::Offset: Display,
{
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if let Some((literal, after)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            out.push_str(literal);
            rest = after;
        } else if let Some(token) = TOKENS.iter().find(|token| rest.starts_with(**token)) {
            put(&mut out, at, token);
            rest = &rest[token.len()..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

fn put<Tz: TimeZone>(out: &mut String, at: &DateTime<Tz>, token: &str)
where
    Tz::Offset: Display,
{
    let hour = at.hour();
    let twelve = if hour.is_multiple_of(12) { 12 } else { hour % 12 };
    let written = match token {
        "YYYY" => write!(out, "{:04}", at.year()),
        "YY" => write!(out, "{:02}", at.year().rem_euclid(100)),
        "MMMM" => write!(out, "{}", at.format("%B")),
        "MMM" => write!(out, "{}", at.format("%b")),
        "MM" => write!(out, "{:02}", at.month()),
        "M" => write!(out, "{}", at.month()),
        "DD" => write!(out, "{:02}", at.day()),
        "D" => write!(out, "{}", at.day()),
        "dddd" => write!(out, "{}", at.format("%A")),
        "ddd" => write!(out, "{}", at.format("%a")),
        "dd" => write!(out, "{}", &at.format("%a").to_string()[..2]),
        "d" => write!(out, "{}", at.weekday().num_days_from_sunday()),
        "HH" => write!(out, "{hour:02}"),
        "H" => write!(out, "{hour}"),
        "hh" => write!(out, "{twelve:02}"),
        "h" => write!(out, "{twelve}"),
        "mm" => write!(out, "{:02}", at.minute()),
        "m" => write!(out, "{}", at.minute()),
        "ss" => write!(out, "{:02}", at.second()),
        "s" => write!(out, "{}", at.second()),
        "SSS" => write!(out, "{:03}", at.timestamp_subsec_millis()),
        "Z" => write!(out, "{}", at.format("%:z")),
        "ZZ" => write!(out, "{}", at.format("%z")),
        "A" => write!(out, "{}", if hour < 12 { "AM" } else { "PM" }),
        "a" => write!(out, "{}", if hour < 12 { "am" } else { "pm" }),
        "X" => write!(out, "{}", at.timestamp()),
        "x" => write!(out, "{}", at.timestamp_millis()),
        other => write!(out, "{other}"),
    };
    written.expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_look_as_dayjs_writes_them() {
        let at = DateTime::parse_from_rfc3339("2026-03-07T15:04:09.042+05:30").unwrap();
        for (pattern, expected) in [
            ("YYYY-MM-DD-HH:mm:ss", "2026-03-07-15:04:09"),
            ("YYYY-MM-DDTHH:mm:ss", "2026-03-07T15:04:09"),
            ("YYYY-MM-DD HH:mm:ss.SSS Z", "2026-03-07 15:04:09.042 +05:30"),
            ("YY/M/D h:m:s A ZZ", "26/3/7 3:4:9 PM +0530"),
            ("ddd, DD MMM [at] HH", "Sat, 07 Mar at 15"),
            ("X", "1772876049"),
        ] {
            assert_eq!(format(&at, pattern), expected, "{pattern}");
        }
    }
}
