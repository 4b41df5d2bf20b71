//! One application as written -> its known keys with the values that pm2 would work with.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use serde_json::{Map, Value, json};

use crate::coerce::{self, Kind, falsy};
use crate::fields::{ENV_PREFIX, FIELDS, Field, Pattern, SCRIPT_ALIASES, default_of};
use crate::problem::{Problem, Warning};
use crate::words::{closest, quoted};

/// What pm2 would hold after its own validation.
#[derive(Default)]
pub(crate) struct Checked {
    /// Known keys under pm2's name for them, coerced.
    pub(crate) fields: Map<String, Value>,
    /// The `env_<name>` sections.
    pub(crate) environments: BTreeMap<String, Value>,
    /// Which keys the file itself gives.
    pub(crate) given: BTreeSet<&'static str>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) problems: Vec<Problem>,
}

/// Keys of which pm2 drops a 0 or false, although that would not be the default.
const DROPPED_WHEN_FALSY: [(&str, &str); 6] = [
    ("max_restarts", "16"),
    ("min_uptime", "1000"),
    ("kill_timeout", "1600"),
    ("kill_retry_time", "100"),
    ("listen_timeout", "3000"),
    ("source_map_support", "true"),
];

/// Checks one application. `label` is how messages call it.
pub(crate) fn validate(label: &str, written: &Map<String, Value>) -> Checked {
    let mut checked = Checked::default();
    let raw = prepared(label, written, &mut checked);
    let mut known: BTreeSet<String> = SCRIPT_ALIASES.iter().map(|alias| (*alias).to_owned()).collect();
    for field in FIELDS {
        let camel = field.camel();
        let names: Vec<&str> = std::iter::once(field.name)
            .chain(field.aliases.iter().copied())
            .chain([camel.as_str()])
            .collect();
        known.extend(names.iter().map(|name| (*name).to_owned()));
        if names.iter().any(|name| written.get(*name).is_some_and(|value| !value.is_null())) {
            checked.given.insert(field.name);
        }
        take(label, field, &names, &raw, &mut checked);
    }
    for (key, value) in written {
        if known.contains(key) {
            continue;
        }
        match key.strip_prefix(ENV_PREFIX) {
            Some(name) if !key.contains(char::is_whitespace) => {
                section(label, key, name, value, &mut checked)
            }
            _ => checked.warnings.push(unknown(label, key, &known)),
        }
    }
    dropped(label, &raw, &mut checked);
    checked
}

/// What pm2 does to the file's own keys before it validates.
fn prepared(label: &str, written: &Map<String, Value>, checked: &mut Checked) -> Map<String, Value> {
    let mut raw = written.clone();
    for alias in SCRIPT_ALIASES {
        if raw.get("script").is_none_or(falsy)
            && let Some(value) = raw.remove(alias).filter(|value| !falsy(value))
        {
            raw.insert("script".to_owned(), value);
            checked.given.insert("script");
        }
    }
    if let Some(Value::String(script)) = raw.get("script").cloned()
        && !script.is_empty()
    {
        if raw.get("name").is_none_or(falsy) {
            raw.insert("name".to_owned(), json!(name_of(&script)));
        }
        if script.contains(' ') {
            raw.insert("script".to_owned(), json!("bash"));
            raw.insert("args".to_owned(), json!(["-c", script]));
        }
    }
    if let Some(Value::String(mode)) = raw.get_mut("exec_mode")
        && matches!(mode.as_str(), "fork" | "cluster")
    {
        mode.push_str("_mode");
    }
    if raw.get("execute_command") == Some(&json!(true)) {
        raw.insert("exec_mode".to_owned(), json!("fork"));
        raw.remove("execute_command");
    }
    if raw.get("time").is_some_and(|time| !falsy(time)) {
        raw.insert("log_date_format".to_owned(), json!("YYYY-MM-DDTHH:mm:ss"));
    }
    if raw.get("automation") == Some(&json!(false)) {
        raw.insert("pmx".to_owned(), json!(false));
    }
    if raw.get("disable_trace").is_some_and(|value| !falsy(value)) {
        raw.insert("trace".to_owned(), json!(false));
        raw.remove("disable_trace");
    }
    if let Some(Value::String(text)) = raw.get("instances").cloned() {
        let digits = coerce::parse_float(&json!(text.trim()));
        let count = if text == "max" || digits.is_nan() { 0.0 } else { digits.trunc() };
        if text != "max" && coerce::number(&json!(text)).is_nan() {
            let reads = if count == 0.0 { "max, one per processor".to_owned() } else { count.to_string() };
            let message = format!("pm2 reads {} as {reads}; write a number or \"max\"", quoted(&text));
            checked.warnings.push(Warning::of(label, "instances", message));
        }
        raw.insert("instances".to_owned(), coerce::to_value(count).unwrap_or(json!(0)));
    }
    let cluster = raw.get("exec_mode").and_then(Value::as_str) == Some("cluster_mode");
    if !cluster && raw.get("instances").is_none_or(falsy) && !raw.contains_key("merge_logs") {
        raw.insert("merge_logs".to_owned(), json!(true));
    }
    raw
}

/// The name that pm2 gives: the last part of the path without its last extension.
pub(crate) fn name_of(script: &str) -> String {
    let base = script.trim_end_matches('/').rsplit('/').next().unwrap_or(script);
    match base.rfind('.') {
        Some(dot) if dot > 0 => base[..dot].to_owned(),
        _ => base.to_owned(),
    }
}

