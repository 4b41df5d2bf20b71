//! A run that finds everything as it should be: `puppet apply` and ours, in turn on one host.

use std::path::Path;

use anyhow::Result;
use muster_lab::Host;
use muster_lab::fleet::Fleet;

use super::super::figures::{Figure, Good};
use super::ours;
use super::puppet::{self, Cost, timed};
use super::state::{FILES, PACKAGES, State};
use crate::shell::{note, step};

const HOST: &str = "bench";
/// Puppet takes several seconds each time.
const PUPPET_ROUNDS: usize = 5;
/// Ours is so short that many are measured as one.
const OUR_RUNS: u32 = 50;
/// What the running agent is asked to stay below.
const ASKED_MB: f64 = 25.0;

pub(super) fn run(programs: &Path, quick: bool) -> Result<Vec<Figure>> {
    step("a host with Puppet, our agent, and the state that both have to find");
    let fleet = Fleet::start_of(programs)?;
    let (host, state) = prepared(&fleet)?;
    let theirs = puppet::measure(&host, &state.manifest(), if quick { 1 } else { PUPPET_ROUNDS })?;
    note(&format!(
        "Puppet: {:.2} s, {:.2} s of CPU, {:.0} MB",
        theirs.wall_s, theirs.cpu_s, theirs.memory_mb
    ));
    step("the same for our agent");
    fleet.apply(&state.fleet(HOST, FILES))?;
    fleet.join(&host)?;
    fleet.converged(&[HOST])?;
    let noop = plan(&host)?;
    let look = ours::looks(&fleet, &host, if quick { 5 } else { 50 })?;
    let less = |name: &str, ours, peer, unit| Figure::new(name, ours, peer, unit, Good::Less);
    Ok(vec![
        less(
            "no-op run, wall, beside puppet apply",
            noop.wall_s * 1000.0,
            Some(theirs.wall_s * 1000.0),
            "ms",
        ),
        less("no-op run, CPU, beside puppet apply", noop.cpu_s * 1000.0, Some(theirs.cpu_s * 1000.0), "ms"),
        less("no-op run, memory, beside puppet apply", noop.memory_mb, Some(theirs.memory_mb), "MB"),
        less(
            "look of the running agent, CPU, beside puppet apply",
            look * 1000.0,
            Some(theirs.cpu_s * 1000.0),
            "ms",
        ),
        less("memory of the running agent", ours::memory_mb(&host)?, Some(ASKED_MB), "MB (asked)"),
    ])
}

/// A host with Puppet and the packages.
pub(super) fn prepared(fleet: &Fleet) -> Result<(Host, State)> {
    let script = format!(
        "export DEBIAN_FRONTEND=noninteractive; apt-get -qq update; \
         apt-get -qq install --yes --no-install-recommends puppet-agent time {} > /dev/null; \
         systemctl disable --quiet puppet.service",
        PACKAGES.join(" ")
    );
    let image = fleet.lab().prepared(&script)?;
    let host = fleet.lab().host(HOST).image(&image).up()?;
    let state = State::of(&host)?;
    Ok((host, state))
}

/// The agent's own run as a process, without a controller.
fn plan(host: &Host) -> Result<Cost> {
    let plan = ["muster-agent", "plan"];
    let one = timed(host, &plan, 5)?;
    // Below the clock of `time`.
    let script = format!(
        "TIMEFORMAT='%3R %3U %3S'; {{ time for run in $(seq {OUR_RUNS}); do {} > /dev/null; done; }} 2>&1",
        plan.join(" ")
    );
    let said = host.run(["bash", "-c", &script])?;
    let fields: Vec<f64> = said.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let [wall, user, system] = fields[..] else { anyhow::bail!("`time` said {said}") };
    let runs = f64::from(OUR_RUNS);
    Ok(Cost { wall_s: wall / runs, cpu_s: (user + system) / runs, ..one })
}
