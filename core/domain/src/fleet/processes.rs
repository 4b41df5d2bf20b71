//! Parts of an application that have a form of their own: signals, watching, limits, logs, and what runs a script.

use super::{Share, Size, off};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The signal that asks a process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum KillSignal {
    /// Hang up.
    SIGHUP,
    /// Interrupt.
    SIGINT,
    /// Quit.
    SIGQUIT,
    /// Abort.
    SIGABRT,
    /// Ends it at once: nothing can be tidied up.
    SIGKILL,
    /// For the application to define; Node.js takes it for its debugger.
    SIGUSR1,
    /// For the application to define.
    SIGUSR2,
    /// Terminate.
    SIGTERM,
}

impl KillSignal {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SIGHUP => "SIGHUP",
            Self::SIGINT => "SIGINT",
            Self::SIGQUIT => "SIGQUIT",
            Self::SIGABRT => "SIGABRT",
            Self::SIGKILL => "SIGKILL",
            Self::SIGUSR1 => "SIGUSR1",
            Self::SIGUSR2 => "SIGUSR2",
            Self::SIGTERM => "SIGTERM",
        }
    }
}

/// `true` (the working directory), a path, or a list of paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Watch {
    /// The working directory, or nothing.
    Switch(bool),
    /// One path.
    Path(String),
    /// Several paths.
    Paths(Vec<String>),
}

impl Watch {
    /// The paths that are watched, none meaning the working directory; `None`: nothing is watched.
    pub fn paths(&self) -> Option<Vec<String>> {
        match self {
            Self::Switch(false) => None,
            Self::Switch(true) => Some(Vec::new()),
            Self::Path(path) => Some(vec![path.clone()]),
            Self::Paths(paths) => Some(paths.clone()).filter(|paths| !paths.is_empty()),
        }
    }
}

/// A path, or `true` for one beside the other logs of the application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OwnFile {
    /// A place of its own, or none.
    Switch(bool),
    /// This place.
    Path(String),
}

/// How lines are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogType {
    /// As they come.
    Raw,
    /// A JSON object per line, with pm2's keys: message, timestamp, type, process_id, app_name.
    Json,
}

/// What the kernel does not let an instance, with everything that it started, exceed. Not of pm2.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Memory, such as `400M`. Above it the kernel ends a process of the instance, and the reason of its death says so.
    /// The same as `max_memory`. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Processor time: `50%` is half a processor, `200%` are two. It is slowed down, never ended. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Share>,
    /// Processes and threads together. A Node.js process alone has about a dozen. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub pids: Option<u32>,
    /// Open files and sockets of one process. Default: that of the supervisor.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub open_files: Option<u32>,
}

/// When log files are renamed, and what is kept. With pm2, its module pm2-logrotate does this; it copies and empties
/// files, and loses lines meanwhile. Here no line is lost or split.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogRotation {
    /// A file of this size is rotated. Default: `10M`, as pm2-logrotate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_size: Option<Size>,
    /// How many rotated files are kept besides the current one. Default: 5 (`retain` of pm2-logrotate: 30).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 10_000))]
    pub keep: Option<u32>,
    /// Also rotate at these times: a cron pattern of 5 or 6 fields in the time zone of the node. Default: never
    /// (`rotateInterval` of pm2-logrotate: every midnight).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Rotated files are compressed. Default: false.
    #[serde(skip_serializing_if = "off")]
    pub compress: bool,
    /// When less than this is free on the disk, rotated files go, oldest first; if that is not enough, lines are dropped
    /// and counted. Default: `256M`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_free: Option<Size>,
}

/// What runs a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runner {
    /// Node.js, of a version that `nodejs` chooses.
    Nodejs,
    /// Nothing: the file is executed itself.
    Itself,
    /// A shell, because the script is a command line.
    Shell,
    /// Another program.
    Program(String),
}

impl Runner {
    /// What runs this script: the interpreter that is given; else a shell for a command line; else what pm2 takes for the
    /// extension. Two differ: TypeScript is run by Node.js, which can do so, and a file without an extension is not looked at.
    pub fn of(script: &str, interpreter: Option<&str>) -> Self {
        match interpreter {
            _ if script.contains(' ') => Self::Shell,
            Some("node") => Self::Nodejs,
            Some("none") => Self::Itself,
            Some(other) => Self::Program(other.to_owned()),
            None => {
                let name = script.rsplit('/').next().unwrap_or(script);
                let program = match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
                    "sh" => "bash",
                    "py" => "python",
                    "rb" => "ruby",
                    "php" => "php",
                    "pl" => "perl",
                    "coffee" => "coffee",
                    "ls" => "lsc",
                    _ => return Self::Nodejs,
                };
                Self::Program(program.to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_run_by_what_pm2_takes() {
        let program = |name: &str| Runner::Program(name.to_owned());
        let cases = [
            ("server.js", None, Runner::Nodejs),
            ("dist/main", None, Runner::Nodejs),
            ("server.ts", None, Runner::Nodejs),
            ("run.sh", None, program("bash")),
            ("a.b/predict.py", None, program("python")),
            ("predict.py", Some("python3"), program("python3")),
            ("server.js", Some("none"), Runner::Itself),
            ("run.sh", Some("node"), Runner::Nodejs),
            ("npm start", None, Runner::Shell),
        ];
        for (script, interpreter, expected) in cases {
            assert_eq!(Runner::of(script, interpreter), expected, "{script} {interpreter:?}");
        }
    }
}
