//! What agents report: facts, figures, processes, convergence.

use super::{InvalidMessage, digest, release_id};
use crate::v1;
use chrono::{DateTime, Utc};
use muster_domain::{
    ApplicationName, ReleaseVersion,
    assignment::Generation,
    metrics::NodeMetrics,
    node::HostFacts,
    observed::{
        ChangeCause, ConvergenceReport, ProcessEvent, ProcessExit, ProcessReport, ProcessState,
        ResourceReport, ResourceStatus,
    },
    resource::{Mode, ResourceKey},
};

/// The longest text of a report's detail that is kept; the rest is cut at a character boundary.
pub const MAX_DETAIL_BYTES: usize = 16 * 1024;

/// The longest difference of a resource that is kept.
pub const MAX_DIFF_BYTES: usize = 32 * 1024;

/// The longest single-line text (host name, version, reason) that is kept.
pub const MAX_LINE_BYTES: usize = 1024;

/// Lines of standard error that go with an exit: a stack trace and what led to it.
pub const MAX_STDERR_LINES: usize = 20;

/// Their bytes in all. Nodes can report many exits, and the controller keeps them for months.
pub const MAX_STDERR_BYTES: usize = 8 * 1024;

/// Addresses of an application that are kept; one that listens on more is odd.
const MAX_LISTENING: usize = 32;

/// A text that fits `max` bytes and a Postgres column.
pub fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    // Postgres text cannot hold NUL, and a report must not be refused for it.
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// The last of some lines of standard error, within [`MAX_STDERR_LINES`] and [`MAX_STDERR_BYTES`]. The end says most.
pub fn cut_stderr(lines: Vec<String>) -> Vec<String> {
    let mut left = MAX_STDERR_BYTES;
    let mut kept: Vec<String> = Vec::new();
    for line in lines.into_iter().rev().take(MAX_STDERR_LINES) {
        let line = cut(line, MAX_LINE_BYTES);
        if line.len() > left {
            break;
        }
        left -= line.len();
        kept.push(line);
    }
    kept.reverse();
    kept
}

/// Unix milliseconds to a time.
pub fn time(field: &'static str, ms: i64) -> Result<DateTime<Utc>, InvalidMessage> {
    // Year 1 to 9999: what Postgres and RFC 3339 can both hold.
    if !(-62_135_596_800_000..253_402_300_800_000).contains(&ms) {
        return Err(InvalidMessage::new(field, "is not a time"));
    }
    DateTime::from_timestamp_millis(ms).ok_or_else(|| InvalidMessage::new(field, "is not a time"))
}

impl From<&HostFacts> for v1::HostFacts {
    fn from(facts: &HostFacts) -> Self {
        let HostFacts { hostname, os, kernel, architecture, cpus, memory_bytes, agent_version, rootless } =
            facts;
        Self {
            hostname: hostname.clone(),
            os: os.clone(),
            kernel: kernel.clone(),
            architecture: architecture.clone(),
            cpus: *cpus,
            memory_bytes: *memory_bytes,
            agent_version: agent_version.clone(),
            rootless: *rootless,
        }
    }
}

impl From<v1::HostFacts> for HostFacts {
    fn from(wire: v1::HostFacts) -> Self {
        let line = |text| cut(text, MAX_LINE_BYTES);
        Self {
            hostname: line(wire.hostname),
            os: line(wire.os),
            kernel: line(wire.kernel),
            architecture: line(wire.architecture),
            cpus: wire.cpus,
            memory_bytes: wire.memory_bytes,
            agent_version: line(wire.agent_version),
            rootless: wire.rootless,
        }
    }
}

impl From<&NodeMetrics> for v1::NodeMetrics {
    fn from(m: &NodeMetrics) -> Self {
        Self {
            at_ms: m.at.timestamp_millis(),
            cpu_percent: m.cpu_percent,
            memory_used_bytes: m.memory_used_bytes,
            memory_total_bytes: m.memory_total_bytes,
            swap_used_bytes: m.swap_used_bytes,
            disk_used_bytes: m.disk_used_bytes,
            disk_total_bytes: m.disk_total_bytes,
            load_1: m.load_1,
            load_5: m.load_5,
            load_15: m.load_15,
            network_rx_bytes_per_s: m.network_rx_bytes_per_s,
            network_tx_bytes_per_s: m.network_tx_bytes_per_s,
        }
    }
}

