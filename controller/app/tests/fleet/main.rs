//! Use cases against a real database, with a clock that is moved by hand and nodes that only ever call.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod convergence;
mod plans;
mod rollouts;
mod turns;
mod world;
