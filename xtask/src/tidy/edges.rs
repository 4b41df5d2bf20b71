//! The edges between our crates, compared with the list that was agreed on.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::Findings;
use crate::repo;
use crate::shell::{Program, note};

const GOLDEN: &str = "xtask/golden/crate-edges.txt";

#[derive(Deserialize)]
pub(super) struct Metadata {
    pub(super) packages: Vec<Package>,
}

#[derive(Deserialize)]
pub(super) struct Package {
    pub(super) name: String,
    dependencies: Vec<Dependency>,
    pub(super) targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Target {
    pub(super) src_path: std::path::PathBuf,
}

/// What cargo knows about the packages of the workspace.
pub(super) fn metadata() -> Result<Metadata> {
    let text = Program::cargo()
        .dir(&repo::root())
        .args(["metadata", "--format-version", "1", "--no-deps", "--quiet"])
        .read()?;
    serde_json::from_str(&text).context("cannot understand `cargo metadata`")
}

pub(super) fn check(write: bool, findings: &mut Findings) -> Result<()> {
    let present = edges(&metadata()?);
    let path = repo::root().join(GOLDEN);
    if write {
        let text = present.iter().fold(String::new(), |text, edge| text + edge + "\n");
        if repo::write_if_changed(&path, text.as_bytes())? {
            note(&format!("wrote {GOLDEN}"));
        }
        return Ok(());
    }
    let golden = std::fs::read_to_string(&path).with_context(|| format!("cannot read {GOLDEN}"))?;
    let golden: BTreeSet<String> = golden.lines().map(str::to_owned).collect();
    compare(&golden, &present, findings);
    Ok(())
}

fn compare(golden: &BTreeSet<String>, present: &BTreeSet<String>, findings: &mut Findings) {
    for edge in present.difference(golden) {
        findings.errors.push(format!(
            "new edge between crates: {edge}; when it is meant, accept it with `cargo xtask tidy --write` and say why \
             in the commit"
        ));
    }
    for edge in golden.difference(present) {
        findings
            .errors
            .push(format!("{GOLDEN} lists an edge that is gone: {edge}; run `cargo xtask tidy --write`"));
    }
}

fn edges(metadata: &Metadata) -> BTreeSet<String> {
    let mut edges = BTreeSet::new();
    for package in &metadata.packages {
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
            let kind = dependency.kind.as_deref().map(|kind| format!(" ({kind})")).unwrap_or_default();
            edges.insert(format!("{} -> {}{kind}", package.name, dependency.name));
        }
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_and_gone_edges_are_both_errors() {
        let set = |edges: &[&str]| edges.iter().map(|edge| (*edge).to_owned()).collect();
        let mut findings = Findings::default();
        compare(&set(&["a -> b", "a -> c"]), &set(&["a -> b", "b -> a"]), &mut findings);
        assert_eq!(findings.errors.len(), 2);
        assert!(findings.errors[0].contains("b -> a") && findings.errors[1].contains("a -> c"));
    }
}
