//! Runs a private PostgreSQL in the foreground until SIGINT or SIGTERM: the database of developers and of test runs.
//! The controller does not use this program, it uses the library.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use muster_postgres::{Config, Durability, PrivatePostgres};
use tokio::signal::unix::{SignalKind, signal};

/// Run a private PostgreSQL until SIGINT or SIGTERM
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where the cluster lies; made when it is missing
    #[arg(long)]
    data_dir: PathBuf,
    /// The database to create and to print the URL of
    #[arg(long, default_value = "muster")]
    database: String,
    /// Do not flush to disk: faster, and lost at a power cut
    #[arg(long)]
    no_fsync: bool,
    /// Upper bound of connections
    #[arg(long, default_value_t = 60)]
    max_connections: u16,
    /// Write the URL to this file once the server is ready
    #[arg(long)]
    url_file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    let durability = if arguments.no_fsync { Durability::None } else { Durability::Full };
    let config = Config {
        database: arguments.database,
        durability,
        max_connections: arguments.max_connections,
        ..Config::new(arguments.data_dir)
    };
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let postgres = PrivatePostgres::start(config).await?;
    match &arguments.url_file {
        Some(path) => {
            let beside = path.with_extension("new");
            std::fs::write(&beside, postgres.url())
                .with_context(|| format!("cannot write {}", beside.display()))?;
            std::fs::rename(&beside, path).with_context(|| format!("cannot write {}", path.display()))?;
        }
        None => println!("{}", postgres.url()),
    }
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    postgres.stop().await?;
    Ok(())
}
