//! Logs on demand: a person asks, the nodes that run the application are hinted, their answers are handed on as they
//! come. Nothing is stored. A slow reader slows the nodes down, which then leave lines out and say how many.

use crate::{Actor, App, AppError, Hints, NodeHint, Permission, nodes::node_missing, shorten};
use chrono::{DateTime, Utc};
use muster_db::{nodes::NodeFilter, processes::ProcessFilter};
use muster_domain::{ApplicationName, NodeId, NodeName};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use uuid::Uuid;

/// People who read logs at a time.
const READERS_AT_ONCE: usize = 64;
/// Batches that wait for a reader; then the nodes wait.
const BATCHES_BUFFERED: usize = 32;
/// A node that has not answered by then is reported, and waited for no longer.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// A node that goes on has no end of its past lines to tell; when all have been quiet for so long, that was it.
const QUIET: Duration = Duration::from_millis(500);
/// A batch waits so long for a reader before the reader counts as gone.
const READER_PATIENCE: Duration = Duration::from_secs(60);
/// Past lines per instance, at most.
const LINES_MAX: u32 = 10_000;
/// Past lines per instance unless asked otherwise.
const LINES_DEFAULT: u32 = 100;

/// Which logs to read.
#[derive(Debug, Clone)]
pub struct LogQuery {
    /// The application.
    pub application: String,
    /// In this environment.
    pub environment: Option<String>,
    /// On this node.
    pub node: Option<String>,
    /// Of this instance.
    pub instance: Option<u32>,
    /// Past lines per instance.
    pub lines: Option<u32>,
    /// Go on with new lines.
    pub follow: bool,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written, by the node's clock.
    pub at: DateTime<Utc>,
    /// The instance.
    pub instance: u32,
    /// Standard error rather than standard output.
    pub stderr: bool,
    /// The text.
    pub line: String,
}

/// A part of a node's answer.
#[derive(Debug, Clone, Default)]
pub struct LogBatch {
    /// Lines, in order.
    pub lines: Vec<LogLine>,
    /// Lines that were left out before these.
    pub dropped: u64,
    /// Why there are none.
    pub error: Option<String>,
}

/// What a reader is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogItem {
    /// A line of a node.
    Line(NodeName, LogLine),
    /// Lines of a node were left out.
    Dropped(NodeName, u64),
    /// A node could not be asked, or could not answer.
    Problem(NodeName, String),
    /// Every node has answered with its past lines.
    CaughtUp,
}

enum Delivery {
    Batch(NodeId, LogBatch),
    Finished(NodeId),
}

struct Request {
    nodes: BTreeSet<NodeId>,
    sender: mpsc::Sender<Delivery>,
}

/// Log requests that are open on this controller.
#[derive(Clone, Default)]
pub(crate) struct LogHub {
    requests: Arc<Mutex<HashMap<Uuid, Request>>>,
}

impl LogHub {
    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way to the reader, if this node was asked by this request.
    fn sender(&self, node: NodeId, request: Uuid) -> Option<mpsc::Sender<Delivery>> {
        self.lock().get(&request).filter(|r| r.nodes.contains(&node)).map(|r| r.sender.clone())
    }

    fn open(&self, request: Uuid, nodes: BTreeSet<NodeId>) -> Result<mpsc::Receiver<Delivery>, AppError> {
        let mut requests = self.lock();
        if requests.len() >= READERS_AT_ONCE {
            return Err(AppError::TooManyRequests {
                detail: format!("{READERS_AT_ONCE} readers of logs are connected, which is the most"),
                retry_after_s: 10,
            });
        }
        let (sender, receiver) = mpsc::channel(BATCHES_BUFFERED);
        requests.insert(request, Request { nodes, sender });
        Ok(receiver)
    }
}

/// An open log request. Dropping it tells the nodes to stop.
pub struct LogReader {
    request: Uuid,
    hub: LogHub,
    hints: Hints,
    receiver: mpsc::Receiver<Delivery>,
    names: BTreeMap<NodeId, NodeName>,
    /// Nodes that have not said anything yet.
    silent: BTreeSet<NodeId>,
    /// Nodes that have not come to their end.
    open: BTreeSet<NodeId>,
    silent_until: Instant,
    follow: bool,
    /// When a node last said something.
    heard_at: Instant,
    caught_up: bool,
    ready: VecDeque<LogItem>,
}

impl Drop for LogReader {
    fn drop(&mut self) {
        self.hub.lock().remove(&self.request);
        for node in &self.open {
            self.hints.send(*node, NodeHint::LogRequestEnded { request_id: self.request });
        }
    }
}

