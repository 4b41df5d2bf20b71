//! Supervision of processes, decided without touching one.
//!
//! Holds the life of one instance ([`step`]: state and event in, state and effects out) and the order in which a new
//! spec replaces an old one ([`replacement::next`]). Must not know processes, clocks or sockets: times are
//! milliseconds of a monotonic clock the caller reads. Start with [`State`].

mod event;
mod history;
mod policy;
pub mod replacement;
mod state;
mod step;

#[cfg(test)]
mod replacement_tests;
#[cfg(test)]
mod tests;

pub use event::{Context, Effect, Event, Refused, Report, RestartCause, Step};
pub use history::History;
pub use policy::Policy;
pub use state::{
    AfterStop, Exit, Instance, LaunchId, OutOfMemory, State, StopCause, StopStep, TimerId, signal_name,
};
pub use step::step;
