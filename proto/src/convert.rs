//! The one mapping between wire and domain. Decoding parses: what comes out is valid or the call is refused.

mod desired_state;
mod host_resources;
mod host_services;
pub mod plan;
mod process_settings;
pub mod report;
pub mod turn;

pub use report::{MAX_DETAIL_BYTES, MAX_LINE_BYTES, MAX_STDERR_LINES, cut, cut_stderr, time};

use crate::v1;
use muster_domain::{Digest, NodeId, ReleaseId, assignment::AssignmentContent};
use prost::Message;

/// A message that does not fit the protocol. The text names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {field}: {reason}")]
pub struct InvalidMessage {
    /// The field, dotted.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl InvalidMessage {
    /// A refusal of `field`.
    pub fn new(field: &'static str, reason: impl ToString) -> Self {
        Self { field, reason: reason.to_string() }
    }
}

/// A digest from its wire form.
pub fn digest(field: &'static str, bytes: &[u8]) -> Result<Digest, InvalidMessage> {
    <[u8; 32]>::try_from(bytes)
        .map(Digest::from_bytes)
        .map_err(|_| InvalidMessage::new(field, "a digest has 32 bytes"))
}

fn uuid(field: &'static str, bytes: &[u8]) -> Result<uuid::Uuid, InvalidMessage> {
    uuid::Uuid::from_slice(bytes).map_err(|_| InvalidMessage::new(field, "an id has 16 bytes"))
}

/// A node id from its wire form.
pub fn node_id(field: &'static str, bytes: &[u8]) -> Result<NodeId, InvalidMessage> {
    uuid(field, bytes).map(NodeId::from_uuid)
}

/// A release id from its wire form.
pub fn release_id(field: &'static str, bytes: &[u8]) -> Result<ReleaseId, InvalidMessage> {
    uuid(field, bytes).map(ReleaseId::from_uuid)
}

/// The bytes that a revision is computed over. Deterministic: no maps on the wire, and the domain's maps are sorted.
pub fn encode_content(content: &AssignmentContent) -> Vec<u8> {
    v1::AssignmentContent::from(content).encode_to_vec()
}

/// Reads back what [`encode_content`] wrote, checking every field.
pub fn decode_content(bytes: &[u8]) -> Result<AssignmentContent, InvalidMessage> {
    v1::AssignmentContent::decode(bytes).map_err(|e| InvalidMessage::new("content", e))?.try_into()
}

#[cfg(test)]
mod tests;
