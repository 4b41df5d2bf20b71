//! What the agent costs when there is nothing to do.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use muster_lab::fleet::Fleet;

use super::super::figures::{Figure, Good};
use super::Settings;
use super::ours::{self, AGENT, SUPERVISOR};
use super::state::{PACKAGES, SERVICES};
use crate::shell::step;

const RESOURCES: usize = 200;
/// With the packages, the services and the folder: all of them.
const FILES: usize = RESOURCES - PACKAGES.len() - SERVICES - 1;
const ASKED_PERCENT: f64 = 0.2;
const ASKED_MB: f64 = 25.0;
const HOST: &str = "bench";

pub(super) fn run(programs: &Path, settings: Settings) -> Result<Vec<Figure>> {
    step("a host with 200 resources");
    let fleet = Fleet::start_of(programs)?;
    let (host, state) = super::noop::prepared(&fleet)?;
    fleet.apply(&state.fleet(HOST, FILES))?;
    fleet.join(&host)?;
    fleet.converged(&[HOST])?;
    let resources = fleet.node(HOST)?["resources"].as_array().map(Vec::len);
    let resources = resources.context("`muster node show` lists no resources")?;
    if resources < RESOURCES {
        bail!("the host has only {resources} resources");
    }
    step(&format!("{} seconds with nothing to do for {resources} resources", settings.idle.as_secs()));
    let cpu = || Ok::<_, anyhow::Error>([ours::cpu_s(&host, AGENT)?, ours::cpu_s(&host, SUPERVISOR)?]);
    let (began, before) = (Instant::now(), cpu()?);
    std::thread::sleep(settings.idle);
    let (after, seconds) = (cpu()?, began.elapsed().as_secs_f64());
    let percent = |unit: usize| (after[unit] - before[unit]) / seconds * 100.0;
    let figure = |name: &str, ours, asked, unit| Figure::new(name, ours, asked, unit, Good::Less);
    Ok(vec![
        figure("agent at rest, 200 resources, of one core", percent(0), Some(ASKED_PERCENT), "% (asked)"),
        figure(
            "memory of the agent after that",
            ours::memory_mb(&host, AGENT)?,
            Some(ASKED_MB),
            "MB (asked)",
        ),
        figure("supervisor at rest without applications, of one core", percent(1), None, "%"),
        figure("memory of the supervisor", ours::memory_mb(&host, SUPERVISOR)?, None, "MB"),
    ])
}
