//! The cluster folder: made by `initdb` in one step, recognised by its version file.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::ROLE;
use crate::account::Account;
use crate::binaries::Installation;
use crate::error::{FileContext, PostgresError};
use crate::layout::Layout;
use crate::{Durability, binaries};

const PARTIAL: &str = "data.partial";

/// The installation that fits the cluster, which is made when there is none.
pub(crate) fn ensure(
    layout: &Layout,
    account: &Account,
    bin_dir: Option<&Path>,
    durability: Durability,
) -> Result<Installation, PostgresError> {
    // Left by a start that was killed; the lock says that nobody is at work in it.
    let partial = layout.home.join(PARTIAL);
    if partial.exists() {
        std::fs::remove_dir_all(&partial).file("remove", &partial)?;
    }
    if layout.data.exists() {
        let major = major_of(&layout.data)?;
        return binaries::find(bin_dir, Some((major, &layout.data)));
    }
    let installation = binaries::find(bin_dir, None)?;
    initdb(&installation, &partial, account, durability)?;
    // The rename is the commit: a cluster is whole or it is not there.
    std::fs::rename(&partial, &layout.data).file("put in place", &layout.data)?;
    let home = std::fs::File::open(&layout.home).file("open", &layout.home)?;
    home.sync_all().file("flush", &layout.home)?;
    tracing::info!(data = %layout.data.display(), version = installation.major, "created the private database");
    Ok(installation)
}

/// The version that made a cluster.
pub(crate) fn major_of(data: &Path) -> Result<u32, PostgresError> {
    let file = data.join("PG_VERSION");
    let no_cluster = |reason: String| PostgresError::NoCluster { data: data.to_owned(), reason };
    let text = std::fs::read_to_string(&file).map_err(|error| no_cluster(format!("PG_VERSION: {error}")))?;
    text.trim().parse().map_err(|_| no_cluster(format!("PG_VERSION holds `{}`", text.trim())))
}

fn initdb(
    installation: &Installation,
    data: &Path,
    account: &Account,
    durability: Durability,
) -> Result<(), PostgresError> {
    let mut command = Command::new(installation.program("initdb"));
    command
        .args(["--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums", "--auth=peer", "--username", ROLE])
        .arg("--pgdata")
        .arg(data)
        // A PGDATA or a locale of the caller must not leak in.
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null());
    if durability == Durability::None {
        command.arg("--no-sync");
    }
    account.apply(&mut command);
    let output =
        command.output().map_err(|source| PostgresError::Spawn { program: "initdb".into(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(PostgresError::Tool { program: "initdb".into(), detail: one_line(&stderr) })
}

/// Folds a tool's message into one line that fits into an error.
pub(crate) fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_file_is_read_and_a_folder_without_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(major_of(dir.path()).unwrap_err().to_string().contains("no PostgreSQL cluster"));
        std::fs::write(dir.path().join("PG_VERSION"), "15\n").unwrap();
        assert_eq!(major_of(dir.path()).unwrap(), 15);
    }
}
