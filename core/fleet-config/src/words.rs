//! Small pieces of the texts that people read.

use serde_json::Value;

/// Longer things are cut: the place says where the rest is.
const SHOW_AT_MOST: usize = 60;

/// Names that a mistyped one is compared with.
const COMPARE_AT_MOST: usize = 2_000;

/// A text in backticks, printable and cut.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOW_AT_MOST)
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect();
    if text.chars().nth(SHOW_AT_MOST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// A value, as it is called in a message.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) if text.is_empty() => "an empty text".to_owned(),
        Value::String(text) => quoted(text),
        Value::Bool(_) | Value::Number(_) => quoted(&value.to_string()),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
    }
}

/// `a, b or c`.
pub(crate) fn one_of<S: AsRef<str>>(words: &[S]) -> String {
    match words {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(AsRef::as_ref).collect();
            format!("{} or {}", first.join(", "), last.as_ref())
        }
    }
}

/// The candidate that was probably meant.
pub(crate) fn closest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance costs the product of the lengths, and nobody mistypes a key of this length.
    if given.len() > 64 {
        return None;
    }
    let folded = given.to_ascii_lowercase().replace('_', "-");
    candidates
        .into_iter()
        .take(COMPARE_AT_MOST)
        .filter(|candidate| candidate.len() <= 64)
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&folded, &candidate.to_ascii_lowercase().replace('_', "-")),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(given.len()) / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

/// `; did you mean x?` or nothing.
pub(crate) fn did_you_mean<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    closest(given, candidates).map_or_else(String::new, |candidate| format!("; did you mean `{candidate}`?"))
}
