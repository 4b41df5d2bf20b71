//! What a signature on an assignment covers.

use muster_domain::{
    NodeId,
    assignment::{Generation, Revision},
};

/// The bytes that the controller signs and the agent verifies: purpose, node, generation and the digest of the content.
/// The purpose keeps the signature from being taken for one of another kind by the same key.
pub fn assignment_statement(node: NodeId, generation: Generation, revision: &Revision) -> Vec<u8> {
    let mut statement = Vec::with_capacity(21 + 16 + 8 + 32);
    statement.extend_from_slice(b"muster.assignment.v1\0");
    statement.extend_from_slice(node.as_uuid().as_bytes());
    statement.extend_from_slice(&generation.get().to_be_bytes());
    statement.extend_from_slice(revision.as_bytes());
    statement
}

/// The same for the list of programs that a controller hands out: its text says which program has which digest.
pub fn programs_statement(manifest: &[u8]) -> Vec<u8> {
    let mut statement = b"muster.programs.v1\0".to_vec();
    statement.extend_from_slice(manifest);
    statement
}
