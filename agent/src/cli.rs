//! The commands of the binary.

mod install;
mod plan;
mod revert;
mod status;
mod token;
mod uninstall;
mod upgrade;

use clap::{Args, Parser, Subcommand, ValueEnum};
use muster_agent::identity::{Enrolment, IdentityStore};
use muster_agent::join::{JoinError, JoinRequest, JoinToken, join};
use muster_agent::link::dial::ControllerAddress;
use muster_agent::lock::LockError;
use muster_agent::runner::supervisor::SupervisorRunner;
use muster_agent::{Agent, AgentConfig, StartError, StateDir, VERSION};
use muster_platform::{Host, LinuxHost};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

const REFUSED: u8 = 3;

/// Makes this machine what the fleet says it should be.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Join a fleet with the token that `muster node invite` printed.
    Join(Join),
    /// Converge this node until stopped. Applications go on when the agent ends.
    Run(Run),
    /// Install the agent that lies beside this program as units of systemd, and start it; may be repeated.
    Install(install::Install),
    /// Fetch the programs that the controller hands out and install them; applications notice nothing.
    Upgrade(upgrade::Upgrade),
    /// Take the agent off this host, with the applications or without.
    Uninstall(uninstall::Uninstall),
    /// Show what this node is and what it was last told, from its own files.
    Status(Status),
    /// Put back what was there before changes that are still to be proven. A timer runs this when nobody proved them.
    Revert(revert::Revert),
    /// Show what the next run would change, with every difference, and change nothing. Needs no controller.
    Plan(Status),
    /// Print the version.
    Version,
}

#[derive(Debug, Args)]
struct Join {
    /// The token: muster_join_...; read from standard input unless given. (Who is on this host sees arguments of others.)
    #[arg(env = "MUSTER_JOIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Where the controller answers agents: https://host:8444
    #[arg(long, env = "MUSTER_CONTROLLER")]
    controller: String,
    #[command(flatten)]
    place: Place,
    /// Run without root: paths of the fleet lie below the state folder, what needs root is reported as unsupported.
    #[arg(long)]
    rootless: bool,
    /// Give up the identity that this node already has.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    place: Place,
    /// The supervisor to start when none runs; beside this program unless given.
    #[arg(long, env = "MUSTER_SUPERVISOR_BIN")]
    supervisor_bin: Option<PathBuf>,
    /// The unit of systemd that the supervisor is, where it is one: started by systemd, not by the agent.
    #[arg(long, env = "MUSTER_SUPERVISOR_UNIT")]
    supervisor_unit: Option<String>,
    /// How many seconds changes of the firewall, the SSH server and the network may be unproven before they are reverted.
    #[arg(long, env = "MUSTER_CONFIRM_WITHIN", default_value_t = muster_agent::safe_apply::WINDOW.as_secs())]
    #[arg(value_parser = clap::value_parser!(u64).range(CONFIRM_WITHIN))]
    confirm_within: u64,
}

/// Long enough for a connection over a bad line, and shorter than a turn lasts.
const CONFIRM_WITHIN: std::ops::RangeInclusive<u64> = 10..=300;

#[derive(Debug, Args)]
struct Status {
    #[command(flatten)]
    place: Place,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Args)]
struct Place {
    /// Where the agent keeps its state. [default: /var/lib/muster as root, else ~/.local/share/muster]
    #[arg(long, env = "MUSTER_STATE_DIR")]
    state_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

impl Place {
    fn state_dir(&self, rootless: bool) -> StateDir {
        let root = rustix::process::geteuid().is_root();
        StateDir::new(self.state_dir.clone().unwrap_or_else(|| match std::env::home_dir() {
            Some(home) if rootless || !root => home.join(".local/share/muster"),
            _ => PathBuf::from("/var/lib/muster"),
        }))
    }
}

/// Logs to standard error. `MUSTER_LOG` takes a level, or `target=level` pairs.
pub(crate) fn start_logging() {
    let wanted = std::env::var("MUSTER_LOG").unwrap_or_default();
    let quiet = Targets::new().with_default(tracing::Level::WARN).with_target("muster", tracing::Level::INFO);
    let filter = if wanted.is_empty() { quiet } else { wanted.parse().unwrap_or(quiet) };
    let format =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(false);
    tracing_subscriber::registry().with(format.with_filter(filter)).init();
}

pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    match arguments.command {
        Command::Join(arguments) => join_fleet(arguments).await,
        Command::Run(arguments) => run_agent(arguments).await,
        Command::Install(arguments) => install::run(arguments).await,
        Command::Upgrade(arguments) => upgrade::run(arguments).await,
        Command::Uninstall(arguments) => uninstall::run(arguments).await,
        Command::Status(arguments) => {
            status::print(&arguments.place.state_dir(false), arguments.output == Output::Json)
        }
        Command::Revert(arguments) => revert::run(&arguments),
        Command::Plan(arguments) => {
            plan::print(&arguments.place.state_dir(false), arguments.output == Output::Json).await
        }
        Command::Version => {
            say(&format!("muster-agent {VERSION}"));
            ExitCode::SUCCESS
        }
    }
}

