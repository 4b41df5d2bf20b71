//! What the host is and how it is doing. Only what is shown is refreshed: a full refresh reads every process.

use crate::host::{DiskSpace, Fault, HostError};
use chrono::{DateTime, Utc};
use muster_domain::{metrics::NodeMetrics, node::HostFacts};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;
use sysinfo::{Networks, System};

pub(super) struct Figures {
    state_dir: PathBuf,
    sources: Mutex<Sources>,
}

struct Sources {
    /// `None` where the host hides its figures.
    system: Option<System>,
    networks: Option<Networks>,
    sampled_at: Instant,
}

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Figures").field("state_dir", &self.state_dir).finish_non_exhaustive()
    }
}

impl Figures {
    pub(super) fn new(state_dir: &Path) -> Self {
        let mut system = System::new().ok();
        if let Some(system) = &mut system {
            // Use is a difference: the first sample needs something to differ from.
            system.refresh_cpu_usage();
        }
        let networks = Networks::new_with_refreshed_list().ok();
        let sources = Mutex::new(Sources { system, networks, sampled_at: Instant::now() });
        Self { state_dir: state_dir.to_owned(), sources }
    }

    pub(super) fn sample(&self, now: DateTime<Utc>) -> NodeMetrics {
        let mut sources = self.sources.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let elapsed_ms = u64::try_from(sources.sampled_at.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        sources.sampled_at = Instant::now();
        let disk = disk_space(&self.state_dir).unwrap_or(DiskSpace { total_bytes: 0, available_bytes: 0 });
        let load = System::load_average().ok();
        let mut metrics = NodeMetrics {
            at: now,
            cpu_percent: 0.0,
            memory_used_bytes: 0,
            memory_total_bytes: 0,
            swap_used_bytes: 0,
            disk_used_bytes: disk.total_bytes.saturating_sub(disk.available_bytes),
            disk_total_bytes: disk.total_bytes,
            load_1: load.as_ref().map_or(0.0, |load| figure(load.one)),
            load_5: load.as_ref().map_or(0.0, |load| figure(load.five)),
            load_15: load.as_ref().map_or(0.0, |load| figure(load.fifteen)),
            network_rx_bytes_per_s: 0,
            network_tx_bytes_per_s: 0,
        };
        if let Some(system) = &mut sources.system {
            system.refresh_cpu_usage();
            system.refresh_memory();
            metrics.cpu_percent = figure(f64::from(system.global_cpu_usage())).clamp(0.0, 100.0);
            metrics.memory_used_bytes = system.used_memory();
            metrics.memory_total_bytes = system.total_memory();
            metrics.swap_used_bytes = system.used_swap();
        }
        if let Some(networks) = &mut sources.networks {
            networks.refresh(true);
            let outside = || networks.iter().filter(|(name, _)| *name != "lo");
            let per_s = |bytes: u64| bytes.saturating_mul(1000) / elapsed_ms;
            metrics.network_rx_bytes_per_s = per_s(outside().map(|(_, data)| data.received()).sum());
            metrics.network_tx_bytes_per_s = per_s(outside().map(|(_, data)| data.transmitted()).sum());
        }
        metrics
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a load or a percentage fits many times over")]
fn figure(value: f64) -> f32 {
    if value.is_finite() && value >= 0.0 { value as f32 } else { 0.0 }
}

pub(super) fn facts(agent_version: &str, rootless: bool) -> HostFacts {
    let memory_bytes = System::new().map_or(0, |mut system| {
        system.refresh_memory();
        system.total_memory()
    });
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let uname = rustix::system::uname();
    HostFacts {
        hostname: uname.nodename().to_string_lossy().into_owned(),
        os: pretty_name(&release).unwrap_or_else(|| uname.sysname().to_string_lossy().into_owned()),
        kernel: uname.release().to_string_lossy().into_owned(),
        architecture: uname.machine().to_string_lossy().into_owned(),
        cpus: std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
        memory_bytes,
        agent_version: agent_version.to_owned(),
        rootless,
    }
}

fn pretty_name(os_release: &str) -> Option<String> {
    let line = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(line.trim_matches('"').to_owned())
}

pub(super) fn disk_space(path: &Path) -> Result<DiskSpace, HostError> {
    let found = rustix::fs::statvfs(path)
        .map_err(|errno| HostError::new("read the free space of", path, Fault::from(errno)))?;
    Ok(DiskSpace {
        total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        available_bytes: found.f_bavail.saturating_mul(found.f_frsize),
    })
}
