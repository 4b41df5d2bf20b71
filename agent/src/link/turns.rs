//! The node's turn from the controller, over whatever connection there is at the moment.

use crate::converge::Turns;
use futures_util::future::BoxFuture;
use muster_domain::{
    assignment::Generation,
    turn::{TurnAnswer, TurnOutcome, TurnRequest},
};
use muster_proto::convert::turn::release_turn;
use muster_proto::v1::{RequestTurnRequest, agent_service_client::AgentServiceClient};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tonic::Code;
use tonic::transport::Channel;

/// How long a turn lasts that an older controller, which gives none out, is not asked for again.
const UNASKED_LEASE_MS: u32 = 600_000;

/// The controller as the one who gives out turns.
#[derive(Debug)]
pub struct RemoteTurns {
    client: Mutex<Option<AgentServiceClient<Channel>>>,
    timeout: Duration,
}

impl RemoteTurns {
    /// Not connected yet. `timeout` bounds one call.
    pub fn new(timeout: Duration) -> Self {
        Self { client: Mutex::new(None), timeout }
    }

    /// Uses this connection from now on.
    pub fn connected(&self, channel: Channel) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(AgentServiceClient::new(channel));
    }

    /// There is none.
    pub fn disconnected(&self) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn client(&self) -> Result<AgentServiceClient<Channel>, String> {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        client.ok_or_else(|| "there is no connection to it".to_owned())
    }
}

impl Turns for RemoteTurns {
    fn request(&self, request: TurnRequest) -> BoxFuture<'_, Result<TurnAnswer, String>> {
        Box::pin(async move {
            let mut client = self.client()?;
            let asked = client.request_turn(RequestTurnRequest::from(&request));
            match tokio::time::timeout(self.timeout, asked).await {
                Err(_) => Err("it did not answer in time".to_owned()),
                Ok(Ok(answer)) => {
                    TurnAnswer::try_from(answer.into_inner()).map_err(|error| error.to_string())
                }
                // It knows no turns, and so nobody has to wait for one.
                Ok(Err(status)) if status.code() == Code::Unimplemented => {
                    Ok(TurnAnswer::Granted { lease_ms: UNASKED_LEASE_MS })
                }
                Ok(Err(status)) => Err(status.message().to_owned()),
            }
        })
    }

    fn release(&self, generation: Generation, outcome: TurnOutcome) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let mut client = self.client()?;
            let released = client.release_turn(release_turn(generation, &outcome));
            match tokio::time::timeout(self.timeout, released).await {
                Err(_) => Err("it did not answer in time".to_owned()),
                Ok(Err(status)) if status.code() != Code::Unimplemented => Err(status.message().to_owned()),
                Ok(_) => Ok(()),
            }
        })
    }
}