#[expect(clippy::print_stdout, reason = "this is what the commands are for")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "one line for the person who typed the command")]
fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    eprintln!("error: {text}");
    ExitCode::from(code)
}

#[expect(clippy::print_stderr, reason = "one line for the person who typed the command")]
fn warn(problem: &str) {
    eprintln!("warning: {problem}");
}

async fn join_fleet(arguments: Join) -> ExitCode {
    let state = arguments.place.state_dir(arguments.rootless);
    let config = AgentConfig::new(state.root());
    match try_join(&config, &arguments).await {
        Ok(enrolment) => {
            explain(&enrolment, &config.state_dir);
            ExitCode::SUCCESS
        }
        Err(error) if error.refusal() => fail_whole(REFUSED, &error),
        Err(error) => fail_whole(1, &error),
    }
}

/// Texts of joining are whole by themselves.
#[expect(clippy::print_stderr, reason = "one line for the person who typed the command")]
fn fail_whole(code: u8, error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(code)
}

async fn try_join(config: &AgentConfig, arguments: &Join) -> Result<Enrolment, JoinError> {
    let token = match &arguments.token {
        Some(token) => JoinToken::parse(token)?,
        None => JoinToken::parse(&token::from_stdin().unwrap_or_default())?,
    };
    let controller = ControllerAddress::parse(&arguments.controller)?;
    let host = host(&config.state_dir, arguments.rootless);
    let facts = host.facts(VERSION);
    let (rootless, force) = (arguments.rootless, arguments.force);
    join(config, JoinRequest { token, controller, rootless, force, facts }).await
}

fn explain(enrolment: &Enrolment, state: &StateDir) {
    let place = state.root().display();
    let mode = if enrolment.rootless { " (rootless)" } else { "" };
    say(&format!(
        "This machine is now node {name}{mode} of the fleet at {controller}.\n\
         Its key was made here and stays here; its certificate lasts until {until} and renews itself.\n\
         State: {place}\n\n\
         Next: muster-agent run --state-dir {place}",
        name = enrolment.node_name,
        controller = enrolment.controller_url,
        until = enrolment.certificate_not_after.format("%Y-%m-%d %H:%M UTC"),
    ));
}

fn host(state: &StateDir, rootless: bool) -> LinuxHost {
    if rootless {
        LinuxHost::rootless(state.host_root(), state.root())
    } else {
        LinuxHost::system(state.root())
    }
}

async fn run_agent(arguments: Run) -> ExitCode {
    // What an application's own user has to pass through must not depend on the shell that the agent was started from;
    // private files are made with modes of their own.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let state = arguments.place.state_dir(false);
    let enrolment = match IdentityStore::new(state.clone()).enrolment() {
        Ok(enrolment) => enrolment,
        Err(error) => return fail(1, &error),
    };
    let host: Arc<dyn Host> = Arc::new(host(&state, enrolment.rootless));
    if !enrolment.rootless && !host.privileged() {
        tracing::warn!(
            "the agent does not run as root: what belongs to root cannot be changed; join with --rootless to manage a folder instead"
        );
    }
    let supervisor = arguments.supervisor_bin.unwrap_or_else(beside_this_program);
    let runner =
        Arc::new(SupervisorRunner::new(state.clone(), supervisor).as_unit(arguments.supervisor_unit));
    let confirm_within = Duration::from_secs(arguments.confirm_within);
    let config = AgentConfig { confirm_within, ..AgentConfig::new(state.root()) };
    let agent = match Agent::new(config, host, runner) {
        Ok(agent) => agent,
        Err(error @ StartError::Lock(LockError::Taken { .. })) => return fail(REFUSED, &error),
        Err(error) => return fail(1, &error),
    };
    let (mut terminate, mut interrupt) =
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(error), _) | (_, Err(error)) => return fail(1, &error),
        };
    agent
        .run(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await;
    ExitCode::SUCCESS
}

fn beside_this_program() -> PathBuf {
    const NAME: &str = "muster-supervisor";
    let own = std::env::current_exe().ok();
    own.as_deref().and_then(Path::parent).map_or_else(|| PathBuf::from(NAME), |folder| folder.join(NAME))
}
