//! What the agent costs when there is nothing to do.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use muster_lab::fleet::Fleet;

use super::super::figures::{Figure, Good};
use super::ours;
use super::state::{PACKAGES, SERVICES};
use crate::shell::step;

/// With the packages, the services, the folder and what else there is: 200.
const FILES: usize = 200 - PACKAGES.len() - SERVICES - 1;
const ASKED_PERCENT: f64 = 0.2;
const HOST: &str = "bench";

pub(super) fn run(programs: &Path, quick: bool) -> Result<Vec<Figure>> {
    let fleet = Fleet::start_of(programs)?;
    let (host, state) = super::noop::prepared(&fleet)?;
    fleet.apply(&state.fleet(HOST, FILES))?;
    fleet.join(&host)?;
    fleet.converged(&[HOST])?;
    let minutes = if quick { 1 } else { 10 };
    step(&format!("{minutes} minutes with nothing to do"));
    let (began, before) = (Instant::now(), ours::cpu_s(&host)?);
    std::thread::sleep(Duration::from_secs(60 * minutes));
    let percent = (ours::cpu_s(&host)? - before) / began.elapsed().as_secs_f64() * 100.0;
    let less = |name: &str, ours, asked, unit| Figure::new(name, ours, Some(asked), unit, Good::Less);
    Ok(vec![
        less("agent at rest, 200 resources, of one core", percent, ASKED_PERCENT, "% (asked)"),
        less("memory of the agent after that", ours::memory_mb(&host)?, 25.0, "MB (asked)"),
    ])
}
