//! The supervisor as the cluster primary of unmodified Node.js applications.
//!
//! Holds Node's internal protocol ([`protocol`]), the channel that carries it together with file descriptors
//! ([`channel`]), the listening sockets that outlive workers ([`sockets`]) and the script that lets a worker finish
//! its connections ([`hook`]). Must not know about restarts or releases.

pub(crate) mod channel;
pub(crate) mod hook;
pub(crate) mod protocol;
pub(crate) mod sockets;
