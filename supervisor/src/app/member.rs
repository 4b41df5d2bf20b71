//! One instance of an application: its state machine and its process.

mod saved;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use muster_planning::supervision::replacement::View;
use muster_planning::supervision::{Context, Instance, LaunchId, Policy, State};
use muster_supervisor_protocol::{AppSpec, ExecMode, LastExit};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub(crate) use saved::{Meanwhile, SavedMember};

use super::places::Numbers;
use super::reported::Reported;
use super::{Shared, pid_file};
use crate::logs::Output;
use crate::process::stats::Sampler;
use crate::process::{self, Happened, Order, Origin, Owner, Process, Start, command, tree};
use crate::readiness::{self, Check, Probe, Route};

/// Whose instance it is during a replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Of the spec in force.
    Current,
    /// Of the spec that is being applied.
    New,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: u64,
    pub(crate) index: u32,
    pub(crate) numbers: Numbers,
    pub(crate) role: Role,
    pub(crate) spec: Arc<AppSpec>,
    policy: Policy,
    pub(crate) machine: Instance,
    pub(crate) process: Option<Process>,
    /// To be forgotten once it has ended.
    pub(crate) retire: bool,
    /// When it was made, or someone last acted on it.
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) last_exit: Option<LastExit>,
    /// Last stderr lines of the process that ended.
    pub(crate) last_stderr: Option<Vec<String>>,
    /// Keys of the sockets it uses; kept while it is restarted.
    pub(crate) keys: BTreeSet<String>,
    /// What would explain that it did not get ready.
    pub(crate) hints: Vec<String>,
    /// Node's cluster module answered.
    pub(crate) online: bool,
    pub(crate) sampler: Sampler,
    /// Metrics and actions of the present process.
    pub(super) reported: Reported,
    /// File that tells the present process id.
    pid_file: Option<PathBuf>,
    hooked: bool,
    probe: Option<RunningProbe>,
}

#[derive(Debug)]
struct RunningProbe {
    task: JoinHandle<()>,
    probe: Probe,
    /// Of the server it asks, when it asks one worker.
    key: Option<String>,
}

/// Hints kept per launch.
const MAX_HINTS: usize = 4;
/// Their length: a hint quotes what the application sent, and ends up in logs and reports.
const MAX_HINT_CHARS: usize = 300;

impl Member {
    pub(crate) fn new(id: u64, index: u32, role: Role, spec: Arc<AppSpec>, numbers: Numbers) -> Self {
        let mut member = Self {
            id,
            index,
            numbers,
            role,
            policy: policy(&spec),
            spec,
            machine: Instance::default(),
            process: None,
            retire: false,
            created_at: Utc::now(),
            started_at: None,
            last_exit: None,
            last_stderr: None,
            keys: BTreeSet::new(),
            hints: Vec::new(),
            online: false,
            sampler: Sampler::default(),
            reported: Reported::default(),
            pid_file: None,
            hooked: false,
            probe: None,
        };
        member.set_role(role);
        member
    }

    /// A new instance is not restarted: that it ended is the answer to whether the spec works.
    pub(crate) fn set_role(&mut self, role: Role) {
        self.role = role;
        self.policy.autorestart = role == Role::Current && self.spec.autorestart;
    }

    /// Takes over a spec that differs only in what does not concern a running process.
    pub(crate) fn adopt(&mut self, spec: &Arc<AppSpec>) {
        self.spec = Arc::clone(spec);
    }

