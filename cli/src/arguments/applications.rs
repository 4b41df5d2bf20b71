//! What can be typed about applications.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::format::parse_duration;

#[derive(Debug, Subcommand)]
pub(crate) enum Application {
    /// List the applications
    #[command(visible_alias = "ls")]
    List,
    /// Show what runs where
    Show {
        /// The application
        name: String,
    },
    /// Show why its processes ended, were restarted or were replaced, the newest last
    #[command(visible_alias = "restarts")]
    History(History),
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// The application
    pub(crate) name: String,
    /// Only in this environment
    #[arg(long, short)]
    pub(crate) environment: Option<String>,
    /// Only on this node
    #[arg(long, short)]
    pub(crate) node: Option<String>,
    /// Only this instance, and what happened to all instances together
    #[arg(long, short)]
    pub(crate) instance: Option<u32>,
    /// Only what is younger, for example 12h
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) since: Option<Duration>,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: usize,
    /// Show what each process wrote last to standard error
    #[arg(long)]
    pub(crate) stderr: bool,
}
