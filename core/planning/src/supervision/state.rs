//! The states of one instance.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::History;

/// Names one process of an instance; what an earlier process still reports is recognised and ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LaunchId(pub u64);

/// Names one timer; a stale one is recognised and ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimerId(pub u64);

/// One instance: its state and what is remembered across its processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Where it is in its life.
    pub state: State,
    /// Counters.
    pub history: History,
    pub(super) next_id: u64,
}

impl Default for Instance {
    fn default() -> Self {
        Self {
            state: State::Stopped { cause: StopCause::NeverStarted },
            history: History::default(),
            next_id: 1,
        }
    }
}

impl Instance {
    /// The process that exists now, if any.
    #[must_use]
    pub fn launch(&self) -> Option<LaunchId> {
        match &self.state {
            State::Starting { launch, .. } | State::Ready { launch, .. } | State::Stopping { launch, .. } => {
                Some(*launch)
            }
            State::Stopped { .. } | State::BackingOff { .. } | State::CrashLooping { .. } => None,
        }
    }
}

/// Where an instance is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// No process, and none will be started unless someone asks.
    Stopped {
        /// Why.
        cause: StopCause,
    },
    /// A process runs and is not ready yet.
    Starting {
        /// The process.
        launch: LaunchId,
        /// When it was started.
        started_ms: u64,
        /// How long it may take.
        timeout_ms: u64,
        /// Fires when that time is over.
        timer: TimerId,
    },
    /// A process runs and may be sent work.
    Ready {
        /// The process.
        launch: LaunchId,
        /// When it was started.
        started_ms: u64,
    },
    /// No process; one will be started when the timer fires.
    BackingOff {
        /// Fires when the wait is over.
        timer: TimerId,
        /// How the last process ended.
        reason: String,
    },
    /// Ended too often; no process until someone asks.
    CrashLooping {
        /// How the last process ended.
        reason: String,
    },
    /// A process was asked to end.
    Stopping {
        /// The process.
        launch: LaunchId,
        /// When it was started.
        started_ms: u64,
        /// How far the asking has got.
        step: StopStep,
        /// Fires when this step has taken too long.
        timer: TimerId,
        /// What follows.
        then: AfterStop,
    },
}

impl State {
    /// The word for people and logs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Stopped { .. } => "stopped",
            Self::Starting { .. } => "starting",
            Self::Ready { .. } => "ready",
            Self::BackingOff { .. } => "backing_off",
            Self::CrashLooping { .. } => "crash_looping",
            Self::Stopping { .. } => "stopping",
        }
    }
}

/// Why an instance is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopCause {
    /// It has not been started yet.
    NeverStarted,
    /// Someone asked.
    Requested,
    /// It ended by itself and is not to be restarted.
    Ended {
        /// How.
        reason: String,
    },
}

/// How far the asking to end has got. Each step has a deadline, so ending always ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopStep {
    /// It finishes its connections.
    Draining,
    /// Its channel was closed; it should end by itself.
    Disconnected,
    /// It got the stop signal or message.
    Asked,
    /// It and everything it started got SIGKILL.
    Killed,
}

/// What follows when the process has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AfterStop {
    /// It stays stopped.
    Stay,
    /// It is started again at once.
    StartAgain,
    /// It counts as a failure, to be restarted by the rules.
    Fail {
        /// What was wrong with it.
        reason: String,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// With an exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// It is not known how: only the parent of a process is told, and an earlier supervisor was that.
    Unknown {
        /// Its end was seen; otherwise it was found gone.
        watched: bool,
    },
}

impl Exit {
    /// The code that `stop_exit_codes` is compared with: death by signal counts as 0, as pm2 users expect. What is not
    /// known is compared with nothing.
    #[must_use]
    pub const fn comparable_code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            Self::Signal(_) => Some(0),
            Self::Unknown { .. } => None,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal) => match signal_name(*signal) {
                Some(name) => write!(f, "was ended by {name}"),
                None => write!(f, "was ended by signal {signal}"),
            },
            Self::Unknown { watched: true } => f.write_str("ended; exit code unknown"),
            Self::Unknown { watched: false } => f.write_str("ended while nobody watched; exit code unknown"),
        }
    }
}

/// Name of a signal as people write it (Linux numbers).
#[must_use]
pub const fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        16 => "SIGSTKFLT",
        17 => "SIGCHLD",
        18 => "SIGCONT",
        19 => "SIGSTOP",
        20 => "SIGTSTP",
        21 => "SIGTTIN",
        22 => "SIGTTOU",
        23 => "SIGURG",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        26 => "SIGVTALRM",
        27 => "SIGPROF",
        28 => "SIGWINCH",
        29 => "SIGIO",
        30 => "SIGPWR",
        31 => "SIGSYS",
        _ => return None,
    })
}
