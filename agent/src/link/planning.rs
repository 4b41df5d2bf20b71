//! Answers requests for plans: what a run would change, with what is in force or with a candidate that is looked at and
//! forgotten.

use super::Link;
use crate::converge::{Nudges, Planner};
use crate::ledger::Ledger;
use crate::runner::ApplicationRunner;
use muster_domain::plan::NodePlan;
use muster_proto::v1::{
    GetPlanCandidateRequest, SendPlanRequest, agent_service_client::AgentServiceClient,
    send_plan_request::Answer,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::transport::Channel;
use uuid::Uuid;

/// Requests answered at a time. They look at the node one after the other in any case.
const MAX_REQUESTS: usize = 4;

/// The requests of one connection. They end with it.
pub(super) struct PlanRequests {
    client: AgentServiceClient<Channel>,
    asked: Arc<Asked>,
    timeout: Duration,
    running: BTreeMap<Vec<u8>, JoinHandle<()>>,
}

/// What answering needs.
struct Asked {
    planner: Planner,
    ledger: Arc<Ledger>,
    runner: Arc<dyn ApplicationRunner>,
    nudges: Arc<Nudges>,
}

impl PlanRequests {
    pub(super) fn new(client: AgentServiceClient<Channel>, link: &Link) -> Self {
        let asked = Arc::new(Asked {
            planner: link.planner.clone(),
            ledger: link.ledger.clone(),
            runner: link.runner.clone(),
            nudges: link.nudges.clone(),
        });
        let timeout = link.config.intervals.call_timeout;
        Self { client, asked, timeout, running: BTreeMap::new() }
    }

    pub(super) fn begin(&mut self, request_id: Vec<u8>) {
        self.running.retain(|_, answer| !answer.is_finished());
        if self.running.contains_key(&request_id) || self.running.len() >= MAX_REQUESTS {
            // Whoever asked hears of it by its own time limit, and may ask again.
            return;
        }
        let (client, asked, timeout) = (self.client.clone(), self.asked.clone(), self.timeout);
        let id = request_id.clone();
        let answer = tokio::spawn(async move { asked.answer(client, id, timeout).await });
        self.running.insert(request_id, answer);
    }
}

impl Drop for PlanRequests {
    fn drop(&mut self) {
        self.running.values().for_each(JoinHandle::abort);
    }
}

impl Asked {
    async fn answer(&self, mut client: AgentServiceClient<Channel>, request_id: Vec<u8>, timeout: Duration) {
        let answer = match self.plan(&mut client, &request_id, timeout).await {
            Ok(plan) => Answer::Plan((&plan).into()),
            Err(error) => Answer::Error(self.ledger.redactor().clean(error)),
        };
        let request = SendPlanRequest { request_id, answer: Some(answer) };
        match tokio::time::timeout(timeout, client.send_plan(request)).await {
            Ok(Ok(_)) => {}
            // Nobody waits for it any more.
            Ok(Err(status)) if status.code() == Code::NotFound => {}
            Ok(Err(status)) => tracing::warn!("a plan could not be sent: {}", status.message()),
            Err(_) => tracing::warn!("a plan could not be sent in time"),
        }
    }

    async fn plan(
        &self,
        client: &mut AgentServiceClient<Channel>,
        request_id: &[u8],
        timeout: Duration,
    ) -> Result<NodePlan, String> {
        let request = Uuid::from_slice(request_id).map_err(|_| "the request has no proper id".to_owned())?;
        let asked = client.get_plan_candidate(GetPlanCandidateRequest { request_id: request_id.to_owned() });
        let answer = match tokio::time::timeout(timeout, asked).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return Err(status.message().to_owned()),
            Err(_) => return Err("the controller did not say in time what to plan".to_owned()),
        };
        let candidate = answer.candidate.map(|candidate| {
            let refused = |reason| format!("the agent does not take what it was to plan: {reason}");
            self.ledger.candidate(request, &candidate).map_err(refused)
        });
        self.planner.plan(&self.ledger, self.runner.as_ref(), &self.nudges, candidate.transpose()?).await
    }
}
