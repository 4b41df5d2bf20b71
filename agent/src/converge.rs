//! The loop of the agent: observe -> plan -> apply -> report. It runs when an assignment came, when somebody asks, and at
//! each poll, with or without a controller; a run that finds nothing to do writes nothing.
//!
//! Deciding is `muster_planning::convergence`'s. This room keeps the order, applies, and tells what became of it.

mod retry;

use crate::artifacts::Releases;
use crate::config::{AgentConfig, jittered};
use crate::ledger::{Accepted, Ledger, QueuedReport};
use crate::resources::{self, CertificateSource, Look, View, deploy, nodejs, observe};
use crate::runner::ApplicationRunner;
use muster_domain::{
    event::Severity,
    observed::{ChangeCause, ConvergenceReport, ResourceReport, ResourceStatus},
    resource::{DesiredState, Resource, ResourceKey},
};
use muster_planning::convergence::{self, Action, Effort, Observed, Outcomes, Plan, Verdict};
use muster_platform::Host;
use muster_supervisor_protocol::AppStatus;
use retry::Retries;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How the link wakes the loop, and tells it how often to look by itself.
#[derive(Debug)]
pub struct Nudges {
    notify: Notify,
    asked: AtomicBool,
    poll_ms: AtomicU64,
}

impl Nudges {
    /// None yet.
    pub fn new(poll: Duration) -> Self {
        let poll_ms = AtomicU64::new(u64::try_from(poll.as_millis()).unwrap_or(u64::MAX));
        Self { notify: Notify::new(), asked: AtomicBool::new(false), poll_ms }
    }

    /// There may be something to do.
    pub fn nudge(&self) {
        self.notify.notify_one();
    }

    /// A person wants a run now, and its report, whatever it finds.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
        self.notify.notify_one();
    }

    /// The time between two polls.
    pub fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms.load(Ordering::Relaxed))
    }

    /// Changes that time, within reason: a controller's mistake must neither silence agents nor make them a storm.
    pub fn set_poll_ms(&self, poll_ms: u32) {
        if poll_ms > 0 {
            self.poll_ms.store(u64::from(poll_ms).clamp(50, 3_600_000), Ordering::Relaxed);
        }
    }
}

/// Converges the node.
pub struct Converger {
    config: AgentConfig,
    host: Arc<dyn Host>,
    runner: Arc<dyn ApplicationRunner>,
    releases: Releases,
    ledger: Arc<Ledger>,
    nudges: Arc<Nudges>,
    certificates: Option<Arc<dyn CertificateSource>>,
    retries: Retries,
    last_report: Option<ConvergenceReport>,
}

/// What became of one resource.
struct StepOutcome {
    status: ResourceStatus,
    changed: bool,
    detail: String,
}

impl StepOutcome {
    fn new(status: ResourceStatus, detail: impl Into<String>) -> Self {
        Self { status, changed: false, detail: detail.into() }
    }
}

impl Converger {
    /// A loop over these parts.
    pub fn new(
        config: AgentConfig,
        host: Arc<dyn Host>,
        runner: Arc<dyn ApplicationRunner>,
        releases: Releases,
        ledger: Arc<Ledger>,
        nudges: Arc<Nudges>,
    ) -> Self {
        let retries = Retries::new(config.intervals.retry_min, config.intervals.retry_max);
        Self {
            config,
            host,
            runner,
            releases,
            ledger,
            nudges,
            certificates: None,
            retries,
            last_report: None,
        }
    }

    /// Has certificates for services issued there.
    #[must_use]
    pub fn with_certificates(self, source: Arc<dyn CertificateSource>) -> Self {
        Self { certificates: Some(source), ..self }
    }

    /// Converges until it is dropped.
    pub async fn run(mut self) {
        loop {
            let asked = self.nudges.asked.swap(false, Ordering::Relaxed);
            self.converge(asked).await;
            let poll = tokio::time::sleep(jittered(self.nudges.poll()));
            tokio::select! {
                () = self.nudges.notify.notified() => {}
                () = poll => {}
            }
        }
    }

    /// One run. `asked`: a person wants it, so it tries harder and reports in any case.
    pub async fn converge(&mut self, asked: bool) {
        let Some(assignment) = self.ledger.current() else { return };
        if asked {
            self.retries.clear();
        }
        let started_at = self.config.clock.now();
        let effort = Effort { start_crash_looping: asked };
        let apps = Arc::new(self.runner.list().await.map_err(|error| error.to_string()));
        let cpus = self.host.facts(crate::VERSION).cpus;
        let observed = self.observe_all(&assignment, &apps, cpus).await;
        let plan = convergence::plan(&assignment.content.resources, &observed, effort);
        let resources = self.carry_out(&assignment, plan, &apps, cpus, effort).await;
        if let Ok(apps) = apps.as_ref() {
            self.remove_applications(&assignment, apps).await;
        }
        let in_place = resources.iter().zip(&assignment.resource_digests);
        let in_place = in_place.filter(|(report, _)| report.status == ResourceStatus::Converged);
        let in_place = in_place.map(|(report, digest)| (report.key.clone(), *digest));
        if let Err(error) = self.ledger.note_converged(&assignment, in_place) {
            tracing::warn!(error = %crate::chain(&error), "what is in force cannot be noted");
        }
        let report = ConvergenceReport {
            sequence: 0,
            generation: assignment.generation,
            revision: assignment.revision,
            started_at,
            finished_at: self.config.clock.now(),
            resources,
            reboot_required: None,
        };
        self.report(report, asked);
    }

