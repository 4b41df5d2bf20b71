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

/// The major versions that applications are tested with; `xtask/nodes` pins their releases.
pub(crate) const TESTED_MAJORS: [u32; 4] = [18, 20, 22, 24];
/// How the tests are told where those are.
pub(crate) const TESTED_VARIABLE: &str = "MUSTER_TEST_NODES";

/// Installs every tested Node.js below the target folder, checked against the lock file, and answers the folder: in it,
/// `<major>/bin/node`.
pub(crate) fn tested() -> Result<PathBuf> {
    crate::deps::ensure(&[crate::deps::Need::Node])?;
    let dir = repo::target().join("tools/nodes");
    let arch = npm_arch()?;
    let packages = dir.join("node_modules");
    let installed = |major: u32| packages.join(format!("node-{major}-{arch}"));
    let lock = "package-lock.json";
    let wanted = read(&repo::root().join("xtask/nodes").join(lock))?;
    let current = std::fs::read(dir.join(lock)).is_ok_and(|found| found == wanted)
        && TESTED_MAJORS.iter().all(|major| runs(&installed(*major), *major));
    if !current {
        step("fetching the Node.js versions that applications are tested with");
        note(&format!("npm packages of xtask/nodes into {}", dir.display()));
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        for name in ["package.json", lock, ".npmrc"] {
            let bytes = read(&repo::root().join("xtask/nodes").join(name))?;
            std::fs::write(dir.join(name), bytes).with_context(|| format!("cannot write {name}"))?;
        }
        Program::new("npm").args(["ci", "--no-audit", "--no-fund"]).dir(&dir).run()?;
    }
    for major in TESTED_MAJORS {
        let package = installed(major);
        if !runs(&package, major) {
            bail!("the fetched Node.js {major} in {} does not run", package.display());
        }
        let link = dir.join(major.to_string());
        if std::fs::read_link(&link).is_ok_and(|target| target == package) {
            continue;
        }
        match std::fs::remove_file(&link) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot replace {}", link.display()));
            }
            Ok(()) | Err(_) => {}
        }
        std::os::unix::fs::symlink(&package, &link)
            .with_context(|| format!("cannot link {}", link.display()))?;
    }
    Ok(dir)
}

fn runs(package: &Path, major: u32) -> bool {
    version(&package.join("bin/node")).is_some_and(|(found, _)| found == major)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
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
