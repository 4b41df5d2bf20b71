//! From fleet files to a validated fleet configuration, with every error at its place, all at once.
//!
//! Holds: reading YAML with positions ([`parse`]), the published JSON Schema ([`schema()`]), and what changes between two
//! configurations, for people ([`diff`]); how a host would be declared ([`adoption`]).
//! Must not: do I/O (files come as bytes), decide what runs where (that is the compiler in `muster-planning`).
//! Start here: [`parse`]. Its stages are one module each: `yaml` (text to a tree), `convert` (trees to one value, guided by
//! the schema), `validate` (value against the schema), `semantics` (what no schema can say).

pub mod adoption;
mod changes;
mod convert;
mod place;
mod pm2_words;
mod problem;
mod schema;
mod semantics;
mod validate;
mod words;
mod write;
mod yaml;

pub use changes::{Change, ChangeKind, Contents, diff, render};
pub use pm2_words::pm2_keys;
pub use problem::Problem;
pub use schema::schema;
pub use write::to_yaml;

use muster_domain::{fleet::FleetConfiguration, host_path};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use yaml::{Node, Yaml};

/// One file of the folder that is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path relative to that folder, with `/` in between.
    pub path: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// What the files say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The configuration, valid in itself.
    pub configuration: FleetConfiguration,
    /// The files that `source:` names, by that name, and no others.
    pub attachments: BTreeMap<String, Vec<u8>>,
    /// What is not wrong, and most likely not meant.
    pub warnings: Vec<Problem>,
}

/// A fleet of a thousand nodes fits into a fifth of it; a larger file is something else.
pub const FILE_BYTES_AT_MOST: usize = 1024 * 1024;
/// Everything together travels in one request and is kept with every version.
pub const TOTAL_BYTES_AT_MOST: usize = 4 * 1024 * 1024;
/// Files in one folder.
pub const FILES_AT_MOST: usize = 2_000;

/// Reads fleet files. Those that end in `.yaml` or `.yml` are fleet files, unless a `source:` names them; all others are
/// there to be named by `source:`. Pure, and quick for whatever it is given.
pub fn parse(files: &[SourceFile]) -> Result<Parsed, Vec<Problem>> {
    let mut problems = limits(files);
    if !problems.is_empty() {
        return Err(problem::tidy(problems));
    }
    let mut files: Vec<&SourceFile> = files.iter().collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut places = place::Places::new(files.iter().map(|file| file.path.clone()).collect());

    let mut trees = Vec::new();
    for (index, file) in files.iter().enumerate().filter(|(_, file)| yaml_name(&file.path)) {
        trees.push((file.path.as_str(), yaml::read(index, &file.path, &file.content)));
    }
    if trees.is_empty() {
        let hint = "begin with a fleet.yaml that says `environments: {production: {}}`";
        return Err(vec![Problem::of_file(".", "there is no fleet file (*.yaml, *.yml) here", hint)]);
    }
    let named: BTreeSet<String> =
        trees.iter().filter_map(|(_, tree)| tree.as_ref().ok()?.as_ref()).flat_map(sources).collect();
    let mut unreadable = false;
    let mut roots = Vec::new();
    for (path, tree) in trees {
        match tree {
            Ok(Some(root)) if named.contains(path) && fleet_file(&root) => problems.push(Problem::of_file(
                path,
                "this fleet file is also named as the `source` of a file",
                "move what is sent to nodes into a file of its own",
            )),
            _ if named.contains(path) => {}
            Ok(root) => roots.extend(root),
            Err(problem) => {
                unreadable = true;
                problems.push(problem);
            }
        }
    }

    let root = convert::unite(roots, &places, &mut problems);
    let whole = convert::convert(root, &mut places, &mut problems);
    let names = semantics::Names::of(&whole);
    let valid = validate::validate(whole, &places, &mut problems);
    let configuration = match serde_json::from_value::<FleetConfiguration>(valid) {
        Ok(configuration) => configuration,
        Err(error) => {
            // The schema comes from the same types, so this is for what it cannot say.
            problems.push(Problem::of_file(".", error.to_string(), "see the published schema"));
            return Err(problem::tidy(problems));
        }
    };
    let by_path: BTreeMap<&str, &[u8]> =
        files.iter().map(|file| (file.path.as_str(), file.content.as_slice())).collect();
    // What an unreadable file declares is not known, so nothing can be said of references.
    let mut warnings = Vec::new();
    if !unreadable {
        let found = semantics::check(&configuration, &names, &by_path, &places, &problems);
        problems.extend(found.problems);
        warnings = problem::tidy(found.warnings);
    }
    if !problems.is_empty() {
        return Err(problem::tidy(problems));
    }
    let attachments = configuration
        .sources()
        .filter_map(|source| Some((source.to_owned(), by_path.get(source)?.to_vec())))
        .collect();
    Ok(Parsed { configuration, attachments, warnings })
}