/// Takes the value of one field from its own name or, when that is empty, false or 0, from the next of its names. When
/// none has anything, what counts is what the last one, in camelCase, says: so pm2 loses `max_restarts: 0`.
fn take(label: &str, field: &Field, names: &[&str], raw: &Map<String, Value>, checked: &mut Checked) {
    let filled = names.iter().find_map(|name| raw.get(*name).filter(|value| !falsy(value)));
    let value = filled.or_else(|| names.last().and_then(|name| raw.get(*name)));
    let coerced = match value {
        None | Some(Value::Null) => None,
        Some(value) => match coerced(field, value) {
            Ok(coerced) => coerced,
            Err(message) => {
                checked.problems.push(Problem {
                    app: label.to_owned(),
                    key: field.name.to_owned(),
                    message,
                    valid: field.valid(),
                });
                return;
            }
        },
    };
    if let Some(value) = coerced.or_else(|| default_of(field.name)) {
        checked.fields.insert(field.name.to_owned(), value);
    }
}

/// The value that pm2 works with; `Ok(None)` for a NaN, with which it would not.
fn coerced(field: &Field, value: &Value) -> Result<Option<Value>, String> {
    let accepts = |kind| field.kinds.contains(&kind);
    let mut value = value.clone();
    let mut kind = Kind::of(&value);
    if kind != Some(Kind::Boolean) && accepts(Kind::Number) && !coerce::number(&value).is_nan() {
        match coerce::to_value(coerce::parse_float(&value)) {
            Some(number) => value = number,
            None => return Ok(None),
        }
        kind = Some(Kind::Number);
    }
    let Some(kind) = kind.filter(|kind| accepts(*kind)) else {
        let what = kind.map_or("nothing", Kind::word);
        // A value is only shown where it cannot be a secret.
        return Err(match &value {
            Value::String(text) if field.name != "env" => format!("{} is {what}", quoted(text)),
            _ => format!("it is {what}"),
        });
    };
    if field.name == "cron_restart"
        && let Some(problem) = bad_cron(&value)
    {
        return Err(problem);
    }
    if let Value::String(text) = &value {
        if let Some(pattern) = field.pattern {
            return matched(pattern, text).map(Some).ok_or_else(|| format!("{} does not fit", quoted(text)));
        }
        if field.kinds[0] == Kind::List {
            return Ok(Some(json!(coerce::split(text))));
        }
    }
    if let (Some(at_least), Kind::Number) = (field.at_least, kind)
        && value.as_f64().is_some_and(|number| number < at_least)
    {
        return Err(format!("{value} is less than {at_least}"));
    }
    Ok(Some(value))
}

fn matched(pattern: Pattern, text: &str) -> Option<Value> {
    let (digits, unit) = match text.char_indices().next_back() {
        Some((at, last)) if !last.is_ascii_digit() => (&text[..at], &text[at..]),
        _ => (text, ""),
    };
    let factor: u64 = match (pattern, unit) {
        (Pattern::ExecMode, _) => {
            let known = matches!(text, "fork" | "fork_mode" | "cluster" | "cluster_mode");
            return known.then(|| json!(text));
        }
        (_, "") => 1,
        (Pattern::Size, "K") => 1 << 10,
        (Pattern::Size, "M") => 1 << 20,
        (Pattern::Size, "G") => 1 << 30,
        (Pattern::Time, "s") => 1_000,
        (Pattern::Time, "m") => 60_000,
        (Pattern::Time, "h") => 3_600_000,
        _ => return None,
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse::<u64>().ok().filter(|_| plain)?.checked_mul(factor).map(|number| json!(number))
}

/// What is wrong with a cron pattern; 0 switches it off.
fn bad_cron(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) if number.as_f64() == Some(0.0) => None,
        Value::String(pattern) => {
            let error = croner::Cron::from_str(pattern).err()?;
            Some(format!("{} is no cron pattern: {error}", quoted(pattern)))
        }
        _ => Some(format!("{value} is no cron pattern")),
    }
}

fn section(label: &str, key: &str, name: &str, value: &Value, checked: &mut Checked) {
    match Kind::of(value) {
        Some(Kind::Map) => {
            checked.environments.insert(name.to_owned(), value.clone());
        }
        Some(Kind::Text) => checked.warnings.push(Warning::of(
            label,
            key,
            "is text; pm2 would make one variable of each character. Write a map",
        )),
        kind => checked.problems.push(Problem {
            app: label.to_owned(),
            key: key.to_owned(),
            message: format!("it is {}", kind.map_or("nothing", Kind::word)),
            valid: "a map of variables".to_owned(),
        }),
    }
}

fn unknown(label: &str, key: &str, known: &BTreeSet<String>) -> Warning {
    let message = match closest(key, known.iter().map(String::as_str)) {
        Some(meant) => format!("pm2 knows no such key and drops it; did you mean `{meant}`?"),
        None => "pm2 knows no such key and drops it".to_owned(),
    };
    Warning::of(label, &quoted(key), message)
}

fn dropped(label: &str, raw: &Map<String, Value>, checked: &mut Checked) {
    for (key, default) in DROPPED_WHEN_FALSY {
        let Some(value) = raw.get(key).filter(|value| falsy(value) && !value.is_null()) else { continue };
        if checked.problems.iter().any(|problem| problem.key == key) {
            continue;
        }
        let message = format!("pm2 takes {value} as not given here: it works with {default}, and so do we");
        checked.warnings.push(Warning::of(label, key, message));
    }
}

#[cfg(test)]
mod tests;
