//! What can be typed.

mod applications;
mod convergence;
mod pm2;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use uuid::Uuid;

pub(crate) use applications::{Application, History};
pub(crate) use convergence::{HostState, ModeWord, Plan, Standing};
pub(crate) use pm2::Pm2;

use crate::failure::EXIT_CODES;
use crate::format::parse_duration;
use crate::output::OutputFormat;
use crate::trust::parse_fingerprint;

/// The command line of a Muster fleet: nodes, releases, rollouts.
///
/// Sign in with `muster login URL`. Results go to standard output, everything else to standard error. What the exit
/// codes mean: `muster help exit-codes`.
#[derive(Debug, Parser)]
#[command(name = "muster", version, max_term_width = 110, propagate_version = false)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// How results are written
    #[arg(long, short = 'o', global = true, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,
    /// The controller; default: the one that was signed in to last
    #[arg(long, global = true, value_name = "URL", env = "MUSTER_URL")]
    pub(crate) url: Option<String>,
    /// Trust the certificate authority in this PEM file instead of those of the system
    #[arg(long, global = true, value_name = "FILE", env = "MUSTER_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sign in to a controller and keep an API token for it
    Login(Login),
    /// Withdraw the kept API token
    Logout,
    /// The hosts of the fleet
    #[command(subcommand, visible_alias = "nodes")]
    Node(Node),
    /// Groups of nodes
    #[command(subcommand, visible_alias = "environments", alias = "env")]
    Environment(Environment),
    /// What runs on the nodes
    #[command(subcommand, visible_alias = "applications", alias = "app")]
    Application(Application),
    /// Apply fleet files, after showing what would change
    Apply(Apply),
    /// Show what nodes would change, without changing anything
    Plan(Plan),
    /// Values that fleet files name but do not hold
    #[command(subcommand, visible_alias = "secrets")]
    Secret(Secret),
    /// Immutable versions of an application
    #[command(subcommand, visible_alias = "releases")]
    Release(Release),
    /// Move an environment to a release
    Deploy(Deploy),
    /// Move an environment back to the release that ran before
    Rollback(Rollback),
    /// Moves of an environment to a release
    #[command(subcommand, visible_alias = "rollouts")]
    Rollout(Rollout),
    /// The processes of the applications
    Ps(Ps),
    /// What an application writes
    Logs(Logs),
    /// What happened in the fleet
    Events(Events),
    /// API tokens, for machines
    #[command(subcommand, visible_alias = "tokens")]
    Token(Token),
    /// Coming from pm2
    #[command(subcommand)]
    Pm2(Pm2),
    /// Print a completion script
    Completions {
        /// For this shell
        shell: Shell,
    },
    /// Print the manual page
    Man {
        /// Write a page for each command into this folder instead
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
    },
    /// Print the JSON Schema of fleet files, for editors
    Schema,
    /// Print the versions of this program and of the controller
    Version,
    /// What the exit codes mean
    #[command(long_about = EXIT_CODES)]
    ExitCodes,
}

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The controller, for example https://muster.example.com:8443
    #[arg(value_name = "URL")]
    pub(crate) controller: Option<String>,
    /// Who signs in
    #[arg(long, short = 'u')]
    pub(crate) username: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Trust the fleet's certificate authority by the SHA-256 of its certificate
    #[arg(long, value_name = "FINGERPRINT", value_parser = parse_fingerprint)]
    pub(crate) ca_sha256: Option<String>,
    /// How long the kept token is valid
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = parse_duration)]
    pub(crate) token_ttl: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Node {
    /// List the nodes
    #[command(visible_alias = "ls")]
    List {
        /// Only those of this environment
        #[arg(long, short)]
        environment: Option<String>,
        /// Only those with this role
        #[arg(long)]
        role: Option<String>,
        /// Only those that stand so
        #[arg(long, value_enum)]
        convergence: Option<Standing>,
    },
    /// Show a node with its resources and processes
    Show {
        /// The node
        name: String,
    },
    /// Make a join token and print the line to run on the host
    Invite {
        /// The name that the node will have
        name: String,
        /// Its environment; default: as the fleet configuration says
        #[arg(long, short)]
        environment: Option<String>,
        /// Its roles: load_balancer, app_server, datastore; default: as the fleet configuration says
        #[arg(long = "role", value_name = "ROLE", num_args = 1.., value_delimiter = ',')]
        roles: Vec<String>,
        /// How long the token is valid [default: 15m; with --cloud-init 1h, because a host is not made in a moment]
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        ttl: Option<Duration>,
        /// Print user data for a host that is yet to be made, instead of a line to run on one that is there
        #[arg(long)]
        cloud_init: bool,
        /// The name belongs to a node; the new host takes its place
        #[arg(long)]
        replace: bool,
    },
    /// Withdraw the identity of a node, at once
    Revoke {
        /// The node
        name: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Make a node look for drift now
    Converge {
        /// The node
        name: String,
        /// Wait until it is as it should be
        #[arg(long, short)]
        wait: bool,
        /// How long to wait
        #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
        timeout: Duration,
    },
    /// Forget a revoked node and its history
    Remove {
        /// The node
        name: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    #[command(flatten)]
    State(HostState),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Environment {
    /// List the environments
    #[command(visible_alias = "ls")]
    List,
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// A folder with fleet files (*.yaml, *.yml), or one file; `-` reads standard input
    #[arg(long, short, value_name = "PATH")]
    pub(crate) file: PathBuf,
    /// Only show what would change
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Wait until the nodes that change have converged
    #[arg(long, short)]
    pub(crate) wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// Set a value, read from standard input or a prompt, never from an argument
    Set {
        /// Its name, as in `secrets:` of an application
        name: String,
        /// For this environment only
        #[arg(long, short)]
        environment: Option<String>,
        /// Keep a line end at the end of standard input
        #[arg(long)]
        raw: bool,
    },
    /// List names; values never leave the controller
    #[command(visible_alias = "ls")]
    List,
    /// Delete a value
    Delete {
        /// Its name
        name: String,
        /// The value for this environment
        #[arg(long, short)]
        environment: Option<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Release {
    /// Build, pack and upload a folder as a new release
    ///
    /// Everything in the folder is packed, also what .gitignore names (built output, node_modules), except: version
    /// control, .DS_Store, crash logs of package managers, .env and .env.* (use `muster secret set`), and what a
    /// .musterignore at the root of the folder names, in gitignore syntax. `!.env` in it takes a file in again.
    Create(ReleaseCreate),
    /// List the releases of an application, newest first
    #[command(visible_alias = "ls")]
    List {
        /// The application
        application: String,
    },
    /// Show a release
    Show {
        /// The application
        application: String,
        /// Its version
        version: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseCreate {
    /// The application
    pub(crate) application: String,
    /// The folder
    #[arg(long, short, value_name = "FOLDER", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Its version; default: `git describe`, or the beginning of the content's digest
    #[arg(long, short = 'V')]
    pub(crate) version: Option<String>,
    /// Run this in the folder first, with `sh -c`; default: the application's `build` in the fleet configuration
    #[arg(long, short, value_name = "COMMAND")]
    pub(crate) build: Option<String>,
    /// Run no build: pack the folder as it is
    #[arg(long, conflicts_with = "build")]
    pub(crate) no_build: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Waiting {
    /// Wait for the end, show the steps, and tell the outcome by the exit code
    #[arg(long, short)]
    pub(crate) wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// The application
    pub(crate) application: String,
    /// The version of the release
    #[arg(long, short)]
    pub(crate) release: String,
    /// The environment
    #[arg(long, short)]
    pub(crate) environment: String,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// The application
    pub(crate) application: String,
    /// The environment
    #[arg(long, short)]
    pub(crate) environment: String,
    /// Go back to this release; default: the one before
    #[arg(long, short)]
    pub(crate) release: Option<String>,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Rollout {
    /// List rollouts, newest first
    #[command(visible_alias = "ls")]
    List {
        /// Only those of this application
        #[arg(long, short)]
        application: Option<String>,
        /// Only those in this environment
        #[arg(long, short)]
        environment: Option<String>,
        /// Only those under way
        #[arg(long)]
        active: bool,
    },
    /// Show a rollout node by node
    Show {
        /// Its id
        id: Uuid,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Stop a rollout; every touched node gets its former release back
    Abort {
        /// Its id
        id: Uuid,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Only this application
    #[arg(value_name = "APPLICATION", conflicts_with = "application")]
    pub(crate) name: Option<String>,
    /// Only this application
    #[arg(long, short)]
    pub(crate) application: Option<String>,
    /// Only this environment
    #[arg(long, short)]
    pub(crate) environment: Option<String>,
    /// Only this node
    #[arg(long, short)]
    pub(crate) node: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The application
    pub(crate) application: String,
    /// Go on with what it writes from now on
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only in this environment
    #[arg(long, short)]
    pub(crate) environment: Option<String>,
    /// Only on this node
    #[arg(long, short)]
    pub(crate) node: Option<String>,
    /// Only this instance
    #[arg(long, short)]
    pub(crate) instance: Option<u32>,
    /// Past lines of each instance
    #[arg(long, default_value_t = 100)]
    pub(crate) lines: u32,
    /// Put the time before each line
    #[arg(long, short)]
    pub(crate) timestamps: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Go on with what happens from now on
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only what is younger, for example 1h; default: the newest 50
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) since: Option<Duration>,
    /// Only about this application
    #[arg(long, short, alias = "app")]
    pub(crate) application: Option<String>,
    /// Only about this environment
    #[arg(long, short)]
    pub(crate) environment: Option<String>,
    /// Only about this node
    #[arg(long, short)]
    pub(crate) node: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token and print it, this once
    Create {
        /// What it is for
        name: String,
        /// How long it is valid; default: until it is revoked
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        ttl: Option<Duration>,
    },
    /// List tokens
    #[command(visible_alias = "ls")]
    List,
    /// Withdraw a token, at once
    Revoke {
        /// Its id
        id: Uuid,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn roles_can_be_given_in_every_usual_way() {
        let roles = |line: &str| match Arguments::parse_from(line.split(' ')).command {
            Command::Node(Node::Invite { roles, .. }) => roles,
            other => panic!("{other:?}"),
        };
        let both = ["load_balancer", "app_server"];
        assert_eq!(
            roles("muster node invite a --environment e --role load_balancer --role app_server"),
            both
        );
        assert_eq!(roles("muster node invite a --environment e --role load_balancer,app_server"), both);
        assert_eq!(roles("muster node invite a --role load_balancer app_server --ttl 1h"), both);
    }

    #[test]
    fn exit_codes_are_in_the_help() {
        let mut command = Arguments::command();
        let help = command.find_subcommand_mut("exit-codes").unwrap().render_long_help().to_string();
        for word in ["refused", "timed out", "wrong usage"] {
            assert!(help.contains(word), "{help}");
        }
    }
}
