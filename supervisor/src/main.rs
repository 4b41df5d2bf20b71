//! `muster-supervisor`: thin shell around the library.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use muster_supervisor::commands::{self, CommandError, Deed};
use muster_supervisor::{OwnLog, check_takeover, enclose, keep, serve};
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
    /// Serve until SIGTERM, which stops the applications, or SIGUSR2, after which they go on without a supervisor.
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
    /// Stop every application if the machine is going down, and do nothing otherwise: for a systemd unit.
    StopWithSystem {
        /// State directory of the supervisor.
        #[arg(long)]
        state_dir: PathBuf,
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
    Logs(commands::LogsArguments),
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
    match (called, word(1)) {
        _ if internal => {}
        (Some(name @ ("pm2" | "pm2-runtime" | "pm2-docker")), _) => return pm2(name, &words[1..]),
        (_, Some(name @ ("pm2" | "pm2-runtime"))) => return pm2(name, &words[2..]),
        _ => {}
    }
    match supervise() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("Error: {error:?}");
            ExitCode::FAILURE
        }
    }
}

/// Becomes the program that understands pm2's commands.
fn pm2(name: &str, words: &[OsString]) -> ExitCode {
    let program = match std::env::current_exe() {
        Ok(own) => own.with_file_name("muster-pm2"),
        Err(error) => {
            eprintln!("the path of this program cannot be found: {error}");
            return ExitCode::FAILURE;
        }
    };
    let error = std::process::Command::new(&program).arg0(name).args(words).exec();
    eprintln!(
        "{} cannot be executed: {error}\nmuster-supervisor and muster-pm2 belong together: install both in one folder",
        program.display()
    );
    ExitCode::FAILURE
}

fn supervise() -> anyhow::Result<ExitCode> {
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
        _ => {}
    }
    // One thread: the work is waiting, and every further thread would cost memory on every machine of the fleet.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(async {
        match arguments.command {
            Command::Keep { .. } | Command::Enclose | Command::CheckTakeover { .. } => {}
            Command::Run { state_dir, resume, new_session, .. } => {
                if new_session {
                    // Refused when this process leads a group already, which comes to the same.
                    rustix::process::setsid().ok();
                }
                serve(&state_dir, resume).await?;
            }
            Command::Upgrade { state_dir, binary } => commands::upgrade(&state_dir, binary).await?,
            Command::StopWithSystem { state_dir } => commands::stop_with_system(&state_dir).await?,
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
            Command::Logs(arguments) => commands::logs(arguments).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn perform(whom: Whom, deed: Deed) -> Result<(), CommandError> {
    commands::perform(&whom.state_dir, &whom.whom, deed).await
}
