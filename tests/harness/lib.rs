//! A fleet in one process, for tests: the real controller over real Postgres, real agents over real mutual TLS on
//! loopback; only the hosts and the application processes are played by fakes that can be told to fail. Where what the
//! processes do is the point, a real supervisor runs them: [`TestFleet::join_supervised`].
//!
//! Must not: sleep to let something happen. [`eventually`] waits for a condition, with a bound.
//! Start here: [`TestFleet`], then [`TestNode`]; [`Newcomer`] is a host before it is one.

mod controller;
mod newcomer;
mod node;
mod supervisor;
mod wait;

pub use controller::TestFleet;
pub use newcomer::{Newcomer, Ran, programs};
pub use node::TestNode;
pub use wait::eventually;
