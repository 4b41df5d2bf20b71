//! What pm2's rules ask of the machine, so that the rules themselves stay pure.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a file is read, and by whom.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// What relative paths begin from; default: the folder of the file. (pm2: wherever it is called.)
    pub cwd: Option<PathBuf>,
    /// What `~` stands for.
    pub home: PathBuf,
    /// pm2's folder: `PM2_HOME`, else `~/.pm2`.
    pub pm2_home: PathBuf,
    /// The caller's environment: pm2's own switches are read from it, and a configuration in JavaScript sees it.
    pub env: BTreeMap<String, String>,
    /// `--env NAME`.
    pub env_name: Option<String>,
    /// Processors, for `instances: max`.
    pub cpus: u32,
    /// The Node.js that evaluates JavaScript; default: `node` from PATH.
    pub node: Option<PathBuf>,
    /// How long JavaScript may take.
    pub evaluation_timeout: Duration,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        // Names and values that are not UTF-8 can be neither switches of pm2 nor variables of a configuration.
        let env: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let set = |name: &str| env.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = set("HOME").unwrap_or_else(|| PathBuf::from("/"));
        Self {
            cwd: None,
            pm2_home: set("PM2_HOME").unwrap_or_else(|| home.join(".pm2")),
            home,
            env,
            env_name: None,
            cpus: std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1)),
            node: None,
            evaluation_timeout: Duration::from_secs(10),
        }
    }

    /// A switch of pm2's, such as `PM2_KILL_TIMEOUT`.
    pub(crate) fn switch(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(crate) fn switch_ms(&self, name: &str) -> Option<u64> {
        self.switch(name)?.parse().ok()
    }
}

/// What pm2 asks of the file system.
pub trait Files {
    /// Whether there is something.
    fn exists(&self, path: &Path) -> bool;
    /// Where PATH has a program; an answer for a path that is executable, too.
    fn which(&self, program: &str) -> Option<PathBuf>;
    /// Whether a file is a binary rather than text.
    fn binary(&self, path: &Path) -> bool;
}

/// Those of this machine, with a PATH.
#[derive(Debug, Clone)]
pub struct LocalFiles {
    path: String,
}

impl LocalFiles {
    /// With the PATH of an environment.
    pub fn new(env: &BTreeMap<String, String>) -> Self {
        Self { path: env.get("PATH").cloned().unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned()) }
    }
}

impl Files for LocalFiles {
    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn which(&self, program: &str) -> Option<PathBuf> {
        let executable = |path: &Path| {
            fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        };
        if program.contains('/') {
            return Some(PathBuf::from(program)).filter(|path| executable(path));
        }
        self.path
            .split(':')
            .filter(|folder| !folder.is_empty())
            .map(|folder| Path::new(folder).join(program))
            .find(|path| executable(path))
    }

    fn binary(&self, path: &Path) -> bool {
        let mut beginning = Vec::new();
        let read = fs::File::open(path).and_then(|file| file.take(512).read_to_end(&mut beginning));
        read.is_ok() && looks_binary(&beginning)
    }
}

/// pm2's own rule: a NUL, or more than a tenth that is neither text nor UTF-8.
fn looks_binary(bytes: &[u8]) -> bool {
    if bytes.is_empty() || bytes.starts_with(&[0xEF, 0xBB, 0xBF]) {
        return false;
    }
    if bytes.contains(&0) || bytes.starts_with(b"%PDF-") {
        return true;
    }
    let text = String::from_utf8_lossy(bytes);
    let odd = text
        .chars()
        .filter(|c| *c == char::REPLACEMENT_CHARACTER || (*c < ' ' && !c.is_whitespace()))
        .count();
    odd * 10 > bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binaries_are_told_from_text() {
        assert!(looks_binary(b"\x7fELF\x02\x01\x01\0\0\0"));
        assert!(!looks_binary(b"#!/usr/bin/env node\nconsole.log('\xc3\xbc')\n"));
        assert!(!looks_binary(b""));
    }
}
