//! `muster-supervisor`: thin shell around the library.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use muster_supervisor::{check_takeover, commands, keep, serve};
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

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let called = words.next().map(PathBuf::from);
    // Before anything else is set up: scripts call these by the dozen.
    match called.as_deref().and_then(Path::file_name).and_then(OsStr::to_str) {
        Some("pm2") => return muster_pm2_command::run(words).into(),
        Some("pm2-runtime" | "pm2-docker") => return muster_pm2_command::run_in_foreground(words).into(),
        _ => {}
    }
    match words.next().as_ref().and_then(|word| word.to_str()) {
        Some("pm2") => return muster_pm2_command::run(words).into(),
        Some("pm2-runtime") => return muster_pm2_command::run_in_foreground(words).into(),
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
        Command::Run { .. } | Command::Upgrade { .. } | Command::List { .. } | Command::Logs { .. } => {}
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
            Command::Logs { app, state_dir, lines, follow } => {
                commands::logs(&state_dir, app, lines, follow).await?;
            }
        }
        Ok(())
    })
}
