//! What a run costs, measured from outside in the same way for both.

use anyhow::{Context as _, Result, bail};
use muster_lab::Host;

use super::super::figures::median;

/// What one run costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    pub(super) wall_s: f64,
    /// User and system time of the command, children included.
    pub(super) cpu_s: f64,
    /// The same of everything on the host: systemd and the message bus answer questions, too.
    pub(super) host_cpu_s: f64,
    /// The largest process of it.
    pub(super) memory_mb: f64,
}

/// The middle of several runs of a command that has to find nothing to do, that is, to end with 0.
pub(super) fn timed(host: &Host, command: &[&str], rounds: usize) -> Result<Cost> {
    let [mut wall, mut cpu, mut whole, mut memory] = [const { Vec::new() }; 4];
    for _ in 0..rounds {
        let format = ["time", "--format=%e %U %S %M", "--output=/run/bench-time"];
        let before = host_cpu_s(host)?;
        host.run([&format, command].concat())?;
        whole.push(host_cpu_s(host)? - before);
        let said = host.read_file("/run/bench-time")?;
        let fields: Vec<f64> = said.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        let [seconds, user, system, kib] = fields[..] else { bail!("`time` said {said}") };
        wall.push(seconds);
        cpu.push(user + system);
        memory.push(kib / 1024.0);
    }
    let middle = |values| median(values).context("there were no rounds");
    Ok(Cost {
        wall_s: middle(wall)?,
        cpu_s: middle(cpu)?,
        host_cpu_s: middle(whole)?,
        memory_mb: middle(memory)?,
    })
}

/// The processor time that everything on the host has used since it booted.
pub(super) fn host_cpu_s(host: &Host) -> Result<f64> {
    usage_s(&host.run(["cat", "/sys/fs/cgroup/cpu.stat"])?)
}

/// What a control group says of its use.
pub(super) fn usage_s(stat: &str) -> Result<f64> {
    let micros = stat.lines().find_map(|line| line.strip_prefix("usage_usec "));
    Ok(micros.with_context(|| format!("no use is counted in {stat:?}"))?.trim().parse::<f64>()? / 1e6)
}

#[cfg(test)]
mod tests {
    use super::usage_s;

    #[test]
    fn the_use_of_a_group_is_read() {
        assert_eq!(usage_s("usage_usec 1500000\nuser_usec 1\nsystem_usec 2\n").unwrap(), 1.5);
        assert!(usage_s("nr_periods 0\n").is_err());
    }
}
