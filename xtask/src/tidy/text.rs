//! Rules about the text of files: headers, sizes, names, and words that tie the repository to one machine.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::{Findings, edges};
use crate::repo;

/// Past this many lines a file has more than one job.
const LONGEST: usize = 800;
/// From here on it is worth a look.
const LONG: usize = 400;

/// Written by programs, so their size and wording is not ours.
const GENERATED: [&str; 5] = ["Cargo.lock", "package-lock.json", "schema.d.ts", "openapi.json", ".snap"];

/// Package indexes: an address of one in a lock file or script would bind every clone to it. Split, so that this list
/// does not find itself.
const HOSTS: [&str; 6] = [
    concat!("registry.npm", "js.org"),
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("deb.debian", ".org"),
    concat!("files.python", "hosted.org"),
    concat!("npm", "mirror.com"),
];
/// Folders of the machines that this was written on.
const FOLDERS: [&str; 4] = [
    concat!("/wo", "rk/"),
    concat!("/home/", "runner/"),
    concat!("/ro", "ot/.cargo"),
    concat!("/ro", "ot/.rustup"),
];

pub(super) fn check(findings: &mut Findings) -> Result<()> {
    crate_roots(findings)?;
    for file in repo::files()? {
        if file.file_name().is_some_and(|name| name == "mod.rs") {
            findings
                .errors
                .push(format!("{}: modules are files beside their folder, not mod.rs", file.display()));
        }
        let path = repo::root().join(&file);
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        // Pictures and the like are not text.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let generated = GENERATED.iter().any(|name| file.to_string_lossy().ends_with(name));
        if !generated {
            size(&file, &text, findings);
        }
        words(&file, &text, findings);
    }
    Ok(())
}

fn crate_roots(findings: &mut Findings) -> Result<()> {
    for package in edges::metadata()?.packages {
        for target in package.targets {
            let text = std::fs::read_to_string(&target.src_path)
                .with_context(|| format!("cannot read {}", target.src_path.display()))?;
            if !text.starts_with("//!") {
                let path = target.src_path.strip_prefix(repo::root()).unwrap_or(&target.src_path).to_owned();
                findings.errors.push(format!(
                    "{}: a crate root opens with `//!` and says what it holds and where to start",
                    path.display()
                ));
            }
        }
    }
    Ok(())
}

fn size(file: &Path, text: &str, findings: &mut Findings) {
    let code = ["rs", "ts", "tsx", "js", "css"];
    if !file.extension().is_some_and(|extension| code.iter().any(|known| extension == *known)) {
        return;
    }
    let lines = text.lines().count();
    if lines > LONGEST {
        findings.errors.push(format!("{}: {lines} lines; split it (at most {LONGEST})", file.display()));
    } else if lines > LONG {
        findings.warnings.push(format!("{}: {lines} lines", file.display()));
    }
}

fn words(file: &Path, text: &str, findings: &mut Findings) {
    // Cargo's lock names the index by design; it is the same for everybody.
    if file.file_name().is_some_and(|name| name == "Cargo.lock") {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        let host = HOSTS.iter().find(|host| line.contains(**host));
        let folder = FOLDERS.iter().find(|folder| starts_a_path(line, folder));
        if let Some(word) = host.or(folder) {
            findings.errors.push(format!(
                "{}:{}: `{word}` belongs to one machine",
                file.display(),
                number + 1
            ));
        }
    }
}

/// Whether an absolute path in the line begins with this folder, rather than having it somewhere inside.
fn starts_a_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|before| {
            before.is_alphanumeric() || matches!(before, '.' | '_' | '-' | '}' | '>' | '*')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_from_the_root_are_machine_paths() {
        let folder = concat!("/wo", "rk/");
        assert!(starts_a_path(&format!("cd {folder}main"), folder));
        assert!(starts_a_path(&format!("\"{folder}main\""), folder));
        assert!(!starts_a_path(&format!("target{folder}x"), folder));
        assert!(!starts_a_path(&format!("<dir>{folder}x"), folder));
    }

    #[test]
    fn long_files_warn_and_then_fail() {
        let mut findings = Findings::default();
        size(Path::new("a.rs"), &"\n".repeat(LONG + 1), &mut findings);
        size(Path::new("b.rs"), &"\n".repeat(LONGEST + 1), &mut findings);
        size(Path::new("c.txt"), &"\n".repeat(LONGEST + 1), &mut findings);
        assert_eq!((findings.warnings.len(), findings.errors.len()), (1, 1));
    }
}
