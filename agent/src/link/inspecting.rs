//! Answers requests to say what is on the host. One at a time: it reads a good part of the host.

use crate::inventory;
use muster_domain::inventory::MAX_INVENTORY_BYTES;
use muster_platform::Host;
use muster_proto::v1::{
    SendInventoryRequest, agent_service_client::AgentServiceClient, send_inventory_request::Answer,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::transport::Channel;

/// The request of one connection. It ends with it.
pub(super) struct Inspections {
    client: AgentServiceClient<Channel>,
    host: Arc<dyn Host>,
    timeout: Duration,
    running: Option<JoinHandle<()>>,
}

impl Inspections {
    pub(super) fn new(client: AgentServiceClient<Channel>, host: Arc<dyn Host>, timeout: Duration) -> Self {
        Self { client, host, timeout, running: None }
    }

    pub(super) fn begin(&mut self, request_id: Vec<u8>) {
        if self.running.as_ref().is_some_and(|running| !running.is_finished()) {
            // Whoever asked hears of it by its own time limit, and may ask again.
            return;
        }
        let (client, host, timeout) = (self.client.clone(), self.host.clone(), self.timeout);
        self.running = Some(tokio::spawn(answer(client, host, request_id, timeout)));
    }
}

impl Drop for Inspections {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

async fn answer(
    mut client: AgentServiceClient<Channel>,
    host: Arc<dyn Host>,
    request_id: Vec<u8>,
    timeout: Duration,
) {
    let answer = match inventory(host).await {
        Ok(json) => Answer::Inventory(json),
        Err(error) => Answer::Error(error),
    };
    let request = SendInventoryRequest { request_id, answer: Some(answer) };
    match tokio::time::timeout(timeout, client.send_inventory(request)).await {
        Ok(Ok(_)) => {}
        // Nobody waits for it any more.
        Ok(Err(status)) if status.code() == Code::NotFound => {}
        Ok(Err(status)) => tracing::warn!(%status, "what is on the host cannot be sent"),
        Err(_) => tracing::warn!("what is on the host could not be sent in time"),
    }
}

async fn inventory(host: Arc<dyn Host>) -> Result<Vec<u8>, String> {
    if !host.privileged() {
        return Err("reading what is on a host needs an agent that runs as root".into());
    }
    let taken = crate::blocking(move || {
        // Where the host keeps its files: a fake one has none that could be read.
        let root = host.real_path(Path::new("/"));
        root.map(|root| inventory::take(host.as_ref(), &root))
    });
    let taken = taken.await.ok_or("this host has no files that could be read")?;
    let json = serde_json::to_vec(&taken).map_err(|error| error.to_string())?;
    if json.len() > MAX_INVENTORY_BYTES {
        return Err(format!(
            "what is on this host takes {} bytes, more than {MAX_INVENTORY_BYTES}",
            json.len()
        ));
    }
    Ok(json)
}
