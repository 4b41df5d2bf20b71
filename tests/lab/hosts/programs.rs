//! What hosts get from the machine, besides the programs that a fleet installs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use muster_lab::HostBuilder;

/// The built tests that an environment variable names.
pub(crate) fn built(variable: &str) -> Result<PathBuf> {
    let path = std::env::var_os(variable);
    let path = path.with_context(|| {
        format!("{variable} is not set; `cargo xtask test --only lab --name <name>` runs one test and builds what it needs")
    })?;
    Ok(PathBuf::from(path))
}

/// A host that sees the build of these tests where the machine has it.
pub(crate) fn with_build<'lab>(host: HostBuilder<'lab>, tests: &Path) -> Result<HostBuilder<'lab>> {
    let build = tests.ancestors().nth(2).context("the tests are in a folder of a build")?;
    Ok(host.bind(build, &build.to_string_lossy()))
}

/// Where npm has packages from on this machine; hosts can have Node.js from there. `None` where npm does not say.
pub(crate) fn npm_registry() -> Option<String> {
    let output = Command::new("npm").args(["config", "get", "registry"]).current_dir("/").output().ok()?;
    let address = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    address.starts_with("http").then_some(address)
}
