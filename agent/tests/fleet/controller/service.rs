//! What the controller in the test answers.

use super::{Controller, Stream};
use muster_domain::Digest;
use muster_proto::convert;
use muster_proto::v1::{
    self, agent_service_server::AgentService, enrolment_service_server::EnrolmentService,
};
use tonic::{Request, Response, Status, Streaming};

#[tonic::async_trait]
impl EnrolmentService for Controller {
    async fn enrol(&self, request: Request<v1::EnrolRequest>) -> Result<Response<v1::EnrolResponse>, Status> {
        let request = request.into_inner();
        {
            let mut state = self.state();
            state.enrolments += 1;
            match state.token.take() {
                Some((id, secret)) if id == request.token_id && secret == request.token_secret => {}
                other => {
                    state.token = other;
                    return Err(Status::permission_denied(
                        "the join token was used already; make a new invitation",
                    ));
                }
            }
        }
        let identity = self.identity(&request.csr_der)?;
        Ok(Response::new(v1::EnrolResponse {
            node_id: self.state().node.as_uuid().as_bytes().to_vec(),
            node_name: "app-1".into(),
            identity: Some(identity),
        }))
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewResponse>, Status> {
        self.state().life_s += 86_400;
        let identity = self.identity(&request.into_inner().csr_der)?;
        self.state().renewals += 1;
        Ok(Response::new(v1::RenewResponse { identity: Some(identity) }))
    }
}

#[tonic::async_trait]
impl AgentService for Controller {
    type WatchStream = Stream<v1::Hint>;
    type FetchObjectsStream = Stream<v1::BundlePiece>;

    async fn watch(&self, _: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let mut hints = self.hints.subscribe();
        Ok(Response::new(Box::pin(async_stream::stream! {
            while let Ok(hint) = hints.recv().await {
                yield Ok(hint);
            }
        })))
    }

    async fn get_assignment(
        &self,
        request: Request<v1::GetAssignmentRequest>,
    ) -> Result<Response<v1::GetAssignmentResponse>, Status> {
        let known = request.into_inner().known_revision;
        let mut state = self.state();
        state.polls += 1;
        let assignment = state.assignment.clone().filter(|assignment| assignment.revision != known);
        Ok(Response::new(v1::GetAssignmentResponse { assignment }))
    }

    async fn heartbeat(
        &self,
        request: Request<v1::HeartbeatRequest>,
    ) -> Result<Response<v1::HeartbeatResponse>, Status> {
        self.state().heartbeats.push(request.into_inner());
        Ok(Response::new(v1::HeartbeatResponse {
            heartbeat_interval_ms: 50,
            poll_interval_ms: 100,
            reboot: None,
        }))
    }

    async fn send_reports(
        &self,
        request: Request<v1::SendReportsRequest>,
    ) -> Result<Response<v1::SendReportsResponse>, Status> {
        use v1::report::Report as Wire;
        let mut stored_sequence = 0;
        for report in request.into_inner().reports {
            let sequence = match report.report.as_ref().unwrap() {
                Wire::Convergence(report) => report.sequence,
                Wire::Refusal(report) => report.sequence,
                Wire::Event(report) => report.sequence,
            };
            assert!(sequence > stored_sequence);
            stored_sequence = sequence;
            self.state().reports.insert(sequence, report);
        }
        Ok(Response::new(v1::SendReportsResponse { stored_sequence }))
    }

    async fn get_manifest(
        &self,
        request: Request<v1::GetManifestRequest>,
    ) -> Result<Response<v1::GetManifestResponse>, Status> {
        let digest = convert::digest("artifact_digest", &request.into_inner().artifact_digest).unwrap();
        let manifest = self.state().manifests.get(&digest).cloned();
        let manifest = manifest.ok_or_else(|| Status::not_found("there is no such artifact"))?;
        Ok(Response::new(v1::GetManifestResponse { manifest }))
    }

    async fn fetch_objects(
        &self,
        request: Request<v1::FetchObjectsRequest>,
    ) -> Result<Response<Self::FetchObjectsStream>, Status> {
        let wanted: Vec<Digest> =
            request.into_inner().digests.iter().map(|d| convert::digest("digests", d).unwrap()).collect();
        let mut state = self.state();
        if state.refuse_fetch {
            return Err(Status::unavailable("not now"));
        }
        let store = state.store.clone().unwrap();
        let objects = wanted.iter().map(|digest| muster_artifact::Digest::from_bytes(*digest.as_bytes()));
        let (mut bundle, _) = store.write_bundle(Vec::new(), objects).unwrap();
        state.fetched.extend(wanted);
        if state.corrupt_objects {
            let middle = bundle.len() / 2;
            bundle[middle] ^= 0xff;
        }
        let pieces: Vec<_> =
            bundle.chunks(1000).map(|piece| Ok(v1::BundlePiece { data: piece.to_vec() })).collect();
        Ok(Response::new(Box::pin(futures_util::stream::iter(pieces))))
    }

    async fn get_plan_candidate(
        &self,
        request: Request<v1::GetPlanCandidateRequest>,
    ) -> Result<Response<v1::GetPlanCandidateResponse>, Status> {
        let id = request.into_inner().request_id;
        let candidate = self.state().candidates.get(&id).cloned();
        let candidate = candidate.ok_or_else(|| Status::not_found("nobody waits for it"))?;
        Ok(Response::new(v1::GetPlanCandidateResponse { candidate }))
    }

    async fn send_plan(
        &self,
        request: Request<v1::SendPlanRequest>,
    ) -> Result<Response<v1::SendPlanResponse>, Status> {
        self.state().plans.push(request.into_inner());
        Ok(Response::new(v1::SendPlanResponse {}))
    }

    async fn send_inventory(
        &self,
        _: Request<v1::SendInventoryRequest>,
    ) -> Result<Response<v1::SendInventoryResponse>, Status> {
        Ok(Response::new(v1::SendInventoryResponse {}))
    }

    async fn request_turn(
        &self,
        request: Request<v1::RequestTurnRequest>,
    ) -> Result<Response<v1::RequestTurnResponse>, Status> {
        use v1::request_turn_response::Outcome;
        let mut state = self.state();
        state.turns.push(request.into_inner());
        let outcome = match state.turn_taken_by.clone() {
            None => Outcome::Granted(v1::TurnGranted { lease_ms: 60_000 }),
            Some(holder) => Outcome::Waiting(v1::TurnWaiting {
                reason: format!("{holder} is changing"),
                holders: vec![holder],
                retry_after_ms: 60_000,
            }),
        };
        Ok(Response::new(v1::RequestTurnResponse { outcome: Some(outcome) }))
    }

    async fn release_turn(
        &self,
        request: Request<v1::ReleaseTurnRequest>,
    ) -> Result<Response<v1::ReleaseTurnResponse>, Status> {
        self.state().released_turns.push(request.into_inner());
        Ok(Response::new(v1::ReleaseTurnResponse {}))
    }

    async fn issue_certificate(
        &self,
        _: Request<v1::IssueCertificateRequest>,
    ) -> Result<Response<v1::IssueCertificateResponse>, Status> {
        Err(Status::not_found("no certificate is assigned here"))
    }

    async fn send_logs(
        &self,
        request: Request<Streaming<v1::LogBatch>>,
    ) -> Result<Response<v1::SendLogsResponse>, Status> {
        let mut batches = request.into_inner();
        while let Some(batch) = batches.message().await? {
            self.state().logs.push(batch);
        }
        Ok(Response::new(v1::SendLogsResponse {}))
    }
}
