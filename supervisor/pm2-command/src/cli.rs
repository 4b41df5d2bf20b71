//! The command line: every verb of pm2 7 under its own name.

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand};

use crate::flags::Flags;
use crate::{
    adopt, attach, completion, deploy, inspect_app, logs, profile, pull, scaffolding, serve, startup,
    sysinfos,
};

/// pm2's verbs over Muster's supervisor, for one machine.
#[derive(Debug, Parser)]
#[command(
    name = "pm2",
    about,
    disable_version_flag = true,
    disable_help_subcommand = true,
    args_override_self = true,
    subcommand_help_heading = "Commands",
    override_usage = "pm2 [options] <command>"
)]
pub(crate) struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// How.
    #[command(flatten)]
    pub flags: Flags,
}

/// One process, by whatever names it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Selector {
    /// Name, id, namespace, /regex/ or all
    #[arg(value_name = "id|name|namespace|all")]
    pub selector: String,
}

/// Several.
#[derive(Debug, Clone, Args)]
pub(crate) struct Selectors {
    /// Names, ids, namespaces, /regex/, all, a configuration file, or - for one on standard input
    #[arg(value_name = "id|name|namespace|all|json|stdin", required = true)]
    pub selectors: Vec<String>,
}

/// A configuration file.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigFile {
    /// The file
    #[arg(value_name = "json")]
    pub file: String,
}

/// What to start.
#[derive(Debug, Clone, Args)]
pub(crate) struct StartArgs {
    /// Scripts, configuration files, or known names, namespaces and ids; ecosystem.config.js when not given
    #[arg(value_name = "name|namespace|file|ecosystem|id")]
    pub targets: Vec<String>,
    #[arg(long, hide = true)]
    pub fresh: bool,
    #[arg(long, hide = true)]
    pub daemon: bool,
    #[arg(long, hide = true)]
    pub container: bool,
    #[arg(long, hide = true)]
    pub dist: bool,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    pub image_name: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    pub node_version: Option<String>,
    #[arg(long, hide = true)]
    pub dockerdaemon: bool,
}

