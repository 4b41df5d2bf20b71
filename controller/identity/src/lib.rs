//! Who is who: the fleet CA, certificates, tokens, passwords, and secrets at rest.
//!
//! Holds: [`FleetIdentity`] (everything that lies in `<data-dir>/identity`), the certificates that it issues, the rustls
//! configurations of both listeners, and the credentials of people and hosts.
//! Must not: know the database, HTTP or gRPC, or read a clock: callers pass `now`.
//! Start here: [`FleetIdentity::open_or_create`], then [`ca`] (what is issued) and [`tls`] (what is believed).

pub mod ca;
mod error;
mod files;
pub mod passwords;
pub mod peer;
mod random;
pub mod revocations;
pub mod seal;
pub mod signing;
mod store;
pub mod tls;
pub mod tokens;

pub use ca::{FleetCa, IssueError, IssuedCertificate, ServerCertificate};
pub use error::IdentityError;
pub use peer::{NotANode, PeerNode};
pub use revocations::{Revocations, Serial};
pub use seal::{Seal, SealError};
pub use signing::AssignmentSigner;
pub use store::FleetIdentity;
pub use tokens::{ApiToken, InvalidToken, JoinToken, Secret, SecretHash, SessionToken};
