//! Our agent on the same host.

use std::time::Duration;

use anyhow::{Context as _, Result};
use muster_lab::fleet::Fleet;
use muster_lab::{Host, wait_for};

/// Everything that runs in the agent's unit, whatever the agent starts included.
const UNIT: &str = "muster-agent.service";
/// How long a node may take to answer a look that was asked for.
const LOOK_BOUND: Duration = Duration::from_secs(60);

/// The processor time that the agent's unit has used since it was started.
pub(super) fn cpu_s(host: &Host) -> Result<f64> {
    // Of cgroup2, which counts it in every group, also where it controls nothing.
    let said = host.run(["cat", &format!("/sys/fs/cgroup/system.slice/{UNIT}/cpu.stat")])?;
    let micros =
        said.lines().find_map(|line| line.strip_prefix("usage_usec ")).context("no usage is counted")?;
    Ok(micros.trim().parse::<f64>()? / 1e6)
}

/// The resident memory of the agent.
pub(super) fn memory_mb(host: &Host) -> Result<f64> {
    let said = host.sh("cat /proc/$(systemctl show --property MainPID --value muster-agent)/status")?;
    let kib = said.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the agent has no memory")?;
    Ok(kib.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

/// What the agent itself wrote down of its last run: when it ended.
fn last_run(host: &Host) -> Result<serde_json::Value> {
    let said = host.run(["muster-agent", "status", "--output", "json"])?;
    let status: serde_json::Value = serde_json::from_str(&said)?;
    Ok(status["last_run"].clone())
}

/// Has the node look for drift so often, one after the other; answers the processor time of one look.
pub(super) fn looks(fleet: &Fleet, host: &Host, rounds: u32) -> Result<f64> {
    let before = cpu_s(host)?;
    for _ in 0..rounds {
        let last = last_run(host)?;
        fleet.cli().ok(&["node", "converge", host.name()])?;
        wait_for("the look that was asked for", LOOK_BOUND, || Ok((last_run(host)? != last).then_some(())))?;
    }
    Ok((cpu_s(host)? - before) / f64::from(rounds))
}
