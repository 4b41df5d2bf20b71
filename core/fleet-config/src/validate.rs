//! From what the JSON Schema validator finds to what a person can act on.

use crate::{
    place::{At, Places, child, segments},
    pm2_words,
    problem::Problem,
    schema,
    words::{did_you_mean, one_of, quoted, shown},
};
use jsonschema::{ValidationError, error::ValidationErrorKind as Kind};
use serde_json::Value;

/// Validates a value, adds every problem, and gives the value without what is wrong, so that what is right can be checked
/// further at the same time.
pub(crate) fn validate(mut value: Value, places: &Places, problems: &mut Vec<Problem>) -> Value {
    let mut wrong = Vec::new();
    for error in schema::validator().iter_errors(&value) {
        explain(&error, places, problems);
        wrong.extend(parts_at_fault(&error));
    }
    for pointer in wrong {
        remove(&mut value, &pointer);
    }
    // Taking a value out may leave an entry without what it needs: then the entry goes, and at last the section.
    for depth in [2, 1] {
        let incomplete: Vec<_> = schema::validator()
            .iter_errors(&value)
            .map(|error| {
                let parts: Vec<_> = segments(error.instance_path().as_str()).take(depth).collect();
                parts.iter().fold(String::new(), |pointer, part| child(&pointer, part))
            })
            .collect();
        for pointer in incomplete {
            remove(&mut value, &pointer);
        }
    }
    value
}

/// Pointers of what has to go for the rest to be valid.
fn parts_at_fault(error: &ValidationError<'_>) -> Vec<String> {
    let at = error.instance_path().as_str();
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => unexpected.iter().map(|key| child(at, key)).collect(),
        _ => vec![at.to_owned()],
    }
}

fn remove(value: &mut Value, pointer: &str) {
    let Some((above, _)) = pointer.rsplit_once('/') else { return };
    let Some(last) = segments(pointer).next_back() else { return };
    match value.pointer_mut(above) {
        Some(Value::Object(object)) => {
            object.remove(&last);
        }
        // The other items keep their places.
        Some(Value::Array(_)) => remove(value, above),
        _ => {}
    }
}

/// The schema that a keyword of an error stands in.
fn around(error: &ValidationError<'_>) -> &'static Value {
    let path = error.schema_path().as_str();
    let above = path.rsplit_once('/').map_or("", |(above, _)| above);
    schema::strict().pointer(above).unwrap_or(schema::strict())
}

/// The name of the type that an error is about, when it is one of ours.
fn definition(error: &ValidationError<'_>) -> Option<String> {
    let mut parts = segments(error.schema_path().as_str());
    (parts.next()? == "$defs").then(|| parts.next()).flatten()
}

fn explain(error: &ValidationError<'_>, places: &Places, problems: &mut Vec<Problem>) {
    let pointer = error.instance_path().as_str();
    let given: &Value = error.instance();
    if let Kind::AnyOf { context } = error.kind()
        && definition(error).is_some_and(|name| name.ends_with("Part"))
        && given.is_object()
        && let Some(of_map) = context.iter().find(|errors| !errors.iter().any(|e| wants_no_map(e, pointer)))
    {
        // A map was meant to be the settings of the part: what is wrong in it is said of it.
        of_map.iter().for_each(|error| explain(error, places, problems));
        return;
    }
    let name = segments(pointer).next_back().unwrap_or_default();
    let mut add = |at: At, message: String, hint: String| {
        problems.push(places.problem(pointer, at, message, Some(hint)));
    };
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => {
            for key in unexpected {
                problems.push(unknown_key(error, places, key));
            }
        }
        Kind::Required { property } => {
            let property = property.as_str().unwrap_or_default();
            let missing = child(pointer, property);
            let about = around(error)
                .pointer(&format!("/properties/{property}/description"))
                .and_then(Value::as_str)
                .unwrap_or("it is needed")
                .replace('\n', " ");
            // The first sentence says what it is; the others are for who reads all of it.
            let about = about.split_inclusive(". ").next().unwrap_or_default().trim_end();
            let message = format!("{} has no {}", quoted(&name), quoted(property));
            problems.push(places.problem(
                &missing,
                At::Key,
                message,
                Some(format!("add `{property}:`. {about}")),
            ));
        }
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } | Kind::OneOfMultipleValid { .. } => {
            let (message, hint) = choice(definition(error).as_deref(), &name, given);
            add(At::Value, message, hint);
        }
        Kind::Enum { options } => {
            let words: Vec<_> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let guess =
                given.as_str().map_or_else(String::new, |text| did_you_mean(text, words.iter().copied()));
            let what = match definition(error).as_deref() {
                Some("Role") => "a role".to_owned(),
                _ => format!("a value of {}", quoted(&name)),
            };
            add(
                At::Value,
                format!("{} is not {what}{guess}", shown(given)),
                format!("write {}", one_of(&words)),
            );
        }
        Kind::Minimum { .. } | Kind::Maximum { .. } => {
            let bound = |key| around(error).get(key).map_or_else(String::new, ToString::to_string);
            add(
                At::Value,
                format!("{} is out of range for {}", shown(given), quoted(&name)),
                format!("write a whole number from {} to {}", bound("minimum"), bound("maximum")),
            );
        }
        Kind::Pattern { .. } => {
            let (message, hint) = pattern(definition(error).as_deref(), &name, given);
            add(At::Value, message, hint);
        }
        Kind::Type { .. } => {
            let (message, hint) = wrong_type(around(error), &name, given);
            add(At::Value, message, hint);
        }
        // Nothing else stands in our schema today; a keyword that is added later is reported in the validator's words.
        _ => add(At::Value, error.to_string(), "see the published schema".to_owned()),
    }
}

