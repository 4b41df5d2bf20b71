//! The fleet CA: one root, below it one issuer for nodes, one for controllers and one for the services of nodes.
//!
//! The issuers keep the kinds apart by key: what the controllers' issuer signed cannot pass as a node however it is
//! worded, because the agents' listener trusts the nodes' issuer only. The root key signs nothing but issuers; it is read
//! by nobody after the first start and may be moved to a safe place.

use crate::{IdentityError, Serial, peer, random};
use chrono::{DateTime, TimeDelta, Utc};
use muster_domain::{FleetId, NodeId, NodeName, host_names};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, ServerName};
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;
use std::time::Duration;
use x509_parser::prelude::{FromDer as _, X509Certificate, X509CertificationRequest};

mod files;
#[cfg(test)]
mod tests;

pub(crate) use files::{complete, create, load, read_server};

/// How long the root is good. Long, because every host pins it; it signs two certificates in its life.
pub const ROOT_LIFE: TimeDelta = TimeDelta::days(3653);

/// How long an issuer is good.
pub const ISSUER_LIFE: TimeDelta = TimeDelta::days(1826);

/// How long a node's certificate is good: a lost one is worthless within a day, and a controller that is away for a
/// night does not cost a fleet its identities.
pub const NODE_LIFE: TimeDelta = TimeDelta::hours(24);

/// How long a certificate for a service of a node is good: there is no revoking it, and agents renew it by themselves.
pub const SERVICE_LIFE: TimeDelta = TimeDelta::days(7);

/// How long a server certificate is good.
pub const SERVER_LIFE: TimeDelta = TimeDelta::days(90);

/// Certificates begin this much in the past, for hosts whose clock is behind: a fresh one that takes its local time for
/// UTC, or has not asked a time server yet, has to be reached before anything can put its clock right.
pub const CLOCK_SKEW: TimeDelta = TimeDelta::hours(3);

/// No sensible request is longer.
const MAX_CSR_BYTES: usize = 16 * 1024;

struct Authority {
    certificate: CertificateDer<'static>,
    not_after: DateTime<Utc>,
    issuer: Issuer<'static, KeyPair>,
}

/// Issues certificates for one fleet.
pub struct FleetCa {
    fleet_id: FleetId,
    root: CertificateDer<'static>,
    nodes: Authority,
    controllers: Authority,
    /// Absent where the fleet is older than this issuer and its root key lies elsewhere.
    services: Option<Authority>,
}

/// A new certificate for a key that somebody else has.
#[derive(Debug, Clone)]
pub struct IssuedCertificate {
    /// DER; the node's own first, then its issuer.
    pub chain_der: Vec<Vec<u8>>,
    /// Its serial number.
    pub serial: Serial,
    /// From when it is good.
    pub not_before: DateTime<Utc>,
    /// Until when.
    pub not_after: DateTime<Utc>,
    /// SHA-256 of its public key: the key that a node is bound to.
    pub public_key_sha256: [u8; 32],
}

/// A certificate with its key, for a listener.
#[derive(Debug)]
pub struct ServerCertificate {
    /// The server's own first; up to and with the root when the fleet CA issued it, so that a host that knows only the
    /// root's fingerprint can check it.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
    /// Until when it is good.
    pub not_after: DateTime<Utc>,
}

/// No certificate was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The request is not acceptable; the reason is for whoever sent it.
    #[error("the certificate request is not acceptable: {0}")]
    Request(&'static str),
    /// The issuer itself has run out.
    #[error("its issuer ran out on {0}: renew it before certificates can be issued")]
    IssuerExpired(DateTime<Utc>),
    /// There is none for services.
    #[error(
        "this fleet has no issuer for services yet: put root.key back into the identity folder and restart the controller once"
    )]
    NoServiceIssuer,
    /// A name that only controllers have.
    #[error("no service may have a certificate for {0:?}: agents take whoever has one for their controller")]
    ReservedName(String),
    /// Signing failed.
    #[error("the certificate could not be signed")]
    Sign(#[from] rcgen::Error),
}

impl FleetCa {
    /// The fleet.
    #[must_use]
    pub const fn fleet_id(&self) -> FleetId {
        self.fleet_id
    }

