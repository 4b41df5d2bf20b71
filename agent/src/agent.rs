//! Puts the parts together and runs them until told to stop.

use crate::artifacts::{ArtifactSource, Releases};
use crate::config::AgentConfig;
use crate::converge::{Converger, Nudges};
use crate::identity::{Enrolment, IdentityError, IdentityStore};
use crate::ledger::{Ledger, LedgerError, QueuedReport, Verifier};
use crate::link::Link;
use crate::link::backoff::Backoff;
use crate::link::remote::RemoteArtifacts;
use crate::lock::{AgentLock, LockError};
use crate::runner::ApplicationRunner;
use muster_domain::event::Severity;
use muster_platform::Host;
use muster_supervisor_protocol::{ProcessEvent, ProcessEventKind};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// An agent that is ready to run. Holds the lock of its state folder.
pub struct Agent {
    config: AgentConfig,
    host: Arc<dyn Host>,
    runner: Arc<dyn ApplicationRunner>,
    enrolment: Enrolment,
    ledger: Arc<Ledger>,
    _lock: AgentLock,
}

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another one runs here.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The node has no identity, or none that can be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The state folder cannot be used.
    #[error("cannot create the state folder {}", path.display())]
    StateDir {
        /// Which folder.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Agent {
    /// Reads who this node is and what it was last told.
    pub fn new(
        config: AgentConfig,
        host: Arc<dyn Host>,
        runner: Arc<dyn ApplicationRunner>,
    ) -> Result<Self, StartError> {
        let store = IdentityStore::new(config.state_dir.clone());
        let enrolment = store.enrolment()?;
        let lock = AgentLock::take(&config.state_dir.lock())?;
        let folder = config.state_dir.applications();
        std::fs::create_dir_all(&folder).map_err(|source| StartError::StateDir { path: folder, source })?;
        let verifier = Verifier { node_id: enrolment.node_id, keys: enrolment.assignment_keys() };
        let now_ms = config.clock.now().timestamp_millis();
        let (ledger, oddities) = Ledger::open(&config.state_dir.ledger(), verifier, now_ms)?;
        for oddity in oddities {
            tracing::error!("{}", oddity.message);
            ledger.reports.push(QueuedReport::event(
                "ledger.damaged",
                Severity::Error,
                oddity.message,
                now_ms,
            ));
        }
        Ok(Self { config, host, runner, enrolment, ledger: Arc::new(ledger), _lock: lock })
    }

    /// Who this node is.
    pub fn enrolment(&self) -> &Enrolment {
        &self.enrolment
    }

    /// Its memory.
    pub fn ledger(&self) -> Arc<Ledger> {
        self.ledger.clone()
    }

    /// Runs until `shutdown` completes. Applications go on without it.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { config, host, runner, enrolment, ledger, _lock } = self;
        let started = format!("agent {} started", crate::VERSION);
        let now_ms = config.clock.now().timestamp_millis();
        ledger.reports.push(QueuedReport::event("agent.started", Severity::Info, started, now_ms));
        tracing::info!(
            node.name = %enrolment.node_name,
            node.id = %enrolment.node_id,
            generation = ledger.current().map_or(0, |current| current.generation.get()),
            version = crate::VERSION,
            "agent started"
        );
        let nudges = Arc::new(Nudges::new(config.intervals.poll));
        let remote = Arc::new(RemoteArtifacts::new());
        let source: Arc<dyn ArtifactSource> = remote.clone();
        let releases = Releases::new(&config, source, host.clone());
        let converger = Converger::new(
            config.clone(),
            host.clone(),
            runner.clone(),
            releases,
            ledger.clone(),
            nudges.clone(),
        );
        let events = forward_events(config.clone(), runner.clone(), ledger.clone(), nudges.clone());
        let link = Link {
            store: IdentityStore::new(config.state_dir.clone()),
            config,
            enrolment,
            ledger,
            nudges,
            host,
            runner,
            remote,
            last_refusal: None,
            renewal_share: rand::random(),
            renewed_until: None,
        };
        let mut parts = JoinSet::new();
        parts.spawn(converger.run());
        parts.spawn(link.run());
        parts.spawn(events);
        tokio::select! {
            () = shutdown => tracing::info!("agent stops; applications go on"),
            ended = parts.join_next() => {
                // None of them ends by itself. A panic is passed on, so that whoever watches the agent starts it again.
                if let Some(Err(error)) = ended && let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
        }
        parts.shutdown().await;
    }
}

/// Reports what happens to processes, and wakes the loop when something should be looked at.
async fn forward_events(
    config: AgentConfig,
    runner: Arc<dyn ApplicationRunner>,
    ledger: Arc<Ledger>,
    nudges: Arc<Nudges>,
) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
    let mut last_error = None;
    loop {
        match runner.watch().await {
            Ok(mut events) => {
                backoff.reset();
                last_error = None;
                // Whatever happened while nobody watched.
                nudges.nudge();
                let mut stopping = BTreeSet::new();
                while let Some(event) = events.recv().await {
                    if of_interest(&mut stopping, &event) {
                        note_event(&ledger, &nudges, event);
                    }
                }
                tracing::warn!("the supervisor is gone; it is started again");
                let now_ms = config.clock.now().timestamp_millis();
                let message = "the supervisor ended and is started again";
                ledger.reports.push(QueuedReport::event("supervisor.lost", Severity::Error, message, now_ms));
            }
            Err(error) => {
                if last_error.as_ref() != Some(&error) {
                    tracing::error!("{error}");
                    last_error = Some(error);
                }
            }
        }
        tokio::time::sleep(backoff.next_pause()).await;
    }
}

/// A process that ends because it was asked to is no event of its own: the stop or the replacement is.
fn of_interest(stopping: &mut BTreeSet<(String, u32)>, event: &ProcessEvent) -> bool {
    let Some(instance) = event.instance else { return true };
    let instance = (event.app.clone(), instance);
    match event.kind {
        ProcessEventKind::Stopping => {
            stopping.insert(instance);
            false
        }
        ProcessEventKind::Exited => !stopping.remove(&instance),
        _ => true,
    }
}

fn note_event(ledger: &Ledger, nudges: &Nudges, event: ProcessEvent) {
    use ProcessEventKind as Kind;
    let (word, severity) = match event.kind {
        Kind::Exited => ("process.exited", Severity::Warning),
        Kind::CrashLooping => ("process.crash_looping", Severity::Error),
        Kind::Stopped => ("process.stopped", Severity::Info),
        Kind::Replaced => ("process.replaced", Severity::Info),
        Kind::ReplaceFailed => ("process.replace_failed", Severity::Error),
        Kind::Deleted => ("process.deleted", Severity::Info),
        Kind::Missed => ("process.events_missed", Severity::Warning),
        Kind::MemoryRestart => ("process.memory_restart", Severity::Warning),
        Kind::CronRestart => ("process.cron_restart", Severity::Info),
        Kind::WatchRestart => ("process.watch_restart", Severity::Info),
        // Every start is followed by one of the others or by a process that simply runs.
        Kind::Ready => return nudges.nudge(),
        Kind::Started | Kind::Restarting | Kind::BackingOff | Kind::Stopping | Kind::Unknown => return,
    };
    let which =
        event.instance.map_or_else(|| event.app.clone(), |instance| format!("{} #{instance}", event.app));
    ledger.reports.push(QueuedReport::Event {
        event: word.to_owned(),
        severity,
        message: format!("{which}: {}", event.reason),
        application: Some(event.app),
        at_ms: event.at.timestamp_millis(),
    });
    nudges.nudge();
}
