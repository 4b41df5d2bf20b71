//! What can happen to an instance, and what the shell has to do about it.

use super::{Exit, Instance, LaunchId, Policy, TimerId};

/// What a decision may look at besides state and event.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Now, on a clock that never goes back.
    pub now_ms: u64,
    /// The rules.
    pub policy: &'a Policy,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Someone wants it to run.
    Start,
    /// Someone wants it to end.
    Stop,
    /// It shall end and start again, or just start.
    Restart {
        /// What for.
        cause: RestartCause,
    },
    /// Someone wants the counters to begin at zero.
    Reset,
    /// Its resident memory was looked at.
    MemorySeen {
        /// Of which process.
        launch: LaunchId,
        /// How much.
        resident_bytes: u64,
    },
    /// The process could not be started.
    SpawnFailed {
        /// Which.
        launch: LaunchId,
        /// Why.
        reason: String,
    },
    /// The process is ready.
    BecameReady {
        /// Which.
        launch: LaunchId,
    },
    /// The process has finished its connections.
    Drained {
        /// Which.
        launch: LaunchId,
    },
    /// The cluster channel of the process closed although nobody asked: it can no longer get a socket.
    ChannelLost {
        /// Which.
        launch: LaunchId,
    },
    /// The process has ended.
    Exited {
        /// Which.
        launch: LaunchId,
        /// How.
        exit: Exit,
    },
    /// A timer fired.
    TimerFired {
        /// Which.
        timer: TimerId,
    },
}

/// What an instance is restarted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestartCause {
    /// Someone asked.
    Requested,
    /// Its hour has come. What was stopped on purpose stays stopped.
    Cron,
    /// A file changed. What was stopped on purpose stays stopped.
    FileChanged {
        /// Which.
        path: String,
    },
}

/// What the shell must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start a process.
    Spawn {
        /// Its name from now on.
        launch: LaunchId,
    },
    /// Send `TimerFired` later.
    ArmTimer {
        /// With this name.
        timer: TimerId,
        /// After this time.
        after_ms: u64,
    },
    /// Ask it to finish its connections; it answers with `Drained`.
    Drain {
        /// Which.
        launch: LaunchId,
    },
    /// Close its cluster channel politely.
    Disconnect {
        /// Which.
        launch: LaunchId,
    },
    /// Send the stop signal or message.
    Ask {
        /// Which.
        launch: LaunchId,
    },
    /// Kill it and everything it started.
    Kill {
        /// Which.
        launch: LaunchId,
    },
    /// Have a fresh process take its place, start-first where the mode allows.
    Replace {
        /// Which.
        launch: LaunchId,
    },
    /// Tell whoever watches.
    Report {
        /// What.
        report: Report,
        /// In words.
        reason: String,
    },
}

/// What watchers are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// A process was started.
    Started,
    /// It is ready.
    Ready,
    /// It ended.
    Exited,
    /// Another one is started at once.
    Restarting,
    /// Another one is started later.
    BackingOff,
    /// It ended too often.
    CrashLooping,
    /// It was asked to end.
    Stopping,
    /// It stays down.
    Stopped,
    /// It has too much memory.
    MemoryRestart,
    /// Its hour has come.
    CronRestart,
    /// A file changed.
    WatchRestart,
}

/// The next state and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The instance from now on.
    pub instance: Instance,
    /// To be carried out in order.
    pub effects: Vec<Effect>,
}

/// A request that makes no sense in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot {request} an instance that is {state}")]
pub struct Refused {
    /// Kind of the state.
    pub state: &'static str,
    /// The request.
    pub request: &'static str,
}
