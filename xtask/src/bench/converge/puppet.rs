//! Puppet on the same host.

use anyhow::{Context as _, Result, bail};
use muster_lab::Host;

use super::super::figures::median;

/// What one run costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    pub(super) wall_s: f64,
    /// User and system time, children included.
    pub(super) cpu_s: f64,
    /// The largest process of it.
    pub(super) memory_mb: f64,
}

const MANIFEST: &str = "/root/bench.pp";

/// Lets Puppet bring the host into the state, and then measures runs that find it so.
pub(super) fn measure(host: &Host, manifest: &str, rounds: usize) -> Result<Cost> {
    host.write_file(MANIFEST, manifest.as_bytes())?;
    let apply = ["puppet", "apply", "--detailed-exitcodes", MANIFEST];
    // 0: nothing to do; 2: changes were made.
    let first = host.exec(apply)?;
    if ![0, 2].contains(&first.code) {
        bail!("`puppet apply` ended with {}: {}{}", first.code, first.stdout, first.stderr);
    }
    timed(host, &apply, rounds)
}

/// The middle of several runs of a command that has to find nothing to do, that is, to end with 0.
pub(super) fn timed(host: &Host, command: &[&str], rounds: usize) -> Result<Cost> {
    let (mut wall, mut cpu, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let format = ["time", "--format=%e %U %S %M", "--output=/run/bench-time"];
        host.run([&format, command].concat())?;
        let said = host.read_file("/run/bench-time")?;
        let fields: Vec<f64> = said.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        let [seconds, user, system, kib] = fields[..] else { bail!("`time` said {said}") };
        wall.push(seconds);
        cpu.push(user + system);
        memory.push(kib / 1024.0);
    }
    let middle = |values| median(values).context("there were no rounds");
    Ok(Cost { wall_s: middle(wall)?, cpu_s: middle(cpu)?, memory_mb: middle(memory)? })
}
