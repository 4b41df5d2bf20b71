//! What an enrolled agent calls. Each call decodes, calls one use case for the node of the certificate, encodes.

use super::{
    authenticate::caller,
    bundle, decode,
    status::{invalid, refused, status},
};
use futures_util::{Stream, StreamExt as _};
use muster_app::{App, Heartbeat, NodeHint, ServiceCertificate};
use muster_proto::{convert, v1};
use std::{pin::Pin, time::Duration};
use tokio::sync::broadcast::error::RecvError;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

/// How often an idle watch says something. HTTP/2 pings keep the connection; this keeps the call, through proxies that
/// count time per stream.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(25);

/// How many reports one call may carry; an agent that was away for long sends several calls.
const MAX_REPORTS: usize = 1_000;

/// How many processes one beat may carry.
const MAX_PROCESSES: usize = 5_000;

pub(super) struct Agents {
    app: App,
}

impl Agents {
    pub(super) const fn new(app: App) -> Self {
        Self { app }
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn few<T>(field: &'static str, items: &[T], most: usize) -> Result<(), Status> {
    if items.len() <= most {
        return Ok(());
    }
    Err(refused(
        Code::InvalidArgument,
        "too_many",
        format!("field {field}: {} at once are too many; send at most {most}", items.len()),
    ))
}

#[tonic::async_trait]
impl v1::agent_service_server::AgentService for Agents {
    type WatchStream = Answers<v1::Hint>;
    type FetchObjectsStream = Answers<v1::BundlePiece>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let node = caller(&request)?;
        let mut hints = self.app.hints().subscribe(node.id);
        let stream = async_stream::stream! {
            // Whatever changed before the subscription: the node looks once, and no hint is missed from here on.
            yield Ok(decode::hint(NodeHint::AssignmentChanged));
            loop {
                match tokio::time::timeout(KEEP_ALIVE_INTERVAL, hints.recv()).await {
                    Ok(Ok(hint)) => yield Ok(decode::hint(hint)),
                    // Hints were lost, and the one that matters may be among them.
                    Ok(Err(RecvError::Lagged(_))) => yield Ok(decode::hint(NodeHint::AssignmentChanged)),
                    Ok(Err(RecvError::Closed)) => break,
                    Err(_) => yield Ok(v1::Hint { hint: Some(v1::hint::Hint::KeepAlive(v1::KeepAlive {})) }),
                }
            }
        };
        Ok(Response::new(Box::pin(stream)))
    }

    async fn get_assignment(
        &self,
        request: Request<v1::GetAssignmentRequest>,
    ) -> Result<Response<v1::GetAssignmentResponse>, Status> {
        let node = caller(&request)?;
        let known = request.into_inner().known_revision;
        let known = if known.is_empty() {
            None
        } else {
            Some(convert::digest("known_revision", &known).map_err(invalid)?)
        };
        let assignment = self.app.assignment_get(node.id, known.as_ref()).await.map_err(status)?;
        let assignment = assignment.map(|assignment| v1::SignedAssignment {
            node_id: assignment.node_id.as_uuid().as_bytes().to_vec(),
            generation: assignment.generation.get(),
            revision: assignment.revision.as_bytes().to_vec(),
            content: assignment.content,
            signature: assignment.signature,
        });
        Ok(Response::new(v1::GetAssignmentResponse { assignment }))
    }

    async fn heartbeat(
        &self,
        request: Request<v1::HeartbeatRequest>,
    ) -> Result<Response<v1::HeartbeatResponse>, Status> {
        let node = caller(&request)?;
        let v1::HeartbeatRequest { metrics, processes, facts, generation: _, rebooted_for } =
            request.into_inner();
        few("processes", &processes, MAX_PROCESSES)?;
        let beat = Heartbeat {
            metrics: metrics.map(TryInto::try_into).transpose().map_err(invalid)?,
            processes: processes
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()
                .map_err(invalid)?,
            facts: facts.map(Into::into),
            rebooted_for: match rebooted_for.as_slice() {
                [] => None,
                id => Some(decode::request_id("rebooted_for", id).map_err(invalid)?),
            },
        };
        let answer = self.app.heartbeat(node.id, beat).await.map_err(status)?;
        Ok(Response::new(v1::HeartbeatResponse {
            heartbeat_interval_ms: answer.intervals.heartbeat_interval_ms,
            poll_interval_ms: answer.intervals.poll_interval_ms,
            reboot: answer.reboot.map(|wanted| v1::RebootRequest {
                request_id: wanted.id.as_bytes().to_vec(),
                now: wanted.at_once,
                reason: format!("{}: {}", wanted.requested_by, wanted.reason),
            }),
        }))
    }

    async fn send_reports(
        &self,
        request: Request<v1::SendReportsRequest>,
    ) -> Result<Response<v1::SendReportsResponse>, Status> {
        let node = caller(&request)?;
        let reports = request.into_inner().reports;
        few("reports", &reports, MAX_REPORTS)?;
        let reports = reports.into_iter().map(decode::report).collect::<Result<_, _>>().map_err(invalid)?;
        let stored_sequence = self.app.reports_store(node.id, reports).await.map_err(status)?;
        Ok(Response::new(v1::SendReportsResponse { stored_sequence }))
    }

    async fn get_manifest(
        &self,
        request: Request<v1::GetManifestRequest>,
    ) -> Result<Response<v1::GetManifestResponse>, Status> {
        let node = caller(&request)?;
        let artifact =
            convert::digest("artifact_digest", &request.into_inner().artifact_digest).map_err(invalid)?;
        let manifest = bundle::manifest(&self.app, node.id, artifact).await?;
        Ok(Response::new(v1::GetManifestResponse { manifest }))
    }

    async fn fetch_objects(
        &self,
        request: Request<v1::FetchObjectsRequest>,
    ) -> Result<Response<Self::FetchObjectsStream>, Status> {
        let node = caller(&request)?;
        let v1::FetchObjectsRequest { artifact_digest, digests } = request.into_inner();
        let artifact = convert::digest("artifact_digest", &artifact_digest).map_err(invalid)?;
        let digests = digests
            .iter()
            .map(|digest| convert::digest("digests", digest))
            .collect::<Result<_, _>>()
            .map_err(invalid)?;
        let pieces = bundle::fetch(&self.app, node.id, artifact, digests).await?;
        Ok(Response::new(Box::pin(ReceiverStream::new(pieces))))
    }

    async fn send_logs(
        &self,
        request: Request<Streaming<v1::LogBatch>>,
    ) -> Result<Response<v1::SendLogsResponse>, Status> {
        let node = caller(&request)?;
        let mut batches = request.into_inner();
        let mut answered = None;
        while let Some(batch) = batches.next().await {
            let batch = match batch {
                Ok(batch) => batch,
                Err(status) => {
                    // The connection broke: the reader is not left waiting for more of this node.
                    if let Some(log_request) = answered {
                        self.app.logs_finished(node.id, log_request).await;
                    }
                    return Err(status);
                }
            };
            let (log_request, batch) = decode::log_batch(batch).map_err(invalid)?;
            if *answered.get_or_insert(log_request) != log_request {
                return Err(refused(
                    Code::InvalidArgument,
                    "invalid_message",
                    "one call answers one log request",
                ));
            }
            if !self.app.logs_deliver(node.id, log_request, batch).await {
                // Nobody reads any more: the answer ends the call, and the agent stops.
                return Ok(Response::new(v1::SendLogsResponse {}));
            }
        }
        if let Some(log_request) = answered {
            self.app.logs_finished(node.id, log_request).await;
        }
        Ok(Response::new(v1::SendLogsResponse {}))
    }

    async fn issue_certificate(
        &self,
        request: Request<v1::IssueCertificateRequest>,
    ) -> Result<Response<v1::IssueCertificateResponse>, Status> {
        let node = caller(&request)?;
        let request = decode::certificate_request(request.into_inner()).map_err(invalid)?;
        let ServiceCertificate { chain_der, root_der } =
            self.app.service_certificate_issue(&node, request).await.map_err(status)?;
        Ok(Response::new(v1::IssueCertificateResponse { certificate_chain_der: chain_der, root_der }))
    }

    async fn get_plan_candidate(
        &self,
        request: Request<v1::GetPlanCandidateRequest>,
    ) -> Result<Response<v1::GetPlanCandidateResponse>, Status> {
        let node = caller(&request)?;
        let plan = decode::request_id("request_id", &request.into_inner().request_id).map_err(invalid)?;
        let candidate = self.app.plan_candidate(node.id, plan).map_err(status)?;
        Ok(Response::new(v1::GetPlanCandidateResponse {
            candidate: candidate.map(|candidate| v1::PlanCandidate {
                node_id: node.id.as_uuid().as_bytes().to_vec(),
                revision: candidate.revision.as_bytes().to_vec(),
                content: candidate.content,
                signature: candidate.signature,
            }),
        }))
    }

    async fn send_plan(
        &self,
        request: Request<v1::SendPlanRequest>,
    ) -> Result<Response<v1::SendPlanResponse>, Status> {
        let node = caller(&request)?;
        let (plan, answer) = decode::plan(request.into_inner()).map_err(invalid)?;
        self.app.plan_deliver(node.id, plan, answer).await.map_err(status)?;
        Ok(Response::new(v1::SendPlanResponse {}))
    }

    async fn send_inventory(
        &self,
        request: Request<v1::SendInventoryRequest>,
    ) -> Result<Response<v1::SendInventoryResponse>, Status> {
        let node = caller(&request)?;
        let (inspection, answer) = decode::inventory(request.into_inner()).map_err(invalid)?;
        self.app.inspection_deliver(node.id, inspection, answer).map_err(status)?;
        Ok(Response::new(v1::SendInventoryResponse {}))
    }

    async fn request_turn(
        &self,
        request: Request<v1::RequestTurnRequest>,
    ) -> Result<Response<v1::RequestTurnResponse>, Status> {
        let node = caller(&request)?;
        let asked = request.into_inner().try_into().map_err(invalid)?;
        let answer = self.app.turn_request(node.id, &asked).await.map_err(status)?;
        Ok(Response::new(answer.into()))
    }

    async fn release_turn(
        &self,
        request: Request<v1::ReleaseTurnRequest>,
    ) -> Result<Response<v1::ReleaseTurnResponse>, Status> {
        let node = caller(&request)?;
        let (generation, outcome) = convert::turn::released_turn(request.into_inner()).map_err(invalid)?;
        self.app.turn_give_back(node.id, generation, &outcome).await.map_err(status)?;
        Ok(Response::new(v1::ReleaseTurnResponse {}))
    }
}