fn figure(field: &'static str, value: f32) -> Result<f32, InvalidMessage> {
    if value.is_finite() { Ok(value) } else { Err(InvalidMessage::new(field, "is not a number")) }
}

pub(super) fn bytes(field: &'static str, value: u64) -> Result<u64, InvalidMessage> {
    // A bigint column holds no more.
    if i64::try_from(value).is_ok() { Ok(value) } else { Err(InvalidMessage::new(field, "is out of range")) }
}

impl TryFrom<v1::NodeMetrics> for NodeMetrics {
    type Error = InvalidMessage;
    fn try_from(m: v1::NodeMetrics) -> Result<Self, InvalidMessage> {
        Ok(Self {
            at: time("metrics.at_ms", m.at_ms)?,
            cpu_percent: figure("metrics.cpu_percent", m.cpu_percent)?,
            memory_used_bytes: bytes("metrics.memory_used_bytes", m.memory_used_bytes)?,
            memory_total_bytes: bytes("metrics.memory_total_bytes", m.memory_total_bytes)?,
            swap_used_bytes: bytes("metrics.swap_used_bytes", m.swap_used_bytes)?,
            disk_used_bytes: bytes("metrics.disk_used_bytes", m.disk_used_bytes)?,
            disk_total_bytes: bytes("metrics.disk_total_bytes", m.disk_total_bytes)?,
            load_1: figure("metrics.load_1", m.load_1)?,
            load_5: figure("metrics.load_5", m.load_5)?,
            load_15: figure("metrics.load_15", m.load_15)?,
            network_rx_bytes_per_s: bytes("metrics.network_rx_bytes_per_s", m.network_rx_bytes_per_s)?,
            network_tx_bytes_per_s: bytes("metrics.network_tx_bytes_per_s", m.network_tx_bytes_per_s)?,
        })
    }
}

impl From<&ProcessReport> for v1::ProcessReport {
    fn from(p: &ProcessReport) -> Self {
        Self {
            application: p.application.to_string(),
            instance: p.instance,
            release_id: p.release_id.map(|id| id.as_uuid().as_bytes().to_vec()).unwrap_or_default(),
            release_version: p.release_version.as_ref().map(ToString::to_string).unwrap_or_default(),
            state: match p.state {
                ProcessState::Stopped => v1::ProcessState::Stopped,
                ProcessState::Starting => v1::ProcessState::Starting,
                ProcessState::Ready => v1::ProcessState::Ready,
                ProcessState::BackingOff => v1::ProcessState::BackingOff,
                ProcessState::CrashLooping => v1::ProcessState::CrashLooping,
                ProcessState::Stopping => v1::ProcessState::Stopping,
            }
            .into(),
            pid: p.pid.unwrap_or(0),
            restarts: p.restarts,
            started_at_ms: p.started_at.map_or(0, |at| at.timestamp_millis()),
            cpu_percent: p.cpu_percent,
            memory_bytes: p.memory_bytes,
            last_exit: p.last_exit.clone().unwrap_or_default(),
            unstable_restarts: p.unstable_restarts,
            limits_by: p.limits_by.clone().unwrap_or_default(),
            dropped_log_lines: p.dropped_log_lines,
            listening: p.listening.clone(),
            last_failure: p.last_failure.clone().unwrap_or_default(),
        }
    }
}

/// A text that is absent when it is empty.
pub(super) fn text(text: String, max: usize) -> Option<String> {
    if text.is_empty() { None } else { Some(cut(text, max)) }
}

