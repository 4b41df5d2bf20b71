//! Times in the language of dayjs (`YYYY-MM-DD HH:mm:ss Z`), written and read back.

use std::fmt::Write as _;

use chrono::{DateTime, Datelike, FixedOffset, Local, NaiveDate, SecondsFormat, TimeZone, Timelike, Utc};

/// A format, taken apart once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DateFormat {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Token(Token),
}

/// What dayjs knows, and `x` and `X` of its plugin. `YYY` and a lone `Y` mean the offset there (nobody wanted that, but
/// files look so), which is `OffsetShort`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Year4,
    Year2,
    Month,
    Month2,
    MonthShort,
    MonthLong,
    Day,
    Day2,
    Weekday,
    WeekdayMin,
    WeekdayShort,
    WeekdayLong,
    Hour,
    Hour2,
    Hour12,
    Hour12Two,
    MeridiemLower,
    MeridiemUpper,
    Minute,
    Minute2,
    Second,
    Second2,
    Millisecond,
    Offset,
    OffsetShort,
    UnixSeconds,
    UnixMillis,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

impl DateFormat {
    /// Whatever is no token is text; text in brackets is text anyway.
    pub(crate) fn new(format: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = format;
        while let Some(first) = rest.chars().next() {
            if let Some((inside, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'))
                && !inside.is_empty()
            {
                push_text(&mut parts, inside);
                rest = after;
                continue;
            }
            let longest = match first {
                'Y' | 'M' | 'd' => 4,
                'D' | 'H' | 'h' | 'm' | 's' | 'Z' => 2,
                'a' | 'A' | 'x' | 'X' => 1,
                'S' if rest.starts_with("SSS") => 3,
                _ => 0,
            };
            let length = rest.chars().take(longest).take_while(|letter| *letter == first).count();
            match token(&rest[..length]) {
                Some(token) => parts.push(Part::Token(token)),
                None => push_text(&mut parts, &rest[..first.len_utf8()]),
            }
            rest = &rest[length.max(first.len_utf8())..];
        }
        Self { parts }
    }

    /// The time, in the machine's time zone.
    pub(crate) fn format(&self, at: DateTime<Utc>) -> String {
        self.format_at(at.with_timezone(&Local).fixed_offset())
    }

    fn format_at(&self, at: DateTime<FixedOffset>) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                // A string takes everything.
                Part::Token(token) => drop(token.write(&mut text, at)),
            }
        }
        text
    }

    /// The time at the beginning of a line and what follows it; `None` when the line begins otherwise, or when the
    /// format does not say enough to know the time.
    pub(crate) fn read<'a>(&self, line: &'a str) -> Option<(DateTime<Utc>, &'a str)> {
        let mut seen = Seen::default();
        let mut rest = line;
        for part in &self.parts {
            rest = match part {
                Part::Text(text) => rest.strip_prefix(text.as_str())?,
                Part::Token(token) => token.read(rest, &mut seen)?,
            };
        }
        Some((seen.time()?, rest))
    }
}

/// As JavaScript's `toISOString`.
pub(crate) fn iso(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        Some(Part::Text(before)) => before.push_str(text),
        _ => parts.push(Part::Text(text.to_owned())),
    }
}

fn token(letters: &str) -> Option<Token> {
    Some(match letters {
        "YYYY" => Token::Year4,
        "YY" => Token::Year2,
        "M" => Token::Month,
        "MM" => Token::Month2,
        "MMM" => Token::MonthShort,
        "MMMM" => Token::MonthLong,
        "D" => Token::Day,
        "DD" => Token::Day2,
        "d" => Token::Weekday,
        "dd" => Token::WeekdayMin,
        "ddd" => Token::WeekdayShort,
        "dddd" => Token::WeekdayLong,
        "H" => Token::Hour,
        "HH" => Token::Hour2,
        "h" => Token::Hour12,
        "hh" => Token::Hour12Two,
        "a" => Token::MeridiemLower,
        "A" => Token::MeridiemUpper,
        "m" => Token::Minute,
        "mm" => Token::Minute2,
        "s" => Token::Second,
        "ss" => Token::Second2,
        "SSS" => Token::Millisecond,
        "Z" => Token::Offset,
        "ZZ" | "Y" | "YYY" => Token::OffsetShort,
        "X" => Token::UnixSeconds,
        "x" => Token::UnixMillis,
        _ => return None,
    })
}

