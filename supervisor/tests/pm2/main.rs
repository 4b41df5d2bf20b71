//! The command `pm2` with real Node.js processes, against what pm2 7.0.4 does. Needs `node` in PATH. What stands in
//! `golden` was printed or written by pm2 7.0.4 on Node.js 20, with other paths.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

mod configuration;
mod daemon;
mod foreground;
mod golden;
mod lists;
mod reload;
mod saved;
mod verbs;
