//! From the trees of several files to one JSON value, guided by the schema: the schema says whether `22` is text or a
//! number, so people need not know which words YAML reads as something else.

use crate::{
    place::{At, Place, Places, Spot, child},
    problem::Problem,
    schema,
    words::quoted,
    yaml::{Key, Node, Yaml},
};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};

/// Unites the files: the maps of a section are one map, whichever file an entry stands in.
pub(crate) fn unite(files: Vec<Node>, places: &Places, problems: &mut Vec<Problem>) -> Node {
    let mut sections: BTreeMap<String, (Key, Node)> = BTreeMap::new();
    let mut root = None;
    for Node { place, yaml } in files {
        root.get_or_insert(place);
        let entries = match yaml {
            Yaml::Mapping(entries) => entries,
            Yaml::Scalar { text, plain: true } if null(&text) => continue,
            Yaml::Scalar { .. } | Yaml::Sequence(_) => {
                problems.push(Problem {
                    line: place.line,
                    column: place.column,
                    ..Problem::of_file(
                        places.file(place),
                        "this is not a fleet file: it does not hold a map of sections",
                        "begin with `environments:`, `nodes:`, `applications:` or `files:`",
                    )
                });
                continue;
            }
        };
        let mut here: HashMap<String, Place> = HashMap::new();
        for (key, value) in entries {
            if let Some(first) = here.insert(key.text.clone(), key.place) {
                let pointer = child("", &key.text);
                problems.push(repeated(places, &pointer, &key, first));
                continue;
            }
            match sections.get_mut(&key.text) {
                None => {
                    sections.insert(key.text.clone(), (key, value));
                }
                Some((_, united)) => match (&mut united.yaml, value.yaml) {
                    (Yaml::Mapping(all), Yaml::Mapping(more)) => all.extend(more),
                    // An empty section adds nothing; anything else shows as a section that is not a map.
                    (_, Yaml::Scalar { text, plain: true }) if null(&text) => {}
                    (_, other) => *united = Node { place: value.place, yaml: other },
                },
            }
        }
    }
    let place = root.unwrap_or(Place { file: 0, line: 1, column: 1 });
    Node { place, yaml: Yaml::Mapping(sections.into_values().collect()) }
}

fn repeated(places: &Places, pointer: &str, key: &Key, first: Place) -> Problem {
    let (file, line) = (places.file(first).to_owned(), first.line);
    let message = if first.file == key.place.file {
        format!("{} is declared twice, first on line {line}", quoted(&key.text))
    } else {
        format!("{} is declared twice, first in {file}:{line}", quoted(&key.text))
    };
    let mut problem = places.problem(pointer, At::Key, message, Some("keep one of the two".to_owned()));
    problem.file = places.file(key.place).to_owned();
    problem.line = key.place.line;
    problem.column = key.place.column;
    problem
}

/// The value of a tree, and the places of all its parts.
pub(crate) fn convert(root: Node, places: &mut Places, problems: &mut Vec<Problem>) -> Value {
    let key = root.place;
    value(root, key, String::new(), Some(schema::strict()), places, problems)
}

fn value(
    node: Node,
    key: Place,
    pointer: String,
    schema: Option<&'static Value>,
    places: &mut Places,
    problems: &mut Vec<Problem>,
) -> Value {
    places.insert(pointer.clone(), Spot { key, value: node.place });
    match node.yaml {
        Yaml::Scalar { text, plain: false } => Value::String(text),
        Yaml::Scalar { text, plain: true } => plain(&text, schema),
        Yaml::Sequence(items) => {
            let schema = schema.and_then(schema::of_items);
            let items = items.into_iter().enumerate().map(|(index, item)| {
                let key = item.place;
                value(item, key, child(&pointer, &index.to_string()), schema, places, problems)
            });
            Value::Array(items.collect())
        }
        Yaml::Mapping(entries) => {
            let mut object = Map::new();
            let mut seen: HashMap<String, Place> = HashMap::new();
            for (key, item) in entries {
                let pointer = child(&pointer, &key.text);
                if let Some(first) = seen.get(&key.text) {
                    problems.push(repeated(places, &pointer, &key, *first));
                    continue;
                }
                seen.insert(key.text.clone(), key.place);
                let of_key = schema.and_then(|schema| schema::of_key(schema, &key.text));
                let optional = of_key.is_some_and(|of_key| {
                    schema.is_some_and(|schema| {
                        let named = schema.get("properties").is_some_and(|p| p.get(&key.text).is_some());
                        named && !schema::requires(schema, &key.text)
                    }) && !schema::accepts(of_key, "object")
                        && !schema::accepts(of_key, "array")
                });
                let converted = value(item, key.place, pointer, of_key, places, problems);
                // `port:` with nothing behind it is how people leave a setting out.
                if !(optional && converted.is_null()) {
                    object.insert(key.text, converted);
                }
            }
            Value::Object(object)
        }
    }
}

fn null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// A scalar without quotes is what the schema wants, if it can be read so; text stays exactly as it is written, which keeps
/// `mode: 0644`, `nodejs: 20.10` and `ANSWER: no` what they look like.
fn plain(text: &str, schema: Option<&'static Value>) -> Value {
    let accepts = |kind| schema.is_none_or(|schema| schema::accepts(schema, kind));
    if null(text) {
        return match schema {
            Some(schema) if schema::accepts(schema, "object") => Value::Object(Map::new()),
            Some(schema) if schema::accepts(schema, "array") => Value::Array(Vec::new()),
            _ => Value::Null,
        };
    }
    if accepts("integer")
        && let Some(number) = integer(text)
    {
        return number;
    }
    if accepts("boolean") {
        match text {
            "true" => return Value::Bool(true),
            "false" => return Value::Bool(false),
            "True" | "TRUE" if !accepts("string") => return Value::Bool(true),
            "False" | "FALSE" if !accepts("string") => return Value::Bool(false),
            _ => {}
        }
    }
    if accepts("string") {
        return Value::String(text.to_owned());
    }
    // It does not fit. Validation says so, and names it as what it is.
    integer(text)
        .or_else(|| text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number))
        .or_else(|| text.parse::<bool>().ok().map(Value::Bool))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

/// A whole number in the one way of writing it that everybody reads alike.
fn integer(text: &str) -> Option<Value> {
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then(|| Value::from(number))
}
