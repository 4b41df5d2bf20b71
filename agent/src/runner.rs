//! Who runs the processes of applications. The real one is the supervisor; tests of the fleet use [`fake::FakeRunner`].

pub mod fake;
mod renewal;
pub mod supervisor;

pub use renewal::Renewal;

use crate::redact::Redactor;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use muster_domain::{
    ApplicationName, ReleaseId, ReleaseVersion,
    observed::{ProcessReport, ProcessState},
};
use muster_supervisor_protocol::{
    AppSpec, AppStatus, Applied, InstanceState, InstanceStatus, LogLine, LogsRequest, Pong, ProcessEvent,
};
use tokio::sync::mpsc;

/// Runs applications.
pub trait ApplicationRunner: Send + Sync + 'static {
    /// Every application that it knows.
    fn list(&self) -> BoxFuture<'_, Result<Vec<AppStatus>, RunnerError>>;
    /// Makes a spec run, and waits for the outcome.
    fn apply(&self, spec: AppSpec) -> BoxFuture<'_, Result<Applied, RunnerError>>;
    /// Starts an application that is stopped or was given up.
    fn start<'a>(&'a self, app: &'a str) -> BoxFuture<'a, Result<(), RunnerError>>;
    /// Stops and forgets an application.
    fn delete<'a>(&'a self, app: &'a str) -> BoxFuture<'a, Result<(), RunnerError>>;
    /// Log lines, until the receiver is dropped or there are no more.
    fn logs(&self, request: LogsRequest) -> BoxFuture<'_, Result<mpsc::Receiver<LogLine>, RunnerError>>;
    /// The specs in force, with their environments.
    fn specs(&self) -> BoxFuture<'_, Result<Vec<AppSpec>, RunnerError>>;
    /// Who runs them, and since when.
    fn supervisor(&self) -> BoxFuture<'_, Result<Pong, RunnerError>>;
    /// Has a runner of another build replaced by the one that belongs to this agent, without touching an application.
    fn renew(&self) -> BoxFuture<'_, Result<Renewal, RunnerError>>;
    /// What happens to processes from now on. The channel ends when the runner is gone.
    fn watch(&self) -> BoxFuture<'_, Result<mpsc::Receiver<ProcessEvent>, RunnerError>>;
}

/// Why the runner did not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunnerError {
    /// It does not answer, and could not be started.
    #[error("the supervisor is not there: {0}")]
    Unavailable(String),
    /// It said no.
    #[error("the supervisor refused: {0}")]
    Refused(String),
}

/// The processes of some applications as they are reported, without secrets. What the agent did not start is left out.
pub fn process_reports(apps: &[AppStatus], redactor: &Redactor) -> Vec<ProcessReport> {
    let mut reports = Vec::new();
    for app in apps {
        let Ok(application) = ApplicationName::parse(app.name.clone()) else { continue };
        let last_failure = app.last_failure.clone().map(|failure| redactor.clean(failure));
        reports.extend(app.instances.iter().map(|instance| ProcessReport {
            last_exit: instance.last_exit.as_ref().map(|exit| redactor.clean(exit.reason.clone())),
            last_failure: last_failure.clone(),
            ..process_report(&application, app, instance)
        }));
    }
    reports
}

fn process_report(
    application: &ApplicationName,
    app: &AppStatus,
    instance: &InstanceStatus,
) -> ProcessReport {
    // During a replacement old and new are side by side; the id is that of the new one.
    let same_release = instance.release == app.release;
    ProcessReport {
        application: application.clone(),
        instance: instance.index,
        release_id: app.release_id.parse::<ReleaseId>().ok().filter(|_| same_release),
        release_version: ReleaseVersion::parse(instance.release.clone()).ok(),
        state: match instance.state {
            InstanceState::Stopped => ProcessState::Stopped,
            InstanceState::Starting => ProcessState::Starting,
            InstanceState::Ready => ProcessState::Ready,
            InstanceState::BackingOff => ProcessState::BackingOff,
            InstanceState::CrashLooping => ProcessState::CrashLooping,
            InstanceState::Stopping => ProcessState::Stopping,
        },
        pid: instance.pid,
        restarts: instance.restarts.into(),
        started_at: instance.started_at.filter(|at| *at > DateTime::<Utc>::UNIX_EPOCH),
        cpu_percent: instance.cpu_percent,
        memory_bytes: instance.memory_bytes,
        last_exit: None,
        unstable_restarts: instance.unstable_restarts.into(),
        limits_by: instance.limits_by.clone(),
        dropped_log_lines: instance.dropped_log_lines,
        listening: app.listening.clone(),
        last_failure: None,
    }
}
