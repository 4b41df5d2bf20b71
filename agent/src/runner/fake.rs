//! A runner in memory: what is applied is ready at once, unless it was told to fail.

use super::{ApplicationRunner, RunnerError};
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use muster_supervisor_protocol::{
    AppSpec, AppStatus, Applied, ApplyOutcome, DesiredRun, InstanceState, InstanceStatus, LogLine,
    LogStreamName, LogsRequest, ProcessEvent,
};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// A runner in memory.
#[derive(Debug, Default)]
pub struct FakeRunner {
    world: Mutex<World>,
}

#[derive(Debug, Default)]
struct World {
    apps: BTreeMap<String, (AppSpec, AppStatus)>,
    applied: Vec<AppSpec>,
    deleted: Vec<String>,
    /// Releases that do not come up, and what they say.
    broken: BTreeMap<String, String>,
    unavailable: bool,
    lines: Vec<LogLine>,
    watchers: Vec<mpsc::Sender<ProcessEvent>>,
}

impl FakeRunner {
    /// A runner that runs nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A release of this version does not come up, for this reason.
    pub fn break_release(&self, version: &str, reason: &str) {
        self.world().broken.insert(version.to_owned(), reason.to_owned());
    }

    /// It comes up again.
    pub fn mend_release(&self, version: &str) {
        self.world().broken.remove(version);
    }

    /// Whether the runner answers at all.
    pub fn set_unavailable(&self, unavailable: bool) {
        self.world().unavailable = unavailable;
    }

    /// Every spec that was applied, in order, unchanged ones included.
    pub fn applied(&self) -> Vec<AppSpec> {
        self.world().applied.clone()
    }

    /// What was deleted, in order.
    pub fn deleted(&self) -> Vec<String> {
        self.world().deleted.clone()
    }

    /// The version that an application runs.
    pub fn running(&self, app: &str) -> Option<String> {
        self.world().apps.get(app).map(|(spec, _)| spec.release.clone())
    }

    /// Changes what is said of an application, behind the agent's back.
    pub fn tamper(&self, app: &str, change: impl FnOnce(&mut AppStatus)) {
        if let Some((_, status)) = self.world().apps.get_mut(app) {
            change(status);
        }
    }

    /// Forgets an application, behind the agent's back.
    pub fn lose(&self, app: &str) {
        self.world().apps.remove(app);
    }

    /// What an application wrote.
    pub fn write_line(&self, line: LogLine) {
        self.world().lines.push(line);
    }

    /// Tells every watcher.
    pub fn emit(&self, event: &ProcessEvent) {
        self.world().watchers.retain(|watcher| watcher.try_send(event.clone()).is_ok());
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answering(&self) -> Result<MutexGuard<'_, World>, RunnerError> {
        let world = self.world();
        if world.unavailable {
            Err(RunnerError::Unavailable("it was switched off".into()))
        } else {
            Ok(world)
        }
    }
}

fn status(spec: &AppSpec) -> AppStatus {
    let instance = |index| InstanceStatus {
        id: index,
        index,
        slot: index,
        release: spec.release.clone(),
        pid: Some(1000 + index),
        state: InstanceState::Ready,
        ready: true,
        restarts: 0,
        unstable_restarts: 0,
        started_at: Some(DateTime::<Utc>::UNIX_EPOCH + chrono::TimeDelta::days(1)),
        uptime_ms: 1,
        cpu_percent: 0.0,
        memory_bytes: 40_000_000,
        last_exit: None,
        created_at: None,
        dropped_log_lines: 0,
        limits_by: None,
        metrics: BTreeMap::new(),
        actions: Vec::new(),
    };
    AppStatus {
        name: spec.name.clone(),
        namespace: spec.namespace.clone(),
        release: spec.release.clone(),
        release_id: spec.release_id.clone(),
        spec_digest: spec.spec_digest.clone(),
        exec_mode: spec.exec_mode,
        desired: DesiredRun::Running,
        replacing: false,
        awaiting_apply: false,
        listening: Vec::new(),
        next_cron_restart: None,
        watching: false,
        watch_failure: None,
        last_failure: None,
        instances: (0..spec.instances).map(instance).collect(),
    }
}

impl ApplicationRunner for FakeRunner {
    fn list(&self) -> BoxFuture<'_, Result<Vec<AppStatus>, RunnerError>> {
        let apps =
            self.answering().map(|world| world.apps.values().map(|(_, status)| status.clone()).collect());
        Box::pin(async move { apps })
    }

    fn apply(&self, spec: AppSpec) -> BoxFuture<'_, Result<Applied, RunnerError>> {
        let applied = self.answering().map(|mut world| {
            world.applied.push(spec.clone());
            let former = world.apps.get(&spec.name).map(|(former, _)| former.spec_digest.clone());
            let outcome = if let Some(reason) = world.broken.get(&spec.release) {
                let last_stderr = vec![format!("Error: {reason}")];
                let reason = format!("instance 0 did not become ready: {reason}");
                ApplyOutcome::Failed { reason, last_stderr, previous_kept: former.is_some() }
            } else {
                let unchanged = former.as_deref() == Some(&spec.spec_digest);
                world.apps.insert(spec.name.clone(), (spec.clone(), status(&spec)));
                match (unchanged, former) {
                    (true, _) => ApplyOutcome::Unchanged,
                    (false, Some(_)) => ApplyOutcome::Replaced,
                    (false, None) => ApplyOutcome::Started,
                }
            };
            Applied { outcome, notes: Vec::new() }
        });
        Box::pin(async move { applied })
    }

    fn start<'a>(&'a self, app: &'a str) -> BoxFuture<'a, Result<(), RunnerError>> {
        let started = self.answering().and_then(|mut world| match world.apps.get_mut(app) {
            Some((spec, known)) => {
                *known = status(spec);
                Ok(())
            }
            None => Err(RunnerError::Refused(format!("there is no application {app:?}"))),
        });
        Box::pin(async move { started })
    }

    fn delete<'a>(&'a self, app: &'a str) -> BoxFuture<'a, Result<(), RunnerError>> {
        let deleted = self.answering().map(|mut world| {
            world.apps.remove(app);
            world.deleted.push(app.to_owned());
        });
        Box::pin(async move { deleted })
    }

    fn logs(&self, request: LogsRequest) -> BoxFuture<'_, Result<mpsc::Receiver<LogLine>, RunnerError>> {
        let lines = self.answering().map(|world| {
            let wanted = |line: &&LogLine| request.apps.is_empty() || request.apps.contains(&line.app);
            let lines: Vec<LogLine> = world.lines.iter().filter(wanted).cloned().collect();
            let (sender, receiver) = mpsc::channel(lines.len().max(1));
            for line in lines {
                sender.try_send(line).expect("the channel has room for each");
            }
            receiver
        });
        Box::pin(async move { lines })
    }

    fn watch(&self) -> BoxFuture<'_, Result<mpsc::Receiver<ProcessEvent>, RunnerError>> {
        let receiver = self.answering().map(|mut world| {
            let (sender, receiver) = mpsc::channel(64);
            world.watchers.push(sender);
            receiver
        });
        Box::pin(async move { receiver })
    }
}

/// A line of standard output, for tests.
pub fn line(app: &str, instance: u32, text: &str) -> LogLine {
    LogLine {
        at: DateTime::<Utc>::UNIX_EPOCH,
        app: app.to_owned(),
        instance,
        stream: LogStreamName::Out,
        line: text.to_owned(),
    }
}