    async fn observe_all(
        &self,
        assignment: &Arc<Accepted>,
        apps: &Arc<Result<Vec<AppStatus>, String>>,
        cpus: u32,
    ) -> BTreeMap<ResourceKey, Observed> {
        let (host, state) = (self.host.clone(), self.config.state_dir.clone());
        let (assignment, apps) = (assignment.clone(), apps.clone());
        crate::blocking(move || {
            let view = View { state: &state, apps: &apps, cpus };
            let look = |resource: &Resource| (resource.key.clone(), observe(host.as_ref(), view, resource));
            assignment.content.resources.iter().map(look).collect()
        })
        .await
    }

    async fn carry_out(
        &mut self,
        assignment: &Arc<Accepted>,
        plan: Plan,
        apps: &Arc<Result<Vec<AppStatus>, String>>,
        cpus: u32,
        effort: Effort,
    ) -> Vec<ResourceReport> {
        let mut outcomes = Outcomes::default();
        let mut reports = Vec::with_capacity(plan.steps.len());
        let mut changed_before = false;
        for (index, step) in plan.steps.into_iter().enumerate() {
            let resource = &assignment.content.resources[index];
            let digest = assignment.resource_digests[index];
            let outcome = if let Some(dependency) = outcomes.blocked_by(resource) {
                StepOutcome::new(
                    ResourceStatus::Skipped,
                    format!("{dependency}, which it depends on, is not in place"),
                )
            } else {
                let mut verdict = step.verdict;
                if changed_before && matches!(verdict, Verdict::Change { .. }) {
                    // What was done a moment ago may have changed what is needed here.
                    let (host, state) = (self.host.clone(), self.config.state_dir.clone());
                    let (resource, apps) = (resource.clone(), apps.clone());
                    verdict = crate::blocking(move || {
                        let view = View { state: &state, apps: &apps, cpus };
                        let observed = observe(host.as_ref(), view, &resource);
                        convergence::verdict(&resource.desired, &observed, effort)
                    })
                    .await;
                }
                self.step(resource, digest, verdict, cpus).await
            };
            changed_before |= outcome.changed;
            let corrective = self.ledger.converged(&resource.key) == Some(digest);
            let cause = if corrective { ChangeCause::Corrective } else { ChangeCause::Intentional };
            let StepOutcome { status, changed, detail } = outcome;
            // It may quote the application, and goes to the log as well as into the report.
            let detail = self.ledger.redactor().clean(detail);
            if status == ResourceStatus::Failed && !self.known(&resource.key, status, &detail) {
                tracing::warn!(resource = %resource.key, "failed: {detail}");
            } else if changed {
                tracing::info!(resource = %resource.key, cause = cause.as_str(), "changed: {detail}");
            }
            outcomes.record(resource.key.clone(), status);
            reports.push(ResourceReport {
                key: resource.key.clone(),
                status,
                mode: resource.mode,
                change: changed.then_some(cause),
                detail,
                diff: None,
            });
        }
        reports
    }

    async fn step(
        &mut self,
        resource: &Resource,
        digest: muster_domain::Digest,
        verdict: Verdict,
        cpus: u32,
    ) -> StepOutcome {
        let (actions, reason) = match verdict {
            Verdict::InPlace => {
                self.retries.succeeded(&resource.key);
                return StepOutcome::new(ResourceStatus::Converged, "");
            }
            Verdict::Waiting { reason } => return StepOutcome::new(ResourceStatus::Drifted, reason),
            Verdict::Impossible { reason } => return StepOutcome::new(ResourceStatus::Failed, reason),
            Verdict::Unsupported { reason } => return StepOutcome::new(ResourceStatus::Unsupported, reason),
            Verdict::Change { actions, reason } => (actions, reason),
        };
        if let Some(detail) = self.retries.held_back(&resource.key, digest, Instant::now()) {
            return StepOutcome::new(ResourceStatus::Failed, detail);
        }
        let mut done: Vec<String> = vec![reason];
        for action in actions {
            match self.act(resource, action, cpus).await {
                Ok(note) => done.extend(note),
                Err(reason) => {
                    let expensive =
                        matches!(action, Action::RunRelease | Action::StartAgain | Action::InstallNodejs);
                    let detail = if expensive {
                        self.retries.failed(
                            &resource.key,
                            digest,
                            reason,
                            (Instant::now(), self.config.clock.now()),
                        )
                    } else {
                        reason
                    };
                    return StepOutcome::new(ResourceStatus::Failed, detail);
                }
            }
        }
        self.retries.succeeded(&resource.key);
        StepOutcome { status: ResourceStatus::Converged, changed: true, detail: done.join("; ") }
    }

