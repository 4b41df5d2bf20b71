//! Pure decisions: plain functions over plain data.
//!
//! Holds: the compiler (intent -> assignment of a node), rollouts, turns, liveness and retention of the controller; convergence
//! and supervision of the agent.
//! Must not: do I/O, be async, read a clock, draw a random number, log. Reasons are returned, for people to read.
//! Start here: [`compile`] and [`rollout`].

pub mod compile;
pub mod convergence;
pub mod example;
pub mod liveness;
pub mod modes;
pub mod reboot;
pub mod retention;
pub mod rollout;
pub mod supervision;
pub mod turns;
