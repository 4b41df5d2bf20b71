//! Which files belong to a fleet configuration: the YAML files of a folder, and what their `source:` lines name.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Component, Path};

use muster_api_types::FleetFile;
use saphyr_parser::{Event, Parser};

use crate::failure::{Failure, Result};

/// All files together. Fleet files are written by hand; a thousand nodes take about 200 kB.
const MAX_TOTAL_BYTES: u64 = 8 * 1024 * 1024;

/// Reads a folder, one file, or standard input (`-`).
pub(super) fn collect(path: &Path) -> Result<Vec<FleetFile>> {
    let mut collected = Collected::default();
    if path == Path::new("-") {
        let mut content = Vec::new();
        std::io::stdin()
            .take(MAX_TOTAL_BYTES + 1)
            .read_to_end(&mut content)
            .map_err(|error| Failure::of("cannot read standard input", &error))?;
        collected.add("stdin.yaml".to_owned(), content)?;
        return Ok(collected.files());
    }
    let metadata =
        fs::metadata(path).map_err(|error| Failure::of(format!("cannot read {}", path.display()), &error))?;
    let root = if metadata.is_dir() {
        collected.add_folder(path, "", 0)?;
        if collected.contents.is_empty() {
            return Err(Failure::failed(format!(
                "there are no fleet files (*.yaml, *.yml) in {}",
                path.display()
            )));
        }
        path
    } else {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        collected.read(path, name)?;
        path.parent().unwrap_or(Path::new(""))
    };
    collected.add_sources(root)?;
    Ok(collected.files())
}

#[derive(Default)]
struct Collected {
    contents: BTreeMap<String, String>,
    total_bytes: u64,
}

impl Collected {
    fn files(self) -> Vec<FleetFile> {
        self.contents.into_iter().map(|(path, content)| FleetFile { path, content }).collect()
    }

    fn add_folder(&mut self, folder: &Path, prefix: &str, depth: u32) -> Result<()> {
        let failed = |error: std::io::Error| Failure::of(format!("cannot read {}", folder.display()), &error);
        for child in fs::read_dir(folder).map_err(failed)? {
            let child = child.map_err(failed)?;
            let name = child.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || name == "node_modules" {
                continue;
            }
            let relative = format!("{prefix}{name}");
            // A link to a file counts as the file; a link to a folder is not followed, it may lead in circles.
            if child.file_type().map_err(failed)?.is_dir() {
                if depth < 16 {
                    self.add_folder(&child.path(), &format!("{relative}/"), depth + 1)?;
                }
            } else if matches!(Path::new(&name).extension().and_then(|e| e.to_str()), Some("yaml" | "yml")) {
                self.read(&child.path(), relative)?;
            }
        }
        Ok(())
    }

    /// Adds what the files name, if it lies in the folder. What is missing, or lies elsewhere, is reported by the
    /// controller, with the line that names it.
    fn add_sources(&mut self, root: &Path) -> Result<()> {
        let named: Vec<String> = self.contents.values().flat_map(|content| named_sources(content)).collect();
        for name in named {
            let relative = Path::new(&name);
            let inside =
                relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
            let path = root.join(relative);
            let real_inside =
                || Some(path.canonicalize().ok()?.starts_with(root_or_here(root).canonicalize().ok()?));
            if inside && path.is_file() && real_inside() == Some(true) && !self.contents.contains_key(&name) {
                self.read(&path, name)?;
            }
        }
        Ok(())
    }

    fn read(&mut self, path: &Path, name: String) -> Result<()> {
        let failed = |error: std::io::Error| Failure::of(format!("cannot read {}", path.display()), &error);
        let mut content = Vec::new();
        let file = fs::File::open(path).map_err(failed)?;
        file.take(MAX_TOTAL_BYTES + 1).read_to_end(&mut content).map_err(failed)?;
        self.add(name, content)
    }

    fn add(&mut self, name: String, content: Vec<u8>) -> Result<()> {
        self.total_bytes += content.len() as u64;
        if self.total_bytes > MAX_TOTAL_BYTES {
            return Err(Failure::failed(format!(
                "the fleet files have more than {} together, at {name}",
                crate::format::bytes(MAX_TOTAL_BYTES)
            ))
            .hint("check that the right folder is applied; large files belong into a release"));
        }
        let content = String::from_utf8(content).map_err(|error| {
            let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
                .iter()
                .filter(|b| **b == b'\n')
                .count();
            Failure::failed(format!("{name}:{line}: the file is not UTF-8 text"))
        })?;
        self.contents.insert(name, content);
        Ok(())
    }
}

