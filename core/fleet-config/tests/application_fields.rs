//! The table of all fields in `docs/reference` says what the schema says, and nothing else.
//!
//! After a change: `UPDATE_DOCS=1 cargo nextest run -p muster-fleet-config`, and commit the document.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use muster_fleet_config::{pm2_keys, schema};
use serde_json::Value;
use std::{fmt::Write, fs, path::Path};

const INTRODUCTION: &str = "# Fields of an application

Every field of an application in a fleet file, with what holds without it. The names are pm2's, and so are their meanings
and defaults; where Muster differs, the field says so. `muster pm2 import` says it for the files that you have.

This table is made from the schema of fleet files (`docs/schema/fleet.schema.json`), which editors can use to complete and
check them while you write.

A duration is a whole number of milliseconds, or has a unit: `500ms`, `10s`, `2m`, `1h`. A size is a whole number of bytes,
or has a unit: `64K`, `400M`, `2G` (powers of 1024). Words are a list, or one text that is split at blanks outside of quotes.
Cron patterns have five fields (minute, hour, day, month, weekday), or six with seconds first, in the time zone of the node.
";

/// What may be written, in a word or two.
fn kind(field: &Value) -> String {
    if let Some(name) = field.get("$ref").and_then(Value::as_str).and_then(|name| name.rsplit('/').next()) {
        return match name {
            "Instances" => "whole number, or `max`",
            "ExecMode" => "`cluster` or `fork`",
            "LogType" => "`raw` or `json`",
            "KillSignal" => "a signal",
            "Health" => "map with one key",
            "Watch" => "true, a path, or a list of paths",
            "OwnFile" => "path, or true",
            "Texts" => "list, or one text",
            "ExitCodes" => "list, or one code",
            "Duration" => "duration",
            "Size" => "size",
            "Share" => "percentage",
            "Words" => "words",
            "Limits" | "LogRotation" | "Selector" => "map",
            other => panic!("give {other} a word"),
        }
        .to_owned();
    }
    match field.get("type").and_then(Value::as_str) {
        Some("string") => "text",
        Some("integer") => "whole number",
        Some("boolean") => "true or false",
        Some("array") => "list",
        Some("object") => "map",
        _ => panic!("give {field} a word"),
    }
    .to_owned()
}

fn table(out: &mut String, schema: &Value, definition: &str) {
    out.push_str("\n| Field | What may be written | Meaning |\n|---|---|---|\n");
    // Without the numbers that may stand for text: that is for editors.
    for (name, field) in schema["$defs"][definition]["properties"].as_object().unwrap() {
        let mut plain = field.clone();
        if plain["type"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "string")) {
            plain["type"] = "string".into();
        }
        let meaning = field["description"].as_str().unwrap().replace('\n', " ").replace('|', "\\|");
        writeln!(out, "| `{name}` | {} | {meaning} |", kind(&plain)).unwrap();
    }
}

fn document() -> String {
    let schema = schema();
    let mut out = INTRODUCTION.to_owned();
    table(&mut out, &schema, "Application");
    for (heading, definition) in
        [("limits", "Limits"), ("log_rotation", "LogRotation"), ("overrides", "ApplicationOverride")]
    {
        let text = schema["$defs"][definition]["description"].as_str().unwrap().replace('\n', " ");
        write!(out, "\n## `{heading}`\n\n{text}\n").unwrap();
        table(&mut out, &schema, definition);
    }
    out.push_str(
        "\n## Keys of pm2 that are refused\n\nEach is an error with this hint, and so is the camelCase form of any field.\n\n\
         | Key | Instead |\n|---|---|\n",
    );
    for (key, hint) in pm2_keys() {
        writeln!(out, "| `{key}` | {} |", hint.replace('|', "\\|")).unwrap();
    }
    out
}

#[test]
fn the_table_of_fields_is_the_schemas() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/application-fields.md");
    let wanted = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &wanted).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/reference/application-fields.md is not up to date: see the head of this test"
    );
}

#[test]
fn every_field_says_what_holds_without_it() {
    let schema = schema();
    for definition in ["Application", "Limits", "LogRotation"] {
        for (name, field) in schema["$defs"][definition]["properties"].as_object().unwrap() {
            let text = field["description"].as_str().unwrap_or_default();
            assert!(text.contains("Default") || text.ends_with("Required."), "{definition}.{name}: {text}");
        }
    }
}
