//! A run that finds everything as it should be: `puppet apply` and ours, in turn on one host.

use std::path::Path;

use anyhow::Result;
use muster_lab::Host;
use muster_lab::fleet::Fleet;

use super::super::figures::{Figure, Good};
use super::Settings;
use super::state::{FILES, PACKAGES, State};
use super::{ours, puppet};
use crate::shell::{note, step};

const HOST: &str = "bench";
/// Puppet takes several seconds each time.
const PUPPET_ROUNDS: usize = 5;
const LOOKS: u32 = 50;
/// What the running agent is asked to stay below.
const ASKED_MB: f64 = 25.0;

pub(super) fn run(programs: &Path, settings: Settings) -> Result<Vec<Figure>> {
    step("a host with Puppet, our agent, and the state that both have to find");
    let fleet = Fleet::start_of(programs)?;
    let (host, state) = prepared(&fleet)?;
    let rounds = if settings.quick { 1 } else { PUPPET_ROUNDS };
    let theirs = puppet::measure(&host, &state.manifest(), rounds)?;
    note(&format!(
        "Puppet: {:.2} s, {:.2} s of CPU, {:.0} MB",
        theirs.wall_s, theirs.cpu_s, theirs.memory_mb
    ));
    step("the same for our agent");
    fleet.apply(&state.fleet(HOST, FILES))?;
    fleet.join(&host)?;
    fleet.converged(&[HOST])?;
    let noop = ours::plan(&host)?;
    let look = ours::looks(&fleet, &host, if settings.quick { 5 } else { LOOKS })?;
    let less = |name: &str, ours, peer, unit| Figure::new(name, ours, Some(peer), unit, Good::Less);
    let ms = |name: &str, ours: f64, peer: f64| less(name, ours * 1000.0, peer * 1000.0, "ms");
    Ok(vec![
        ms("no-op command, wall, beside puppet apply", noop.wall_s, theirs.wall_s),
        ms("no-op command, CPU, beside puppet apply", noop.cpu_s, theirs.cpu_s),
        ms("no-op command, CPU of the whole host", noop.host_cpu_s, theirs.host_cpu_s),
        less("no-op command, memory, beside puppet apply", noop.memory_mb, theirs.memory_mb, "MB"),
        less("no-op run of the agent, wall", look.wall_ms, theirs.wall_s * 1000.0, "ms"),
        less("no-op run of the agent, CPU with its report", look.cpu_ms, theirs.cpu_s * 1000.0, "ms"),
        less("memory of the agent", ours::memory_mb(&host, ours::AGENT)?, ASKED_MB, "MB (asked)"),
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
