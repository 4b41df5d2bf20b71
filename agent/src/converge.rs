//! The loop of the agent: observe -> plan -> apply -> report. It runs when an assignment came, when somebody asks, when
//! something managed changes on the disk, and at each poll, with or without a controller; a run that finds nothing to do
//! writes nothing.
//!
//! Deciding is `muster_planning::convergence`'s. This room keeps the order, applies, and tells what became of it.
//! Start here: [`Converger::converge`], then `run` (one run), `change` (one resource), `noop` (a run that changes nothing).

mod change;
mod circumstances;
mod cost;
mod drift;
mod lockout;
mod noop;
mod nudges;
mod put_back;
mod released;
mod restart;
mod retry;
mod run;
mod sight;
mod told;
mod transaction;
mod turns;
mod way_in;

pub use noop::Planner;
pub use nudges::Nudges;
pub use turns::Turns;

use crate::artifacts::Releases;
use crate::config::{AgentConfig, jittered};
use crate::ledger::{Accepted, Ledger, QueuedReport};
use crate::reboot::Reboots;
use crate::resources::{Builtin, CertificateSource, Kinds};
use crate::runner::ApplicationRunner;
use crate::safe_apply::SafeApply;
use cost::Stopwatch;
use drift::Drift;
use muster_domain::{
    event::Severity,
    observed::{ConvergenceReport, ResourceStatus},
    resource::{DesiredState, Mode, Resource},
};
use muster_planning::convergence::Effort;
use muster_platform::Host;
use muster_supervisor_protocol::AppStatus;
use retry::Retries;
use run::Run;
use sight::Sight;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use told::Told;

/// The longest pause before a look at what waits, for the first while; then a poll is soon enough.
const MAX_WAITING: Duration = Duration::from_secs(5);

/// So many looks at what waits come sooner than a poll: ten minutes.
const SOON: u32 = 120;

/// Converges the node.
pub struct Converger {
    config: AgentConfig,
    host: Arc<dyn Host>,
    kinds: Arc<dyn Kinds>,
    runner: Arc<dyn ApplicationRunner>,
    releases: Releases,
    ledger: Arc<Ledger>,
    nudges: Arc<Nudges>,
    turns: Arc<dyn Turns>,
    certificates: Option<Arc<dyn CertificateSource>>,
    safe: Option<SafeApply>,
    reboots: Reboots,
    cpus: u32,
    retries: Retries,
    told: Told,
    /// Runs in a row in which something waited.
    waited: u32,
    /// The last run changed something.
    changed_something: bool,
    /// The node waits in the row for its turn, as far as this agent knows.
    in_row: bool,
    /// What was done in the node's turn has not led to a node that does its work yet.
    recovery: Option<turns::Recovery>,
}

/// What a converger works with.
pub struct Parts {
    /// What the agent was told from outside.
    pub config: AgentConfig,
    /// The host.
    pub host: Arc<dyn Host>,
    /// Who runs applications.
    pub runner: Arc<dyn ApplicationRunner>,
    /// Their releases.
    pub releases: Releases,
    /// The memory.
    pub ledger: Arc<Ledger>,
    /// What wakes the loop.
    pub nudges: Arc<Nudges>,
    /// Who says whose turn it is.
    pub turns: Arc<dyn Turns>,
    /// Who issues certificates for services; absent where there is nobody to ask.
    pub certificates: Option<Arc<dyn CertificateSource>>,
    /// Who puts what can lock somebody out to the test; absent where there is no controller to be reached.
    pub safe: Option<SafeApply>,
}

impl Converger {
    /// A loop over these parts.
    pub fn new(parts: Parts) -> Self {
        Self::with_kinds(parts, Arc::new(Builtin))
    }

    fn with_kinds(parts: Parts, kinds: Arc<dyn Kinds>) -> Self {
        let Parts { config, host, runner, releases, ledger, nudges, turns, certificates, safe } = parts;
        let retries = Retries::new(config.intervals.retry_min, config.intervals.retry_max);
        let cpus = host.facts(crate::VERSION).cpus;
        let (reboots, told) = (Reboots::load(&config.state_dir), Told::default());
        Self {
            config,
            host,
            kinds,
            runner,
            releases,
            ledger,
            nudges,
            turns,
            certificates,
            safe,
            reboots,
            cpus,
            retries,
            told,
            waited: 0,
            changed_something: false,
            in_row: false,
            recovery: None,
        }
    }

