//! `cargo xtask gen`: the files that are made from the code and committed.
//!
//! Each source answers the files it makes; writing and comparing is done in one place, here.

mod documents;
mod queries;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::repo;
use crate::shell::{note, step};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Change nothing; fail when a file is not up to date
    #[arg(long)]
    check: bool,
    /// Only these
    #[arg(long, value_enum)]
    only: Vec<Source>,
}

impl Options {
    /// What `cargo xtask check` runs.
    pub(crate) fn check() -> Self {
        Self { check: true, only: Vec::new() }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, Debug)]
enum Source {
    /// controller/db/.sqlx: what the query macros know about the database
    Queries,
    /// docs/api/openapi.json and the dashboard's types made from it
    Openapi,
    /// docs/schema/fleet.schema.json: fleet files, for editors
    FleetSchema,
}

const ALL: [Source; 3] = [Source::Queries, Source::Openapi, Source::FleetSchema];

/// A change of a table makes dozens of files stale.
const STALE_SHOWN: usize = 5;

/// The files of one source, relative to the root.
#[derive(Default)]
struct Made {
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// A folder that holds nothing but these files: others in it are left over.
    folder: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let sources = if options.only.is_empty() { ALL.to_vec() } else { options.only.clone() };
    let mut stale = Vec::new();
    for source in sources {
        step(&format!("gen {source:?}").to_lowercase());
        let made = match source {
            Source::Queries => queries::make()?,
            Source::Openapi => documents::openapi()?,
            Source::FleetSchema => documents::fleet_schema()?,
        };
        settle(&made, options.check, &mut stale)?;
    }
    if stale.is_empty() {
        return Ok(());
    }
    let shown = stale.iter().take(STALE_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    let rest = stale.len().saturating_sub(STALE_SHOWN);
    let more = if rest == 0 { String::new() } else { format!(" and {rest} more") };
    bail!("not up to date, run `cargo xtask gen` and commit: {shown}{more}")
}

fn settle(made: &Made, check: bool, stale: &mut Vec<String>) -> Result<()> {
    for (file, content) in &made.files {
        let path = repo::root().join(file);
        if check {
            if std::fs::read(&path).ok().as_ref() != Some(content) {
                stale.push(file.display().to_string());
            }
        } else if repo::write_if_changed(&path, content)? {
            note(&format!("wrote {}", file.display()));
        }
    }
    let Some(folder) = &made.folder else { return Ok(()) };
    let Ok(entries) = std::fs::read_dir(repo::root().join(folder)) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let file = folder.join(entry.file_name());
        if made.files.contains_key(&file) {
            continue;
        }
        if check {
            stale.push(format!("{} (left over)", file.display()));
        } else {
            std::fs::remove_file(entry.path())
                .with_context(|| format!("cannot remove {}", file.display()))?;
            note(&format!("removed {}", file.display()));
        }
    }
    Ok(())
}
