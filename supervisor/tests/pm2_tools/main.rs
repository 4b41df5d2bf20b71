//! The companions of the pm2-compatible command, with the real binary, real Node.js and, for `adopt`, a daemon that
//! speaks as pm2's does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod adopt;
mod machine;
mod serve;
mod streams;
