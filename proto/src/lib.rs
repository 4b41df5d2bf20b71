//! The agent protocol: generated messages and services, and the one mapping between them and the domain.
//!
//! Holds: [`v1`] (generated), [`convert`] (wire <-> domain), [`signing`] (the statement that a signature covers).
//! Must not: do I/O, decide anything.

pub mod convert;
pub mod signing;

/// Generated from `proto/muster/agent/v1`.
#[allow(clippy::all, clippy::allow_attributes, missing_docs, unreachable_pub, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("muster.agent.v1");
}

/// The longest encoded assignment that is sent or accepted. A node with a thousand files of 10 kB fits; more belongs into
/// a release.
pub const MAX_ASSIGNMENT_BYTES: usize = 16 * 1024 * 1024;

/// The longest message of the agent protocol in either direction: an assignment and its frame.
pub const MAX_MESSAGE_BYTES: usize = MAX_ASSIGNMENT_BYTES + 64 * 1024;

/// The longest piece of a bundle in one message.
pub const MAX_PIECE_BYTES: usize = 256 * 1024;

/// The longest manifest that is sent: 200,000 entries of about 200 bytes.
pub const MAX_MANIFEST_BYTES: usize = 48 * 1024 * 1024;

/// How many digests one FetchObjects may ask for.
pub const MAX_DIGESTS_PER_FETCH: usize = 20_000;
