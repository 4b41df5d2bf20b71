//! Requests and responses of the REST API, with their OpenAPI schema. Shared by the controller and the command line; the
//! dashboard's client is generated from the same schema.
//!
//! Must not: decide anything, know the database. Requests refuse unknown fields; responses may gain fields.

mod access;
mod applications;
mod convergence;
mod events;
mod fleet;
mod nodes;
mod overview;
mod page;
mod problem;
mod process_events;
mod rollouts;

pub use access::*;
pub use applications::*;
pub use convergence::*;
pub use events::*;
pub use fleet::*;
pub use nodes::*;
pub use overview::*;
pub use page::*;
pub use problem::*;
pub use process_events::*;
pub use rollouts::*;
