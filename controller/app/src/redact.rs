//! Keeps the values of secrets out of what nodes say and people read. Agents mask what they know to be secret before they
//! say anything; here everything is known that anybody was given to keep.

use crate::secrets::OpenSecrets;
use std::collections::BTreeSet;

/// Stands where a secret was.
const REDACTED: &str = "[redacted]";

/// Shorter values are found in every second word.
const MIN_VALUE_BYTES: usize = 4;

/// One line of a value of several lines, such as a key, counts from this length on.
const MIN_LINE_BYTES: usize = 8;

/// Values that must not be read. No `Debug`.
pub(crate) struct Redactor {
    /// The longest first, so that one that holds another is taken as a whole.
    values: Vec<String>,
}

impl Redactor {
    pub(crate) fn of(secrets: &OpenSecrets) -> Self {
        Self::new(secrets.values())
    }

    fn new<'a>(secrets: impl Iterator<Item = &'a str>) -> Self {
        let mut values = BTreeSet::new();
        for secret in secrets {
            let whole = secret.trim();
            if whole.len() >= MIN_VALUE_BYTES {
                values.insert(whole.to_owned());
            }
            let lines = whole.lines().map(str::trim).filter(|line| line.len() >= MIN_LINE_BYTES);
            values.extend(lines.map(str::to_owned));
        }
        let mut values: Vec<String> = values.into_iter().collect();
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self { values }
    }

    /// Takes the values out of a text.
    pub(crate) fn text(&self, text: &mut String) {
        for value in &self.values {
            if text.contains(value) {
                *text = text.replace(value, REDACTED);
            }
        }
    }

    /// Takes the values out of a text that may be absent.
    pub(crate) fn optional(&self, text: &mut Option<String>) {
        if let Some(text) = text {
            self.text(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_out_wherever_they_stand() {
        let key = "-----BEGIN KEY-----\nMIIEvAIBADAN\nshort\n-----END KEY-----\n";
        let redactor = Redactor::new(["hunter2", "hunter2-and-more", "abc", key].into_iter());
        for (given, expected) in [
            ("password=hunter2;", "password=[redacted];"),
            ("+hunter2-and-more", "+[redacted]"),
            ("abc stays", "abc stays"),
            ("+MIIEvAIBADAN", "+[redacted]"),
            ("short", "short"),
        ] {
            let mut text = given.to_owned();
            redactor.text(&mut text);
            assert_eq!(text, expected);
        }
    }
}