/// Whether an error says that a value should not be a map at all.
fn wants_no_map(error: &ValidationError<'_>, pointer: &str) -> bool {
    let whole = error.instance_path().as_str() == pointer;
    whole && matches!(error.kind(), Kind::Type { .. } | Kind::Enum { .. })
}

const NAME_RULE: &str =
    "use 1 to 63 lower-case letters, digits and hyphens, and begin and end with a letter or digit";

/// Nobody finds a key in a longer list.
const SHOW_KEYS_AT_MOST: usize = 24;

fn unknown_key(error: &ValidationError<'_>, places: &Places, key: &str) -> Problem {
    let pointer = error.instance_path().as_str();
    let at = child(pointer, key);
    let schema = around(error);
    let known: Vec<&str> = schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(k, _)| k.as_str())
        .collect();
    if known.is_empty() {
        let kind = match segments(pointer).next_back().as_deref() {
            Some("environments") => "the name of an environment",
            Some("nodes") => "the name of a node",
            Some("applications") => "the name of an application",
            _ => "a valid name",
        };
        let message = format!("{} is not {kind}", quoted(key));
        return places.problem(&at, At::Key, message, Some(NAME_RULE.to_owned()));
    }
    let definition = definition(error);
    if let Some((message, hint)) = pm2_words::explain(definition.as_deref(), key, &known) {
        return places.problem(&at, At::Key, message, Some(hint));
    }
    let message = format!("unknown key {}{}", quoted(key), did_you_mean(key, known.iter().copied()));
    let hint = match known.len() {
        0..=SHOW_KEYS_AT_MOST => format!("known here: {}", known.join(", ")),
        _ => "`muster schema` prints all keys, and docs/reference/application-fields.md explains them"
            .to_owned(),
    };
    places.problem(&at, At::Key, message, Some(hint))
}