    /// Converges until it is dropped.
    pub async fn run(mut self) {
        let mut drift = Drift::new(self.host.clone(), self.config.intervals.drift_rest);
        let state = self.config.state_dir.clone();
        crate::blocking(move || crate::resources::validate::clear(&state)).await;
        self.recover().await;
        loop {
            let asked = self.nudges.take_asked();
            // What is to be watched is watched before it is looked at, so that nothing happens in between.
            if let Some(assignment) = self.ledger.current() {
                drift.watch(&assignment);
            }
            let pause = self.converge(asked).await;
            drift.looked(self.changed_something);
            tokio::select! {
                () = self.nudges.nudged() => {}
                () = drift.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One run, and when the next one is due. `asked`: a person wants it, so it tries harder and reports in any case.
    pub async fn converge(&mut self, asked: bool) -> Duration {
        let nudges = self.nudges.clone();
        let _alone = nudges.alone().await;
        let Some(assignment) = self.ledger.current() else { return self.next(None, false) };
        if asked {
            self.retries.clear();
            if let Err(error) = self.ledger.forgive() {
                tracing::warn!(error = %crate::chain(&error), "that a person asked cannot be noted");
            }
            if let Some(Err(error)) = self.safe.as_ref().map(SafeApply::forgive) {
                tracing::warn!("that a person asked cannot be noted: {error}");
            }
        }
        let (started_at, watch) = (self.config.clock.now(), Stopwatch::start());
        let sight = self.sight(assignment.clone(), Effort { start_crash_looping: asked }).await;
        let mut run = Run::begin(self, sight).await;
        run.carry_out_all().await;
        run.remove_released().await;
        if !run.converger.reboots.keeps_turn() {
            run.finish_turn().await;
        }
        let Run { reports, removed, again_in, sight, changed, .. } = run;
        self.changed_something = !changed.is_empty();
        if let Ok(apps) = &sight.apps {
            self.remove_applications(&assignment, apps).await;
        }
        let mut resources: Vec<_> = reports.into_iter().flatten().collect();
        let each = || assignment.content.resources.iter().zip(&assignment.resource_digests).zip(&resources);
        let in_place = each().filter(|((resource, _), report)| {
            report.status == ResourceStatus::Converged && resource.mode != Mode::Ignore
        });
        let in_place: Vec<(&Resource, _)> =
            in_place.map(|((resource, digest), _)| (resource, *digest)).collect();
        if let Err(error) = self.ledger.note_converged(&assignment, in_place) {
            tracing::warn!(error = %crate::chain(&error), "what is in force cannot be noted");
        }
        resources.extend(removed);
        self.note_mended(&resources);
        let waits = resources.iter().any(|resource| resource.status == ResourceStatus::Waiting);
        let mut report = ConvergenceReport {
            sequence: 0,
            generation: assignment.generation,
            revision: assignment.revision,
            started_at,
            // The clock may have been set back meanwhile.
            finished_at: self.config.clock.now().max(started_at),
            resources,
            reboot_required: None,
        };
        let settled = report.converged() && self.ledger.released().is_empty();
        report.reboot_required = self.restart(&assignment, settled).await;
        self.told.report(report, asked, watch.read(), &self.ledger.reports);
        self.next(again_in, waits)
    }

    /// When the next run is due.
    fn next(&mut self, again_in: Option<Duration>, waits: bool) -> Duration {
        self.waited = if waits { self.waited.saturating_add(1) } else { 0 };
        let poll = jittered(self.nudges.poll());
        let soon = (waits && self.waited < SOON)
            .then(|| self.config.intervals.waiting.saturating_mul(self.waited).min(MAX_WAITING));
        [again_in, soon].into_iter().flatten().fold(poll, Duration::min)
    }

    /// With what this run looks.
    async fn sight(&self, assignment: Arc<Accepted>, effort: Effort) -> Sight {
        Sight {
            assignment,
            host: self.host.clone(),
            kinds: self.kinds.clone(),
            state: self.config.state_dir.clone(),
            apps: self.runner.list().await.map_err(|error| error.to_string()),
            cpus: self.cpus,
            effort,
        }
    }

    /// Stops applications that are not assigned any more. Only those that this agent installed, and never their files.
    async fn remove_applications(&self, assignment: &Accepted, apps: &[AppStatus]) {
        let assigned: BTreeSet<&str> = assignment
            .content
            .resources
            .iter()
            .filter_map(|resource| match &resource.desired {
                DesiredState::Application(wanted) => Some(wanted.name.as_str()),
                _ => None,
            })
            .collect();
        for app in apps.iter().filter(|app| !assigned.contains(app.name.as_str())) {
            let Ok(name) = muster_domain::ApplicationName::parse(app.name.clone()) else { continue };
            if !self.config.state_dir.application(&name).is_dir() {
                continue;
            }
            if let Err(error) = self.runner.delete(&app.name).await {
                tracing::warn!(application = %name, %error, "an application that is no longer assigned still runs");
                continue;
            }
            let message = format!("{name} is no longer assigned: it was stopped, its files were kept");
            tracing::info!(application = %name, "{message}");
            self.ledger.reports.push(QueuedReport::Event {
                event: "application.removed".to_owned(),
                severity: Severity::Info,
                message,
                application: Some(app.name.clone()),
                at_ms: self.config.clock.now().timestamp_millis(),
                process: None,
            });
        }
    }
}

#[cfg(test)]
mod tests;