    /// The root certificate.
    #[must_use]
    pub const fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// SHA-256 of the root certificate's DER: what join tokens carry.
    #[must_use]
    pub fn root_sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.root).into()
    }

    /// The issuer of node certificates: the only one that the agents' listener trusts.
    #[must_use]
    pub const fn node_issuer(&self) -> &CertificateDer<'static> {
        &self.nodes.certificate
    }

    /// When the first of the issuers runs out.
    #[must_use]
    pub fn issuers_expire_at(&self) -> DateTime<Utc> {
        let services = self.services.as_ref().map_or(self.nodes.not_after, |services| services.not_after);
        self.nodes.not_after.min(self.controllers.not_after).min(services)
    }

    /// Issues a node's certificate for the public key of a request. Nothing else is taken from the request: names, usages
    /// and lifetime are ours to give.
    pub fn issue_node_certificate(
        &self,
        csr_der: &[u8],
        node: NodeId,
        name: &NodeName,
        now: DateTime<Utc>,
    ) -> Result<IssuedCertificate, IssueError> {
        let (mut params, serial, not_after) = self.nodes.leaf(name.as_str(), NODE_LIFE, now)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![SanType::URI(peer::node_uri(self.fleet_id, node).try_into()?)];
        self.nodes.issue(csr_der, params, serial, now, not_after)
    }

    /// Issues a certificate for a service of a node, which is both a server and a client to services of other nodes. The
    /// names are those that the caller has made sure of; nothing but the key is taken from the request.
    pub fn issue_service_certificate(
        &self,
        csr_der: &[u8],
        node: &NodeName,
        dns_names: &[String],
        addresses: &[IpAddr],
        now: DateTime<Utc>,
    ) -> Result<IssuedCertificate, IssueError> {
        let services = self.services.as_ref().ok_or(IssueError::NoServiceIssuer)?;
        let (mut params, serial, not_after) = services.leaf(node.as_str(), SERVICE_LIFE, now)?;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        for name in dns_names {
            if !host_names::certifiable(name) {
                return Err(IssueError::ReservedName(name.clone()));
            }
            params.subject_alt_names.push(SanType::DnsName(name.to_ascii_lowercase().try_into()?));
        }
        params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
        services.issue(csr_der, params, serial, now, not_after)
    }

    /// Issues a certificate for a listener, with a fresh key. `names` are host names and addresses.
    pub fn issue_server_certificate(
        &self,
        names: &[String],
        now: DateTime<Utc>,
    ) -> Result<ServerCertificate, IdentityError> {
        let (pem, _) = self.issue_server_pem(names, now)?;
        files::read_server(self, "a new server certificate".as_ref(), pem.as_bytes())
            .map(|(certificate, _)| certificate)
    }

    /// The same as a PEM file: the certificate without its issuers, and the key.
    pub(crate) fn issue_server_pem(
        &self,
        names: &[String],
        now: DateTime<Utc>,
    ) -> Result<(zeroize::Zeroizing<String>, DateTime<Utc>), IdentityError> {
        let make = |source| IdentityError::Make { what: "a server certificate", source };
        for name in names {
            ServerName::try_from(name.as_str())
                .map_err(|_| IdentityError::ServerName { name: name.clone() })?;
        }
        let not_after = (now + SERVER_LIFE).min(self.controllers.not_after);
        let (mut params, _) = leaf(host_names::CONTROLLER, now, not_after);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names =
            CertificateParams::new(names.iter().map(|name| name.to_ascii_lowercase()).collect::<Vec<_>>())
                .map_err(make)?
                .subject_alt_names;
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(make)?;
        let certificate = params.signed_by(&key, &self.controllers.issuer).map_err(make)?;
        let key = zeroize::Zeroizing::new(key.serialize_pem());
        Ok((zeroize::Zeroizing::new(format!("{}{}", certificate.pem(), *key)), seconds(not_after)))
    }
}