impl TryFrom<v1::ProcessReport> for ProcessReport {
    type Error = InvalidMessage;
    fn try_from(p: v1::ProcessReport) -> Result<Self, InvalidMessage> {
        let state = match p.state() {
            v1::ProcessState::Stopped => ProcessState::Stopped,
            v1::ProcessState::Starting => ProcessState::Starting,
            v1::ProcessState::Ready => ProcessState::Ready,
            v1::ProcessState::BackingOff => ProcessState::BackingOff,
            v1::ProcessState::CrashLooping => ProcessState::CrashLooping,
            v1::ProcessState::Stopping => ProcessState::Stopping,
            v1::ProcessState::Unspecified => return Err(InvalidMessage::new("process.state", "is missing")),
        };
        Ok(Self {
            state,
            application: ApplicationName::parse(p.application)
                .map_err(|e| InvalidMessage::new("process.application", e))?,
            instance: p.instance,
            release_id: if p.release_id.is_empty() {
                None
            } else {
                Some(release_id("process.release_id", &p.release_id)?)
            },
            release_version: if p.release_version.is_empty() {
                None
            } else {
                Some(
                    ReleaseVersion::parse(p.release_version)
                        .map_err(|e| InvalidMessage::new("process.release_version", e))?,
                )
            },
            pid: (p.pid != 0).then_some(p.pid),
            restarts: bytes("process.restarts", p.restarts)?,
            started_at: if p.started_at_ms == 0 {
                None
            } else {
                Some(time("process.started_at_ms", p.started_at_ms)?)
            },
            cpu_percent: figure("process.cpu_percent", p.cpu_percent)?,
            memory_bytes: bytes("process.memory_bytes", p.memory_bytes)?,
            last_exit: text(p.last_exit, MAX_LINE_BYTES),
            unstable_restarts: bytes("process.unstable_restarts", p.unstable_restarts)?,
            limits_by: text(p.limits_by, MAX_LINE_BYTES),
            dropped_log_lines: bytes("process.dropped_log_lines", p.dropped_log_lines)?,
            // A line feed stands between them where they are stored.
            listening: p
                .listening
                .into_iter()
                .take(MAX_LISTENING)
                .map(|address| cut(address.replace('\n', " "), MAX_LINE_BYTES))
                .collect(),
            last_failure: text(p.last_failure, MAX_LINE_BYTES),
        })
    }
}

impl From<&ProcessEvent> for v1::ProcessEvent {
    fn from(event: &ProcessEvent) -> Self {
        let ProcessEvent { instance, release, reason, restarts, exit } = event;
        Self {
            instance: *instance,
            release_version: release.as_ref().map(ToString::to_string).unwrap_or_default(),
            reason: reason.clone(),
            restarts: *restarts,
            exit: exit.as_ref().map(|exit| {
                let ProcessExit { code, signal, out_of_memory, uptime_ms, last_stderr } = exit;
                v1::ProcessExit {
                    code: *code,
                    signal: signal.clone().unwrap_or_default(),
                    out_of_memory: *out_of_memory,
                    uptime_ms: *uptime_ms,
                    last_stderr: last_stderr.clone(),
                }
            }),
        }
    }
}

impl TryFrom<v1::ProcessEvent> for ProcessEvent {
    type Error = InvalidMessage;
    fn try_from(wire: v1::ProcessEvent) -> Result<Self, InvalidMessage> {
        let exit = |exit: v1::ProcessExit| {
            Ok(ProcessExit {
                code: exit.code,
                signal: text(exit.signal, MAX_LINE_BYTES),
                out_of_memory: exit.out_of_memory,
                uptime_ms: bytes("event.process.exit.uptime_ms", exit.uptime_ms)?,
                last_stderr: cut_stderr(exit.last_stderr),
            })
        };
        Ok(Self {
            instance: wire.instance,
            // One that is no version says nothing; the event is still worth having.
            release: ReleaseVersion::parse(wire.release_version).ok(),
            reason: cut(wire.reason, MAX_LINE_BYTES),
            restarts: wire.restarts.map(|n| bytes("event.process.restarts", n)).transpose()?,
            exit: wire.exit.map(exit).transpose()?,
        })
    }
}

