//! The vocabulary of Muster.
//!
//! Holds: ids, names, the fleet configuration that people write, the desired state that a node is given, and the observed
//! state that it reports. Plain data with constructors that refuse what is not valid.
//! Must not: know any other crate of the workspace, read a clock, draw a random number, do I/O.
//! Start here: [`fleet`] (what a user declares), [`resource`] (what an agent is told), [`observed`] (what it answers).

pub mod assignment;
pub mod digest;
pub mod event;
pub mod fleet;
pub mod host_names;
pub mod host_path;
pub mod ids;
pub mod inventory;
pub mod metrics;
pub mod names;
pub mod node;
pub mod observed;
pub mod plan;
pub mod release;
pub mod resource;
pub mod rollout;
pub mod selection;
pub mod turn;
pub mod user;
pub mod window;

pub use digest::Digest;
pub use ids::{EnrolmentId, FleetId, NodeId, ReleaseId, RolloutId, TokenId, UserId};
pub use names::{ApplicationName, EnvironmentName, InvalidName, NodeName, ReleaseVersion};