/// Arguments that are taken as they are.
#[derive(Debug, Clone, Args)]
pub(crate) struct Anything {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// pm2's verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Start applications, or start stopped ones again
    Start(StartArgs),
    /// Call an action that an application announced
    Trigger {
        /// Name, id, namespace or all
        #[arg(value_name = "id|proc_name|namespace|all")]
        selector: String,
        /// Name of the action
        action_name: String,
        /// Its parameter
        #[arg(allow_hyphen_values = true)]
        params: Option<String>,
    },
    /// Run the deploy section of a file
    Deploy(deploy::Args),
    /// Start or restart the applications of a file
    #[command(name = "startOrRestart")]
    StartOrRestart(ConfigFile),
    /// Start or reload the applications of a file
    #[command(name = "startOrReload")]
    StartOrReload(ConfigFile),
    /// The same as startOrReload
    #[command(name = "startOrGracefulReload")]
    StartOrGracefulReload(ConfigFile),
    /// Print the process id of an application, or of all
    Pid {
        /// Its name
        app_name: Option<String>,
    },
    /// Copy a sample application here and start it
    Create,
    /// Stop applications
    Stop(Selectors),
    /// Restart applications
    Restart(Selectors),
    /// Set the number of instances
    Scale {
        /// Name of the application
        app_name: String,
        /// How many, +n or -n
        #[arg(allow_negative_numbers = true)]
        number: String,
        /// Let the oldest instances go first, as pm2 does
        #[arg(long)]
        pm2_order: bool,
    },
    /// Sample the memory of the daemon
    #[command(name = "profile:mem")]
    ProfileMem(profile::Args),
    /// Profile the daemon
    #[command(name = "profile:cpu")]
    ProfileCpu(profile::Args),
    /// Replace running processes by new ones without losing requests
    #[command(alias = "gracefulReload", alias = "softReload")]
    Reload(Selector),
    /// Print the ids of an application
    Id {
        /// Its name
        name: String,
    },
    /// Open the debugger of a process
    Inspect(inspect_app::Args),
    /// Stop applications and forget them
    #[command(alias = "del")]
    Delete(Selectors),
    /// Send a signal
    #[command(name = "sendSignal")]
    SendSignal {
        /// Its name or number
        signal: String,
        /// Id or name
        #[arg(value_name = "pm2_id|name")]
        selector: String,
    },
    /// Ask the daemon, and start it when it is not running
    Ping,
    /// Replace the running daemon by this version; applications notice nothing
    #[command(alias = "updatePM2")]
    Update,
    /// Save the list of applications for resurrect
    #[command(alias = "save")]
    Dump,
    /// Empty the saved list
    Cleardump,
    /// Send a line to the standard input of a process
    Send {
        /// Id
        #[arg(value_name = "pm_id")]
        id: String,
        /// The line
        #[arg(allow_hyphen_values = true)]
        line: String,
    },
    /// Talk to a process by its standard input and output
    Attach(attach::Args),
    /// Bring back the saved list
    Resurrect,
    /// Remove the startup script
    Unstartup(startup::Args),
    /// Bring the saved list back when the machine starts
    Startup(startup::Args),
    /// Set up logrotate for the log files
    Logrotate,
    /// Write a sample configuration file
    #[command(alias = "init")]
    Ecosystem(scaffolding::Args),
    /// Set counters to zero
    Reset(Selector),
    /// Show everything about a process
    #[command(aliases = ["desc", "info", "show"])]
    Describe(Selector),
    /// Print the environment of a process
    Env {
        /// Id
        id: String,
    },
    /// List all processes
    #[command(aliases = ["ls", "l", "ps", "status"])]
    List,
    /// List all processes as JSON
    Jlist,
    /// List all processes as JavaScript prints it
    Prettylist,
    /// Print facts about the machine
    #[command(alias = "sysinfos")]
    Slist(sysinfos::Args),
    /// Show processes, metrics and logs in the terminal
    #[command(aliases = ["dashboard", "dash", "imonit"])]
    Monit,
    /// Empty log files
    Flush {
        /// Only of this name or id
        api: Option<String>,
    },
    /// Open the log files anew
    #[command(name = "reloadLogs")]
    ReloadLogs,
    /// Show logs
    #[command(alias = "log")]
    Logs(logs::Args),
    /// Stop every application and the daemon
    Kill,
    /// Update the working copy of an application and restart it
    Pull(pull::PullArgs),
    /// Move the working copy to the next commit and restart
    Forward(pull::Args),
    /// Move the working copy to the commit before and restart
    Backward(pull::Args),
    /// Serve a folder over HTTP
    #[command(alias = "expose")]
    Serve(serve::Args),
    /// The file server itself, as `serve` runs it
    #[command(name = "pm2-serve", hide = true)]
    ServeFiles,
    /// A report for those who look into a problem
    Report,
    /// Show examples
    Examples,
    /// Completion for the shell
    Completion(completion::Args),
    /// Take applications over from a running pm2, one reload each
    Adopt(adopt::Args),
    /// Of pm2's hosted service, its modules or containers
    #[command(flatten)]
    NotHere(NotHere),
    /// Not a verb of pm2
    #[command(external_subcommand)]
    Unknown(#[expect(dead_code, reason = "clap gives it, and the answer does not repeat it")] Vec<OsString>),
}

/// Verbs that are answered with a message.
#[derive(Debug, Subcommand)]
#[command(hide = true)]
pub(crate) enum NotHere {
    #[command(name = "deepUpdate", hide = true)]
    DeepUpdate(Anything),
    #[command(alias = "module:install", hide = true)]
    Install(Anything),
    #[command(name = "module:update", hide = true)]
    ModuleUpdate(Anything),
    #[command(name = "module:generate", hide = true)]
    ModuleGenerate(Anything),
    #[command(alias = "module:uninstall", hide = true)]
    Uninstall(Anything),
    #[command(hide = true)]
    Package(Anything),
    #[command(alias = "module:publish", hide = true)]
    Publish(Anything),
    #[command(hide = true)]
    Set(Anything),
    #[command(hide = true)]
    Multiset(Anything),
    #[command(hide = true)]
    Get(Anything),
    #[command(alias = "config", hide = true)]
    Conf(Anything),
    #[command(hide = true)]
    Unset(Anything),
    #[command(hide = true)]
    Link(Anything),
    #[command(hide = true)]
    Unlink(Anything),
    #[command(hide = true)]
    Monitor(Anything),
    #[command(hide = true)]
    Unmonitor(Anything),
    #[command(hide = true)]
    Open(Anything),
    #[command(alias = "register", hide = true)]
    Plus(Anything),
    #[command(hide = true)]
    Login(Anything),
    #[command(hide = true)]
    Logout(Anything),
    #[command(name = "install-otel", hide = true)]
    InstallOtel(Anything),
    #[command(name = "uninstall-otel", hide = true)]
    UninstallOtel(Anything),
    #[command(hide = true)]
    Autoinstall(Anything),
}
