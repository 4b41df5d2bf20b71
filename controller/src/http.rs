//! REST for people and programs, and the dashboard.
//!
//! Holds: decoding, authentication, one call of a use case per request, encoding.
//! Must not: decide anything, know the database or the planners.
//! Start here: [`router()`], then `v1` (one module per noun) and `error` (the one mapping of errors to answers).

mod assets;
mod auth;
mod encode;
mod error;
mod extract;
mod guard;
mod limits;
mod probes;
mod router;
mod v1;

pub use router::{Encrypted, router};
pub(crate) use router::{Http, api};
