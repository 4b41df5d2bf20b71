//! Times of day, as `cron_restart` states them, in the time zone of the machine.

use std::str::FromStr;

use chrono::{DateTime, Local, Utc};
use croner::Cron;

const NAMES: [&str; 6] = ["second", "minute", "hour", "day of month", "month", "day of week"];

/// Reads a pattern of 5 or 6 fields; the error names the field that is wrong and where it begins.
pub(crate) fn parse(pattern: &str) -> Result<Cron, String> {
    let fields: Vec<&str> = pattern.split_whitespace().collect();
    if !pattern.contains('@') && !matches!(fields.len(), 5 | 6) {
        return Err(format!("{pattern:?} has {} fields; a pattern has 5, or 6 with seconds", fields.len()));
    }
    let error = match Cron::from_str(pattern) {
        Ok(cron) => return Ok(cron),
        Err(error) => error,
    };
    let names = &NAMES[6_usize.saturating_sub(fields.len()).min(6)..];
    for (number, (field, name)) in fields.iter().zip(names).enumerate() {
        let mut alone = vec!["*"; fields.len()];
        alone[number] = field;
        if let Err(error) = Cron::from_str(&alone.join(" ")) {
            // Both are parts of the same text.
            let at = field.as_ptr().addr() - pattern.as_ptr().addr() + 1;
            return Err(format!(
                "field {} ({name}) of {pattern:?}, {field:?} at character {at}, is wrong: {error}",
                number + 1
            ));
        }
    }
    Err(format!("{pattern:?} is wrong: {error}"))
}

/// When it is due next after a time.
pub(crate) fn next(cron: &Cron, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    cron.find_next_occurrence(&after.with_timezone(&Local), false).ok().map(|at| at.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_wrong_field_is_named_with_its_place() {
        for pattern in ["*/5 * * * *", "0 30 4 * * MON", "0 0 1 1 *"] {
            let cron = parse(pattern).unwrap();
            let at = next(&cron, Utc::now()).unwrap();
            assert!(at > Utc::now(), "{pattern}");
            // Whoever looks again a little before it is due finds the same time.
            for early in [1, 999, 1_000, 30_000] {
                assert_eq!(next(&cron, at - TimeDelta::milliseconds(early)), Some(at), "{pattern}");
            }
        }
        for (pattern, words) in [
            ("0 25 * * *", "field 2 (hour) of \"0 25 * * *\", \"25\" at character 3"),
            ("0 0 0 * 13 *", "field 5 (month)"),
            ("* * *", "has 3 fields"),
            ("nonsense", "has 1 fields"),
            ("", "has 0 fields"),
        ] {
            let error = parse(pattern).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
