//! Which assignments are taken: for this node, signed by its controller, whole, free of contradictions, and not older
//! than what was taken before.

use super::Accepted;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use muster_domain::{
    NodeId,
    assignment::{Generation, Revision},
};
use muster_planning::convergence;
use muster_proto::{MAX_ASSIGNMENT_BYTES, convert, signing::assignment_statement, v1};

/// An assignment that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignmentRefused {
    /// The number that it claimed.
    pub generation: Generation,
    /// Why, for a person.
    pub reason: String,
}

/// Checks assignments on their own, without regard to what came before.
#[derive(Debug, Clone)]
pub struct Verifier {
    /// Who we are.
    pub node_id: NodeId,
    /// Ed25519 keys of the controller; any of them may have signed.
    pub keys: Vec<[u8; 32]>,
}

impl Verifier {
    /// Proves origin and content, in this order: nothing of an unsigned assignment is even parsed.
    pub fn verify(&self, signed: &v1::SignedAssignment) -> Result<Accepted, AssignmentRefused> {
        let generation = Generation::new(signed.generation);
        let refuse = |reason: String| AssignmentRefused { generation, reason };
        let node =
            convert::node_id("assignment.node_id", &signed.node_id).map_err(|e| refuse(e.to_string()))?;
        if node != self.node_id {
            return Err(refuse(format!("it is for node {node}, this is node {}", self.node_id)));
        }
        let revision =
            convert::digest("assignment.revision", &signed.revision).map_err(|e| refuse(e.to_string()))?;
        let statement = assignment_statement(node, generation, &revision);
        let verified = self
            .keys
            .iter()
            .any(|key| UnparsedPublicKey::new(&ED25519, key).verify(&statement, &signed.signature).is_ok());
        if !verified {
            return Err(refuse("its signature is not one of this fleet's controller".into()));
        }
        if signed.content.len() > MAX_ASSIGNMENT_BYTES {
            let bytes = signed.content.len();
            return Err(refuse(format!("it has {bytes} bytes, more than {MAX_ASSIGNMENT_BYTES}")));
        }
        let found = Revision::from_bytes(*blake3::hash(&signed.content).as_bytes());
        if found != revision {
            return Err(refuse(format!(
                "its content has digest {}, not {}",
                found.short(),
                revision.short()
            )));
        }
        let content = convert::decode_content(&signed.content).map_err(|error| {
            refuse(format!("this agent does not understand it, update the agent: {error}"))
        })?;
        let faults = convergence::check(&content.resources);
        if !faults.is_empty() {
            let texts: Vec<String> = faults.iter().take(5).map(ToString::to_string).collect();
            return Err(refuse(format!("it contradicts itself: {}", texts.join("; "))));
        }
        Ok(Accepted::new(generation, revision, content))
    }
}

/// Checks an assignment against the newest one that was taken before.
pub(super) fn check_order(
    assignment: &Accepted,
    newest: Generation,
    newest_revision: Option<Revision>,
) -> Result<(), AssignmentRefused> {
    let generation = assignment.generation;
    let refuse = |reason: String| Err(AssignmentRefused { generation, reason });
    if generation == Generation::NONE {
        return refuse("generation 0 means none".into());
    }
    if generation < newest {
        return refuse(format!(
            "generation {generation} is older than {newest}, which this node already has"
        ));
    }
    match newest_revision {
        Some(known) if generation == newest && known != assignment.revision => refuse(format!(
            "generation {generation} already has revision {}, now it comes with {}",
            known.short(),
            assignment.revision.short()
        )),
        _ => Ok(()),
    }
}
