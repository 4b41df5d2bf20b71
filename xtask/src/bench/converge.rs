//! The agent on throw-away hosts: beside Puppet on the same state, at rest, and from `muster apply` to "converged".

mod apply;
mod cost;
mod idle;
mod noop;
mod ours;
mod puppet;
mod state;

use std::time::Duration;

use anyhow::{Result, bail};

use super::figures::Figure;
use crate::deps::{Need, ensure};
use crate::shell::{Program, step};
use crate::{lab, repo};

/// What can be measured alone.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, Debug)]
pub(crate) enum Measurement {
    /// A run that finds 100 files, 10 packages and 20 services as they should be, beside `puppet apply`
    Noop,
    /// The agent on a converged host of 200 resources, with nothing to do
    Idle,
    /// From `muster apply` of one changed file to "converged" on five hosts
    Apply,
}

const ALL: [Measurement; 3] = [Measurement::Noop, Measurement::Idle, Measurement::Apply];

/// How thorough it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// Fewer rounds.
    pub(super) quick: bool,
    /// How long the agent is watched at rest.
    pub(super) idle: Duration,
}

/// Runs these, or all of them.
pub(super) fn run(only: &[Measurement], settings: Settings) -> Result<Vec<Figure>> {
    if let Some(reason) = lab::unsuitable()? {
        bail!("this machine cannot host a lab: {reason}");
    }
    lab::prepare()?;
    ensure(&[Need::Postgres, Need::UtilLinux])?;
    let programs = build()?;
    let mut figures = Vec::new();
    for measurement in if only.is_empty() { &ALL } else { only } {
        figures.extend(match measurement {
            Measurement::Noop => noop::run(&programs, settings)?,
            Measurement::Idle => idle::run(&programs, settings)?,
            Measurement::Apply => apply::run(&programs, settings)?,
        });
    }
    Ok(figures)
}

/// The programs as they are released; answers their folder.
fn build() -> Result<std::path::PathBuf> {
    // For those who work on the benchmark itself: a build of the release takes many minutes.
    if let Some(folder) = std::env::var_os("MUSTER_BENCH_PROGRAMS") {
        return Ok(folder.into());
    }
    step("building the programs as they are released");
    let packages = ["muster-controller", "muster-agent", "muster-supervisor", "muster"];
    let packages = packages.iter().flat_map(|package| ["--package", package]);
    let cargo = Program::cargo().dir(&repo::root()).env("SQLX_OFFLINE", "true");
    cargo.args(["build", "--release", "--bins"]).args(packages).run()?;
    Ok(repo::target().join("release"))
}
