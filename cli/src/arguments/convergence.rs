//! What hosts are and should be.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::format::parse_duration;

/// Ask the nodes what they would change now: what differs, waits, or has not been done yet. With fleet files: what they
/// would change if these were applied. Nothing is changed to find out.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// A folder with fleet files, or one file, that are not applied; `-` reads standard input. Default: what is in force
    #[arg(long, short, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    /// Only this node
    #[arg(long, short)]
    pub(crate) node: Option<String>,
    /// Only the nodes of this environment
    #[arg(long, short)]
    pub(crate) environment: Option<String>,
    /// Leave the differences out
    #[arg(long)]
    pub(crate) brief: bool,
    /// End with 5 when something would be changed
    #[arg(long)]
    pub(crate) exit_code: bool,
    /// How long to wait for the nodes
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

/// How a node may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Standing {
    Converged,
    Pending,
    Waiting,
    Drifted,
    Failed,
}

/// What the agent may do about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeWord {
    /// Put it right: lifts what was set
    Enforce,
    /// Say it, change nothing
    Report,
    /// Do not even look
    Ignore,
}

/// Commands of `muster node` about what is on it.
#[derive(Debug, Subcommand)]
pub(crate) enum HostState {
    /// List the resources of a node
    Resources {
        /// The node
        name: String,
        /// Only those that were ever changed, the last change first
        #[arg(long)]
        changed: bool,
        /// Only those that differ and may not be changed
        #[arg(long)]
        drifted: bool,
        /// Only those that failed, or were skipped because others did
        #[arg(long)]
        failed: bool,
        /// Only those that have to wait
        #[arg(long)]
        waiting: bool,
    },
    /// Show what differs at a resource, or what was changed last
    Diff {
        /// The node
        name: String,
        /// The resource, as kind:name: file:/etc/nginx/nginx.conf
        resource: String,
        /// Every change that is kept, the newest first
        #[arg(long)]
        history: bool,
    },
    /// Set what the agent may do about differences, on top of what is declared; the strictest holds
    Mode {
        /// The node
        name: String,
        /// The mode
        #[arg(value_enum)]
        mode: ModeWord,
        /// Only of this resource, as kind:name
        #[arg(long)]
        resource: Option<String>,
        /// Why, in a few words; needed unless it is lifted
        #[arg(long, short, required_if_eq_any = [("mode", "report"), ("mode", "ignore")])]
        reason: Option<String>,
        /// For so long; default: until somebody lifts it
        #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
        duration: Option<Duration>,
    },
    /// Show who is changing disruptively, who waits for that, and who failed at it
    Turns {
        /// Only in this environment
        #[arg(long, short)]
        environment: Option<String>,
    },
    /// Let other nodes change although this one failed or is still changing
    ReleaseTurn {
        /// The node
        name: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Restart the host of a node, in its turn
    Reboot {
        /// The node
        name: String,
        /// Why, in a few words
        #[arg(long, short, required_unless_present = "cancel")]
        reason: Option<String>,
        /// At once, without waiting for the node's turn
        #[arg(long)]
        now: bool,
        /// Take the wish back
        #[arg(long, conflicts_with_all = ["reason", "now"])]
        cancel: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Print how what is on a host would be declared: a part of a fleet file that changes nothing
    ///
    /// What should be known with it goes to standard error, the part of a fleet file to standard output. Nothing is changed,
    /// and nothing of what was found is kept.
    Inspect {
        /// The node
        name: String,
    },
}
