//! Which assignments are taken: for this node, signed by its controller, whole, free of contradictions, and not older
//! than what was taken before.

use super::Accepted;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use muster_domain::{
    NodeId,
    assignment::{AssignmentContent, Generation, Revision},
};
use muster_planning::convergence;
use muster_proto::{
    MAX_ASSIGNMENT_BYTES, convert,
    signing::{assignment_statement, plan_candidate_statement},
    v1,
};

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
        let content =
            self.content(&statement, &signed.signature, &signed.content, revision).map_err(refuse)?;
        Ok(Accepted::new(generation, revision, content))
    }
}

impl Verifier {
    /// The same for a candidate that is only to be planned. It has no generation, because it cannot be put in force.
    pub(super) fn verify_candidate(
        &self,
        request: uuid::Uuid,
        candidate: &v1::PlanCandidate,
    ) -> Result<Accepted, String> {
        let node =
            convert::node_id("candidate.node_id", &candidate.node_id).map_err(|error| error.to_string())?;
        if node != self.node_id {
            return Err(format!("it is for node {node}, this is node {}", self.node_id));
        }
        let revision =
            convert::digest("candidate.revision", &candidate.revision).map_err(|error| error.to_string())?;
        let statement = plan_candidate_statement(node, request, &revision);
        let content = self.content(&statement, &candidate.signature, &candidate.content, revision)?;
        Ok(Accepted::new(Generation::NONE, revision, content))
    }

    /// Proves origin and content, in this order.
    fn content(
        &self,
        statement: &[u8],
        signature: &[u8],
        content: &[u8],
        revision: Revision,
    ) -> Result<AssignmentContent, String> {
        let verified = self
            .keys
            .iter()
            .any(|key| UnparsedPublicKey::new(&ED25519, key).verify(statement, signature).is_ok());
        if !verified {
            return Err("its signature is not one of this fleet's controller".into());
        }
        if content.len() > MAX_ASSIGNMENT_BYTES {
            return Err(format!("it has {} bytes, more than {MAX_ASSIGNMENT_BYTES}", content.len()));
        }
        let found = Revision::from_bytes(*blake3::hash(content).as_bytes());
        if found != revision {
            return Err(format!("its content has digest {}, not {}", found.short(), revision.short()));
        }
        let content = convert::decode_content(content)
            .map_err(|error| format!("this agent does not understand it, update the agent: {error}"))?;
        let faults = convergence::check(&content.resources);
        if !faults.is_empty() {
            let texts: Vec<String> = faults.iter().take(5).map(ToString::to_string).collect();
            return Err(format!("it contradicts itself: {}", texts.join("; ")));
        }
        Ok(content)
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
