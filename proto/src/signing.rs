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

/// The same for a candidate that is only to be planned. It names the request, so that one that was caught on the way is of
/// no use for another, and no generation: there is none under which it could be put in force.
pub fn plan_candidate_statement(node: NodeId, request: uuid::Uuid, revision: &Revision) -> Vec<u8> {
    let mut statement = Vec::with_capacity(25 + 16 + 16 + 32);
    statement.extend_from_slice(b"muster.plan-candidate.v1\0");
    statement.extend_from_slice(node.as_uuid().as_bytes());
    statement.extend_from_slice(request.as_bytes());
    statement.extend_from_slice(revision.as_bytes());
    statement
}

/// The same for the list of programs that a controller hands out: its text says which program has which digest.
pub fn programs_statement(manifest: &[u8]) -> Vec<u8> {
    let mut statement = b"muster.programs.v1\0".to_vec();
    statement.extend_from_slice(manifest);
    statement
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_domain::Digest;
    use uuid::Uuid;

    #[test]
    fn no_statement_of_one_kind_is_one_of_another() {
        let node = NodeId::from_uuid(Uuid::from_u128(1));
        let revision = Digest::from_bytes([7; 32]);
        let assignment = assignment_statement(node, Generation::new(3), &revision);
        let candidate = plan_candidate_statement(node, Uuid::from_u128(3), &revision);
        // Neither begins like the other, whatever the fields hold: the texts differ before their ends.
        let purpose =
            |statement: &[u8]| statement.iter().position(|&b| b == 0).map(|end| statement[..=end].to_vec());
        assert_ne!(purpose(&assignment), purpose(&candidate));
        let other = plan_candidate_statement(node, Uuid::from_u128(4), &revision);
        assert_ne!(candidate, other);
    }
}
