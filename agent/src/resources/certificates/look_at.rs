//! What keys and certificates say.

use crate::identity::IdentityStore;
use chrono::{DateTime, Utc};
use muster_planning::convergence::FoundCertificate;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use std::net::IpAddr;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// The public key (SubjectPublicKeyInfo, DER) of a private one in PEM.
pub(super) fn key_of(pem: &str) -> Result<Vec<u8>, String> {
    use rcgen::PublicKeyData as _;
    let key = rcgen::KeyPair::from_pem(pem).map_err(|_| "holds no key that can be used".to_owned())?;
    Ok(key.subject_public_key_info())
}

/// The root of the fleet, DER.
pub(super) fn root_of(store: &IdentityStore) -> Result<CertificateDer<'static>, String> {
    store.root().map_err(|error| crate::chain(&error))
}

/// A chain in PEM, the service's own first. The second holds the key that its issuer signed with, and so on to the root.
pub(super) fn chain_of(
    pem: &[u8],
    root: &CertificateDer<'_>,
    key: Option<&[u8]>,
) -> Result<FoundCertificate, String> {
    let unreadable = || "cannot be read".to_owned();
    let chain: Vec<CertificateDer<'_>> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| unreadable())?;
    let parse = |der| X509Certificate::from_der(der).map(|(_, parsed)| parsed).map_err(|_| unreadable());
    let parsed: Vec<X509Certificate<'_>> =
        chain.iter().map(|der| parse(der.as_ref())).collect::<Result<_, _>>()?;
    let own = parsed.first().ok_or_else(unreadable)?;
    let root = parse(root.as_ref())?;
    let issuers = parsed.iter().skip(1).chain([&root]);
    let trusted = parsed
        .iter()
        .zip(issuers)
        .all(|(signed, issuer)| signed.verify_signature(Some(issuer.public_key())).is_ok());
    let time = |seconds| DateTime::<Utc>::from_timestamp(seconds, 0).ok_or_else(unreadable);
    let names = own.subject_alternative_name().map_err(|_| unreadable())?;
    let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    let address = |name: &GeneralName<'_>| match name {
        GeneralName::IPAddress(bytes) => <[u8; 4]>::try_from(*bytes)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from))
            .ok(),
        _ => None,
    };
    Ok(FoundCertificate {
        not_before: time(own.validity().not_before.timestamp())?,
        not_after: time(own.validity().not_after.timestamp())?,
        dns_names: names.iter().filter_map(dns).collect(),
        addresses: names.iter().filter_map(address).collect(),
        matches_key: key.is_some_and(|key| key == own.public_key().raw),
        trusted,
        jitter: blake3::hash(chain[0].as_ref()).as_bytes()[0],
    })
}