    pub(crate) fn context(&self, now_ms: u64) -> Context<'_> {
        Context { now_ms, policy: &self.policy }
    }

    pub(crate) fn view(&self) -> View {
        match &self.machine.state {
            State::Starting { .. } => View::Starting,
            State::Ready { .. } => View::Ready,
            State::Stopping { .. } => View::Stopping,
            State::Stopped { .. } | State::BackingOff { .. } | State::CrashLooping { .. } => View::Down,
        }
    }

    pub(crate) fn ready(&self) -> bool {
        self.view() == View::Ready
    }

    pub(crate) fn spawn(
        &mut self,
        launch: LaunchId,
        shared: &Shared,
        news: &mpsc::Sender<(Origin, Happened)>,
    ) -> Result<(), String> {
        self.hints.clear();
        self.online = false;
        self.reported = Reported::default();
        self.hooked = command::takes_hook(&self.spec) && (self.spec.user.is_none() || shared.hook_for_others);
        if !self.hooked && self.spec.exec_mode == ExecMode::Cluster {
            tracing::warn!(
                app = self.spec.name,
                "the drain hook cannot be used (permission model, or its folder is closed to the application's user): \
                 connections may be cut when an instance is replaced"
            );
        }
        // A process whose cluster module never came up would not hear us.
        self.policy.drains = false;
        self.policy.disconnects = false;
        let origin = Origin { member: self.id, launch };
        let output = self.output(shared);
        let hook = self.hooked.then_some(shared.hook.as_path());
        let owner = Owner {
            spec: &self.spec,
            output: &output,
            origin,
            happened: news.clone(),
            keeper: &shared.keeper,
        };
        let own_variables = &self.own_variables();
        let start = Start { index: self.index, worker_id: self.id, hook, own_variables };
        let process = process::spawn(owner, start)?;
        shared.ledger.started(process.pid);
        self.pid_file = pid_file::path(&self.spec, self.index, self.numbers.id);
        if let Some(path) = &self.pid_file {
            pid_file::write(path, process.pid);
        }
        self.started_at = Some(Utc::now());
        self.process = Some(process);
        self.follow(readiness::when_started(&self.spec), news);
        Ok(())
    }

    /// Variables that differ between the instances; besides the instance number.
    fn own_variables(&self) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        if let (Some(name), Some(value)) = (&self.spec.increment_var, self.numbers.counter) {
            variables.insert(name.clone(), value.to_string());
        }
        if let Some(pm2) = &self.spec.pm2 {
            variables.insert("pm_id".to_owned(), self.numbers.id.to_string());
            variables.insert("name".to_owned(), self.spec.name.clone());
            variables.insert("PM2_HOME".to_owned(), pm2.home.clone());
        }
        variables
    }

    /// Its process has ended: what told of it is taken back.
    pub(super) fn bury(&mut self) -> Option<Process> {
        self.stop_probe();
        let process = self.process.take()?;
        if let Some(path) = self.pid_file.take() {
            pid_file::remove(&path, process.pid);
        }
        // The stderr of the process that ended is wanted when its failure is told.
        self.last_stderr = Some(process.stderr_tail.lines());
        self.reported = Reported::default();
        Some(process)
    }

    /// The last lines of stderr, of the present process or the one before.
    pub(super) fn last_words(&self) -> Vec<String> {
        let present = self.process.as_ref().map(|process| process.stderr_tail.lines());
        present.or_else(|| self.last_stderr.clone()).unwrap_or_default()
    }

    /// It ended by itself as it may: it is not to be restarted, and nothing was wrong.
    pub(super) fn ended_well(&self) -> bool {
        self.last_exit.as_ref().is_some_and(|exit| match exit.code {
            Some(code) => code == 0 || self.spec.stop_exit_codes.contains(&code),
            None => false,
        })
    }

    fn output(&self, shared: &Shared) -> Output {
        Output {
            hub: shared.logs.clone(),
            writer: shared.writer.clone(),
            spec: Arc::clone(&self.spec),
            instance: self.index,
        }
    }

    /// Starts a probe of the port if one is due.
    fn follow(&mut self, check: Check, news: &mpsc::Sender<(Origin, Happened)>) {
        if let Check::Probe(probe) = check {
            self.start_probe(probe, None, news);
        }
    }

    /// A server of it listens: true when that makes it ready. Otherwise a probe is started if one is due, by a
    /// connection to the server behind `key`.
    pub(crate) fn listens(
        &mut self,
        port: Option<u16>,
        key: Option<String>,
        news: &mpsc::Sender<(Origin, Happened)>,
    ) -> bool {
        match (readiness::when_listening(&self.spec, port), key) {
            (Check::Ready, _) => true,
            (Check::Probe(probe), Some(key)) => {
                self.start_probe(probe, Some(key), news);
                false
            }
            (Check::Wait | Check::Probe(_), _) => false,
        }
    }

    fn start_probe(&mut self, probe: Probe, key: Option<String>, news: &mpsc::Sender<(Origin, Happened)>) {
        self.stop_probe();
        let Some(process) = &self.process else { return };
        let route = match key.clone() {
            Some(key) => Route::Worker { key, orders: process.orders.clone() },
            None => Route::Port { pid: process.pid },
        };
        let origin = Origin { member: self.id, launch: process.launch };
        let news = news.clone();
        let asked = probe.clone();
        let task = tokio::spawn(async move {
            // Only a hint: when there is no room for it just now, it can be missed.
            let notice = |hint| drop(news.try_send((origin, Happened::Noticed { hint })));
            readiness::until_ready(asked, route, notice).await;
            // The application may be gone by now; then nobody waits for the answer.
            drop(news.send((origin, Happened::ProbeSucceeded)).await);
        });
        self.probe = Some(RunningProbe { task, probe, key });
    }

    pub(crate) fn stop_probe(&mut self) {
        if let Some(probe) = self.probe.take() {
            probe.task.abort();
        }
    }

    /// Its cluster module is up.
    pub(crate) fn came_online(&mut self) {
        self.online = true;
        self.policy.drains = self.hooked;
        // With a message the application ends itself, and needs its channel to hear it.
        self.policy.disconnects =
            self.spec.exec_mode == ExecMode::Cluster && !self.spec.shutdown_with_message;
    }

    /// Keeps a hint, unless there are enough. True when it is news.
    pub(crate) fn hint(&mut self, hint: &str) -> bool {
        let hint: String = hint.chars().take(MAX_HINT_CHARS).collect();
        let news = self.hints.len() < MAX_HINTS && !self.hints.contains(&hint);
        if news {
            self.hints.push(hint);
        }
        news
    }

    pub(crate) fn order(&self, order: Order) {
        if let Some(process) = &self.process
            && process.orders.send(order).is_err()
        {
            tracing::debug!(
                app = self.spec.name,
                index = self.index,
                "a process ended before it could be told"
            );
        }
    }

    pub(crate) fn drain(&mut self) {
        self.stop_probe();
        // Idle connections are ended a little before the whole process is.
        self.order(Order::Drain { idle_after_ms: self.spec.kill_timeout_ms.saturating_mul(3) / 4 });
    }

    pub(crate) fn disconnect(&mut self) {
        self.order(Order::Disconnect);
    }

    pub(crate) fn ask(&mut self) {
        self.stop_probe();
        if self.spec.shutdown_with_message {
            self.order(Order::Message(Value::from("shutdown")));
        } else {
            self.order(Order::Signal(tree::signal_number(&self.spec.kill_signal).unwrap_or(2)));
        }
    }

    pub(crate) fn kill(&mut self) {
        self.order(Order::Kill);
    }

    pub(crate) fn running_for(&self) -> Duration {
        self.started_at.and_then(|at| (Utc::now() - at).to_std().ok()).unwrap_or_default()
    }
}

