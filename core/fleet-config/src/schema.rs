//! The JSON Schema of fleet files. It comes from the types of `muster_domain::fleet`, so it cannot disagree with what is
//! read; here it is only put into the forms that validation and editors want.

use muster_domain::fleet::FleetConfiguration;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// What values are validated against: an absent value is absent, never null, and a choice of words is an `enum`.
static STRICT: LazyLock<Value> = LazyLock::new(|| {
    let mut schema =
        serde_json::to_value(schemars::schema_for!(FleetConfiguration)).expect("a schema is a JSON document");
    simplify(&mut schema);
    schema
});

/// The compiled form of [`STRICT`].
static VALIDATOR: LazyLock<jsonschema::Validator> =
    LazyLock::new(|| jsonschema::validator_for(&STRICT).expect("a generated schema is valid"));

/// The schema that is published for editors, draft 2020-12. It accepts what [`crate::parse`] accepts, unquoted numbers
/// where text is wanted included.
pub fn schema() -> Value {
    let mut schema = STRICT.clone();
    schema["title"] = json!("Muster fleet configuration");
    schema["description"] = json!(
        "Environments, nodes and applications of a fleet, and what its hosts are made of. Several files may each hold a \
         part; apply the folder with `muster apply -f DIR`."
    );
    relax(&mut schema);
    schema
}

pub(crate) fn strict() -> &'static Value {
    &STRICT
}

pub(crate) fn validator() -> &'static jsonschema::Validator {
    &VALIDATOR
}

/// Follows references until there is a schema with a content of its own.
pub(crate) fn resolve(mut schema: &'static Value) -> &'static Value {
    while let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        match target.strip_prefix('#').and_then(|pointer| STRICT.pointer(pointer)) {
            Some(found) => schema = found,
            None => break,
        }
    }
    schema
}

/// The schema of what stands under a key, when the key is known.
pub(crate) fn of_key(schema: &'static Value, key: &str) -> Option<&'static Value> {
    let schema = resolve(schema);
    if let Some(found) = schema.get("properties").and_then(|properties| properties.get(key)) {
        return Some(resolve(found));
    }
    if let Some(choices) = choices(schema) {
        return choices.iter().find_map(|choice| of_key(choice, key));
    }
    let by_pattern = schema.get("patternProperties").and_then(Value::as_object);
    // Every name has the same schema: that a name breaks the pattern is said by validation, about the name.
    by_pattern
        .and_then(|patterns| patterns.values().next())
        .or_else(|| schema.get("additionalProperties").filter(|schema| schema.is_object()))
        .map(resolve)
}

/// The schema of the items of a list.
pub(crate) fn of_items(schema: &'static Value) -> Option<&'static Value> {
    let schema = resolve(schema);
    let own = schema.get("items").map(resolve);
    own.or_else(|| choices(schema)?.iter().find_map(of_items))
}

/// Whether an object of this schema must have a key.
pub(crate) fn requires(schema: &'static Value, key: &str) -> bool {
    resolve(schema)
        .get("required")
        .and_then(Value::as_array)
        .is_some_and(|keys| keys.iter().any(|required| required == key))
}

/// Whether a schema takes values of a type.
pub(crate) fn accepts(schema: &'static Value, kind: &str) -> bool {
    let schema = resolve(schema);
    match schema.get("type") {
        Some(Value::String(one)) => one == kind,
        Some(Value::Array(many)) => many.iter().any(|one| one == kind),
        _ => choices(schema).is_some_and(|choices| choices.iter().any(|choice| accepts(choice, kind))),
    }
}

fn choices(schema: &'static Value) -> Option<&'static Vec<Value>> {
    ["anyOf", "oneOf"].iter().find_map(|word| schema.get(*word)).and_then(Value::as_array)
}

/// Takes nulls out, turns choices of constants into enums, and bounds integers by their Rust types.
fn simplify(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(simplify),
        Value::Object(object) => {
            object.values_mut().for_each(simplify);
            drop_null(object);
            constants_to_enum(object);
            let bounds = match object.get("format").and_then(Value::as_str) {
                Some("uint8") => Some((json!(0), json!(u8::MAX))),
                Some("uint64") => Some((json!(0), json!(u64::MAX))),
                Some("uint32") => Some((json!(0), json!(u32::MAX))),
                Some("int64") => Some((json!(i64::MIN), json!(i64::MAX))),
                Some("uint16") => Some((json!(0), json!(u16::MAX))),
                _ => None,
            };
            if let Some((minimum, maximum)) = bounds {
                object.remove("format");
                object.entry("minimum").or_insert(minimum);
                object.entry("maximum").or_insert(maximum);
            }
        }
        _ => {}
    }
}

fn drop_null(object: &mut Map<String, Value>) {
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    let null = json!({ "type": "null" });
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| *choice != null);
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
}

fn constants_to_enum(object: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = object.get("oneOf") else { return };
    let words: Option<Vec<_>> = choices.iter().map(|choice| choice.get("const").cloned()).collect();
    if let Some(words) = words {
        object.remove("oneOf");
        object.insert("type".to_owned(), json!("string"));
        object.insert("enum".to_owned(), Value::Array(words));
    }
}

/// Lets numbers stand for text where [`crate::parse`] takes them as they are written.
fn relax(schema: &mut Value) {
    let definitions = schema.get_mut("$defs").and_then(Value::as_object_mut);
    for (name, definition) in definitions.into_iter().flatten() {
        match name.as_str() {
            "Application" | "ApplicationOverride" => {
                for field in ["nodejs", "user", "group", "cron_restart"] {
                    if let Some(property) = definition.pointer_mut(&format!("/properties/{field}")) {
                        property["type"] = json!(["string", "number"]);
                    }
                }
            }
            // Ports, numbers of accounts and "0" for never are written without quotes, too.
            "Texts" | "Words" => {
                if let Some(Value::Array(choices)) = definition.get_mut("anyOf") {
                    for choice in choices {
                        let place = if choice["type"] == "array" { &mut choice["items"] } else { choice };
                        place["type"] = json!(["string", "number"]);
                    }
                }
            }
            "FileEntry" => definition["properties"]["mode"]["type"] = json!(["string", "integer"]),
            "PackageEntry" => definition["properties"]["version"]["type"] = json!(["string", "number"]),
            "EnvValue" => {
                if let Some(Value::Array(choices)) = definition.get_mut("anyOf") {
                    choices.push(json!({ "description": "A number, as it is written.", "type": "number" }));
                }
            }
            _ => {}
        }
    }
}
