//! The query data that lets the SQL macros compile without a database.
//!
//! The macros write it themselves when they compile against a database and are told a folder; all that is left to do
//! is to give them a database with the present tables, an empty folder and a reason to compile.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context as _, Result};

use super::Made;
use crate::database::{self, Temporary};
use crate::repo;
use crate::shell::Program;

const FOLDER: &str = "controller/db/.sqlx";
const CRATE_ROOT: &str = "controller/db/src/lib.rs";

pub(super) fn make() -> Result<Made> {
    crate::deps::ensure(&[crate::deps::Need::Postgres])?;
    let fresh = repo::target().join("sqlx-prepare");
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh).with_context(|| format!("cannot empty {}", fresh.display()))?;
    }
    std::fs::create_dir_all(&fresh).with_context(|| format!("cannot create {}", fresh.display()))?;
    let database = Temporary::start("gen-db")?;
    database::migrate(database.url())?;
    touch_crate()?;
    Program::cargo()
        .dir(&repo::root())
        .args(["check", "--quiet", "-p", "muster-db", "--all-targets"])
        .env("DATABASE_URL", database.url())
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", &fresh)
        .run()?;
    let mut made = Made { folder: Some(FOLDER.into()), ..Made::default() };
    for entry in std::fs::read_dir(&fresh).with_context(|| format!("cannot list {}", fresh.display()))? {
        let entry = entry?;
        let content =
            std::fs::read(entry.path()).with_context(|| format!("cannot read {}", entry.path().display()))?;
        made.files.insert(PathBuf::from(FOLDER).join(entry.file_name()), content);
    }
    Ok(made)
}

/// Cargo compiles a crate again when its root is newer than its last artefact.
fn touch_crate() -> Result<()> {
    let path = repo::root().join(CRATE_ROOT);
    let file = std::fs::File::options()
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot open {CRATE_ROOT}"))?;
    file.set_modified(SystemTime::now()).with_context(|| format!("cannot touch {CRATE_ROOT}"))
}
