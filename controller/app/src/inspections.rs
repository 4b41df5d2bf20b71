//! Looking at a host that runs things nobody has declared: the agent says what is there, and it is written as the part of a
//! fleet file that would declare it. Nothing is stored: what is on a host may hold secrets.

use crate::{Actor, App, AppError, NodeHint, Permission};
use muster_domain::{NodeId, NodeName, inventory::Inventory};
use muster_fleet_config::adoption::{self, Proposal};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::oneshot, time::timeout};
use uuid::Uuid;

/// A host with thousands of packages takes some seconds; the answer to the person has to come within half a minute.
const ANSWER_WITHIN: Duration = Duration::from_secs(25);

/// Hosts that are looked at at a time.
const AT_ONCE: usize = 16;

type Answer = Result<Inventory, String>;

/// The node that is asked, and who waits for its answer.
type Asked = (NodeId, oneshot::Sender<Answer>);

/// Inspections that are waited for on this controller.
#[derive(Clone, Default)]
pub(crate) struct InspectionHub {
    waiting: Arc<Mutex<HashMap<Uuid, Asked>>>,
}

/// Takes its inspection out of the hub, also when the person goes away.
struct Waiting<'a> {
    hub: &'a InspectionHub,
    id: Uuid,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.hub.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// What is on a host.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The node.
    pub node: NodeName,
    /// What the agent found.
    pub inventory: Inventory,
    /// How it would be declared.
    pub proposal: Proposal,
}

impl App {
    /// Asks a node what is on its host, and writes how that would be declared.
    pub async fn node_inspect(&self, actor: &Actor, name: &str) -> Result<Inspection, AppError> {
        actor.require(Permission::NodeManage)?;
        let node: NodeName = name.parse().map_err(|_| crate::nodes::node_missing(name))?;
        let (id, environment, configuration) = {
            let mut conn = self.db().conn().await?;
            let id = self.node_id(&mut conn, name).await?;
            let environment = muster_db::turns::environment_of(&mut conn, id).await?;
            let environment = environment.ok_or_else(|| crate::nodes::node_missing(name))?;
            self.audit(&mut conn, &actor.name, "node_inspect", format!("node {name}"), serde_json::json!({}))
                .await?;
            (id, environment, self.configuration_in_force(&mut conn).await?.1)
        };
        let request = Uuid::now_v7();
        let (sender, receiver) = oneshot::channel();
        let hub = self.inspection_hub();
        {
            let mut waiting = hub.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= AT_ONCE {
                return Err(AppError::TooManyRequests {
                    detail: format!("{AT_ONCE} hosts are being looked at, which is the most"),
                    retry_after_s: 5,
                });
            }
            waiting.insert(request, (id, sender));
        }
        let _waiting = Waiting { hub, id: request };
        if !self.hints().send(id, NodeHint::InspectRequest { request_id: request }) {
            return Err(AppError::conflict(
                "node_not_connected",
                format!("node {name} is not connected to this controller"),
            )
            .with_hint("look whether the host runs, then at `systemctl status muster-agent` on it"));
        }
        let inventory = match timeout(ANSWER_WITHIN, receiver).await {
            Ok(Ok(Ok(inventory))) => inventory,
            Ok(Ok(Err(reason))) => {
                return Err(AppError::conflict(
                    "node_cannot_inspect",
                    format!("node {name} could not look at its host: {reason}"),
                ));
            }
            Ok(Err(_)) | Err(_) => {
                return Err(AppError::conflict(
                    "node_silent",
                    format!("node {name} did not answer within {} s", ANSWER_WITHIN.as_secs()),
                )
                .with_hint("an agent of before this version cannot; bring it up to date and try again"));
            }
        };
        // On a thread for it: the fleet files are read again and again until nothing of what was found is refused.
        let proposing = tokio::task::spawn_blocking(move || {
            let proposal = adoption::propose(&inventory, &node, &environment, &configuration);
            Inspection { node, inventory, proposal }
        });
        proposing.await.map_err(|e| AppError::internal("what is on the host could not be written down", e))
    }

    /// A node says what is on its host.
    pub fn inspection_deliver(&self, node: NodeId, request: Uuid, answer: Answer) -> Result<(), AppError> {
        let mut waiting = self.inspection_hub().waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.get(&request).is_none_or(|(asked, _)| *asked != node) {
            return Err(AppError::not_found("inspection of this node", request));
        }
        if let Some((_, sender)) = waiting.remove(&request) {
            // An error means that the person has gone, which is fine.
            drop(sender.send(answer));
        }
        Ok(())
    }
}
