//! Becoming a node and staying one.

use super::{
    authenticate::{Peer, caller},
    status::{refused, status},
};
use muster_app::{App, EnrolRequest};
use muster_identity::{IssuedCertificate, Secret};
use muster_proto::v1;
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::timeout};
use tonic::{Code, Request, Response, Status};

/// Enrolments at once. Anybody may ask, and each asks the database: strangers get a quarter of its connections at most,
/// the nodes that are there keep the rest.
const ENROLMENTS_AT_ONCE: usize = 4;

/// How long a host waits for its turn before it is told to come back.
const TURN_PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Enrolments {
    app: App,
    turns: Semaphore,
}

impl Enrolments {
    pub(super) fn new(app: App) -> Self {
        Self { app, turns: Semaphore::new(ENROLMENTS_AT_ONCE) }
    }

    fn identity(&self, certificate: IssuedCertificate) -> v1::Identity {
        let identity = self.app.identity();
        v1::Identity {
            certificate_chain_der: certificate.chain_der,
            root_der: identity.ca.root().to_vec(),
            assignment_keys: identity.signer.public_keys(),
            not_before_s: certificate.not_before.timestamp(),
            not_after_s: certificate.not_after.timestamp(),
        }
    }
}

#[tonic::async_trait]
impl v1::enrolment_service_server::EnrolmentService for Enrolments {
    async fn enrol(&self, request: Request<v1::EnrolRequest>) -> Result<Response<v1::EnrolResponse>, Status> {
        let address = request.extensions().get::<Arc<Peer>>().map(|peer| peer.address.ip());
        let v1::EnrolRequest { token_id, token_secret, csr_der, facts } = request.into_inner();
        let token_secret = Secret::parse(&token_secret).map_err(|e| {
            refused(Code::Unauthenticated, "token_wrong_secret", format!("{e}; paste the token again, whole"))
        })?;
        let facts = facts.unwrap_or_default().into();
        let Ok(_turn) = timeout(TURN_PATIENCE, self.turns.acquire()).await else {
            return Err(refused(
                Code::ResourceExhausted,
                "too_many_requests",
                "many hosts are joining at this moment; try again in a minute",
            ));
        };
        let enrolled = self
            .app
            .node_enrol(EnrolRequest { token_id, token_secret, csr_der, facts, address })
            .await
            .map_err(status)?;
        Ok(Response::new(v1::EnrolResponse {
            node_id: enrolled.node_id.as_uuid().as_bytes().to_vec(),
            node_name: enrolled.node_name.to_string(),
            identity: Some(self.identity(enrolled.certificate)),
        }))
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewResponse>, Status> {
        let node = caller(&request)?;
        let certificate = self.app.node_renew(&node, &request.into_inner().csr_der).await.map_err(status)?;
        Ok(Response::new(v1::RenewResponse { identity: Some(self.identity(certificate)) }))
    }
}
