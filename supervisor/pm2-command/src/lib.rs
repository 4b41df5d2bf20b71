//! The `pm2`-compatible command: pm2's verbs, flags, files and answers, over Muster's supervisor, on one machine and
//! without a controller.
//!
//! Holds the command line, the translation between pm2's words and the supervisor's, and what is printed. Must not run
//! an application itself: the supervisor, started on demand under `PM2_HOME`, does. Start with [`run`].

mod adopt;
mod attach;
mod cli;
mod completion;
mod context;
mod daemon;
mod dayjs;
mod deploy;
mod dispatch;
mod failure;
mod flags;
mod home;
mod inspect_app;
mod logrotate;
mod logs;
mod modconf;
mod monit;
mod output;
mod process;
mod profile;
mod pull;
mod report;
mod scaffolding;
mod selector;
mod serve;
mod save;
mod shell;
mod spec;
mod start;
mod startup;
mod style;
mod sysinfos;

pub(crate) use context::Context;
pub use dispatch::{run, run_in_foreground};
pub(crate) use failure::Failure;
pub(crate) use home::Home;
