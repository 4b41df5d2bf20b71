//! Our agent on the same host: as a command of its own, and as the daemon that it is.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use muster_lab::fleet::Fleet;
use muster_lab::{Host, wait_for};

use super::super::figures::median;
use super::cost::{Cost, host_cpu_s, timed};

/// Ends with 0 when it could look at everything, and says whether there is something to do.
const PLAN: [&str; 2] = ["muster-agent", "plan"];
/// How it says that there is not, and that nothing is unclear either.
const NOTHING: [&str; 2] = [": 0 of ", " resources would be changed. Nothing was changed."];
/// One is so short that many are measured as one.
const PLANS: u32 = 50;
/// How long a node may take to answer a look that was asked for.
const LOOK_BOUND: Duration = Duration::from_secs(60);
/// What the agent writes to its journal at the end of a run that somebody asked for.
const RUN: &str = "run reported";

/// The units, with whatever they start.
pub(super) const AGENT: &str = "muster-agent";
pub(super) const SUPERVISOR: &str = "muster-supervisor";

/// The processor time that a unit has used since it was started.
pub(super) fn cpu_s(host: &Host, unit: &str) -> Result<f64> {
    // Of cgroup2, which counts it in every group, also where it controls nothing.
    let said = host.run(["cat", &format!("/sys/fs/cgroup/system.slice/{unit}.service/cpu.stat")])?;
    super::cost::usage_s(&said)
}

/// The resident memory of a unit's main process.
pub(super) fn memory_mb(host: &Host, unit: &str) -> Result<f64> {
    let said = host.sh(&format!("cat /proc/$(systemctl show --property MainPID --value {unit})/status"))?;
    let kib = said.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = kib.with_context(|| format!("{unit} has no memory"))?;
    Ok(kib.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

/// The whole look as a command that begins from nothing, the nearest to `puppet apply`: it starts, reads its state, looks
/// at everything, decides, says so, and ends.
pub(super) fn plan(host: &Host) -> Result<Cost> {
    let said = host.run(PLAN)?;
    if !NOTHING.iter().all(|words| said.contains(words)) {
        bail!("the host is not as it should be: {said}");
    }
    let one = timed(host, &PLAN, 5)?;
    // Below the clock of `time`.
    let script = format!(
        "TIMEFORMAT='%3R %3U %3S'; {{ time for run in $(seq {PLANS}); do {} > /dev/null; done; }} 2>&1",
        PLAN.join(" ")
    );
    let before = host_cpu_s(host)?;
    let said = host.run(["bash", "-c", &script])?;
    let whole = host_cpu_s(host)? - before;
    let fields: Vec<f64> = said.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let [wall, user, system] = fields[..] else { bail!("`time` said {said}") };
    let runs = f64::from(PLANS);
    Ok(Cost { wall_s: wall / runs, cpu_s: (user + system) / runs, host_cpu_s: whole / runs, ..one })
}

/// What one look of the running agent costs.
pub(super) struct Looks {
    /// The run itself, by the agent's own clock, the middle one.
    pub(super) wall_ms: f64,
    /// The agent's unit, with being told to look, with its report, and with what it starts.
    pub(super) cpu_ms: f64,
}

/// Has the node look so often, one after the other, with nothing to do.
pub(super) fn looks(fleet: &Fleet, host: &Host, rounds: u32) -> Result<Looks> {
    let known = runs(host)?.len();
    let before = cpu_s(host, AGENT)?;
    for _ in 0..rounds {
        let so_far = runs(host)?.len();
        fleet.look(host.name())?;
        wait_for("the look that was asked for", LOOK_BOUND, || {
            Ok((runs(host)?.len() > so_far).then_some(()))
        })?;
    }
    let cpu_ms = (cpu_s(host, AGENT)? - before) * 1000.0 / f64::from(rounds);
    let walls = runs(host)?.split_off(known);
    Ok(Looks { wall_ms: median(walls).context("no run was reported")?, cpu_ms })
}

/// How many milliseconds each run took that the agent reported, the oldest first.
fn runs(host: &Host) -> Result<Vec<f64>> {
    let unit = format!("{AGENT}.service");
    let said =
        host.run(["journalctl", "--quiet", "--no-pager", "--boot", "--output=cat", "--unit", &unit])?;
    said.lines().filter(|line| line.contains(RUN)).map(took_ms).collect()
}

fn took_ms(line: &str) -> Result<f64> {
    let word = line.split_whitespace().find_map(|word| word.strip_prefix("took_ms="));
    word.and_then(|word| word.parse().ok()).with_context(|| format!("no time is in {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::took_ms;

    #[test]
    fn the_time_of_a_run_is_read_from_the_journal() {
        let line = "2026-11-22T22:00:00Z  INFO muster_agent: run reported generation=3 failed=0 took_ms=2.125 cpu_ms=1.5";
        assert_eq!(took_ms(line).unwrap(), 2.125);
        assert!(took_ms("run reported generation=3").is_err());
    }
}