impl Token {
    fn write(self, text: &mut String, at: DateTime<FixedOffset>) -> std::fmt::Result {
        let month = MONTHS[at.month0() as usize % 12];
        let weekday_number = at.weekday().num_days_from_sunday();
        let weekday = WEEKDAYS[weekday_number as usize % 7];
        let (afternoon, hour12) = at.hour12();
        match self {
            Self::Year4 => write!(text, "{:04}", at.year()),
            Self::Year2 => write!(text, "{:02}", at.year().rem_euclid(100)),
            Self::Month => write!(text, "{}", at.month()),
            Self::Month2 => write!(text, "{:02}", at.month()),
            Self::MonthShort => write!(text, "{}", &month[..3]),
            Self::MonthLong => write!(text, "{month}"),
            Self::Day => write!(text, "{}", at.day()),
            Self::Day2 => write!(text, "{:02}", at.day()),
            Self::Weekday => write!(text, "{weekday_number}"),
            Self::WeekdayMin => write!(text, "{}", &weekday[..2]),
            Self::WeekdayShort => write!(text, "{}", &weekday[..3]),
            Self::WeekdayLong => write!(text, "{weekday}"),
            Self::Hour => write!(text, "{}", at.hour()),
            Self::Hour2 => write!(text, "{:02}", at.hour()),
            Self::Hour12 => write!(text, "{hour12}"),
            Self::Hour12Two => write!(text, "{hour12:02}"),
            Self::MeridiemLower => write!(text, "{}", if afternoon { "pm" } else { "am" }),
            Self::MeridiemUpper => write!(text, "{}", if afternoon { "PM" } else { "AM" }),
            Self::Minute => write!(text, "{}", at.minute()),
            Self::Minute2 => write!(text, "{:02}", at.minute()),
            Self::Second => write!(text, "{}", at.second()),
            Self::Second2 => write!(text, "{:02}", at.second()),
            Self::Millisecond => write!(text, "{:03}", at.timestamp_subsec_millis().min(999)),
            Self::Offset => write!(text, "{}", at.format("%:z")),
            Self::OffsetShort => write!(text, "{}", at.format("%z")),
            Self::UnixSeconds => write!(text, "{}", at.timestamp()),
            Self::UnixMillis => write!(text, "{}", at.timestamp_millis()),
        }
    }

    fn read<'a>(self, rest: &'a str, seen: &mut Seen) -> Option<&'a str> {
        let number = |least, most| digits(rest, least, most);
        let (value, after) = match self {
            Self::Year4 => number(4, 4)?,
            Self::Year2 => number(2, 2)?,
            Self::Month | Self::Day | Self::Hour | Self::Hour12 | Self::Minute | Self::Second => {
                number(1, 2)?
            }
            Self::Month2 | Self::Day2 | Self::Hour2 | Self::Hour12Two | Self::Minute2 | Self::Second2 => {
                number(2, 2)?
            }
            Self::Millisecond => number(3, 3)?,
            Self::Weekday => number(1, 1)?,
            Self::UnixSeconds | Self::UnixMillis => number(1, 18)?,
            Self::MonthShort | Self::MonthLong => {
                let short = self == Self::MonthShort;
                name(rest, &MONTHS, if short { 3 } else { usize::MAX }).map(|(at, rest)| (at + 1, rest))?
            }
            Self::WeekdayMin => name(rest, &WEEKDAYS, 2)?,
            Self::WeekdayShort => name(rest, &WEEKDAYS, 3)?,
            Self::WeekdayLong => name(rest, &WEEKDAYS, usize::MAX)?,
            Self::MeridiemLower => name(rest, &["am", "pm"], 2)?,
            Self::MeridiemUpper => name(rest, &["AM", "PM"], 2)?,
            Self::Offset | Self::OffsetShort => offset(rest)?,
        };
        let narrow = || u32::try_from(value).ok();
        match self {
            Self::Year4 => seen.year = Some(value),
            Self::Year2 => seen.year = Some(2000 + value),
            Self::Month | Self::Month2 | Self::MonthShort | Self::MonthLong => seen.month = narrow(),
            Self::Day | Self::Day2 => seen.day = narrow(),
            Self::Hour | Self::Hour2 => seen.hour = narrow(),
            Self::Hour12 | Self::Hour12Two => seen.hour12 = narrow(),
            Self::MeridiemLower | Self::MeridiemUpper => seen.afternoon = Some(value == 1),
            Self::Minute | Self::Minute2 => seen.minute = narrow(),
            Self::Second | Self::Second2 => seen.second = narrow(),
            Self::Millisecond => seen.millis = narrow(),
            Self::Offset | Self::OffsetShort => seen.offset = i32::try_from(value).ok(),
            Self::UnixSeconds => seen.unix_millis = value.checked_mul(1_000),
            Self::UnixMillis => seen.unix_millis = Some(value),
            Self::Weekday | Self::WeekdayMin | Self::WeekdayShort | Self::WeekdayLong => {}
        }
        Some(after)
    }
}

