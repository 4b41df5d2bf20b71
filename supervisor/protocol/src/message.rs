//! Requests and replies.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AppSpec, AppStatus, LogLine, LogStreamName, ProcessEvent};

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Are you there, and since when? Answered by [`Reply::Pong`].
    Ping,
    /// Make this spec run. Answered by [`Reply::Applied`]; the work goes on when the client hangs up.
    Apply {
        /// The spec.
        spec: Box<AppSpec>,
        /// Send [`Reply::Progress`] lines meanwhile.
        #[serde(default)]
        progress: bool,
    },
    /// Stop instances and keep them. Answered by [`Reply::Done`].
    Stop(Target),
    /// Start stopped instances (also ends a crash loop). Answered by [`Reply::Done`] at once: readiness is seen in the list.
    Start(Target),
    /// Stop and start again, instances side by side, whatever state they are in. Answered by [`Reply::Applied`].
    Restart(Target),
    /// Replace every running instance by a fresh one of the same spec, start-first where the mode allows. Answered by
    /// [`Reply::Applied`].
    Reload {
        /// Application name.
        app: String,
    },
    /// Stop and forget instances; an application without any is forgotten. Deleting what is not there is fine. Answered by
    /// [`Reply::Done`].
    Delete(Target),
    /// Have this many instances: more are started from the spec in force, the newest go first. Answered by
    /// [`Reply::Applied`].
    Scale {
        /// Application name.
        app: String,
        /// How many, at least 1.
        instances: u32,
        /// Let the oldest go first, as pm2 does.
        #[serde(default)]
        oldest_first: bool,
    },
    /// Set counters and backoff to zero. Answered by [`Reply::Done`].
    Reset(Target),
    /// Send a signal to the main process of instances. Answered by [`Reply::Done`].
    Signal {
        /// Whom.
        #[serde(flatten)]
        target: Target,
        /// `SIGUSR2`, `USR2` or a number.
        signal: String,
    },
    /// Send a message over the IPC channel, as `process.on('message')` hears it. Answered by [`Reply::Done`].
    Message {
        /// Whom.
        #[serde(flatten)]
        target: Target,
        /// The message.
        message: Value,
    },
    /// Call an action that instances announced (`axm:action`), and wait for what they answer (`axm:reply`). Answered by
    /// [`Reply::Triggered`].
    Trigger {
        /// Whom.
        #[serde(flatten)]
        target: Target,
        /// Name of the action.
        action: String,
        /// Its parameter.
        #[serde(default)]
        params: Option<Value>,
        /// How long to wait for answers.
        timeout_ms: u64,
    },
    /// Write to the standard input of an instance whose spec has `stdin`. Answered by [`Reply::Done`].
    Input {
        /// Whom.
        #[serde(flatten)]
        target: Target,
        /// What.
        data: String,
    },
    /// Here are listening sockets of an application that will be applied over this same connection: when its processes
    /// listen on their addresses they get these instead of new ones. What is not used is let go when the connection
    /// ends. Answered by [`Reply::SendDescriptors`]; then the client sends one byte with the descriptors attached
    /// (`SCM_RIGHTS`), and [`Reply::Done`] follows.
    AdoptSockets {
        /// Application name.
        app: String,
        /// How many, at most [`MAX_ADOPTED_SOCKETS`].
        count: u32,
    },
    /// The specs in force, with their environments. Answered by [`Reply::Specs`].
    Specs {
        /// Only this application.
        #[serde(default)]
        app: Option<String>,
    },
    /// Close and open log files again, for whoever renamed them. Answered by [`Reply::Done`].
    ReopenLogs,
    /// Empty the current log files (and what is kept in memory). Answered by [`Reply::Done`].
    FlushLogs {
        /// Only of this application.
        #[serde(default)]
        app: Option<String>,
    },
    /// Stop every application and end the supervisor. Answered by [`Reply::Done`] when all is down.
    Shutdown,
    /// What runs? Answered by [`Reply::Apps`].
    List,
    /// Last lines, then new ones if asked. Answered by [`Reply::LogLine`]s, then [`Reply::Done`] unless following.
    Logs(LogsRequest),
    /// Every process event from now on, as [`Reply::Event`]s until the client hangs up.
    Watch,
    /// Replace the supervisor by a (newer) binary without touching an application. Answered by [`Reply::Error`] when
    /// it is refused; when it is done every connection, this one too, is closed, and the successor answers on the
    /// same socket.
    Upgrade {
        /// Absolute path of the binary; the one the supervisor was started by when absent.
        #[serde(default)]
        binary: Option<String>,
    },
}

/// Sockets of one [`Request::AdoptSockets`].
pub const MAX_ADOPTED_SOCKETS: u32 = 64;

/// An application, or some of its instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Application name.
    pub app: String,
    /// Numbers of instances; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<u32>,
}

impl Target {
    /// Every instance of an application.
    #[must_use]
    pub fn all(app: impl Into<String>) -> Self {
        Self { app: app.into(), instances: Vec::new() }
    }

    /// One instance.
    #[must_use]
    pub fn one(app: impl Into<String>, instance: u32) -> Self {
        Self { app: app.into(), instances: vec![instance] }
    }

