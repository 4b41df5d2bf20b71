//! Where an inventory is read from: files below a root, and programs that only look.

use muster_platform::{CommandLine, Host};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The longest file that is read.
const MAX_FILE_BYTES: u64 = 256 * 1024;
/// Files of one folder that are looked at.
const MAX_FILES: usize = 5_000;
/// How long a program may take.
const TIMEOUT_MS: u64 = 20_000;
/// Notes that are kept.
const MAX_NOTES: usize = 200;

pub(super) struct Source<'a> {
    host: &'a dyn Host,
    root: PathBuf,
    notes: Vec<String>,
}

impl<'a> Source<'a> {
    pub(super) fn new(host: &'a dyn Host, root: &Path) -> Self {
        Self { host, root: root.to_owned(), notes: Vec::new() }
    }

    /// Keeps a line for the person who reads the inventory.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(text.into());
        }
    }

    pub(super) fn into_notes(self) -> Vec<String> {
        self.notes
    }

    /// Where a path of the host really is.
    pub(super) fn real(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A text file; `None` when it is not there. A link is not followed where a user could have put it.
    pub(super) fn text(&mut self, path: &str) -> Option<String> {
        let real = self.real(path);
        let found = fs::symlink_metadata(&real).ok()?;
        if !found.is_file() {
            return None;
        }
        if found.len() > MAX_FILE_BYTES {
            self.note(format!("{path} was not read: it has {} bytes", found.len()));
            return None;
        }
        let mut bytes = Vec::new();
        let read = fs::File::open(&real).and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes));
        if let Err(error) = read {
            self.note(format!("{path} cannot be read: {error}"));
            return None;
        }
        match String::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(_) => {
                self.note(format!("{path} was not read: it is no text"));
                None
            }
        }
    }

    /// The names in a folder, sorted; none when it is not there. Hidden ones are left out.
    pub(super) fn names(&mut self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.real(folder)) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .filter_map(Result::ok)
            .take(MAX_FILES)
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }

    /// What a program wrote; `None` when it is not there or failed, which is noted when `needed`.
    pub(super) fn run(&mut self, program: &str, args: &[&str]) -> Option<String> {
        let program = self.host.find_program(program)?;
        let command = CommandLine {
            program,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: vec![("LC_ALL".into(), "C.UTF-8".into()), ("SYSTEMD_COLORS".into(), "0".into())],
            cwd: None,
            timeout_ms: TIMEOUT_MS,
        };
        match self.host.run(&command) {
            Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
            Err(error) => {
                self.note(error.to_string());
                None
            }
        }
    }
}
