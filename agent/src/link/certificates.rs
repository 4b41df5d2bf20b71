//! Certificates for services from the controller, over whatever connection there is at the moment.

use super::remote::RemoteArtifacts;
use crate::resources::{CertificateRequest, CertificateSource};
use futures_util::future::BoxFuture;
use muster_proto::v1::IssueCertificateRequest;
use std::time::Duration;

/// The controller reads an assignment and signs.
const TIMEOUT: Duration = Duration::from_secs(30);

/// No chain of the fleet is longer: the service's own, and its issuer.
const MAX_CHAIN: usize = 4;

impl CertificateSource for RemoteArtifacts {
    fn issue(&self, request: CertificateRequest) -> BoxFuture<'_, Result<Vec<Vec<u8>>, String>> {
        Box::pin(async move {
            let CertificateRequest { name, csr_der, dns_names, addresses } = request;
            let addresses = addresses.iter().map(ToString::to_string).collect();
            let request = IssueCertificateRequest { name, csr_der, dns_names, addresses };
            let mut client = self.client().map_err(|error| error.to_string())?;
            let answer = tokio::time::timeout(TIMEOUT, client.issue_certificate(request)).await;
            let answer = answer.map_err(|_| "the controller did not answer in time".to_owned())?;
            let answer =
                answer.map_err(|status| format!("the controller issued none: {}", status.message()))?;
            let chain = answer.into_inner().certificate_chain_der;
            if chain.is_empty() || chain.len() > MAX_CHAIN {
                return Err("the controller answered without a certificate".into());
            }
            Ok(chain)
        })
    }
}