impl Authority {
    /// What a certificate of this issuer begins with, and when it ends.
    fn leaf(
        &self,
        common_name: &str,
        life: TimeDelta,
        now: DateTime<Utc>,
    ) -> Result<(CertificateParams, Serial, DateTime<Utc>), IssueError> {
        let not_after = (now + life).min(self.not_after);
        if not_after <= now {
            return Err(IssueError::IssuerExpired(self.not_after));
        }
        let (params, serial) = leaf(common_name, now, not_after);
        Ok((params, serial, not_after))
    }

    /// Signs for the key of a request.
    fn issue(
        &self,
        csr_der: &[u8],
        params: CertificateParams,
        serial: Serial,
        now: DateTime<Utc>,
        not_after: DateTime<Utc>,
    ) -> Result<IssuedCertificate, IssueError> {
        let (request, public_key) = read_request(csr_der)?;
        let certificate = params.signed_by(&request.public_key, &self.issuer)?;
        // rcgen names the key's kind by the request's signature. Where these differ, the certificate would hold a key
        // that nobody has.
        let issued = X509Certificate::from_der(certificate.der())
            .is_ok_and(|(_, issued)| issued.public_key().raw == public_key.as_slice());
        if !issued {
            return Err(IssueError::Request("its key and its signature are of different kinds"));
        }
        Ok(IssuedCertificate {
            chain_der: vec![certificate.der().to_vec(), self.certificate.to_vec()],
            serial,
            not_before: seconds(now - CLOCK_SKEW),
            not_after: seconds(not_after),
            public_key_sha256: Sha256::digest(&public_key).into(),
        })
    }
}

impl std::fmt::Debug for FleetCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FleetCa").field("fleet_id", &self.fleet_id).finish_non_exhaustive()
    }
}

/// Checks a request and answers it with its public key (SubjectPublicKeyInfo, DER).
fn read_request(der: &[u8]) -> Result<(CertificateSigningRequestParams, Vec<u8>), IssueError> {
    if der.len() > MAX_CSR_BYTES {
        return Err(IssueError::Request("it is too long"));
    }
    let (rest, parsed) = X509CertificationRequest::from_der(der)
        .map_err(|_| IssueError::Request("it is not a PKCS #10 request"))?;
    if !rest.is_empty() {
        return Err(IssueError::Request("something follows after it"));
    }
    let public_key = parsed.certification_request_info.subject_pki.raw.to_vec();
    let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der))
        .map_err(|error| match error {
            rcgen::Error::InvalidCertificationRequestSignature => {
                IssueError::Request("its signature does not belong to its key")
            }
            rcgen::Error::UnsupportedExtension => {
                IssueError::Request("it asks for an extension that is not known here")
            }
            _ => IssueError::Request("its key is of an unknown kind, or a name in it cannot be read"),
        })?;
    let accepted = [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519];
    if !accepted.contains(&request.public_key.algorithm()) {
        return Err(IssueError::Request("its key must be ECDSA P-256, ECDSA P-384 or Ed25519"));
    }
    Ok((request, public_key))
}

fn leaf(common_name: &str, now: DateTime<Utc>, not_after: DateTime<Utc>) -> (CertificateParams, Serial) {
    let (mut params, serial) = common(common_name, now, not_after);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    (params, serial)
}

fn authority(
    common_name: &str,
    path_len: u8,
    now: DateTime<Utc>,
    not_after: DateTime<Utc>,
) -> CertificateParams {
    let (mut params, _) = common(common_name, now, not_after);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_len));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn common(common_name: &str, now: DateTime<Utc>, not_after: DateTime<Utc>) -> (CertificateParams, Serial) {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Muster");
    params.distinguished_name.push(DnType::CommonName, common_name);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since_epoch = |at: DateTime<Utc>| Duration::from_secs(at.timestamp().max(0).unsigned_abs());
    params.not_before = epoch + since_epoch(now - CLOCK_SKEW);
    params.not_after = epoch + since_epoch(not_after);
    // 126 random bits; the first byte is neither zero nor negative, so the number has one spelling of 32 digits.
    let mut serial = random::bytes::<16>();
    serial[0] = serial[0] & 0x3f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    (params, Serial::from_bytes(&serial))
}

/// Certificates know no fractions of a second.
fn seconds(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(at.timestamp(), 0).unwrap_or(at)
}
