//! The `pm2`-compatible command: pm2's verbs, flags, files and answers, over Muster's supervisor, on one machine and
//! without a controller.
//!
//! Holds the command line, the translation between pm2's words and the supervisor's, and what is printed. Must not run
//! an application itself: the supervisor, started on demand under `PM2_HOME`, does. Start with [`Home`].

mod failure;
mod home;

pub use failure::Failure;
pub use home::Home;
