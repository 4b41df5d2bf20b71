//! A Node.js that is new enough for the dashboard's tools, and the `npm` beside it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::repo;
use crate::shell::{Program, installed, note, step};

/// The oldest one that the pinned build tools accept.
const OLDEST: (u32, u32) = (20, 19);
/// What is fetched when the machine's is older.
const FETCHED_MAJOR: u32 = 22;

/// Where `node` is, and the environment that makes `npm` and its scripts use it.
pub(crate) struct Node {
    bin_dir: Option<PathBuf>,
}

impl Node {
    /// Uses the machine's Node.js when it is new enough, else fetches one as an npm package into the target folder.
    pub(crate) fn ensure() -> Result<Self> {
        crate::deps::ensure(&[crate::deps::Need::Node])?;
        if version(Path::new("node")).is_some_and(|version| version >= OLDEST) {
            return Ok(Self { bin_dir: None });
        }
        let tools = repo::target().join("tools/node");
        let package = format!("node-linux-{}", npm_arch()?);
        let bin_dir = tools.join("node_modules").join(&package).join("bin");
        if version(&bin_dir.join("node")).is_none_or(|version| version < OLDEST) {
            step(&format!(
                "the machine's Node.js is older than {}.{}: fetching another one",
                OLDEST.0, OLDEST.1
            ));
            note(&format!("npm package {package}@{FETCHED_MAJOR} into {}", tools.display()));
            std::fs::create_dir_all(&tools).with_context(|| format!("cannot create {}", tools.display()))?;
            Program::new("npm")
                .args(["install", "--no-save", "--no-audit", "--no-fund", "--prefix"])
                .arg(&tools)
                .arg(format!("{package}@{FETCHED_MAJOR}"))
                .run()?;
        }
        if version(&bin_dir.join("node")).is_none() {
            bail!("the fetched Node.js in {} does not run", bin_dir.display());
        }
        Ok(Self { bin_dir: Some(bin_dir) })
    }

    /// `PATH` with this Node.js first.
    pub(crate) fn path(&self) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        match &self.bin_dir {
            Some(dir) => format!("{}:{path}", dir.display()),
            None => path,
        }
    }

    /// `npm <args>` in a folder.
    pub(crate) fn npm(&self, dir: &Path, args: &[&str]) -> Program {
        Program::new("npm").dir(dir).env("PATH", self.path()).env("NO_COLOR", "1").args(args)
    }
}

/// The releases of Node.js that the supervisor is tested and measured with, one for each supported major.
const RELEASES: [(u32, &str); 4] = [(18, "18.20.8"), (20, "20.20.2"), (22, "22.23.3"), (24, "24.21.0")];

/// The binary of a supported major, fetched as an npm package into the target folder when it is not there yet.
pub(crate) fn of_major(major: u32) -> Result<PathBuf> {
    let release = RELEASES.iter().find(|(of, _)| *of == major).map(|(_, release)| *release);
    let release =
        release.with_context(|| format!("Node.js {major} is not among those that are supported"))?;
    let package = format!("node-linux-{}", npm_arch()?);
    let dir = repo::target().join(format!("tools/node-{major}"));
    let binary = dir.join("node_modules").join(&package).join("bin/node");
    let present = || {
        Program::new(&binary).arg("--version").read().is_ok_and(|text| text.trim() == format!("v{release}"))
    };
    if !present() {
        step(&format!("fetching Node.js {release}"));
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Program::new("npm")
            .args(["install", "--no-save", "--no-audit", "--no-fund", "--prefix"])
            .arg(&dir)
            .arg(format!("{package}@{release}"))
            .run()?;
    }
    if !present() {
        bail!("the fetched Node.js {release} in {} does not run", dir.display());
    }
    Ok(binary)
}

/// Whether the machine has both programs, whatever their age.
pub(crate) fn present() -> bool {
    installed("node") && installed("npm")
}

fn version(node: &Path) -> Option<(u32, u32)> {
    let text = Program::new(node).arg("--version").read().ok()?;
    parse(text.trim())
}

fn parse(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.strip_prefix('v')?.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

fn npm_arch() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("x64"),
        "aarch64" => Ok("arm64"),
        other => bail!(
            "no Node.js package is known for {other}; install Node.js {}.{} or newer",
            OLDEST.0,
            OLDEST.1
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(parse("v20.9.1"), Some((20, 9)));
        assert!(parse("v20.9.1") < Some(OLDEST));
        assert!(parse("v22.0.0") > Some(OLDEST));
        assert_eq!(parse("nonsense"), None);
    }
}
