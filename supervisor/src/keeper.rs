//! What must outlive the supervisor is kept by a second, tiny process: the keeper.
//!
//! The supervisor parks a copy of every descriptor it could not get back (listening sockets, ends of pipes and
//! channels) and a description of its applications with the keeper, which does nothing with them. When the supervisor
//! is killed nothing is closed, so no application notices, and its successor gets everything from the keeper. An
//! upgrade uses the same way. Environments are in the description: they are in the memory of the keeper and never on
//! disk. [`Keeper`] is the supervisor's side, [`keep`] the other process.

mod handle;
mod serve;
mod wire;

pub(crate) use handle::{Keeper, Parked, Spill};
pub use serve::{KeepError, keep};

/// Name of the process, and of its socket in the state directory. The name differs from that of the supervisor on
/// purpose: who kills every process called `muster-supervisor` does not mean this one.
const PROCESS_NAME: &str = "muster-keeper";
const SOCKET_NAME: &str = "keeper.sock";