fn policy(spec: &AppSpec) -> Policy {
    Policy {
        autorestart: spec.autorestart,
        max_restarts: spec.max_restarts,
        min_uptime_ms: spec.min_uptime_ms,
        restart_delay_ms: spec.restart_delay_ms,
        exp_backoff_restart_delay_ms: spec.exp_backoff_restart_delay_ms,
        stop_exit_codes: spec.stop_exit_codes.clone(),
        max_memory_bytes: spec.max_memory_restart_bytes,
        listen_timeout_ms: spec.listen_timeout_ms,
        kill_timeout_ms: spec.kill_timeout_ms,
        drains: false,
        disconnects: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_few_and_short_whatever_the_application_sends() {
        let spec = Arc::new(AppSpec::new("a", "/", "a.js"));
        let mut member = Member::new(1, 0, Role::Current, spec, Numbers { id: 0, counter: None });
        let news =
            (0..100).filter(|number| member.hint(&format!("{number} {}", "ü".repeat(1_000_000)))).count();
        assert_eq!((news, member.hints.len()), (MAX_HINTS, MAX_HINTS));
        assert!(member.hints.iter().all(|hint| hint.chars().count() <= MAX_HINT_CHARS));
        assert!(!member.hint("0 again"), "there are enough");
    }
}
