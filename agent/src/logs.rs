//! Answers requests for logs: lines from the supervisor to the controller, a bounded number on the way. When the reader
//! is slower than the application, lines are dropped and counted; the application is never held up.

use crate::runner::ApplicationRunner;
use futures_util::stream;
use muster_proto::v1::{LogBatch, LogLine, LogRequest, agent_service_client::AgentServiceClient};
use muster_supervisor_protocol as protocol;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::transport::Channel;

/// Requests answered at a time: as many people as reasonably look at one node.
const MAX_REQUESTS: usize = 8;
/// Past lines of one request.
const MAX_LINES: u32 = 10_000;
/// Lines in one message.
const MAX_BATCH_LINES: usize = 256;
/// Their bytes, about.
const MAX_BATCH_BYTES: usize = 128 * 1024;
/// How long a line may wait for company.
const FLUSH: Duration = Duration::from_millis(200);
/// Messages on their way: with the batch being filled, at most 640 kB for each request.
const MESSAGES: usize = 4;

/// The requests of one connection. They end with it.
pub(crate) struct LogRequests {
    client: AgentServiceClient<Channel>,
    runner: Arc<dyn ApplicationRunner>,
    running: BTreeMap<Vec<u8>, JoinHandle<()>>,
}

impl LogRequests {
    pub(crate) fn new(client: AgentServiceClient<Channel>, runner: Arc<dyn ApplicationRunner>) -> Self {
        Self { client, runner, running: BTreeMap::new() }
    }

    pub(crate) fn begin(&mut self, request: LogRequest) {
        self.running.retain(|_, answer| !answer.is_finished());
        let id = request.request_id.clone();
        if self.running.contains_key(&id) {
            return;
        }
        let room = self.running.len() < MAX_REQUESTS;
        let (client, runner) = (self.client.clone(), self.runner.clone());
        let answer = tokio::spawn(async move {
            let (batches, receiver) = mpsc::channel(MESSAGES);
            let sending = send(client, receiver);
            let reading = async {
                let reason = if room {
                    answer(runner.as_ref(), &request, &batches).await.err()
                } else {
                    Some(format!(
                        "this node already answers {MAX_REQUESTS} requests for logs; end one of them"
                    ))
                };
                if let Some(error) = reason {
                    let last =
                        LogBatch { request_id: request.request_id.clone(), error, ..LogBatch::default() };
                    // Fails when the reader is gone, who then needs no reason.
                    batches.send(last).await.ok();
                }
                drop(batches);
            };
            tokio::join!(sending, reading);
        });
        self.running.insert(id, answer);
    }

    pub(crate) fn end(&mut self, request_id: &[u8]) {
        if let Some(answer) = self.running.remove(request_id) {
            answer.abort();
        }
    }
}

impl Drop for LogRequests {
    fn drop(&mut self) {
        self.running.values().for_each(JoinHandle::abort);
    }
}

async fn send(mut client: AgentServiceClient<Channel>, receiver: mpsc::Receiver<LogBatch>) {
    let batches = stream::unfold(receiver, |mut receiver| async {
        let batch = receiver.recv().await?;
        Some((batch, receiver))
    });
    if let Err(status) = client.send_logs(batches).await {
        tracing::debug!("sending logs ended: {}", status.message());
    }
}

/// Fills batches until the lines or the reader come to an end.
async fn answer(
    runner: &dyn ApplicationRunner,
    request: &LogRequest,
    batches: &mpsc::Sender<LogBatch>,
) -> Result<(), String> {
    let known = runner.list().await.map_err(|error| error.to_string())?;
    if !known.iter().any(|app| app.name == request.application) {
        return Err(format!("the application {:?} is not on this node", request.application));
    }
    let wanted = protocol::LogsRequest {
        apps: vec![request.application.clone()],
        lines: request.lines.min(MAX_LINES),
        follow: request.follow,
        ..protocol::LogsRequest::default()
    };
    let mut lines = runner.logs(wanted).await.map_err(|error| error.to_string())?;
    // A quiet application is not a silent node: the reader is told at once that there is an answer. Fails when the reader
    // is gone, which the loop notices.
    batches.send(LogBatch { request_id: request.request_id.clone(), ..LogBatch::default() }).await.ok();
    let mut batch = Batch::new(request.request_id.clone());
    loop {
        let flush_at = batch.flush_at;
        let flush = async move {
            match flush_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            line = lines.recv() => match line {
                None => {
                    batch.finish(batches).await;
                    return Ok(());
                }
                Some(line) if request.instance.is_some_and(|instance| instance != line.instance) => {}
                Some(line) => {
                    batch.add(line);
                    if batch.full() && request.follow {
                        batch.offer(batches);
                    } else if batch.full() {
                        // Past lines are a finite number, and the reader is waited for.
                        batch.finish(batches).await;
                    }
                }
            },
            () = flush => batch.offer(batches),
            () = batches.closed() => return Ok(()),
        }
    }
}

struct Batch {
    batch: LogBatch,
    bytes: usize,
    flush_at: Option<Instant>,
}

impl Batch {
    fn new(request_id: Vec<u8>) -> Self {
        Self { batch: LogBatch { request_id, ..LogBatch::default() }, bytes: 0, flush_at: None }
    }

    fn add(&mut self, line: protocol::LogLine) {
        self.bytes += line.line.len();
        self.flush_at.get_or_insert_with(|| Instant::now() + FLUSH);
        self.batch.lines.push(LogLine {
            at_ms: line.at.timestamp_millis(),
            instance: line.instance,
            stderr: line.stream == protocol::LogStreamName::Err,
            line: line.line,
        });
    }

    fn full(&self) -> bool {
        self.batch.lines.len() >= MAX_BATCH_LINES || self.bytes >= MAX_BATCH_BYTES
    }

    fn take(&mut self) -> LogBatch {
        let next = LogBatch { request_id: self.batch.request_id.clone(), ..LogBatch::default() };
        (self.bytes, self.flush_at) = (0, None);
        std::mem::replace(&mut self.batch, next)
    }

    /// Sends if there is room, else drops what it holds and counts it.
    fn offer(&mut self, batches: &mpsc::Sender<LogBatch>) {
        let batch = self.take();
        if let Err(mpsc::error::TrySendError::Full(batch)) = batches.try_send(batch) {
            self.batch.dropped = batch.dropped + batch.lines.len() as u64;
        }
    }

    /// Sends, waiting for room.
    async fn finish(&mut self, batches: &mpsc::Sender<LogBatch>) {
        if !self.batch.lines.is_empty() || self.batch.dropped > 0 {
            // Fails when the reader is gone; the caller notices.
            batches.send(self.take()).await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::fake;

    #[tokio::test]
    async fn a_slow_reader_loses_lines_and_is_told_how_many() {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut batch = Batch::new(vec![1]);
        for round in 0..3 {
            for n in 0..10 {
                batch.add(fake::line("web", 0, &format!("{round}-{n}")));
            }
            batch.offer(&sender);
        }
        assert_eq!(receiver.recv().await.unwrap().lines.len(), 10);
        batch.add(fake::line("web", 0, "after"));
        batch.offer(&sender);
        let next = receiver.recv().await.unwrap();
        assert_eq!((next.dropped, next.lines.len()), (20, 1));
    }
}
