//! Who presented a client certificate. Read strictly, and only from a certificate that was verified before.

use crate::Serial;
use chrono::{DateTime, Utc};
use muster_domain::{FleetId, NodeId};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// The name of a node in a certificate: the only subject alternative name that it has.
#[must_use]
pub fn node_uri(fleet: FleetId, node: NodeId) -> String {
    format!("muster://fleet/{fleet}/node/{node}")
}

/// A node, as its certificate names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerNode {
    /// Which node.
    pub node_id: NodeId,
    /// Of which fleet.
    pub fleet_id: FleetId,
    /// The certificate.
    pub serial: Serial,
    /// Until when it is good.
    pub not_after: DateTime<Utc>,
    /// SHA-256 of its public key (SubjectPublicKeyInfo, DER).
    pub public_key_sha256: [u8; 32],
}

/// A certificate that names no node of this fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotANode {
    /// Not a certificate.
    #[error("the certificate cannot be read")]
    Malformed,
    /// It has other names, or several.
    #[error("the certificate does not name a node")]
    NoNode,
    /// Another fleet's.
    #[error("the certificate names a node of another fleet")]
    ForeignFleet,
}

impl PeerNode {
    /// Reads a certificate that the TLS layer has verified.
    pub fn from_certificate(der: &[u8], fleet: FleetId) -> Result<Self, NotANode> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| NotANode::Malformed)?;
        if !rest.is_empty() {
            return Err(NotANode::Malformed);
        }
        let names = certificate
            .subject_alternative_name()
            .map_err(|_| NotANode::Malformed)?
            .map(|extension| extension.value.general_names.as_slice())
            .unwrap_or_default();
        let [GeneralName::URI(uri)] = names else { return Err(NotANode::NoNode) };
        let (fleet_id, node_id) = parse_uri(uri).ok_or(NotANode::NoNode)?;
        if fleet_id != fleet {
            return Err(NotANode::ForeignFleet);
        }
        Ok(Self {
            node_id,
            fleet_id,
            serial: Serial::from_bytes(certificate.raw_serial()),
            not_after: DateTime::from_timestamp(certificate.validity().not_after.timestamp(), 0)
                .ok_or(NotANode::Malformed)?,
            public_key_sha256: Sha256::digest(certificate.public_key().raw).into(),
        })
    }

    /// Whether the certificate has run out.
    #[must_use]
    pub fn expired(&self, now: DateTime<Utc>) -> bool {
        now > self.not_after
    }
}

fn parse_uri(uri: &str) -> Option<(FleetId, NodeId)> {
    let (fleet, node) = uri.strip_prefix("muster://fleet/")?.split_once("/node/")?;
    let (fleet, node) = (fleet.parse().ok()?, node.parse().ok()?);
    // One spelling only: ids can be written in several ways, and a certificate of ours uses this one.
    (node_uri(fleet, node) == uri).then_some((fleet, node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn only_the_exact_spelling_names_a_node() {
        let (fleet, node) = (FleetId::from_uuid(Uuid::now_v7()), NodeId::from_uuid(Uuid::now_v7()));
        let good = node_uri(fleet, node);
        assert_eq!(parse_uri(&good), Some((fleet, node)));
        for bad in [
            good.to_uppercase(),
            format!("{good}/"),
            format!("{good}?x"),
            good.replace('-', ""),
            good.replace("node", "controller"),
            format!("x{good}"),
            String::new(),
        ] {
            assert_eq!(parse_uri(&bad), None, "{bad}");
        }
    }

    #[test]
    fn garbage_is_not_a_node() {
        let fleet = FleetId::from_uuid(Uuid::nil());
        for garbage in [&b""[..], b"rubbish", &[0x30, 0x82, 0xff, 0xff], &[0; 4096]] {
            assert_eq!(PeerNode::from_certificate(garbage, fleet), Err(NotANode::Malformed));
        }
    }
}
