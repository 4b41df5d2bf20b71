//! A configuration as text that looks like a fleet file, without what says nothing (empty and default values).

use muster_domain::fleet::FleetConfiguration;
use serde_json::Value;

/// The whole configuration in its normal form: sorted, without empty parts. [`crate::parse`] reads it back to the same
/// configuration.
pub fn to_yaml(configuration: &FleetConfiguration) -> String {
    let mut out = String::new();
    write(&mut out, &normal(configuration), 0);
    out
}

/// The JSON form. What has its default does not stand in it: the types say so themselves, because only they know that a
/// `false` may be worth a word, and that `on: {}` chooses every node.
pub(crate) fn normal(configuration: &FleetConfiguration) -> Value {
    serde_json::to_value(configuration).expect("a configuration is plain data with text keys")
}

/// Writes the entries of a map at a depth.
pub(crate) fn write(out: &mut String, value: &Value, depth: usize) {
    let Value::Object(object) = value else { return };
    for (key, value) in object {
        out.push_str(&"  ".repeat(depth));
        out.push_str(&key_text(key));
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                write(out, value, depth + 1);
            }
            Value::String(text) if block(text) => {
                let (head, body) = match text.strip_suffix('\n') {
                    Some(body) => (" |\n", body),
                    None => (" |-\n", text.as_str()),
                };
                out.push_str(head);
                for line in body.split('\n') {
                    if !line.is_empty() {
                        out.push_str(&"  ".repeat(depth + 1));
                        out.push_str(line);
                    }
                    out.push('\n');
                }
            }
            other => {
                out.push(' ');
                flow(out, other);
                out.push('\n');
            }
        }
    }
}

/// Whether text can be written as a block, line by line: a diff of it is readable then.
fn block(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    body.contains('\n')
        && !body.starts_with([' ', '\n', '\t'])
        && !body.ends_with('\n')
        && !text.chars().any(|c| (c.is_control() && c != '\n' && c != '\t') || unsafe_char(c))
        && body.split('\n').all(|line| line.is_empty() || !line.trim().is_empty())
}

/// Characters that YAML readers may take for line ends or drop.
fn unsafe_char(c: char) -> bool {
    matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn flow(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => out.push_str(&scalar(text)),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                flow(out, item);
            }
            out.push(']');
        }
        Value::Object(object) => {
            out.push('{');
            for (index, (key, value)) in object.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                out.push_str(&key_text(key));
                out.push_str(": ");
                flow(out, value);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// A key. The words that only old readers of YAML take for truth values stay as people write them: `on:`.
fn key_text(key: &str) -> String {
    if matches!(key, "on" | "off" | "yes" | "no") { key.to_owned() } else { scalar(key) }
}

/// Text without quotes where that is unmistakable, else in double quotes as JSON writes it, which YAML reads alike.
fn scalar(text: &str) -> String {
    let first = text.as_bytes().first().copied().unwrap_or(b' ');
    let plain = (first.is_ascii_alphabetic() || first == b'/' || first == b'_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./+@%".contains(&b))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if plain {
        return text.to_owned();
    }
    let mut quoted = String::new();
    for c in Value::from(text).to_string().chars() {
        // JSON leaves these as they are; readers of YAML refuse or fold them.
        if c.is_control() || unsafe_char(c) {
            quoted.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            quoted.push(c);
        }
    }
    quoted
}
