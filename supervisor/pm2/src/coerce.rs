//! JavaScript's conversions, as far as pm2's validation leans on them.

use serde_json::Value;

/// What `Object.prototype.toString` calls a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Boolean,
    List,
    Map,
}

impl Kind {
    /// `None` for null, which pm2 takes as not given.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::Bool(_) => Some(Self::Boolean),
            Value::Number(_) => Some(Self::Number),
            Value::String(_) => Some(Self::Text),
            Value::Array(_) => Some(Self::List),
            Value::Object(_) => Some(Self::Map),
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::List => "a list",
            Self::Map => "a map",
        }
    }
}

/// `!value`.
pub(crate) fn falsy(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    }
}

/// `Number(value)`.
pub(crate) fn number(value: &Value) -> f64 {
    match value {
        Value::Null => 0.0,
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
        Value::String(text) => number_of_text(text),
        Value::Array(_) => number_of_text(&text(value)),
        Value::Object(_) => f64::NAN,
    }
}

fn number_of_text(text: &str) -> f64 {
    let text = text.trim();
    if text.is_empty() {
        return 0.0;
    }
    for (prefixes, radix) in [(["0x", "0X"], 16), (["0o", "0O"], 8), (["0b", "0B"], 2)] {
        if let Some(digits) = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix)) {
            #[expect(clippy::cast_precision_loss, reason = "JavaScript has no other numbers")]
            return u64::from_str_radix(digits, radix).map_or(f64::NAN, |number| number as f64);
        }
    }
    match text.strip_prefix(['+', '-']).unwrap_or(text) {
        "Infinity" => return if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY },
        // Rust also reads `inf` and `nan`.
        rest if !rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') => return f64::NAN,
        _ => {}
    }
    text.parse().unwrap_or(f64::NAN)
}

/// `parseFloat(value)`: the longest beginning that is a number.
pub(crate) fn parse_float(value: &Value) -> f64 {
    let text = text(value);
    let text = text.trim_start();
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.starts_with("Infinity") {
        return sign * f64::INFINITY;
    }
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let mut end = digits(rest);
    let mut any = end > 0;
    if rest[end..].starts_with('.') {
        let fraction = digits(&rest[end + 1..]);
        any |= fraction > 0;
        end += 1 + fraction;
    }
    if !any {
        return f64::NAN;
    }
    if rest[end..].starts_with(['e', 'E']) {
        let after = &rest[end + 1..];
        let signed = usize::from(after.starts_with(['+', '-']));
        let exponent = digits(&after[signed..]);
        if exponent > 0 {
            end += 1 + signed + exponent;
        }
    }
    sign * rest[..end].parse::<f64>().unwrap_or(f64::NAN)
}

/// `String(value)`, but JSON for maps, which is what pm2 makes of them where it cares.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => text_of_number(number),
        Value::String(text) => text.clone(),
        Value::Array(items) => items
            .iter()
            .map(|item| if item.is_null() { String::new() } else { text(item) })
            .collect::<Vec<_>>()
            .join(","),
        Value::Object(_) => value.to_string(),
    }
}

fn text_of_number(number: &serde_json::Number) -> String {
    match number.as_f64() {
        // `3.0` in YAML is `3` in JavaScript.
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e21 => format!("{float:.0}"),
        Some(float) if number.is_f64() => float.to_string(),
        _ => number.to_string(),
    }
}

/// A number as JSON, whole where it is whole. `None` for what JSON cannot say.
pub(crate) fn to_value(number: f64) -> Option<Value> {
    const SAFE: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= SAFE {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        return Some(Value::from(number as i64));
    }
    serde_json::Number::from_f64(number).map(Value::Number)
}

/// How pm2 splits text where a list is expected; fleet files do the same.
pub(crate) use muster_domain::fleet::split_words as split;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_is_split_as_pm2_does() {
        let cases: [(&str, &[&str]); 8] = [
            ("", &[]),
            ("a  b", &["a", "b"]),
            ("a \"c d\" 'e f'", &["a", "c d", "e f"]),
            ("--x=\"1 2\" --y='3 4'", &["--x=\"1 2\"", "--y='3 4'"]),
            ("it's", &["it's"]),
            ("\"", &[]),
            ("\"open end", &["\"open", "end"]),
            ("--a=b=\"c d\"", &["--a=b=\"c", "d\""]),
        ];
        for (text, words) in cases {
            assert_eq!(split(text), words, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_read_as_javascript_does() {
        for (value, expected) in [
            (json!("1e3"), 1000.0),
            (json!(" 5 "), 5.0),
            (json!(""), 0.0),
            (json!([3]), 3.0),
            (json!("0x10"), 16.0),
            (json!("-Infinity"), f64::NEG_INFINITY),
        ] {
            assert_eq!(number(&value), expected, "{value}");
        }
        for value in [json!("5s"), json!([1, 2]), json!({}), json!("inf"), json!("nan"), json!("--5")] {
            assert!(number(&value).is_nan(), "{value}");
        }
        assert_eq!(parse_float(&json!("5s")), 5.0);
        assert_eq!(parse_float(&json!("-1.5e2x")), -150.0);
        assert_eq!(parse_float(&json!("0x10")), 0.0);
        assert!(parse_float(&json!("x")).is_nan());
        assert_eq!(text(&json!(3.0)), "3");
        assert_eq!(text(&json!([1, null, "a"])), "1,,a");
    }
}
