//! The agents' listener over real sockets: real TLS, a real gRPC client, a real database.

#![allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test fails by panicking")]

mod access;
mod certificates;
mod convergence;
mod identity;
mod install;
mod shares;
mod support;
mod work;
