//! The tables of the sections about hosts in `docs/reference` say what the schema says, and nothing else.
//!
//! After a change: `UPDATE_DOCS=1 cargo nextest run -p muster-fleet-config`, and commit the document.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use muster_domain::fleet::FleetConfiguration;
use muster_fleet_config::schema;
use serde_json::Value;
use std::{fmt::Write, fs, path::Path};

const INTRODUCTION: &str = "# What is declared of hosts

Every section of fleet files about hosts, with its fields and what holds without them. How they go together is told in
[`docs/how-to/declaring-a-host.md`](../how-to/declaring-a-host.md); the fields of applications stand in
[`application-fields.md`](application-fields.md).

Each section is a map of entries by name; what stands in several files is one section. An unknown key is an error. These
tables are made from the schema of fleet files (`docs/schema/fleet.schema.json`).

A list may be written as one thing: `keys: ssh-ed25519 ...`, `allow: 443/tcp`. A selector (`on:`) chooses nodes by
`environments`, `roles` and `nodes`; each that is given must fit. A resource is named `kind:name`, as on the dashboard:
`package:nginx`, `service:nginx`, `file:/etc/motd`; `file:/etc/nginx/` stands for everything that is declared below a folder.
";

/// What may be written, in a word or two.
fn kind(schema: &Value, field: &Value) -> String {
    let definition = field.get("$ref").and_then(Value::as_str).and_then(|name| name.rsplit('/').next());
    if let Some(name) = definition {
        let words = schema["$defs"][name]["enum"].as_array();
        if let Some(words) = words {
            let words: Vec<_> = words.iter().map(|word| format!("`{}`", word.as_str().unwrap())).collect();
            return words.join(", ");
        }
        return match name {
            "Texts" => "list, or one text",
            "Names" => "list, or one name",
            "Duration" => "duration",
            "Size" => "size",
            "SysctlValue" => "text or a number",
            "MaxChanging" => "whole number, or a percentage",
            "TimeSyncPart" => "`timesyncd`, `chrony`, or false",
            "EnvironmentName" => "name of an environment",
            name if name.ends_with("Part") => "map, or false",
            _ => "map",
        }
        .to_owned();
    }
    match field["type"].as_str().or_else(|| field["type"][0].as_str()) {
        Some("string") => "text",
        Some("integer") => "whole number",
        Some("boolean") => "true or false",
        Some("array") => "list",
        Some("object") => "map",
        _ => panic!("give {field} a word"),
    }
    .to_owned()
}

fn part(out: &mut String, schema: &Value, heading: &str, definition: &str) {
    let about = schema["$defs"][definition]["description"].as_str().unwrap().replace('\n', " ");
    write!(out, "\n{heading}\n\n{about}\n\n| Field | What may be written | Meaning |\n|---|---|---|\n")
        .unwrap();
    for (name, field) in schema["$defs"][definition]["properties"].as_object().unwrap() {
        let meaning = field["description"].as_str().unwrap().replace('\n', " ").replace('|', "\\|");
        writeln!(out, "| `{name}` | {} | {meaning} |", kind(schema, field)).unwrap();
    }
}

/// The type of the entries of a section, or of the section itself.
fn definition(schema: &Value, section: &str) -> String {
    let found = &schema["properties"][section];
    let by_pattern = found["patternProperties"].as_object().and_then(|patterns| patterns.values().next());
    let entry = by_pattern.or_else(|| found.get("additionalProperties").filter(|entry| entry.is_object()));
    let reference = entry.unwrap_or(found)["$ref"].as_str().unwrap_or_else(|| panic!("{section}: {found}"));
    reference.rsplit('/').next().unwrap().to_owned()
}

/// Parts of sections with fields of their own, behind the section that they belong to.
const PARTS: [(&str, &str, &str); 7] = [
    ("nodes", "`on`", "Selector"),
    ("base", "`admins`", "Admin"),
    ("base", "`ssh`", "BaseSsh"),
    ("base", "`firewall`", "BaseFirewall"),
    ("base", "`updates`", "BaseUpdates"),
    ("base", "`journal`", "BaseJournal"),
    ("firewall", "`policy`", "FirewallDefaults"),
];

fn sections() -> impl Iterator<Item = &'static str> {
    FleetConfiguration::SECTIONS.into_iter().filter(|section| *section != "applications")
}

fn document() -> String {
    let schema = schema();
    let mut out = INTRODUCTION.to_owned();
    for section in sections() {
        part(&mut out, &schema, &format!("## `{section}`"), &definition(&schema, section));
        for (_, heading, definition) in PARTS.iter().filter(|(of, ..)| *of == section) {
            part(&mut out, &schema, &format!("### {heading}"), definition);
        }
    }
    out
}

#[test]
fn the_tables_of_host_resources_are_the_schemas() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/host-resources.md");
    let wanted = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &wanted).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == wanted, "docs/reference/host-resources.md is not up to date: see the head of this test");
}

#[test]
fn every_field_says_what_holds_without_it() {
    let schema = schema();
    let of_sections = sections().map(|section| definition(&schema, section));
    for definition in of_sections.chain(PARTS.iter().map(|(_, _, definition)| (*definition).to_owned())) {
        for (name, field) in schema["$defs"][&definition]["properties"].as_object().unwrap() {
            let text = field["description"].as_str().unwrap_or_default();
            assert!(text.contains("Default") || text.ends_with("Required."), "{definition}.{name}: {text}");
        }
    }
}

#[test]
fn the_sections_are_those_of_the_schema() {
    let schema = schema();
    let mut known: Vec<_> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let mut listed = FleetConfiguration::SECTIONS.to_vec();
    known.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, known);
}
