//! What people read when fleet files are wrong. Every folder of `bad` is one case; its snapshot is the whole output.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use muster_fleet_config::{Problem, SourceFile, parse};
use std::{fmt::Write, fs, path::Path};

fn files(folder: &Path) -> Vec<SourceFile> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| SourceFile {
            path: entry.file_name().into_string().unwrap(),
            content: fs::read(entry.path()).unwrap(),
        })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn output(problems: &[Problem]) -> String {
    problems.iter().fold(String::new(), |mut out, problem| {
        writeln!(out, "{problem}").unwrap();
        if !problem.path.is_empty() {
            writeln!(out, "    at:   {}", problem.path).unwrap();
        }
        writeln!(out, "    hint: {}", problem.hint.as_deref().unwrap_or("(none)")).unwrap();
        out
    })
}

#[test]
fn every_bad_folder_is_answered_with_all_its_errors_at_their_places() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut cases: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 18, "the cases were found");
    for case in cases {
        let name = case.file_name().unwrap().to_str().unwrap();
        let problems = parse(&files(&case)).expect_err(name);
        insta::assert_snapshot!(name, output(&problems));
    }
}
