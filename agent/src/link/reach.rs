//! Whether the controller answers on a connection that did not exist before.

use super::dial::{Connection, ControllerAddress, dial};
use super::tls;
use crate::config::AgentConfig;
use crate::identity::IdentityStore;
use crate::ledger::Ledger;
use crate::safe_apply::Reach;
use futures_util::future::BoxFuture;
use muster_proto::MAX_MESSAGE_BYTES;
use muster_proto::v1::{GetAssignmentRequest, agent_service_client::AgentServiceClient};
use std::sync::Arc;

/// What every answer of a controller that is a refusal carries.
const CODE_KEY: &str = "muster-code";

/// TCP, TLS and a call, with the identity of this node.
pub struct FreshConnection {
    config: AgentConfig,
    ledger: Arc<Ledger>,
}

impl FreshConnection {
    /// Connects as this agent does.
    pub fn new(config: AgentConfig, ledger: Arc<Ledger>) -> Self {
        Self { config, ledger }
    }

    async fn call(&self) -> Result<(), String> {
        let text = |error: &dyn std::error::Error| crate::chain(error);
        let store = IdentityStore::new(self.config.state_dir.clone());
        // Read anew: the certificate may have been renewed since the agent began.
        let enrolment = store.enrolment().map_err(|error| text(&error))?;
        let address = ControllerAddress::parse(&enrolment.controller_url).map_err(|error| text(&error))?;
        let credentials = store.credentials().map_err(|error| text(&error))?;
        let tls = tls::enrolled(credentials).map_err(|error| text(&error))?;
        let dialled = dial(&address, tls, self.config.intervals.connect_timeout).await;
        let Connection { channel, farewell } = dialled.map_err(|error| text(&error))?;
        let mut client = AgentServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let current = self.ledger.current();
        let request = GetAssignmentRequest {
            known_revision: current.as_ref().map(|c| c.revision.as_bytes().to_vec()).unwrap_or_default(),
            known_generation: current.as_ref().map_or(0, |c| c.generation.get()),
        };
        let call = client.get_assignment(request);
        match tokio::time::timeout(self.config.intervals.call_timeout, call).await {
            Ok(Ok(_)) => Ok(()),
            // It said no, but it said it: the way there is open.
            Ok(Err(status)) if status.metadata().contains_key(CODE_KEY) => Ok(()),
            Ok(Err(status)) => {
                Err(farewell.refusal().map_or_else(|| status.message().to_owned(), str::to_owned))
            }
            Err(_) => Err("it did not answer in time".into()),
        }
    }
}

impl Reach for FreshConnection {
    fn reach(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(self.call())
    }
}
