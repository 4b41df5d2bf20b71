//! What changes between two configurations, entry by entry, for the person who is about to apply it. Secrets have no
//! values in a configuration, so none can show here.

use crate::write;
use muster_domain::fleet::FleetConfiguration;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};
use std::collections::{BTreeMap, BTreeSet};

/// A configuration with the files that it names.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    /// What is declared.
    pub configuration: &'a FleetConfiguration,
    /// The files that `source:` names, by that name.
    pub attachments: &'a BTreeMap<String, Vec<u8>>,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It says something else.
    Changed,
}

/// One entry that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// `nodes`, `base`, `applications`, `files`, `packages` and so on.
    pub section: String,
    /// The name of the entry; of the part in `base` and `nodejs`.
    pub name: String,
    /// What became of it.
    pub kind: ChangeKind,
    /// The entry as it would stand in a fleet file; every line begins with `+`, `-` or a space, and a space.
    pub text: String,
}

/// Lines of an entry that did not change, around one that did.
const CONTEXT_LINES: usize = 3;
/// A longer file is not shown line by line.
const SHOW_BYTES_AT_MOST: usize = 64 * 1024;

/// The comparison costs the product of the lengths when nothing is alike; nobody reads more than this anyway.
const COMPARE_LINES_AT_MOST: usize = 8_000;

/// Compares two configurations. Nothing in the result means that they say the same.
pub fn diff(old: &Contents<'_>, new: &Contents<'_>) -> Vec<Change> {
    let (before, after) = (write::normal(old.configuration), write::normal(new.configuration));
    let empty = Map::new();
    let mut changes = Vec::new();
    for section in FleetConfiguration::SECTIONS {
        let entries = |value: &Value| value.get(section).and_then(Value::as_object).cloned();
        let (before, after) = (entries(&before), entries(&after));
        let (before, after) = (before.as_ref().unwrap_or(&empty), after.as_ref().unwrap_or(&empty));
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for name in names {
            let lines = |entry: Option<&Value>, contents: &Contents<'_>| {
                entry.map(|entry| text_of(name, entry, contents)).unwrap_or_default()
            };
            let (was, is) = (before.get(name), after.get(name));
            let kind = match (was, is) {
                (None, _) => ChangeKind::Added,
                (_, None) => ChangeKind::Removed,
                (Some(was), Some(is)) if was == is && same_source(was, old, new) => continue,
                _ => ChangeKind::Changed,
            };
            let text = unified(&lines(was, old), &lines(is, new));
            changes.push(Change { section: section.to_owned(), name: name.clone(), kind, text });
        }
    }
    changes
}

/// The file that an entry names, when it names one.
fn attachment<'a>(entry: &Value, contents: &Contents<'a>) -> Option<&'a Vec<u8>> {
    let source = entry.get("source").or_else(|| entry.get("key_source"))?;
    contents.attachments.get(source.as_str()?)
}

fn same_source(entry: &Value, old: &Contents<'_>, new: &Contents<'_>) -> bool {
    attachment(entry, old) == attachment(entry, new)
}

/// An entry as it would stand in a fleet file; the file that it names follows as a comment.
fn text_of(name: &str, entry: &Value, contents: &Contents<'_>) -> String {
    let mut text = String::new();
    let mut outer = Map::new();
    outer.insert(name.to_owned(), entry.clone());
    write::write(&mut text, &Value::Object(outer), 0);
    if let Some(bytes) = attachment(entry, contents) {
        match std::str::from_utf8(bytes) {
            Ok(content) if bytes.len() <= SHOW_BYTES_AT_MOST && !content.contains('\0') => {
                for line in content.lines() {
                    text.push_str("  # ");
                    text.extend(line.chars().flat_map(|c| {
                        if c.is_control() && c != '\t' { c.escape_default().collect() } else { vec![c] }
                    }));
                    text.push('\n');
                }
            }
            _ => {
                let digest = blake3::hash(bytes).to_hex();
                text.push_str(&format!("  # {} bytes, blake3 {}\n", bytes.len(), &digest[..12]));
            }
        }
    }
    text
}

fn unified(was: &str, is: &str) -> String {
    let lines = |text: &str| text.lines().count();
    if lines(was) + lines(is) > COMPARE_LINES_AT_MOST {
        return format!("- ({} lines)\n+ ({} lines)\n", lines(was), lines(is));
    }
    let diff = TextDiff::from_lines(was, is);
    let mut text = String::new();
    for (index, group) in diff.grouped_ops(CONTEXT_LINES).iter().enumerate() {
        let begins_at = group.first().map_or(0, |op| op.old_range().start);
        // The first line is the name of the entry: without it nobody knows what the rest is about.
        if index == 0 && begins_at > 0 {
            text.push_str(&format!("  {}\n", was.lines().next().unwrap_or_default()));
        }
        if index > 0 || begins_at > 1 {
            text.push_str("    ...\n");
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            text.push_str(match change.tag() {
                ChangeTag::Equal => "  ",
                ChangeTag::Delete => "- ",
                ChangeTag::Insert => "+ ",
            });
            text.push_str(change.value());
            if !change.value().ends_with('\n') {
                text.push('\n');
            }
        }
    }
    text
}

/// Everything in one text, section by section, with a line on top that counts.
pub fn render(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "nothing changes\n".to_owned();
    }
    let count = |kind| changes.iter().filter(|change| change.kind == kind).count();
    let mut text = format!(
        "{} to add, {} to change, {} to remove\n",
        count(ChangeKind::Added),
        count(ChangeKind::Changed),
        count(ChangeKind::Removed)
    );
    let mut section = "";
    for change in changes {
        if change.section != section {
            section = &change.section;
            text.push_str(&format!("\n{section}:\n"));
        }
        for line in change.text.lines() {
            let (mark, rest) = line.split_at_checked(2).unwrap_or((line, ""));
            text.push_str(format!("{mark}  {rest}").trim_end());
            text.push('\n');
        }
    }
    text
}
