//! What is told about an application.

use chrono::Utc;
use muster_planning::supervision::{Report, State};
use muster_supervisor_protocol::{AppStatus, ExecMode, InstanceState, InstanceStatus, ProcessEventKind};

use super::App;
use super::member::{Member, Role};

impl App {
    /// `None` before the first apply has left anything to tell.
    pub(super) fn status(&mut self) -> Option<AppStatus> {
        let incoming = self.operation.as_ref().and_then(|operation| operation.incoming_spec().cloned());
        let shown = self.spec.clone().or_else(|| incoming.clone());
        if shown.is_none() && self.last_failure.is_none() {
            return None;
        }
        let in_force = self.spec.as_deref();
        let mut instances: Vec<_> =
            self.members.values_mut().map(|member| (member.role, instance(member))).collect();
        instances.sort_by_key(|(role, status)| (status.index, *role == Role::New));
        Some(AppStatus {
            name: self.name.clone(),
            namespace: shown.as_ref().map(|spec| spec.namespace.clone()).unwrap_or_default(),
            release: in_force.map(|spec| spec.release.clone()).unwrap_or_default(),
            release_id: in_force.map(|spec| spec.release_id.clone()).unwrap_or_default(),
            spec_digest: in_force.map(|spec| spec.spec_digest.clone()).unwrap_or_default(),
            exec_mode: shown.as_ref().map_or(ExecMode::Fork, |spec| spec.exec_mode),
            desired: self.desired,
            replacing: incoming.is_some(),
            awaiting_apply: false,
            listening: self.sockets.describe(),
            next_cron_restart: self.automatic.next_cron,
            watching: self.automatic.watching,
            watch_failure: self.automatic.watch_failure.clone(),
            last_failure: self.last_failure.clone(),
            instances: instances.into_iter().map(|(_, status)| status).collect(),
        })
    }
}

fn instance(member: &mut Member) -> InstanceStatus {
    let pid = member.process.as_ref().map(|process| process.pid);
    let running_for = member.running_for();
    let (cpu_percent, memory_bytes) = pid.map_or((0.0, 0), |pid| member.sampler.look(pid, running_for));
    InstanceStatus {
        id: member.numbers.id,
        index: member.index,
        slot: member.index,
        release: member.spec.release.clone(),
        pid,
        state: match &member.machine.state {
            State::Stopped { .. } => InstanceState::Stopped,
            State::Starting { .. } => InstanceState::Starting,
            State::Ready { .. } => InstanceState::Ready,
            State::BackingOff { .. } => InstanceState::BackingOff,
            State::CrashLooping { .. } => InstanceState::CrashLooping,
            State::Stopping { .. } => InstanceState::Stopping,
        },
        ready: member.ready(),
        restarts: member.machine.history.restarts,
        unstable_restarts: member.machine.history.unstable_restarts(),
        created_at: Some(member.created_at),
        started_at: member.started_at,
        uptime_ms: if pid.is_some() { u64::try_from(running_for.as_millis()).unwrap_or(u64::MAX) } else { 0 },
        cpu_percent,
        memory_bytes,
        last_exit: member.last_exit.clone(),
        dropped_log_lines: 0,
        limits_by: None,
        metrics: member.reported.metrics.clone(),
        actions: member.reported.actions.clone(),
    }
}

pub(super) const fn event_kind(report: Report) -> ProcessEventKind {
    match report {
        Report::Started => ProcessEventKind::Started,
        Report::Ready => ProcessEventKind::Ready,
        Report::Exited => ProcessEventKind::Exited,
        Report::Restarting => ProcessEventKind::Restarting,
        Report::BackingOff => ProcessEventKind::BackingOff,
        Report::CrashLooping => ProcessEventKind::CrashLooping,
        Report::Stopping => ProcessEventKind::Stopping,
        Report::Stopped => ProcessEventKind::Stopped,
        Report::MemoryRestart => ProcessEventKind::MemoryRestart,
        Report::CronRestart => ProcessEventKind::CronRestart,
        Report::WatchRestart => ProcessEventKind::WatchRestart,
    }
}

/// Progress and events carry the time they are made at.
pub(super) fn progress(instance: Option<u32>, message: String) -> muster_supervisor_protocol::Progress {
    muster_supervisor_protocol::Progress { at: Utc::now(), instance, message }
}