impl LogReader {
    /// The next thing to tell; `None` at the end.
    pub async fn next(&mut self) -> Option<LogItem> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            if self.open.is_empty() {
                return (!std::mem::replace(&mut self.caught_up, true)).then_some(LogItem::CaughtUp);
            }
            let until = if !self.silent.is_empty() {
                Some(self.silent_until)
            } else if self.follow && !self.caught_up {
                Some(self.heard_at + QUIET)
            } else {
                None
            };
            let delivery = match until {
                None => self.receiver.recv().await,
                Some(until) => match timeout_at(until, self.receiver.recv()).await {
                    Ok(delivery) => delivery,
                    Err(_) if self.silent.is_empty() => {
                        self.caught_up = true;
                        return Some(LogItem::CaughtUp);
                    }
                    Err(_) => {
                        self.give_up_on_silent();
                        continue;
                    }
                },
            };
            self.heard_at = Instant::now();
            match delivery? {
                Delivery::Batch(node, batch) => self.take(node, batch),
                Delivery::Finished(node) => {
                    self.silent.remove(&node);
                    self.open.remove(&node);
                }
            }
        }
    }

    fn give_up_on_silent(&mut self) {
        for node in std::mem::take(&mut self.silent) {
            self.open.remove(&node);
            self.hints.send(node, NodeHint::LogRequestEnded { request_id: self.request });
            if let Some(name) = self.names.get(&node) {
                let message = format!("node {name} did not answer within {} s", FIRST_ANSWER.as_secs());
                self.ready.push_back(LogItem::Problem(name.clone(), message));
            }
        }
    }

    fn take(&mut self, node: NodeId, batch: LogBatch) {
        self.silent.remove(&node);
        let Some(name) = self.names.get(&node) else { return };
        let LogBatch { lines, dropped, error } = batch;
        if dropped > 0 {
            self.ready.push_back(LogItem::Dropped(name.clone(), dropped));
        }
        self.ready.extend(lines.into_iter().map(|line| LogItem::Line(name.clone(), line)));
        if let Some(error) = error {
            self.ready.push_back(LogItem::Problem(name.clone(), error));
        }
    }
}

impl App {
    /// Asks the nodes that run an application for its logs.
    pub async fn log_read(&self, actor: &Actor, query: LogQuery) -> Result<LogReader, AppError> {
        actor.require(Permission::FleetView)?;
        let application: ApplicationName = query
            .application
            .parse()
            .map_err(|_| AppError::not_found("application", shorten(&query.application)))?;
        let nodes = self.log_nodes(&application, &query).await?;
        let request = Uuid::now_v7();
        let names: BTreeMap<NodeId, NodeName> = nodes.into_iter().collect();
        let asked: BTreeSet<NodeId> = names.keys().copied().collect();
        let receiver = self.log_hub().open(request, asked.clone())?;
        let mut reader = LogReader {
            request,
            hub: self.log_hub().clone(),
            hints: self.hints().clone(),
            receiver,
            silent: asked.clone(),
            open: asked,
            names,
            silent_until: Instant::now() + FIRST_ANSWER,
            follow: query.follow,
            heard_at: Instant::now(),
            caught_up: false,
            ready: VecDeque::new(),
        };
        for (node, name) in &reader.names {
            let hint = NodeHint::LogRequest {
                request_id: request,
                application: application.clone(),
                instance: query.instance,
                lines: query.lines.unwrap_or(LINES_DEFAULT).min(LINES_MAX),
                follow: query.follow,
            };
            if !self.hints().send(*node, hint) {
                reader.silent.remove(node);
                reader.open.remove(node);
                let message = format!("node {name} is not connected to this controller");
                reader.ready.push_back(LogItem::Problem(name.clone(), message));
            }
        }
        Ok(reader)
    }

    /// The nodes to ask: those that reported a process of the application.
    async fn log_nodes(
        &self,
        application: &ApplicationName,
        query: &LogQuery,
    ) -> Result<Vec<(NodeId, NodeName)>, AppError> {
        let mut conn = self.db().conn().await?;
        if let Some(node) = &query.node {
            let id = muster_db::nodes::id(&mut conn, node).await?.ok_or_else(|| node_missing(node))?;
            return Ok(vec![(id, node.parse()?)]);
        }
        let filter = ProcessFilter {
            application: Some(application.as_str()),
            environment: query.environment.as_deref(),
            ..ProcessFilter::default()
        };
        let limit = crate::applications::NODES_AT_MOST;
        let running: BTreeSet<NodeName> = muster_db::processes::list(&mut conn, &filter, limit)
            .await?
            .into_iter()
            .map(|p| p.node)
            .collect();
        if running.is_empty() {
            return Err(AppError::conflict(
                "no_processes",
                format!(
                    "no node has reported a process of {application}{}",
                    query
                        .environment
                        .as_deref()
                        .map_or_else(String::new, |e| format!(" in environment {}", shorten(e)))
                ),
            )
            .with_hint(format!("`muster ps {application}` shows what runs where; deploy a release first")));
        }
        let filter = NodeFilter { environment: query.environment.as_deref(), ..NodeFilter::default() };
        let nodes = self.node_overviews(&mut conn, &filter, limit).await?;
        Ok(nodes.into_iter().filter(|n| running.contains(&n.name)).map(|n| (n.id, n.name)).collect())
    }

    /// Hands a part of a node's answer to the reader, waiting for room. False: nobody reads any more.
    pub async fn logs_deliver(&self, node: NodeId, request: Uuid, batch: LogBatch) -> bool {
        let Some(sender) = self.log_hub().sender(node, request) else { return false };
        sender.send_timeout(Delivery::Batch(node, batch), READER_PATIENCE).await.is_ok()
    }

    /// Notes that a node has come to the end of its answer.
    pub async fn logs_finished(&self, node: NodeId, request: Uuid) {
        if let Some(sender) = self.log_hub().sender(node, request) {
            // An error means that the reader has gone, which is fine.
            drop(sender.send_timeout(Delivery::Finished(node), READER_PATIENCE).await);
        }
    }
}
