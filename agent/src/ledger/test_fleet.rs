//! A controller's key and a node, for tests of whatever works with a ledger.

use super::{Ledger, Oddity, Verifier};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use muster_domain::resource::{DesiredState, File, Resource, ResourceKey};
use muster_domain::{
    Digest, NodeId,
    assignment::{AssignmentContent, Generation},
};
use muster_proto::v1;
use muster_proto::{convert, signing::assignment_statement};
use std::path::Path;

pub(crate) struct Fleet {
    pub(super) key: Ed25519KeyPair,
    pub(super) node: NodeId,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let key = Ed25519KeyPair::generate().unwrap();
        Self { key, node: NodeId::from_uuid(uuid::Uuid::from_u128(5)) }
    }

    pub(crate) fn verifier(&self) -> Verifier {
        Verifier { node_id: self.node, keys: vec![self.key.public_key().as_ref().try_into().unwrap()] }
    }

    pub(crate) fn assignment(&self, generation: u64, text: &str) -> v1::SignedAssignment {
        let file = File {
            path: "/etc/motd".into(),
            content: text.as_bytes().to_vec(),
            mode: 0o644,
            owner: None,
            group: None,
            sensitive: true,
            validate: None,
        };
        let key = ResourceKey::new("file", "/etc/motd");
        let resource = Resource::new(key, vec![], DesiredState::File(file));
        self.sign(generation, &AssignmentContent { resources: vec![resource] })
    }

    pub(crate) fn sign(&self, generation: u64, content: &AssignmentContent) -> v1::SignedAssignment {
        let content = convert::encode_content(content);
        let revision = Digest::from_bytes(*blake3::hash(&content).as_bytes());
        let statement = assignment_statement(self.node, Generation::new(generation), &revision);
        v1::SignedAssignment {
            node_id: self.node.as_uuid().as_bytes().to_vec(),
            generation,
            revision: revision.as_bytes().to_vec(),
            content,
            signature: self.key.sign(&statement).as_ref().to_vec(),
        }
    }

    pub(crate) fn open(&self, dir: &Path) -> (Ledger, Vec<Oddity>) {
        Ledger::open(dir, self.verifier(), 1000).unwrap()
    }
}
