//! Renews the node's certificate, with the key that it has. Also works when the certificate ran out a while ago: within
//! its grace period the controller takes it for this one call.

use super::{Link, LinkError};
use crate::identity;
use muster_proto::v1::{RenewRequest, enrolment_service_client::EnrolmentServiceClient};
use tokio::time::Instant;
use tonic::transport::Channel;

impl Link {
    /// Whether it is time. A clock that is a day ahead finds every certificate old: a fresh one is kept for a third of its
    /// life all the same, or the node would do nothing but renew.
    pub(super) fn renewal_due(&self) -> bool {
        let fresh = self.renewed_until.is_some_and(|until| Instant::now() < until);
        !fresh && self.config.clock.now() >= self.enrolment.renew_at(self.renewal_share)
    }

    /// Whether the present certificate still lasts.
    pub(super) fn certificate_good(&self) -> bool {
        self.config.clock.now() < self.enrolment.certificate_not_after
    }

    /// Gets a new certificate and stores it. It is used from the next connection on.
    pub(super) async fn renew(&mut self, channel: Channel) -> Result<(), LinkError> {
        let request = RenewRequest { csr_der: identity::certificate_request(&self.store.key_pem()?)? };
        let mut client = EnrolmentServiceClient::new(channel);
        let call = client.renew(request);
        let answer = tokio::time::timeout(self.config.intervals.call_timeout, call)
            .await
            .map_err(|_| LinkError::Lost("renewing the certificate took too long".into()))??;
        let wire = answer.into_inner().identity;
        let wire = wire.ok_or_else(|| LinkError::Identity("the controller answered without one".into()))?;
        let known = self.enrolment.clone();
        let enrolled_at = known.enrolled_at;
        let renewed = identity::enrolment_from(known.into(), &wire, enrolled_at)?;
        if renewed.certificate_not_after <= self.enrolment.certificate_not_after {
            return Err(LinkError::Identity(
                "the controller answered with a certificate that is not newer".into(),
            ));
        }
        self.store.write_identity(&renewed, &wire)?;
        self.ledger.set_assignment_keys(renewed.assignment_keys());
        tracing::info!(until = %renewed.certificate_not_after, "renewed the certificate of this node");
        let life = renewed.certificate_not_after - renewed.certificate_not_before;
        self.renewed_until = life.to_std().ok().map(|life| Instant::now() + life / 3);
        self.enrolment = renewed;
        self.renewal_share = rand::random();
        Ok(())
    }
}
