//! Flags that stand before or behind any verb, as pm2 reads them.

use clap::{ArgAction, Args};

/// Options of every verb. Those that describe an application override what a file says where pm2 does so.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Flags {
    /// Hide all messages
    #[arg(short, long, global = true)]
    pub silent: bool,
    /// Watch only files with these extensions
    #[arg(long, global = true, value_name = "extensions")]
    pub ext: Option<String>,
    /// Name of the process in the list
    #[arg(short, long, global = true, value_name = "name", allow_hyphen_values = true)]
    pub name: Option<String>,
    /// Show a compact list without formatting
    #[arg(short = 'm', long, global = true)]
    pub mini_list: bool,
    /// Interpreter of the script, by default chosen by its extension
    #[arg(long, global = true, value_name = "interpreter")]
    pub interpreter: Option<String>,
    /// Arguments of the interpreter (the same as --node-args)
    #[arg(long, global = true, value_name = "arguments", allow_hyphen_values = true)]
    pub interpreter_args: Option<String>,
    /// Arguments of node, separated by spaces
    #[arg(long, global = true, value_name = "arguments", allow_hyphen_values = true)]
    pub node_args: Option<String>,
    /// Log file of standard output
    #[arg(short, long, global = true, value_name = "path", visible_alias = "out-file")]
    pub output: Option<String>,
    /// Log file of standard error
    #[arg(short, long, global = true, value_name = "path", visible_alias = "error-file")]
    pub error: Option<String>,
    /// Log file that gathers standard output and standard error
    #[arg(short, long, global = true, value_name = "path", num_args = 0..=1, default_missing_value = "")]
    pub log: Option<String>,
    /// Keep variables with these texts in their names away from the application
    #[arg(long, global = true, value_name = "names", num_args = 0..=1, action = ArgAction::Append)]
    pub filter_env: Vec<String>,
    /// How logs are stored: raw or json
    #[arg(long, global = true, value_name = "type")]
    pub log_type: Option<String>,
    /// Put the time before each line, in this format
    #[arg(long, global = true, value_name = "format")]
    pub log_date_format: Option<String>,
    /// Put the time before each line
    #[arg(long, global = true)]
    pub time: bool,
    /// Store no logs
    #[arg(long, global = true)]
    pub disable_logs: bool,
    /// Which set of variables of the file: its section env_<name>
    #[arg(long, global = true, value_name = "name", num_args = 0..=1, default_missing_value = "")]
    pub env: Option<String>,
    /// Take the variables of this shell along with restart and reload
    #[arg(short = 'a', long, global = true)]
    pub update_env: bool,
    /// Force the action
    #[arg(short, long, global = true)]
    pub force: bool,
    /// How many instances: a number, max, or -1 for one less than processors
    #[arg(short, long, global = true, value_name = "number", allow_hyphen_values = true)]
    pub instances: Option<String>,
    /// How many actions at a time
    #[arg(long, global = true, value_name = "number")]
    pub parallel: Option<String>,
    /// Stop with the message 'shutdown' instead of a signal
    #[arg(long, global = true)]
    pub shutdown_with_message: bool,
    /// File with the process id
    #[arg(short, long, global = true, value_name = "path")]
    pub pid: Option<String>,
    /// Milliseconds from the stop signal to SIGKILL
    #[arg(short, long, global = true, value_name = "delay")]
    pub kill_timeout: Option<String>,
    /// Milliseconds within which the application has to listen
    #[arg(long, global = true, value_name = "delay")]
    pub listen_timeout: Option<String>,
    /// Restart above this memory: bytes, or with K, M, G
    #[arg(long, global = true, value_name = "memory")]
    pub max_memory_restart: Option<String>,
    /// Milliseconds before each automatic restart
    #[arg(long, global = true, value_name = "delay")]
    pub restart_delay: Option<String>,
    /// First delay in milliseconds of a growing one
    #[arg(long, global = true, value_name = "delay")]
    pub exp_backoff_restart_delay: Option<String>,
    /// Fork mode
    #[arg(short = 'x', long, global = true)]
    pub execute_command: bool,
    /// How many unstable restarts until it is given up
    #[arg(long, global = true, value_name = "count", num_args = 0..=1, default_missing_value = "")]
    pub max_restarts: Option<String>,
    /// User of the startup script
    #[arg(short, long, global = true, value_name = "username")]
    pub user: Option<String>,
    /// Run as this user
    #[arg(long, global = true, value_name = "uid")]
    pub uid: Option<String>,
    /// Run as this group
    #[arg(long, global = true, value_name = "gid")]
    pub gid: Option<String>,
    /// Namespace of the application
    #[arg(long, global = true, value_name = "ns")]
    pub namespace: Option<String>,
    /// Working directory of the application
    #[arg(long, global = true, value_name = "path")]
    pub cwd: Option<String>,
    /// Home of the user of the startup script
    #[arg(long, global = true, value_name = "home path")]
    pub hp: Option<String>,
    /// Let the startup script wait for the network
    #[arg(long, global = true)]
    pub wait_ip: bool,
    /// Service name of the startup script
    #[arg(long, global = true, value_name = "name")]
    pub service_name: Option<String>,
    /// Restart at these times
    #[arg(short, long, global = true, value_name = "pattern", visible_alias = "cron-restart")]
    pub cron: Option<String>,
    /// Write the configuration to <name>-pm2.json
    #[arg(short, long, global = true)]
    pub write: bool,
    /// Stay in the foreground and show the logs
    #[arg(long, global = true)]
    pub no_daemon: bool,
    /// Force source maps
    #[arg(long, global = true)]
    pub source_map_support: bool,
    /// Of a file, only these applications
    #[arg(long, global = true, value_name = "names")]
    pub only: Option<String>,
    /// No source maps
    #[arg(long, global = true)]
    pub disable_source_map_support: bool,
    /// Online only after process.send('ready')
    #[arg(long, global = true)]
    pub wait_ready: bool,
    /// All instances write to the same log files
    #[arg(long, global = true)]
    pub merge_logs: bool,
    /// Restart when files change
    #[arg(long, global = true, value_name = "paths", num_args = 0..=1, default_missing_value = "", action = ArgAction::Append)]
    pub watch: Vec<String>,
    /// What is not watched
    #[arg(long, global = true, value_name = "folders|files")]
    pub ignore_watch: Option<String>,
    /// Wait after a change: 4 (seconds) or 4000ms
    #[arg(long, global = true, value_name = "delay")]
    pub watch_delay: Option<String>,
    /// No colours
    #[arg(long, global = true)]
    pub no_color: bool,
    /// No metadata of git
    #[arg(long, global = true)]
    pub no_vizion: bool,
    /// Add the application without starting it
    #[arg(long, global = true)]
    pub no_autostart: bool,
    /// Do not restart the application when it ends
    #[arg(long, global = true)]
    pub no_autorestart: bool,
    /// Exit codes after which it is not restarted
    #[arg(long, global = true, value_name = "codes", action = ArgAction::Append)]
    pub stop_exit_codes: Vec<String>,
    /// End the main process only, not its children
    #[arg(long, global = true)]
    pub no_treekill: bool,
    /// Without actions and metrics
    #[arg(long, global = true)]
    pub no_pmx: bool,
    /// Without actions and metrics
    #[arg(long, global = true)]
    pub no_automation: bool,
    /// Sort the list: name, namespace, id, pid, cpu, memory, uptime or status, with :desc
    #[arg(long, global = true, value_name = "field:order")]
    pub sort: Option<String>,
    /// Show the logs afterwards
    #[arg(long, global = true)]
    pub attach: bool,
    /// Of the hosted service
    #[arg(long, global = true, hide = true)]
    pub trace: bool,
    /// Of the hosted service
    #[arg(long, global = true, hide = true)]
    pub disable_trace: bool,
    /// Of the hosted service
    #[arg(long, global = true, hide = true)]
    pub v8: bool,
    /// Of the hosted service
    #[arg(long, global = true, hide = true)]
    pub event_loop_inspector: bool,
    /// Of the hosted service
    #[arg(long, global = true, hide = true)]
    pub deep_monitoring: bool,
}
