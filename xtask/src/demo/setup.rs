//! The pieces a stage is made of: programs, command lines, files, one request.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::machine::{Daemon, free_address};
use crate::http::{Answer, Connection};
use crate::repo;
use crate::shell::Program;

/// Builds the four programs; answers their folder.
pub(super) fn build(release: bool) -> Result<PathBuf> {
    let packages = ["muster-controller", "muster-agent", "muster-supervisor", "muster"];
    let mut cargo = Program::cargo().dir(&repo::root()).env("SQLX_OFFLINE", "true").args(["build", "--bins"]);
    for package in packages {
        cargo = cargo.args(["--package", package]);
    }
    if release {
        cargo.arg("--release").run()?;
        return Ok(repo::target().join("release"));
    }
    cargo.run()?;
    Ok(repo::target().join("debug"))
}

pub(super) fn controller(
    programs: &Path,
    dir: &Path,
    people: SocketAddr,
    path: &str,
    logs: &Path,
) -> Result<Daemon> {
    let agents = free_address(8444)?;
    let https = free_address(8443)?;
    let data = dir.join("controller");
    let password = dir.join("admin-password");
    let args = [
        ("--data-dir", data.to_string_lossy().into_owned()),
        ("--listen", https.to_string()),
        ("--http-listen", people.to_string()),
        ("--agent-listen", agents.to_string()),
        ("--agent-url", format!("https://{agents}")),
        ("--admin-password-file", password.to_string_lossy().into_owned()),
    ];
    let args = std::iter::once("serve".to_owned())
        .chain(args.into_iter().flat_map(|(name, value)| [name.to_owned(), value]))
        .collect();
    Ok(Daemon::new("controller", &programs.join("muster-controller"), args, path, logs))
}

pub(super) fn address_of(url: &str) -> Result<SocketAddr> {
    url.trim_start_matches("http://").parse().with_context(|| format!("{url} has no address"))
}

pub(super) fn get(address: SocketAddr, path: &str) -> Result<Answer> {
    let answer = Connection::open(address).and_then(|mut connection| connection.get(path, false));
    let answer = answer.map_err(|failure| anyhow::anyhow!("http://{address}{path}: {failure:?}"))?;
    if answer.status != 200 {
        bail!("http://{address}{path}: status {}", answer.status);
    }
    Ok(answer)
}

/// Copies a folder's files; what is there already is replaced.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            // Packages that a person installed in the source are not part of it.
            if entry.file_name() != "node_modules" {
                copy(&entry.path(), &target)?;
            }
        } else {
            std::fs::copy(entry.path(), &target)
                .with_context(|| format!("cannot write {}", target.display()))?;
        }
    }
    Ok(())
}
