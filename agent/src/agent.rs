//! Puts the parts together and runs them until told to stop.

use crate::artifacts::{ArtifactSource, Releases};
use crate::config::AgentConfig;
use crate::converge::{Converger, Nudges, Parts, Planner};
use crate::identity::{Enrolment, IdentityError, IdentityStore};
use crate::ledger::{Ledger, LedgerError, QueuedReport, Verifier};
use crate::link::Link;
use crate::link::reach::FreshConnection;
use crate::link::remote::RemoteArtifacts;
use crate::link::turns::RemoteTurns;
use crate::lock::{AgentLock, LockError};
use crate::processes::ProcessWatch;
use crate::runner::ApplicationRunner;
use crate::safe_apply::SafeApply;
use muster_domain::event::Severity;
use muster_platform::Host;
use std::sync::Arc;
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
        crate::notify::ready();
        let nudges = Arc::new(Nudges::new(config.intervals.poll));
        let remote = Arc::new(RemoteArtifacts::new());
        let source: Arc<dyn ArtifactSource> = remote.clone();
        let releases = Releases::new(&config, source, host.clone());
        let turns = Arc::new(RemoteTurns::new(config.intervals.call_timeout));
        let reach = FreshConnection::new(config.clone(), ledger.clone());
        let (state, clock) = (config.state_dir.clone(), config.clock.clone());
        let safe = SafeApply::new(host.clone(), state, Arc::new(reach), clock);
        let safe = safe.with_window(config.confirm_within);
        let converger = Converger::new(Parts {
            safe: Some(safe),
            config: config.clone(),
            host: host.clone(),
            runner: runner.clone(),
            releases,
            ledger: ledger.clone(),
            nudges: nudges.clone(),
            turns: turns.clone(),
            certificates: Some(remote.clone()),
        });
        let processes = ProcessWatch {
            config: config.clone(),
            runner: runner.clone(),
            ledger: ledger.clone(),
            nudges: nudges.clone(),
        };
        let planner = Planner::new(host.clone(), config.state_dir.clone());
        let link = Link {
            planner,
            turns,
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
        parts.spawn(link.run());
        parts.spawn(async move {
            // First, so that no connection to the supervisor is cut in the middle of something.
            processes.renew_supervisor().await;
            tokio::join!(converger.run(), processes.run());
        });
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
