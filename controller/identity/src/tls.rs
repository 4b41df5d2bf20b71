//! What the controller's two listeners present and believe.
//!
//! Agents: TLS 1.3 only, client certificates of the nodes' issuer, no resumption. A resumed session would skip the
//! verifier and with it the revocations. Agents speak HTTP/2; hosts that become nodes fetch the programs over HTTP/1.1. People: TLS 1.2 and 1.3, no client certificates.
//! The certificate can be exchanged while a listener serves: a configuration asks [`ServingCertificate`] at each handshake.

use crate::{
    FleetCa, IdentityError, Revocations, ServerCertificate,
    files::{self, Readers},
};
use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta, Utc};
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
    time_provider::{DefaultTimeProvider, TimeProvider},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use std::{path::Path, sync::Arc};
use x509_parser::prelude::{FromDer as _, X509Certificate};

mod node_verifier;
#[cfg(test)]
mod tests;

pub use node_verifier::NodeVerifier;

/// What agents speak.
pub const HTTP_2: &[u8] = b"h2";

/// What a client of the agents' listener that is no agent speaks.
pub const HTTP_1_1: &[u8] = b"http/1.1";

/// How long after its end a node's certificate still opens a connection, for its renewal only: a VPS that was switched
/// off for a month comes back by itself.
pub const RENEWAL_GRACE: TimeDelta = TimeDelta::days(30);

/// The one crypto provider, given to every configuration by hand: a process-wide default can be set by anybody.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The certificate that a listener presents, exchangeable while it serves.
#[derive(Debug)]
pub struct ServingCertificate(ArcSwap<CertifiedKey>);

impl ServingCertificate {
    /// Begins with `certificate`.
    pub fn new(certificate: ServerCertificate) -> Result<Arc<Self>, IdentityError> {
        Ok(Arc::new(Self(ArcSwap::from_pointee(certified(certificate)?))))
    }

    /// Presents another one from the next handshake on.
    pub fn replace(&self, certificate: ServerCertificate) -> Result<(), IdentityError> {
        self.0.store(Arc::new(certified(certificate)?));
        Ok(())
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn certified(certificate: ServerCertificate) -> Result<CertifiedKey, IdentityError> {
    // Also checks that the key belongs to the certificate.
    Ok(CertifiedKey::from_der(certificate.chain, certificate.key, &provider())?)
}

/// The agents' listener. Client certificates are optional at this level, because enrolment has none; who may call what
/// without one is decided per request.
pub fn agents_config(
    ca: &FleetCa,
    certificate: Arc<ServingCertificate>,
    revocations: Revocations,
) -> Result<Arc<ServerConfig>, IdentityError> {
    agents_config_at(ca, certificate, revocations, RENEWAL_GRACE, Arc::new(DefaultTimeProvider))
}

/// [`agents_config`] with another grace period and another clock.
pub fn agents_config_at(
    ca: &FleetCa,
    certificate: Arc<ServingCertificate>,
    revocations: Revocations,
    renewal_grace: TimeDelta,
    time: Arc<dyn TimeProvider>,
) -> Result<Arc<ServerConfig>, IdentityError> {
    let verifier = NodeVerifier::new(ca, revocations, renewal_grace)?;
    let mut config = ServerConfig::builder_with_details(provider(), time)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(certificate);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    // Agents offer HTTP/2 alone. What offers both is a tool that fetches a file.
    config.alpn_protocols = vec![HTTP_1_1.to_vec(), HTTP_2.to_vec()];
    Ok(Arc::new(config))
}

/// The people's listener: browsers and the CLI.
pub fn people_config(certificate: Arc<ServingCertificate>) -> Result<Arc<ServerConfig>, IdentityError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1_1.to_vec()];
    Ok(Arc::new(config))
}

/// Reads a certificate chain and a key that a person brought, and checks that they belong together and are still good.
pub fn brought_certificate(
    certificate: &Path,
    key: &Path,
    now: DateTime<Utc>,
) -> Result<ServerCertificate, IdentityError> {
    let unusable =
        |reason: String| IdentityError::BroughtCertificate { path: certificate.to_owned(), reason };
    let chain = CertificateDer::pem_slice_iter(&files::read(certificate, Readers::Anybody)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| unusable(e.to_string()))?;
    let first =
        chain.first().ok_or_else(|| unusable("the file holds no certificate in PEM form".to_owned()))?;
    let (_, parsed) = X509Certificate::from_der(first).map_err(|e| unusable(e.to_string()))?;
    let not_after = DateTime::from_timestamp(parsed.validity().not_after.timestamp(), 0)
        .ok_or_else(|| unusable("its end is not a time".to_owned()))?;
    if not_after <= now {
        return Err(unusable(format!("it ran out on {not_after}")));
    }
    let key_der = PrivateKeyDer::from_pem_slice(&files::read(key, Readers::OwnerAndGroup)?)
        .map_err(|e| unusable(format!("its key {} cannot be read: {e}", key.display())))?;
    CertifiedKey::from_der(chain.clone(), key_der.clone_key(), &provider())
        .map_err(|e| unusable(format!("the key {} does not fit: {e}", key.display())))?;
    Ok(ServerCertificate { chain, key: key_der, not_after })
}
