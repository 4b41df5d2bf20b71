//! `muster-supervisor`: thin shell around the library.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use muster_supervisor::commands::{self, CommandError, Deed};
use muster_supervisor::{check_takeover, keep, serve};
use tracing_subscriber::EnvFilter;

/// Owns the Node.js processes of this machine. `muster-supervisor pm2`, or a link to this program that is called `pm2`,
/// understands the commands of pm2.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM; applications are stopped then.
    Run {
        /// Folder for the socket, the lock and the list of applications.
        #[arg(long)]
        state_dir: PathBuf,
        /// Go on in place of the supervisor this process was until now.
        #[arg(long, hide = true)]
        resume: bool,
        /// Leave the terminal and the session of whoever started this.
        #[arg(long, hide = true)]
        new_session: bool,
    },
    /// Replace the running supervisor by this (or another) binary; applications notice nothing.
    Upgrade {
        /// State directory of the supervisor.
        #[arg(long)]
        state_dir: PathBuf,
        /// The binary, as an absolute path; by default the one at the path the supervisor was started by.
        #[arg(long)]
        binary: Option<PathBuf>,
    },
    /// Say whether this binary can go on with the state of a running supervisor.
    CheckTakeover {
        /// Format of that state.
        #[arg(long)]
        format: u32,
    },
    /// Keep what must outlive the supervisor; started by the supervisor itself.
    #[command(hide = true)]
    Keep {
        /// State directory of the supervisor.
        #[arg(long)]
        state_dir: PathBuf,
    },
    /// Show what runs.
    List {
        /// State directory of the supervisor.
        #[arg(long)]
        state_dir: PathBuf,
    },
    /// Show everything that is known about an application.
    Describe {
        /// The application.
        app: String,
        /// State directory of the supervisor.
        #[arg(long)]
        state_dir: PathBuf,
    },
    /// Stop an application or an instance and keep it.
    Stop(Whom),
    /// Start what is stopped.
    Start(Whom),
    /// Stop and start again, whatever state it is in.
    Restart(Whom),
    /// Replace by fresh processes; the old ones go when the new ones are ready.
    Reload(Whom),
    /// Stop and forget.
    Delete(Whom),
    /// Begin to count restarts from zero.
    Reset(Whom),
    /// Have this many instances; the newest go first.
    Scale {
        #[command(flatten)]
        whom: Whom,
        /// How many.
        instances: u32,
        /// Let the oldest go first.
        #[arg(long)]
        oldest_first: bool,
    },
    /// Send a signal to the main processes.
    Signal {
        #[command(flatten)]
        whom: Whom,
        /// Its name or number.
        signal: String,
    },
    /// Show what applications wrote.
    Logs {
        /// Only this application.
        app: Option<String>,
        /// State directory of the supervisor.
        #[arg(long)]
        state_dir: PathBuf,
        /// How many of the last lines of each application.
        #[arg(long, default_value_t = 100)]
        lines: u32,
        /// Go on with new lines.
        #[arg(long, short)]
        follow: bool,
    },
}

/// Whom a verb is about.
#[derive(Debug, clap::Args)]
struct Whom {
    /// The application, or one instance of it: `shop:1`.
    whom: String,
    /// State directory of the supervisor.
    #[arg(long)]
    state_dir: PathBuf,
}

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let called = words.first().map(Path::new).and_then(Path::file_name).and_then(OsStr::to_str);
    let word = |place: usize| words.get(place).and_then(|word| word.to_str());
    // Whatever this program is called, what it starts of itself are supervisors.
    let internal = matches!(word(1), Some("run" | "keep" | "check-takeover"))
        && word(2).is_some_and(|flag| flag.starts_with("--"));
    // Before anything else is set up: scripts call these by the dozen.
    let rest = |from: usize| words.iter().skip(from).cloned();
    match (called, word(1)) {
        _ if internal => {}
        (Some("pm2"), _) => return muster_pm2_command::run(rest(1)).into(),
        (Some("pm2-runtime" | "pm2-docker"), _) => {
            return muster_pm2_command::run_in_foreground(rest(1)).into();
        }
        (_, Some("pm2")) => return muster_pm2_command::run(rest(2)).into(),
        (_, Some("pm2-runtime")) => return muster_pm2_command::run_in_foreground(rest(2)).into(),
        _ => {}
    }
    match supervise() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:?}");
            ExitCode::FAILURE
        }
    }
}

fn supervise() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_env("MUSTER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let arguments = Arguments::parse();
    match &arguments.command {
        Command::Keep { state_dir } => return Ok(keep(state_dir)?),
        Command::CheckTakeover { format } => return check_takeover(*format).map_err(anyhow::Error::msg),
        _ => {}
    }
    // One thread: the work is waiting, and every further thread would cost memory on every machine of the fleet.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(async {
        match arguments.command {
            Command::Keep { .. } | Command::CheckTakeover { .. } => {}
            Command::Run { state_dir, resume, new_session } => {
                if new_session {
                    // Refused when this process leads a group already, which comes to the same.
                    rustix::process::setsid().ok();
                }
                serve(&state_dir, resume).await?;
            }
            Command::Upgrade { state_dir, binary } => commands::upgrade(&state_dir, binary).await?,
            Command::List { state_dir } => commands::list(&state_dir).await?,
            Command::Describe { app, state_dir } => commands::describe(&state_dir, &app).await?,
            Command::Stop(whom) => perform(whom, Deed::Stop).await?,
            Command::Start(whom) => perform(whom, Deed::Start).await?,
            Command::Restart(whom) => perform(whom, Deed::Restart).await?,
            Command::Reload(whom) => perform(whom, Deed::Reload).await?,
            Command::Delete(whom) => perform(whom, Deed::Delete).await?,
            Command::Reset(whom) => perform(whom, Deed::Reset).await?,
            Command::Scale { whom, instances, oldest_first } => {
                perform(whom, Deed::Scale { instances, oldest_first }).await?;
            }
            Command::Signal { whom, signal } => perform(whom, Deed::Signal(signal)).await?,
            Command::Logs { app, state_dir, lines, follow } => {
                commands::logs(&state_dir, app, lines, follow).await?;
            }
        }
        Ok(())
    })
}

async fn perform(whom: Whom, deed: Deed) -> Result<(), CommandError> {
    commands::perform(&whom.state_dir, &whom.whom, deed).await
}