    /// Whether it means this instance.
    #[must_use]
    pub fn means(&self, instance: u32) -> bool {
        self.instances.is_empty() || self.instances.contains(&instance)
    }
}

/// Which log lines. Every given condition must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsRequest {
    /// Only these applications; all when empty.
    #[serde(default)]
    pub apps: Vec<String>,
    /// Only these instances; all when empty.
    #[serde(default)]
    pub instances: Vec<u32>,
    /// Only this stream.
    #[serde(default)]
    pub stream: Option<LogStreamName>,
    /// Only lines that this regular expression matches somewhere.
    #[serde(default)]
    pub matching: Option<String>,
    /// Only lines read at this time or later. Lines of files that carry no time and may be older are left out.
    #[serde(default)]
    pub since: Option<DateTime<Utc>>,
    /// How many of the last lines (of each application) to begin with, at most 100,000. What memory does not hold is read
    /// back from files; a line there that carries no time is told with that of the last write to its file.
    #[serde(default)]
    pub lines: u32,
    /// Go on with new lines until the client hangs up.
    #[serde(default)]
    pub follow: bool,
}

/// What the supervisor answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Final reply to `Ping`.
    Pong(Pong),
    /// Intermediate: what an apply is doing.
    Progress(Progress),
    /// Final reply to `Apply`, `Restart`, `Reload` and `Scale`.
    Applied(Applied),
    /// Final reply where there is nothing to tell.
    Done,
    /// Final reply to `List`.
    Apps {
        /// Applications ordered by name.
        apps: Vec<AppStatus>,
    },
    /// Intermediate: the descriptors of `AdoptSockets` are waited for.
    SendDescriptors,
    /// Final reply to `Specs`.
    Specs {
        /// Specs in force, ordered by name.
        specs: Vec<AppSpec>,
    },
    /// Final reply to `Trigger`.
    Triggered {
        /// What was answered within the time.
        answers: Vec<TriggerAnswer>,
    },
    /// One line of a log.
    LogLine(LogLine),
    /// One process event.
    Event(ProcessEvent),
    /// Final reply: refused or failed.
    Error {
        /// For programs.
        code: ErrorCode,
        /// For people.
        message: String,
    },
}

/// What an instance answered to an action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TriggerAnswer {
    /// Instance number.
    pub instance: u32,
    /// What it returned.
    pub value: Value,
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The line was no request this version understands.
    BadRequest,
    /// The spec cannot be run as it is.
    InvalidSpec,
    /// There is no application of that name.
    UnknownApp,
    /// The application is known from an earlier run only and has to be applied first.
    AwaitingApply,
    /// There is no such instance, or none in a state for which the request makes sense.
    WrongState,
    /// The supervisor is stopping.
    ShuttingDown,
    /// The supervisor cannot be replaced by that binary.
    UpgradeRefused,
    /// Something went wrong in the supervisor.
    Internal,
    /// A code this version does not know.
    #[serde(other)]
    Unknown,
}

/// Who answers, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// Version of the supervisor.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it started; upgrades in place do not change it.
    pub started_at: DateTime<Utc>,
    /// How often it was upgraded in place since.
    #[serde(default)]
    pub upgrades: u32,
}

/// What an apply is doing right now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// When.
    pub at: DateTime<Utc>,
    /// Instance number, when it is about one.
    pub instance: Option<u32>,
    /// In words, such as `instance 1 is ready after 210 ms`.
    pub message: String,
}

/// How an apply ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The outcome.
    pub outcome: ApplyOutcome,
    /// Things a person should know, such as `fork mode: the old process was stopped first`.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Outcomes of an apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ApplyOutcome {
    /// The same spec already runs.
    Unchanged,
    /// The application is new (or was stopped) and every instance is ready.
    Started,
    /// Every instance of the former spec was replaced by a ready one.
    Replaced,
    /// The new spec could not be brought up.
    Failed {
        /// Why, naming the instance.
        reason: String,
        /// Last lines the failed instance wrote to stderr.
        last_stderr: Vec<String>,
        /// What ran before still serves (cluster) or was started again (fork).
        previous_kept: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_newer_version_are_tolerated() {
        let code: ErrorCode = serde_json::from_str(r#""from_the_future""#).unwrap();
        assert_eq!(code, ErrorCode::Unknown);
        let request: Request = serde_json::from_str(r#"{"op":"stop","app":"a","force":true}"#).unwrap();
        assert_eq!(request, Request::Stop(Target::all("a")));
    }

    #[test]
    fn requests_and_replies_survive_the_wire() {
        let request = Request::Signal { target: Target::one("a", 2), signal: "SIGUSR2".into() };
        let wire = serde_json::to_string(&request).unwrap();
        assert_eq!(wire, r#"{"op":"signal","app":"a","instances":[2],"signal":"SIGUSR2"}"#);
        assert_eq!(serde_json::from_str::<Request>(&wire).unwrap(), request);
        let reply = Reply::Applied(Applied {
            outcome: ApplyOutcome::Failed {
                reason: "r".into(),
                last_stderr: vec!["e".into()],
                previous_kept: true,
            },
            notes: vec![],
        });
        assert_eq!(serde_json::from_str::<Reply>(&serde_json::to_string(&reply).unwrap()).unwrap(), reply);
    }
}
