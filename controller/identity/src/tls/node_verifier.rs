//! Which client certificates open a connection to the agents' listener.

use crate::{FleetCa, IdentityError, PeerNode, Revocations, tls::provider};
use chrono::TimeDelta;
use muster_domain::FleetId;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::{sync::Arc, time::Duration};

/// Admits certificates of the nodes' issuer that name a node of this fleet and are not revoked. One that has run out
/// within the grace period is admitted as well: what its holder may then do (renew, nothing else) is decided per request,
/// from the certificate's own end.
#[derive(Debug)]
pub struct NodeVerifier {
    // The anchor is the nodes' issuer, not the root: below the root there are certificates of controllers, too.
    inner: Arc<dyn ClientCertVerifier>,
    fleet: FleetId,
    revocations: Revocations,
    renewal_grace: Duration,
}

impl NodeVerifier {
    pub(super) fn new(
        ca: &FleetCa,
        revocations: Revocations,
        renewal_grace: TimeDelta,
    ) -> Result<Self, IdentityError> {
        let mut anchors = RootCertStore::empty();
        anchors.add(ca.node_issuer().clone())?;
        let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(anchors), provider())
            .allow_unauthenticated()
            .build()
            .map_err(|e| Error::General(e.to_string()))?;
        let renewal_grace = renewal_grace.to_std().unwrap_or_default();
        Ok(Self { inner, fleet: ca.fleet_id(), revocations, renewal_grace })
    }

    fn within_grace(&self, peer: &PeerNode, now: UnixTime) -> Option<UnixTime> {
        let end = Duration::from_secs(u64::try_from(peer.not_after.timestamp()).ok()?);
        (now.as_secs() <= (end + self.renewal_grace).as_secs()).then(|| UnixTime::since_unix_epoch(end))
    }
}

impl ClientCertVerifier for NodeVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let peer = PeerNode::from_certificate(end_entity, self.fleet);
        let verified = match (self.inner.verify_client_cert(end_entity, intermediates, now), &peer) {
            // Expiry may be the first thing that was found wrong, and not the only one: everything is checked again as of
            // the last second in which the certificate was good.
            (
                Err(
                    error @ Error::InvalidCertificate(
                        CertificateError::Expired | CertificateError::ExpiredContext { .. },
                    ),
                ),
                Ok(peer),
            ) => match self.within_grace(peer, now) {
                Some(end) => self.inner.verify_client_cert(end_entity, intermediates, end)?,
                None => return Err(error),
            },
            (result, _) => result?,
        };
        let peer = peer.map_err(|_| CertificateError::ApplicationVerificationFailure)?;
        if self.revocations.contains(&peer.serial) {
            return Err(CertificateError::Revoked.into());
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