fn root_or_here(root: &Path) -> &Path {
    if root.as_os_str().is_empty() { Path::new(".") } else { root }
}

enum Level {
    Map { key: Option<String> },
    List,
}

/// A mapping, a list or an alias has just ended. Whether it was the key of the mapping that it is in.
fn key_done(level: Option<&mut Level>) -> bool {
    match level {
        Some(Level::Map { key: key @ None }) => {
            *key = Some(String::new());
            true
        }
        _ => false,
    }
}

/// The values at `files.<name>.source`. A file that is not YAML names nothing; the controller says what is wrong.
fn named_sources(content: &str) -> Vec<String> {
    let mut levels: Vec<Level> = Vec::new();
    let mut found = Vec::new();
    for event in Parser::new_from_str(content) {
        let Ok((event, _)) = event else { break };
        let mut value_done = true;
        match event {
            Event::MappingStart(..) => {
                levels.push(Level::Map { key: None });
                value_done = false;
            }
            Event::SequenceStart(..) => {
                levels.push(Level::List);
                value_done = false;
            }
            Event::MappingEnd | Event::SequenceEnd => {
                levels.pop();
                value_done = !key_done(levels.last_mut());
            }
            Event::Scalar(text, ..) => match levels.as_mut_slice() {
                [.., Level::Map { key: key @ None }] => {
                    *key = Some(text.into_owned());
                    value_done = false;
                }
                [
                    Level::Map { key: Some(files) },
                    Level::Map { key: Some(_) },
                    Level::Map { key: Some(source) },
                ] if files == "files" && source == "source" => found.push(text.into_owned()),
                _ => {}
            },
            Event::Alias(_) => value_done = !key_done(levels.last_mut()),
            _ => value_done = false,
        }
        if value_done && let Some(Level::Map { key }) = levels.last_mut() {
            *key = None;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLEET: &str = "\
files:
  motd: {path: /etc/motd, source: texts/motd}
  conf:
    on: {nodes: [a, source]}
    source: ./conf.ini
    path: /etc/conf.ini
  outside: {path: /x, source: ../secret}
  missing: {path: /y, source: missing}
applications:
  web: {env: {source: texts/other}}
";

    #[test]
    fn only_files_entries_name_sources() {
        assert_eq!(named_sources(FLEET), ["texts/motd", "./conf.ini", "../secret", "missing"]);
        assert!(named_sources("files: [").is_empty());
        assert!(named_sources("- files\n- source\n- x\n").is_empty());
        assert_eq!(named_sources("? {a: b}\n: c\nfiles: {x: {source: s}}"), ["s"]);
    }

    #[test]
    fn a_folder_is_read_with_what_it_names() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), "").unwrap();
        let root = folder.path().join("fleet");
        for (path, content) in [
            ("fleet.yaml", FLEET),
            ("more/web.yml", "applications: {}"),
            ("texts/motd", "hello"),
            ("texts/other", "not named"),
            ("conf.ini", "[x]"),
            (".hidden/x.yaml", ""),
            ("node_modules/x.yaml", ""),
            ("readme.md", ""),
        ] {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), content).unwrap();
        }
        let names =
            |path: &Path| collect(path).unwrap().into_iter().map(|file| file.path).collect::<Vec<_>>();
        assert_eq!(names(&root), ["./conf.ini", "fleet.yaml", "more/web.yml", "texts/motd"]);
        assert_eq!(names(&root.join("fleet.yaml")), ["./conf.ini", "fleet.yaml", "texts/motd"]);
        fs::write(root.join("texts/motd"), [0xff]).unwrap();
        assert!(collect(&root).unwrap_err().message.contains("texts/motd:1"));
        assert!(collect(&root.join("texts")).unwrap_err().message.contains("no fleet files"));
        fs::write(root.join("huge.yaml"), vec![b' '; 9_000_000]).unwrap();
        assert!(collect(&root).unwrap_err().message.contains("huge.yaml"));
    }
}