impl From<&ConvergenceReport> for v1::ConvergenceReport {
    fn from(report: &ConvergenceReport) -> Self {
        let ConvergenceReport {
            sequence,
            generation,
            revision,
            started_at,
            finished_at,
            resources,
            reboot_required,
        } = report;
        Self {
            sequence: *sequence,
            generation: generation.get(),
            revision: revision.as_bytes().to_vec(),
            started_at_ms: started_at.timestamp_millis(),
            finished_at_ms: finished_at.timestamp_millis(),
            resources: resources.iter().map(Into::into).collect(),
            reboot_required: reboot_required.clone().unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::ConvergenceReport> for ConvergenceReport {
    type Error = InvalidMessage;
    fn try_from(wire: v1::ConvergenceReport) -> Result<Self, InvalidMessage> {
        Ok(Self {
            sequence: bytes("report.sequence", wire.sequence)?,
            generation: Generation::new(bytes("report.generation", wire.generation)?),
            revision: digest("report.revision", &wire.revision)?,
            started_at: time("report.started_at_ms", wire.started_at_ms)?,
            finished_at: time("report.finished_at_ms", wire.finished_at_ms)?,
            resources: wire.resources.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            reboot_required: text(wire.reboot_required, MAX_LINE_BYTES),
        })
    }
}

impl From<&ResourceReport> for v1::ResourceReport {
    fn from(report: &ResourceReport) -> Self {
        let ResourceReport { key, status, mode, change, detail, diff } = report;
        Self {
            key: key.to_string(),
            status: match status {
                ResourceStatus::Converged => v1::ResourceStatus::Converged,
                ResourceStatus::Failed => v1::ResourceStatus::Failed,
                ResourceStatus::Skipped => v1::ResourceStatus::Skipped,
                ResourceStatus::Unsupported => v1::ResourceStatus::Unsupported,
                ResourceStatus::Drifted => v1::ResourceStatus::Drifted,
                ResourceStatus::Waiting => v1::ResourceStatus::Waiting,
            }
            .into(),
            change: match change {
                None => v1::ChangeCause::Unspecified,
                Some(ChangeCause::Intentional) => v1::ChangeCause::Intentional,
                Some(ChangeCause::Corrective) => v1::ChangeCause::Corrective,
            }
            .into(),
            detail: detail.clone(),
            mode: mode.as_str().to_owned(),
            diff: diff.clone().unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::ResourceReport> for ResourceReport {
    type Error = InvalidMessage;
    fn try_from(wire: v1::ResourceReport) -> Result<Self, InvalidMessage> {
        let status = match wire.status() {
            v1::ResourceStatus::Converged => ResourceStatus::Converged,
            v1::ResourceStatus::Failed => ResourceStatus::Failed,
            v1::ResourceStatus::Skipped => ResourceStatus::Skipped,
            v1::ResourceStatus::Unsupported => ResourceStatus::Unsupported,
            v1::ResourceStatus::Drifted => ResourceStatus::Drifted,
            v1::ResourceStatus::Waiting => ResourceStatus::Waiting,
            v1::ResourceStatus::Unspecified => {
                return Err(InvalidMessage::new("resource.status", "is missing"));
            }
        };
        let change = match wire.change() {
            v1::ChangeCause::Unspecified => None,
            v1::ChangeCause::Intentional => Some(ChangeCause::Intentional),
            v1::ChangeCause::Corrective => Some(ChangeCause::Corrective),
        };
        let mode = match wire.mode.as_str() {
            // From an agent of before there were modes.
            "" => Mode::Enforce,
            word => Mode::parse(word).ok_or_else(|| InvalidMessage::new("resource.mode", "is no mode"))?,
        };
        Ok(Self {
            status,
            mode,
            change,
            key: ResourceKey::parse(wire.key).map_err(|e| InvalidMessage::new("resource.key", e))?,
            detail: cut(wire.detail, MAX_DETAIL_BYTES),
            diff: text(wire.diff, MAX_DIFF_BYTES),
        })
    }
}
