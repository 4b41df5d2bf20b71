//! The controller: the edges around the use cases of `muster-app`.
//!
//! Holds: [`http`] (REST and dashboard), [`grpc`] (agents), [`background`] (recurring work), [`install`] (how the
//! agent comes onto a host), [`startup`] (putting it all on its feet and off them again), [`doctor`].
//! Must not: decide anything; a handler decodes, calls one use case and encodes.
//! Start here: [`startup::serve`].

pub mod background;
pub mod doctor;
pub mod grpc;
pub mod http;
pub mod install;
pub mod listener;
pub mod openapi;
pub mod startup;
