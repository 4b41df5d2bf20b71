//! Where the agent keeps its state, how often it does things, and whose clock it reads.

use chrono::{DateTime, Utc};
use muster_domain::{ApplicationName, ReleaseId};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Everything that an agent is told from outside.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Where it keeps its state.
    pub state_dir: StateDir,
    /// How often it does things.
    pub intervals: Intervals,
    /// How many releases of an application stay on the disk besides those in use.
    pub keep_releases: usize,
    /// What must stay free on the disk when a release is assembled.
    pub free_space_floor_bytes: u64,
    /// How long changes that can cut the node off may be unproven before they are reverted.
    pub confirm_within: Duration,
    /// Whose time it is.
    pub clock: Clock,
}

impl AgentConfig {
    /// The usual values for a state folder.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: StateDir::new(state_dir),
            intervals: Intervals::default(),
            // One in use, one to return to, three to look back at.
            keep_releases: 5,
            free_space_floor_bytes: muster_artifact::limits::FREE_SPACE_FLOOR_BYTES,
            confirm_within: crate::safe_apply::WINDOW,
            clock: Clock::system(),
        }
    }
}

/// How often the agent does things. The controller's answers to heartbeats overrule the first two.
#[derive(Debug, Clone)]
pub struct Intervals {
    /// Between two looks at the assignment and at the node, jittered by a tenth.
    pub poll: Duration,
    /// Between two signs of life.
    pub heartbeat: Duration,
    /// The first pause after a lost connection; doubled each time.
    pub reconnect_min: Duration,
    /// The longest such pause.
    pub reconnect_max: Duration,
    /// How long one call may take.
    pub call_timeout: Duration,
    /// How long connecting may take, TLS included.
    pub connect_timeout: Duration,
    /// The first pause before a release that did not start is tried again; doubled each time.
    pub retry_min: Duration,
    /// The longest such pause.
    pub retry_max: Duration,
    /// The first pause before a look at what has to wait (for a lock, for the node's turn); a little longer each time.
    pub waiting: Duration,
    /// How long changes on the disk have to rest before they are looked at.
    pub drift_rest: Duration,
    /// How long the supervisor may take to bring up a release, over what the release itself allows for.
    pub apply_grace: Duration,
}

impl Default for Intervals {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(30),
            heartbeat: Duration::from_secs(10),
            reconnect_min: Duration::from_millis(500),
            reconnect_max: Duration::from_secs(60),
            call_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(10),
            retry_min: Duration::from_secs(60),
            retry_max: Duration::from_secs(900),
            waiting: Duration::from_secs(1),
            drift_rest: Duration::from_millis(100),
            apply_grace: Duration::from_secs(60),
        }
    }
}

/// Moves a duration by up to a tenth in either direction, so that a fleet that started together does not call together.
pub fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(0.9 + 0.2 * rand::random::<f64>())
}

/// Tells the time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    /// The clock of the system.
    pub fn system() -> Self {
        Self(Arc::new(Utc::now))
    }

    /// A clock of one's own, for tests.
    pub fn new(now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        (self.0)()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// The layout of the state folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// Wraps the path of the folder; made absolute, because processes are started from below it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self(std::path::absolute(&path).unwrap_or(path))
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// Who this node is: names and addresses.
    pub fn enrolment(&self) -> PathBuf {
        self.0.join("agent.json")
    }

    /// Held by the running agent.
    pub fn lock(&self) -> PathBuf {
        self.0.join("agent.lock")
    }

    /// Key and certificates.
    pub fn identity(&self) -> PathBuf {
        self.0.join("identity")
    }

    /// What was accepted and what is to be reported.
    pub fn ledger(&self) -> PathBuf {
        self.0.join("ledger")
    }

    /// The supervisor's own state.
    pub fn supervisor(&self) -> PathBuf {
        self.0.join("supervisor")
    }

    /// Where the supervisor answers.
    pub fn supervisor_socket(&self) -> PathBuf {
        self.supervisor().join("supervisor.sock")
    }

    /// All applications.
    pub fn applications(&self) -> PathBuf {
        self.0.join("applications")
    }

    /// One application.
    pub fn application(&self, name: &ApplicationName) -> PathBuf {
        self.applications().join(name.as_str())
    }

    /// The releases of an application.
    pub fn releases(&self, name: &ApplicationName) -> PathBuf {
        self.application(name).join("releases")
    }

    /// One release.
    pub fn release(&self, name: &ApplicationName, release: ReleaseId) -> PathBuf {
        self.releases(name).join(release.to_string())
    }

    /// The link to the release that was last brought up.
    pub fn current(&self, name: &ApplicationName) -> PathBuf {
        self.application(name).join("current")
    }

    /// What the processes of an application see as `HOME`: it outlives releases.
    pub fn home(&self, name: &ApplicationName) -> PathBuf {
        self.application(name).join("home")
    }

    /// Objects that were fetched and are not part of a release yet.
    pub fn objects(&self) -> PathBuf {
        self.applications().join(".objects")
    }

    /// The logs of all applications.
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// Node.js runtimes, one folder for each version.
    pub fn nodejs(&self) -> PathBuf {
        self.0.join("nodejs")
    }

    /// Files that are judged before they are put into place.
    pub fn candidates(&self) -> PathBuf {
        self.0.join("candidates")
    }

    /// Changes that are still to be proven harmless, and those that were not.
    pub fn safe_apply(&self) -> PathBuf {
        self.0.join("safe-apply")
    }

    /// What stands for `/` in rootless mode.
    pub fn host_root(&self) -> PathBuf {
        self.0.join("host")
    }

    /// Makes the folder itself. Others may pass through it (applications may run as other users), not look into it.
    pub fn create(&self) -> std::io::Result<()> {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        std::fs::DirBuilder::new().recursive(true).mode(0o711).create(&self.0)?;
        std::fs::set_permissions(&self.0, std::fs::Permissions::from_mode(0o711))
    }
}
