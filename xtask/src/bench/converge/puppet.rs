//! Puppet on the same host.

use anyhow::{Result, bail};
use muster_lab::Host;

use super::cost::{Cost, timed};

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
