//! The example of `docs/how-to/declaring-a-host.md` is read, compiles for all its nodes, and is the example of other tests.
//!
//! After a change of the document: `UPDATE_DOCS=1 cargo nextest run -p muster-planning`, and commit what it wrote.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use muster_fleet_config::{SourceFile, parse};
use muster_planning::example::ExampleFleet;
use std::{collections::BTreeSet, fs, path::Path};

/// The blocks of a document that are fleet files.
fn blocks(document: &str) -> Vec<String> {
    let mut parts = document.split("```yaml\n");
    parts.next();
    parts.map(|part| part.split("```").next().unwrap().to_owned()).collect()
}

fn folder(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn files(fleet: &ExampleFleet, yaml: &str) -> Vec<SourceFile> {
    let attached = fleet.attachments.iter();
    let mut files: Vec<_> =
        attached.map(|(path, content)| SourceFile { path: path.clone(), content: content.clone() }).collect();
    files.push(SourceFile { path: "fleet.yaml".to_owned(), content: yaml.as_bytes().to_vec() });
    files
}

#[test]
fn the_document_is_the_example() {
    let document = fs::read_to_string(folder("../../docs/how-to/declaring-a-host.md")).unwrap();
    let blocks = blocks(&document);
    assert_eq!(blocks.len(), 2, "the whole fleet, and two declarations of one name");
    let fleet = ExampleFleet::web_stack();
    let parsed = parse(&files(&fleet, &blocks[0])).unwrap();
    assert_eq!(parsed.warnings, []);
    let written = serde_json::to_string_pretty(&parsed.configuration).unwrap() + "\n";
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(folder("src/example/web-stack.json"), &written).unwrap();
    }
    assert!(
        fs::read_to_string(folder("src/example/web-stack.json")).unwrap() == written,
        "the example is not that of the document: see the head of this test"
    );
    let both = "environments: {staging: {}, production: {}}\n".to_owned() + &blocks[1];
    assert_eq!(parse(&files(&fleet, &both)).unwrap().configuration.packages.len(), 2);
}

/// Every document that people read first, with its name.
fn documents() -> Vec<(String, String)> {
    let mut found = vec![folder("../../README.md")];
    for part in ["how-to", "reference", "design"] {
        let entries = fs::read_dir(folder("../../docs").join(part)).unwrap();
        found.extend(entries.map(|entry| entry.unwrap().path()));
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    found.sort();
    let read = |path: &std::path::PathBuf| {
        (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap())
    };
    found.iter().map(read).collect()
}

#[test]
fn every_fleet_file_in_the_documents_is_taken_and_compiles() {
    let mut tried = BTreeSet::new();
    for (name, document) in documents() {
        for block in blocks(&document) {
            let mut fleet = ExampleFleet::web_stack();
            // Some show a part only.
            let around = if block.starts_with("environments:") {
                String::new()
            } else {
                "environments: {staging: {}, production: {}}\n".to_owned()
            };
            let parsed = parse(&files(&fleet, &(around + &block)));
            fleet.configuration =
                parsed.unwrap_or_else(|problems| panic!("{name}: {problems:#?}")).configuration;
            fleet.secrets.insert("STRIPE_KEY".to_owned(), "sk_live_1".to_owned());
            for node in fleet.configuration.nodes.keys() {
                fleet.compile(node.as_str()).unwrap_or_else(|error| panic!("{name}, {node}: {error}"));
            }
            tried.insert(name.clone());
        }
    }
    let expected = ["README.md", "changing-hosts-safely.md", "declaring-a-host.md"].map(str::to_owned);
    assert_eq!(tried, expected.into(), "the documents with examples");
}

#[test]
fn the_example_compiles_for_every_node_and_has_every_kind_of_resource() {
    let fleet = ExampleFleet::web_stack();
    let mut kinds = BTreeSet::new();
    for node in ["lb-1", "app-1", "app-2", "stage-1"] {
        let content = fleet.compile(node).unwrap();
        kinds.extend(content.resources.iter().map(|resource| resource.key.kind().to_owned()));
    }
    let all =
        muster_domain::fleet::declared::KINDS.map(str::to_owned).into_iter().chain(["nodejs".to_owned()]);
    assert_eq!(kinds, all.collect());
}