    /// Does one thing, and says what a person should know about it.
    async fn act(&self, resource: &Resource, action: Action, cpus: u32) -> Result<Option<String>, String> {
        match (&resource.desired, action) {
            (DesiredState::Nodejs(wanted), Action::InstallNodejs) => {
                let (host, state, range) =
                    (self.host.clone(), self.config.state_dir.clone(), wanted.range.clone());
                let version = crate::blocking(move || nodejs::install(host.as_ref(), &state, &range)).await?;
                Ok(Some(format!("installed Node.js {version}")))
            }
            (DesiredState::Application(wanted), Action::FetchRelease) => {
                self.releases.install(wanted).await.map(|()| None).map_err(|error| error.to_string())
            }
            (DesiredState::Application(wanted), Action::RunRelease) => {
                deploy::run_release(self.host.clone(), self.runner.as_ref(), &self.config, wanted, cpus).await
            }
            (DesiredState::Application(wanted), Action::StartAgain) => self
                .runner
                .start(wanted.name.as_str())
                .await
                .map(|()| None)
                .map_err(|error| error.to_string()),
            (DesiredState::Application(wanted), Action::PointCurrent) => {
                deploy::point_current(&self.config.state_dir, wanted).map_err(|error| error.to_string())?;
                let in_use = BTreeSet::from([wanted.release_id]);
                match self.releases.prune(&wanted.name, &in_use) {
                    Ok(removed) if removed.is_empty() => {}
                    Ok(removed) => {
                        tracing::info!(application = %wanted.name, ?removed, "removed old releases")
                    }
                    Err(error) => {
                        tracing::warn!(application = %wanted.name, %error, "cannot remove old releases")
                    }
                }
                Ok(None)
            }
            (DesiredState::Certificate(wanted), Action::IssueCertificate) => {
                let Some(source) = &self.certificates else {
                    return Err("this agent has no controller to ask for certificates".into());
                };
                let (host, state) = (self.host.clone(), self.config.state_dir.clone());
                resources::issue_certificate(host, state, source.as_ref(), wanted).await
            }
            (desired, action) => {
                let (host, state) = (self.host.clone(), self.config.state_dir.clone());
                let (desired, assigned) = (desired.clone(), self.ledger.current());
                crate::blocking(move || {
                    let assigned = assigned.as_ref().map_or(&[][..], |current| &current.content.resources);
                    let look = Look { host: host.as_ref(), state: &state, assigned };
                    resources::apply(look, &desired, action)
                })
                .await
            }
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
            let (kind, severity, message) = match self.runner.delete(&app.name).await {
                Ok(()) => {
                    let message =
                        format!("{name} is no longer assigned: it was stopped, its files were kept");
                    ("application.removed", Severity::Info, message)
                }
                Err(error) => {
                    tracing::warn!(application = %name, %error, "an application that is no longer assigned still runs");
                    continue;
                }
            };
            tracing::info!(application = %name, "{message}");
            self.ledger.reports.push(QueuedReport::Event {
                event: kind.to_owned(),
                severity,
                message,
                application: Some(app.name.clone()),
                at_ms: self.config.clock.now().timestamp_millis(),
                process: None,
            });
        }
    }

    /// Whether the last run found the same: told once, not at every poll.
    fn known(&self, key: &ResourceKey, status: ResourceStatus, detail: &str) -> bool {
        let last = self.last_report.iter().flat_map(|report| &report.resources);
        last.into_iter().any(|known| known.key == *key && known.status == status && known.detail == detail)
    }

    /// Queues a report when it says something new.
    fn report(&mut self, report: ConvergenceReport, asked: bool) {
        let changed = report.resources.iter().any(|resource| resource.change.is_some());
        let known = self.last_report.as_ref().is_some_and(|last| {
            last.generation == report.generation
                && last.revision == report.revision
                && last.resources.iter().map(standing).eq(report.resources.iter().map(standing))
        });
        if asked || changed || !known {
            let failed = report.resources.iter().filter(|r| r.status == ResourceStatus::Failed).count();
            tracing::info!(
                generation = report.generation.get(),
                failed,
                converged = report.converged(),
                "run reported"
            );
            self.ledger.reports.push(QueuedReport::Convergence(report.clone()));
        }
        self.last_report = Some(report);
    }
}

/// What of a resource is news when it differs: how it stands and why, not what was just done.
fn standing(report: &ResourceReport) -> (&ResourceKey, ResourceStatus, &str) {
    let detail = if report.status == ResourceStatus::Converged { "" } else { report.detail.as_str() };
    (&report.key, report.status, detail)
}