fn digits(rest: &str, least: usize, most: usize) -> Option<(i64, &str)> {
    let length = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    (length >= least).then(|| rest[..length].parse().ok().map(|value| (value, &rest[length..])))?
}

fn name<'a>(rest: &'a str, names: &[&str], letters: usize) -> Option<(i64, &'a str)> {
    names.iter().zip(0..).find_map(|(name, number)| {
        let name = name.get(..letters).unwrap_or(name);
        Some((number, rest.strip_prefix(name)?))
    })
}

/// In seconds.
fn offset(rest: &str) -> Option<(i64, &str)> {
    let sign = match rest.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, rest) = digits(&rest[1..], 2, 2)?;
    let (minutes, rest) = digits(rest.strip_prefix(':').unwrap_or(rest), 2, 2)?;
    Some((sign * (hours * 3_600 + minutes * 60), rest))
}

#[derive(Debug, Default)]
struct Seen {
    year: Option<i64>,
    month: Option<u32>,
    day: Option<u32>,
    hour: Option<u32>,
    hour12: Option<u32>,
    afternoon: Option<bool>,
    minute: Option<u32>,
    second: Option<u32>,
    millis: Option<u32>,
    offset: Option<i32>,
    unix_millis: Option<i64>,
}

impl Seen {
    fn time(&self) -> Option<DateTime<Utc>> {
        if let Some(millis) = self.unix_millis {
            return DateTime::from_timestamp_millis(millis);
        }
        let hour = match (self.hour, self.hour12, self.afternoon) {
            (Some(hour), _, _) => hour,
            (None, Some(hour), Some(afternoon)) => hour % 12 + if afternoon { 12 } else { 0 },
            _ => return None,
        };
        let date = NaiveDate::from_ymd_opt(i32::try_from(self.year?).ok()?, self.month?, self.day?)?;
        let (second, millis) = (self.second.unwrap_or(0), self.millis.unwrap_or(0));
        let time = date.and_hms_milli_opt(hour, self.minute?, second, millis)?;
        match self.offset {
            Some(seconds) => FixedOffset::east_opt(seconds)?.from_local_datetime(&time).earliest(),
            None => Local.from_local_datetime(&time).earliest().map(|time| time.fixed_offset()),
        }
        .map(|time| time.to_utc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> DateTime<FixedOffset> {
        DateTime::parse_from_rfc3339("2026-03-07T15:04:05.067-03:30").unwrap()
    }

    fn check(format: &str, expected: &str) {
        assert_eq!(DateFormat::new(format).format_at(at()), expected, "{format}");
    }

    #[test]
    fn every_token_is_written_as_dayjs_writes_it() {
        check("YYYY-MM-DD HH:mm:ss Z", "2026-03-07 15:04:05 -03:30");
        check("YYYY-MM-DDTHH:mm:ss", "2026-03-07T15:04:05");
        check("YY M D d dd ddd dddd", "26 3 7 6 Sa Sat Saturday");
        check("MMM MMMM", "Mar March");
        check("H h hh a A m s SSS ZZ", "15 3 03 pm PM 4 5 067 -0330");
        check("X x", "1772908445 1772908445067");
    }

    #[test]
    fn text_passes_and_brackets_escape() {
        check("[YYYY escaped] YYYY", "YYYY escaped 2026");
        check("<DD/MM> §", "<07/03> §");
        check("[] SS S [open", "[] SS S [open");
        check("", "");
    }

    #[test]
    fn what_was_written_is_read_back() {
        for format in
            ["YYYY-MM-DD HH:mm:ss.SSS Z", "[at] x", "dddd, MMMM D YYYY h:mm:ss.SSS A ZZ", "YYMMDDHHmmssSSSZ"]
        {
            let format = DateFormat::new(format);
            let line = format!("{}: hello", format.format_at(at()));
            assert_eq!(format.read(&line), Some((at().to_utc(), ": hello")), "{line}");
        }
        let local = DateFormat::new("YYYY-MM-DDTHH:mm:ss");
        let whole_second = at().to_utc().with_nanosecond(0).unwrap();
        assert_eq!(local.read(&local.format(whole_second)), Some((whole_second, "")));
    }

    #[test]
    fn a_line_without_a_time_has_none() {
        let format = DateFormat::new("YYYY-MM-DD HH:mm:ss");
        for line in ["", "    at Object.<anonymous>", "2026-13-07 00:00:00", "2026-03-0ü 00:00:00"] {
            assert_eq!(format.read(line), None, "{line}");
        }
        assert_eq!(DateFormat::new("HH:mm").read("10:20: x"), None, "no day");
    }
}