fn yaml_name(path: &str) -> bool {
    path.ends_with(".yaml") || path.ends_with(".yml")
}

/// What is refused before anything is read.
fn limits(files: &[SourceFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    if files.len() > FILES_AT_MOST {
        let message = format!("{} files are too many: at most {FILES_AT_MOST} can be applied", files.len());
        return vec![Problem::of_file(".", message, "apply a folder that holds the fleet files only")];
    }
    let mut seen = BTreeSet::new();
    let mut total = 0usize;
    for file in files {
        total = total.saturating_add(file.content.len());
        if !host_path::stays_inside(&file.path) {
            let path = words::quoted(&file.path);
            let hint = "use paths relative to the folder that is applied, without `..`";
            problems.push(Problem::of_file(&file.path, format!("{path} is not a plain relative path"), hint));
        } else if !seen.insert(&file.path) {
            problems.push(Problem::of_file(&file.path, "this file was given twice", "give it once"));
        } else if file.content.len() > FILE_BYTES_AT_MOST {
            problems.push(Problem::of_file(
                &file.path,
                format!(
                    "{} is too large: at most {} each",
                    size(file.content.len()),
                    size(FILE_BYTES_AT_MOST)
                ),
                "large files belong into a release of an application",
            ));
        }
    }
    if problems.is_empty() && total > TOTAL_BYTES_AT_MOST {
        let message = format!("the files have {} in all: at most {}", size(total), size(TOTAL_BYTES_AT_MOST));
        problems.push(Problem::of_file(".", message, "large files belong into a release of an application"));
    }
    problems
}

fn size(bytes: usize) -> String {
    let tenths = bytes.saturating_mul(10) / (1024 * 1024);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// Fields that name a file beside the fleet files, and the sections whose entries have them.
const SOURCES: [(&str, &str); 4] = [
    ("files", "source"),
    ("systemd_units", "source"),
    ("logrotate", "source"),
    ("apt_repositories", "key_source"),
];

/// What the entries of a tree name as their source.
fn sources(root: &Node) -> Vec<String> {
    fn get<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
        match &node.yaml {
            Yaml::Mapping(entries) => entries.iter().find(|(k, _)| k.text == key).map(|(_, value)| value),
            _ => None,
        }
    }
    let mut named = Vec::new();
    for (section, field) in SOURCES {
        let Some(Node { yaml: Yaml::Mapping(entries), .. }) = get(root, section) else { continue };
        named.extend(entries.iter().filter_map(|(_, entry)| match &get(entry, field)?.yaml {
            Yaml::Scalar { text, .. } => Some(text.clone()),
            _ => None,
        }));
    }
    named
}

/// Whether a tree looks like a fleet file: then it is not taken for the content of another file by accident, which would
/// take everything that it declares out of the fleet.
fn fleet_file(root: &Node) -> bool {
    let sections = schema::strict().get("properties").and_then(Value::as_object);
    match &root.yaml {
        Yaml::Mapping(entries) => {
            !entries.is_empty()
                && entries.iter().all(|(key, _)| sections.is_some_and(|known| known.contains_key(&key.text)))
        }
        _ => false,
    }
}
