//! What every verb needs: where it was called, by whom, with which flags, and the way to the supervisor.

use std::collections::BTreeMap;
use std::path::PathBuf;

use muster_pm2::Surroundings;
use muster_supervisor_protocol::{Client, ClientError, ErrorCode};

use crate::flags::Flags;
use crate::output::Output;
use crate::process::{self, Process};
use crate::style::Style;
use crate::{Failure, Home, daemon};

/// Variables of the caller that belong to the process it is, not to those it starts: a command may be called by an
/// application that runs here itself.
const OF_THE_CALLER: [&str; 17] = [
    "pm_id",
    "name",
    "namespace",
    "status",
    "unique_id",
    "NODE_APP_INSTANCE",
    "NODE_UNIQUE_ID",
    "NODE_CHANNEL_FD",
    "NODE_CHANNEL_SERIALIZATION_MODE",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "NOTIFY_SOCKET",
    "PM2_USAGE",
    "PM2_SILENT",
    "PM2_JSON_PROCESSING",
    "PM2_PROGRAMMATIC",
];

/// Surroundings of one command.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// pm2's folder.
    pub home: Home,
    /// The caller's environment.
    pub env: BTreeMap<String, String>,
    /// Where the command was called.
    pub cwd: PathBuf,
    /// Flags.
    pub flags: Flags,
    /// What stood behind `--`; `None` without one.
    pub script_args: Option<Vec<String>>,
    /// Messages.
    pub output: Output,
    /// Messages about the daemon go to standard error: standard output is for a program.
    pub for_programs: bool,
}

impl Context {
    /// Of this process.
    pub(crate) fn of_this_process(flags: Flags, script_args: Option<Vec<String>>) -> Result<Self, Failure> {
        // Names and values that are not UTF-8 can be neither switches of pm2 nor variables of an application.
        let env: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let cwd = std::env::current_dir()
            .map_err(|error| Failure::new(format!("the current folder cannot be found: {error}")))?;
        let style = Style::of_stdout(&env, flags.no_color);
        let silent = flags.silent || env.get("PM2_SILENT").is_some_and(|value| value == "true");
        let home = Home::of(&env);
        let home = if home.dir().is_absolute() { home } else { Home::at(cwd.join(home.dir())) };
        Ok(Self { home, cwd, flags, script_args, output: Output { style, silent }, for_programs: false, env })
    }

    /// A connection to the supervisor, which is started when it is not running.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        daemon::connect(self).await
    }

    /// A connection to the supervisor when it is running.
    pub(crate) async fn connect_running(&self) -> Option<Client> {
        Client::connect(self.home.socket()).await.ok()
    }

    /// Every process, ordered by id.
    pub(crate) async fn processes(&self, client: &mut Client) -> Result<Vec<Process>, Failure> {
        Ok(process::of(client.list().await.map_err(refused)?))
    }

    /// For the rules of pm2's files.
    pub(crate) fn surroundings(&self) -> Surroundings {
        Surroundings {
            cwd: Some(self.cwd.clone()),
            pm2_home: self.home.dir().to_owned(),
            env: self.env.clone(),
            env_name: self.flags.env.clone().filter(|name| !name.is_empty()),
            ..Surroundings::of_this_process()
        }
    }

    /// The caller's environment as an application may inherit it.
    pub(crate) fn shell(&self) -> BTreeMap<String, String> {
        (self.env.iter())
            .filter(|(name, _)| !OF_THE_CALLER.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// A switch such as `PM2_CONCURRENT_ACTIONS`.
    pub(crate) fn switch(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// How many actions at a time: `--parallel`, `PM2_CONCURRENT_ACTIONS`, 2.
    pub(crate) fn parallel(&self) -> usize {
        let given = self.flags.parallel.as_deref().or_else(|| self.switch("PM2_CONCURRENT_ACTIONS"));
        given.and_then(|given| given.trim().parse().ok()).filter(|n| *n > 0).unwrap_or(2)
    }
}

/// An error of the supervisor in words for people.
pub(crate) fn refused(error: ClientError) -> Failure {
    match error {
        ClientError::Refused { code: ErrorCode::AwaitingApply, message } => Failure::new(message)
            .hint("bring the saved list back with `pm2 resurrect`, or start the application anew"),
        ClientError::Refused { message, .. } => Failure::new(message),
        ClientError::Closed => Failure::new("the daemon closed the connection before it answered")
            .hint("see pm2.log in the folder of pm2, and try again"),
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(&other);
            while let Some(cause) = source {
                text.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            Failure::new(text)
        }
    }
}
