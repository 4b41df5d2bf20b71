//! The command line of the controller.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf};

/// The Muster controller: holds what the fleet should be, and hears how it is
#[derive(Debug, Parser)]
#[command(name = "muster-controller", version)]
pub struct Arguments {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller until SIGTERM or SIGINT
    Serve(Box<ServeOptions>),
    /// Check an installation and say what to mend; exits 1 when something is wrong
    Doctor(DoctorOptions),
    /// Print the OpenAPI document of the REST API
    Openapi,
    /// Print the JSON Schema of fleet files
    FleetSchema,
}

/// Where the controller keeps its things.
#[derive(Debug, Clone, Args)]
pub struct DataOptions {
    /// Folder for the private database, the fleet CA and the files of releases
    #[arg(long, env = "MUSTER_DATA_DIR", default_value = "/var/lib/muster-controller")]
    pub data_dir: PathBuf,
    /// Use this Postgres (postgres://...) rather than a private one
    #[arg(long, env = "MUSTER_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Folder with the PostgreSQL server programs, when they are not where the distribution puts them
    #[arg(long, env = "MUSTER_POSTGRES_BIN_DIR")]
    pub postgres_bin_dir: Option<PathBuf>,
}

/// What is handed out to hosts.
#[derive(Debug, Clone, Args)]
pub struct AgentOptions {
    /// Folder with the programs for hosts: muster-agent, muster-supervisor, muster-keeper, muster-pm2; those for another
    /// processor in a folder below, such as aarch64 [default: the folder of this program]
    #[arg(long, env = "MUSTER_AGENT_DIR")]
    pub agent_dir: Option<PathBuf>,
}

/// `muster-controller serve`.
#[derive(Debug, Args)]
pub struct ServeOptions {
    /// Where it keeps its things
    #[command(flatten)]
    pub data: DataOptions,
    /// What is handed out to hosts
    #[command(flatten)]
    pub agents: AgentOptions,
    /// Where people reach it: REST API and dashboard, HTTPS
    #[arg(long, env = "MUSTER_LISTEN", default_value = "127.0.0.1:8443")]
    pub listen: SocketAddr,
    /// Plain HTTP for a reverse proxy on this machine; loopback addresses only
    #[arg(long, env = "MUSTER_HTTP_LISTEN")]
    pub http_listen: Option<SocketAddr>,
    /// Where agents reach it: gRPC over mTLS
    #[arg(long, env = "MUSTER_AGENT_LISTEN", default_value = "0.0.0.0:8444")]
    pub agent_listen: SocketAddr,
    /// What agents are told to connect to [default: https://HOSTNAME:PORT of --agent-listen]
    #[arg(long, env = "MUSTER_AGENT_URL")]
    pub agent_url: Option<String>,
    /// Certificate chain for --listen, PEM; without it the fleet CA issues one
    #[arg(long, env = "MUSTER_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key for --tls-cert, PEM
    #[arg(long, env = "MUSTER_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// The first administrator's password: read from this file, or written there (0600) when it does not exist
    #[arg(long, env = "MUSTER_ADMIN_PASSWORD_FILE")]
    pub admin_password_file: Option<PathBuf>,
    /// Seconds between the signs of life of a node
    #[arg(long, env = "MUSTER_HEARTBEAT_INTERVAL", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub heartbeat_interval: u32,
    /// Seconds between the polls of a node
    #[arg(long, env = "MUSTER_POLL_INTERVAL", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub poll_interval: u32,
    /// Seconds that one node of a rollout may take
    #[arg(long, env = "MUSTER_ROLLOUT_NODE_DEADLINE", default_value_t = 300, value_parser = clap::value_parser!(u32).range(5..=86_400))]
    pub rollout_node_deadline: u32,
    /// How log lines look
    #[arg(long, env = "MUSTER_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `muster-controller doctor`.
#[derive(Debug, Args)]
pub struct DoctorOptions {
    /// Where it keeps its things
    #[command(flatten)]
    pub data: DataOptions,
    /// What is handed out to hosts
    #[command(flatten)]
    pub agents: AgentOptions,
    /// `text` or `json`
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub output: LogFormat,
}
