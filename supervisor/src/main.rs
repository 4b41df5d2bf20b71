//! `muster-supervisor`: thin shell around the library.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use muster_supervisor::{OwnLog, check_takeover, commands, enclose, keep, serve};
use tracing_subscriber::EnvFilter;

/// Owns the Node.js processes of this machine.
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
        /// Write to this file and rotate it, instead of to standard error.
        #[arg(long, env = "MUSTER_SUPERVISOR_LOG")]
        log_file: Option<PathBuf>,
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
    /// Become an application; started by the supervisor itself.
    #[command(hide = true)]
    Enclose,
    /// Show what runs.
    List {
        /// State directory of the supervisor.
        #[arg(long)]
        state_dir: PathBuf,
    },
    /// Show what applications wrote.
    Logs(commands::LogsArguments),
}

fn main() -> anyhow::Result<ExitCode> {
    let filter = EnvFilter::try_from_env("MUSTER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let arguments = Arguments::parse();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    match &arguments.command {
        Command::Run { log_file: Some(path), .. } => {
            let file = OwnLog::open(path).with_context(|| format!("{} cannot be written", path.display()))?;
            log.with_writer(move || file.clone()).init();
        }
        _ => log.with_writer(std::io::stderr).init(),
    }
    match &arguments.command {
        Command::Keep { state_dir } => {
            keep(state_dir)?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Enclose => return Ok(enclose()),
        Command::CheckTakeover { format } => {
            check_takeover(*format).map_err(anyhow::Error::msg)?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Run { .. } | Command::Upgrade { .. } | Command::List { .. } | Command::Logs(_) => {}
    }
    // One thread: the work is waiting, and every further thread would cost memory on every machine of the fleet.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(async {
        match arguments.command {
            Command::Keep { .. } | Command::Enclose | Command::CheckTakeover { .. } => {}
            Command::Run { state_dir, resume, .. } => serve(&state_dir, resume).await?,
            Command::Upgrade { state_dir, binary } => commands::upgrade(&state_dir, binary).await?,
            Command::List { state_dir } => commands::list(&state_dir).await?,
            Command::Logs(arguments) => commands::logs(arguments).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}
