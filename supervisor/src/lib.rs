//! The Muster supervisor: the process that owns the applications of one machine.
//!
//! Holds processes, their listening sockets and their output, and answers the agent over a unix socket. It survives
//! the agent, and applications survive it ([`keep`]). It listens on no network address but those of the applications,
//! and decides nothing by itself: the rules are in `muster_planning::supervision`. Start with [`serve`]; one
//! application is `app::App`.

mod adopted;
mod app;
mod clock;
mod cluster;
pub mod commands;
mod cron;
mod keeper;
mod limits;
mod logs;
mod private_socket;
mod process;
mod readiness;
mod registry;
mod saved;
mod server;
mod takeover;
mod trusted_path;
mod watch;

pub use keeper::{KeepError, keep};
pub use limits::enclose;
pub use logs::OwnLog;
pub use server::{ServeError, serve};
pub use takeover::{STATE_FORMAT, check_takeover};
