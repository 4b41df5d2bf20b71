//! The use cases of the controller: authorise, load, decide (in `muster-planning`), save, record.
//!
//! Must not: know HTTP, gRPC or SQL text. One module per noun; each adds methods to [`App`].
//! Start here: [`App`], then the module of the noun.

mod access;
mod actor;
mod applications;
mod artifacts;
mod assignments;
mod certificates;
mod clock;
mod enrolments;
mod error;
mod events;
mod fleet_configuration;
mod hubs;
mod inspections;
mod logs;
mod metrics;
mod mode_overrides;
mod nodes;
mod overview;
mod page;
mod plans;
mod process_events;
mod processes;
mod reboots;
mod redact;
mod releases;
mod reports;
mod resources;
mod rollouts;
mod secrets;
mod turns;

pub use access::{Credential, SignedIn, TokenRecord};
pub use actor::{Actor, Permission};
pub use applications::{ApplicationEnvironmentView, ApplicationFullView, ApplicationView, EnvironmentView};
pub use artifacts::{ArtifactRecord, MAX_DIGESTS};
pub use assignments::SignedAssignment;
pub use certificates::{CertificateRequest, ServiceCertificate};
pub use clock::{Clock, ManualClock, SystemClock};
pub use enrolments::{
    AuthenticatedNode, DEFAULT_INVITATION_LIFE, EnrolRequest, Enrolled, EnrolmentState, EnrolmentSummary,
    Invitation, InviteRequest, MAX_INVITATION_LIFE,
};
pub use error::{AppError, InputProblem};
pub use fleet_configuration::{ConfigurationApplied, ConfigurationDiff, FleetFiles};
pub use hubs::{Hints, Live, LiveMessage, NodeHint};
pub use inspections::Inspection;
pub use logs::{LogBatch, LogItem, LogLine, LogQuery, LogReader};
pub use metrics::{MetricsQuery, MetricsView};
pub use mode_overrides::NewMode;
pub use nodes::{LatestFigures, ModeOverride, NodeOverview, NodeQuery, NodeView, ProcessRecord};
pub use overview::{AttentionView, ConvergenceCounts, OverviewView};
pub use page::{PAGE_DEFAULT, PAGE_MAX, PageRequest, Paged};
pub use plans::{NewPlan, NodePlanView, PlanCandidate, PlanState, PlanView};
pub use processes::ProcessQuery;
pub use releases::{NewRelease, ReleaseRecord};
pub use reports::{Heartbeat, HeartbeatAnswer, Intervals, NodeEvent, NodeReport};
pub use resources::{ResourceChangeRecord, ResourceRecord, ResourceView};
pub use turns::TurnView;

pub use muster_artifact::BundleSummary;
pub use muster_db::{
    events::EventFilter,
    fleet_configurations::{ConfigurationVersion, StoredConfiguration, StoredFile},
    process_events::{ProcessEventFilter, ProcessEventRecord},
    reboot_requests::RebootRequest,
    rollouts::{RolloutFilter, RolloutKind, StoredRollout, StoredRolloutNode},
    secrets::SecretRecord,
};
pub use muster_domain::user::UserRole;
pub use muster_fleet_config::{Change, ChangeKind, schema as fleet_configuration_schema};

use chrono::{DateTime, Utc};
use muster_artifact::ObjectStore;
use muster_db::Db;
use muster_identity::{FleetIdentity, Revocations};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// Everything that a use case needs. Cheap to clone.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    clock: Arc<dyn Clock>,
    identity: FleetIdentity,
    revocations: Revocations,
    objects: ObjectStore,
    settings: Settings,
    listening_since: Mutex<DateTime<Utc>>,
    hints: Hints,
    live: Live,
    rollouts_wake: Notify,
    sign_ins: access::SignIns,
    event_budget: reports::EventBudget,
    logs: logs::LogHub,
    plans: plans::PlanHub,
    inspections: inspections::InspectionHub,
}

/// What an operator may choose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where agents reach this controller; part of the line that an invitation prints.
    pub agent_url: String,
    /// How often a node sends a sign of life.
    pub heartbeat_interval_ms: u32,
    /// How often a node asks for its assignment without a hint.
    pub poll_interval_ms: u32,
    /// How long a node of a rollout may take.
    pub rollout_node_deadline_ms: u32,
}

impl Settings {
    /// The defaults: a node counts as down after half a minute of silence, and a lost hint costs half a minute at most.
    pub fn new(agent_url: String) -> Self {
        Self {
            agent_url,
            heartbeat_interval_ms: 10_000,
            poll_interval_ms: 30_000,
            rollout_node_deadline_ms: muster_planning::rollout::NODE_DEADLINE_MS,
        }
    }
}

impl App {
    /// Puts the use cases on their ground. `objects` holds the files of releases.
    pub fn new(
        db: Db,
        clock: Arc<dyn Clock>,
        identity: FleetIdentity,
        revocations: Revocations,
        objects: ObjectStore,
        settings: Settings,
    ) -> Self {
        let listening_since = Mutex::new(clock.now());
        Self {
            inner: Arc::new(Inner {
                db,
                clock,
                identity,
                revocations,
                objects,
                settings,
                listening_since,
                hints: Hints::default(),
                live: Live::default(),
                rollouts_wake: Notify::new(),
                sign_ins: access::SignIns::default(),
                event_budget: reports::EventBudget::default(),
                logs: logs::LogHub::default(),
                plans: plans::PlanHub::default(),
                inspections: inspections::InspectionHub::default(),
            }),
        }
    }

    /// The database.
    pub fn db(&self) -> &Db {
        &self.inner.db
    }

    /// Now, by the controller's clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.inner.clock.now()
    }

    /// Since when nodes can be heard: the start of this controller, or the end of the last time without a database.
    /// Silence before it proves nothing.
    pub fn listening_since(&self) -> DateTime<Utc> {
        *self.inner.listening_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that nodes cannot be heard at this moment.
    pub(crate) fn deaf_now(&self) {
        *self.inner.listening_since.lock().unwrap_or_else(PoisonError::into_inner) = self.now();
    }

    /// The fleet CA, the keys and the seal.
    pub fn identity(&self) -> &FleetIdentity {
        &self.inner.identity
    }

    /// Certificates that are no longer accepted; whoever holds a connection watches it.
    pub fn revocations(&self) -> &Revocations {
        &self.inner.revocations
    }

    /// The files of releases.
    pub fn objects(&self) -> &ObjectStore {
        &self.inner.objects
    }

    /// What the operator chose.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Hints to agents.
    pub fn hints(&self) -> &Hints {
        &self.inner.hints
    }

    pub(crate) fn sign_ins(&self) -> &access::SignIns {
        &self.inner.sign_ins
    }

    pub(crate) fn event_budget(&self) -> &reports::EventBudget {
        &self.inner.event_budget
    }

    pub(crate) fn log_hub(&self) -> &logs::LogHub {
        &self.inner.logs
    }

    pub(crate) fn plan_hub(&self) -> &plans::PlanHub {
        &self.inner.plans
    }

    pub(crate) fn inspection_hub(&self) -> &inspections::InspectionHub {
        &self.inner.inspections
    }

    /// Live messages to people.
    pub fn live(&self) -> &Live {
        &self.inner.live
    }
}

/// What came from outside, cut to what an error message can hold.
pub(crate) fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}
