//! The REST API in process: a real database, no sockets, a clock that stands still.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod access;
mod artifacts;
mod convergence;
mod dashboard;
mod every_operation;
mod lists;
mod process_events;
mod streams;
mod world;
