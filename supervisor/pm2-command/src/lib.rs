//! The `pm2`-compatible command: pm2's verbs, flags, files and answers, over Muster's supervisor, on one machine and
//! without a controller.
//!
//! Holds the command line, the translation between pm2's words and the supervisor's, and what is printed. Must not run
//! an application itself: the supervisor, started on demand under `PM2_HOME`, does. Start with [`run`].

mod accounts;
mod adopt;
mod attach;
mod bring_up;
mod cli;
mod completion;
mod config;
mod context;
mod control;
mod daemon;
mod daemon_verbs;
mod dayjs;
mod deploy;
mod describe;
mod dispatch;
mod failure;
mod flags;
mod foreground;
mod home;
mod inspect;
mod inspect_app;
mod js;
mod list;
mod logrotate;
mod logs;
mod modconf;
mod monit;
mod node;
mod not_here;
mod operate;
mod origin;
mod output;
mod overlay;
mod pm2_dump;
mod process;
mod profile;
mod program;
mod pull;
mod record;
mod reload_lock;
mod report;
mod saved_list;
mod scaffolding;
mod seal;
mod selector;
mod serve;
mod shell;
mod show;
mod snapshot;
mod spec;
mod start;
mod startup;
mod style;
mod sysinfos;
mod table;
mod waiting;
mod words;

pub(crate) use context::Context;
pub use dispatch::{run, run_in_foreground};
pub(crate) use failure::Failure;
pub(crate) use home::Home;
