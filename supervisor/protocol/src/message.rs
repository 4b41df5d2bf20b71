//! Requests and replies.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{AppSpec, AppStatus, LogLine, ProcessEvent};

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
    /// Stop every instance and keep the application. Answered by [`Reply::Done`].
    Stop {
        /// Application name.
        app: String,
    },
    /// Start a stopped application (also ends a crash loop). Answered by [`Reply::Done`].
    Start {
        /// Application name.
        app: String,
    },
    /// Replace every instance by a fresh one of the same spec, start-first where the mode allows. Answered by
    /// [`Reply::Applied`].
    Restart {
        /// Application name.
        app: String,
    },
    /// Stop and forget the application. Deleting what is not there is fine. Answered by [`Reply::Done`].
    Delete {
        /// Application name.
        app: String,
    },
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

/// Which log lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsRequest {
    /// Only this application.
    #[serde(default)]
    pub app: Option<String>,
    /// How many of the last lines (of each application) to begin with.
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
    /// Final reply to `Apply` and `Restart`.
    Applied(Applied),
    /// Final reply where there is nothing to tell.
    Done,
    /// Final reply to `List`.
    Apps {
        /// Applications ordered by name.
        apps: Vec<AppStatus>,
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
        assert_eq!(request, Request::Stop { app: "a".into() });
    }

    #[test]
    fn requests_and_replies_survive_the_wire() {
        let request = Request::Logs(LogsRequest { app: Some("a".into()), lines: 5, follow: true });
        let wire = serde_json::to_string(&request).unwrap();
        assert_eq!(wire, r#"{"op":"logs","app":"a","lines":5,"follow":true}"#);
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
