//! The supervisor with real Node.js processes. Needs `node` in PATH.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;
mod load;

mod automatic;
mod bad_input;
mod clients;
mod cluster;
mod commands;
mod fork;
mod kill;
mod lifecycle;
mod logs;
mod replacement;
mod upgrade;
mod verbs;