/// For values that may take several forms, where the validator can only say that none fits.
fn choice(definition: Option<&str>, name: &str, given: &Value) -> (String, String) {
    let given_words = shown(given);
    let owned = |message: String, hint: &str| (message, hint.to_owned());
    match definition {
        Some("Instances") => owned(
            format!("{given_words} is not a number of instances"),
            "write a whole number from 1 to 256, or max for one per processor",
        ),
        Some("Duration") => owned(
            format!("{given_words} is not a duration"),
            "write milliseconds (3000), or a whole number with ms, s, m or h (\"10s\")",
        ),
        Some("Size") => owned(
            format!("{given_words} is not a size"),
            "write a whole number with K, M or G (\"400M\"), or bytes",
        ),
        Some("Words") => owned(
            format!("{given_words} does not fit {}", quoted(name)),
            "write a list of words ([--port, \"80\"]), or one text with blanks between them",
        ),
        Some("TimeSyncPart") => owned(
            format!("{given_words} does not keep a clock right"),
            "write timesyncd or chrony, or false to leave it alone",
        ),
        Some(part) if part.ends_with("Part") => owned(
            format!("{given_words} does not fit {}", quoted(name)),
            "write settings (`key: value` pairs), or false to switch it off",
        ),
        Some("MaxChanging") => owned(
            format!("{given_words} is not a number of nodes"),
            "write a whole number from 1, or a percentage from 1% to 100% of the nodes of a role",
        ),
        Some("Texts") => {
            owned(format!("{given_words} does not fit {}", quoted(name)), "write a list of texts, or one")
        }
        Some("ExitCodes") => owned(
            format!("{given_words} does not fit {}", quoted(name)),
            "write exit codes from 0 to 255: [0, 3]",
        ),
        Some("Watch") => owned(
            format!("{given_words} does not say what to watch"),
            "write a path, a list of paths, or true for the working directory",
        ),
        Some("OwnFile") => owned(
            format!("{given_words} is not a file"),
            "write an absolute path, or true for one beside the application's own logs",
        ),
        Some("EnvValue") => match given {
            Value::Null => owned(
                format!("variable {} has no value", quoted(name)),
                "write \"\" for an empty value, or take the line out",
            ),
            _ => owned(
                format!("{given_words} is not the value of a variable"),
                "write text, a number, true or false; put text with special characters in quotes",
            ),
        },
        Some("Health") => {
            let guess = match given {
                Value::Object(object) => object
                    .keys()
                    .find(|key| !matches!(key.as_str(), "http" | "tcp"))
                    .map_or_else(String::new, |key| {
                        format!(": unknown key {}{}", quoted(key), did_you_mean(key, ["http", "tcp"]))
                    }),
                _ => String::new(),
            };
            owned(
                format!("{given_words} is not a health check{guess}"),
                "write {http: /healthz} or {tcp: true}, one of the two",
            )
        }
        _ => owned(format!("{given_words} does not fit {}", quoted(name)), "see the published schema"),
    }
}

fn pattern(definition: Option<&str>, name: &str, given: &Value) -> (String, String) {
    let given = shown(given);
    match definition {
        Some("EnvironmentName") => {
            (format!("{given} is not the name of an environment"), NAME_RULE.to_owned())
        }
        Some("NodeName") => (format!("{given} is not the name of a node"), NAME_RULE.to_owned()),
        Some("ApplicationName") => {
            (format!("{given} is not the name of an application"), NAME_RULE.to_owned())
        }
        Some("Share") => (
            format!("{given} is not a share of processor time"),
            "write a percentage: 50% is half a processor, 200% are two".to_owned(),
        ),
        _ if name == "mode" => (
            format!("{given} is not a file mode"),
            "write three or four octal digits: 0644 for a file, 0755 for a folder".to_owned(),
        ),
        _ => (format!("{given} does not fit {}", quoted(name)), "see the published schema".to_owned()),
    }
}

fn wrong_type(schema: &Value, name: &str, given: &Value) -> (String, String) {
    let (wanted, mut hint) = match schema.get("type").and_then(Value::as_str) {
        Some("object") => ("a map", "write `key: value` pairs below it, each on its own line".to_owned()),
        Some("array") => ("a list", "write [a, b], or one `- item` per line".to_owned()),
        Some("string") => {
            ("text", "write text; put it in quotes when it holds special characters".to_owned())
        }
        Some("boolean") => ("true or false", "write true or false".to_owned()),
        Some("integer") => {
            let bound = |key| schema.get(key).map_or_else(String::new, ToString::to_string);
            (
                "a whole number",
                format!("write a whole number from {} to {}", bound("minimum"), bound("maximum")),
            )
        }
        _ => ("valid", "see the published schema".to_owned()),
    };
    if let (Value::String(text), "a whole number") = (given, wanted)
        && text.parse::<i64>().is_ok()
    {
        hint = format!("write it without quotes: {name}: {}", text.trim_start_matches('+'));
    }
    let message = match given {
        Value::Null => format!("{} has no value", quoted(name)),
        Value::String(text) if wanted == "a list" && !text.is_empty() => {
            hint = format!("write [{text}]");
            format!("{} must be a list, not {}", quoted(name), shown(given))
        }
        Value::String(text) if wanted == "a whole number" => {
            format!("{} must be {wanted}, not the text {}", quoted(name), quoted(text))
        }
        _ => format!("{} must be {wanted}, not {}", quoted(name), shown(given)),
    };
    (message, hint)
}
