//! One client. Whatever it sends or does not read, it harms only itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster_supervisor_protocol::{
    ErrorCode, FramingError, LineReader, LogLine, LogStreamName, LogsRequest, MAX_ADOPTED_SOCKETS,
    MAX_REQUEST_BYTES, Pong, ProcessEvent, ProcessEventKind, Reply, Request, Target, write_message,
};
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot};

use crate::adopted::{self, Offer};
use crate::app::{Shared, Verb};
use crate::registry::Ask;
use crate::takeover;

/// A client that says nothing for this long is let go; its next request makes a new connection.
const IDLE_LIMIT: Duration = Duration::from_secs(300);
/// A client that does not take its answer for this long is let go.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// Progress lines that wait for the client.
const PROGRESS_CAPACITY: usize = 64;

/// What a connection may reach.
#[derive(Debug, Clone)]
pub(super) struct Door {
    pub(super) pong: Pong,
    pub(super) registry: mpsc::Sender<Ask>,
    pub(super) shared: Shared,
    pub(super) server: mpsc::Sender<ServerAsk>,
    /// Another supervisor takes over: clients shall come again.
    pub(super) closing: Arc<AtomicBool>,
}

/// What concerns the process as a whole.
#[derive(Debug)]
pub(super) enum ServerAsk {
    Upgrade(UpgradeAsk),
    Shutdown(ShutdownAsk),
}

/// A client wants the supervisor to end.
#[derive(Debug)]
pub(super) struct ShutdownAsk {
    pub(super) down: oneshot::Sender<()>,
    /// Closed when the client was told.
    pub(super) told: oneshot::Receiver<()>,
}

/// A client wants the supervisor to be replaced. Only a refusal is answered.
#[derive(Debug)]
pub(super) struct UpgradeAsk {
    binary: Option<PathBuf>,
    refused: oneshot::Sender<String>,
}

impl UpgradeAsk {
    /// The binary to execute and whom to tell that it could not be; `None` when it was refused.
    pub(super) async fn check(self, own: &Path) -> Option<(PathBuf, oneshot::Sender<String>)> {
        let binary = self.binary.unwrap_or_else(|| own.to_owned());
        match takeover::ask(&binary).await {
            Ok(()) => Some((binary, self.refused)),
            Err(reason) => {
                tracing::warn!(reason, "an upgrade was refused");
                // Who asked may have hung up.
                drop(self.refused.send(reason));
                None
            }
        }
    }
}

struct Client {
    lines: LineReader<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
    /// Sockets it brought for applications it is about to apply.
    offers: Vec<Offer>,
}

/// The client has gone or must go.
struct Gone;

impl Door {
    /// Answers requests until the client hangs up.
    pub(super) async fn serve(self, stream: UnixStream) {
        // The mode of the socket says so already; this holds even when someone changes the mode.
        let ours = rustix::process::geteuid().as_raw();
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == ours || peer.uid() == 0 => {}
            Ok(peer) => {
                tracing::warn!(uid = peer.uid(), "a client of another user was turned away");
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "a client that cannot be identified was turned away");
                return;
            }
        }
        let (reader, writer) = stream.into_split();
        let mut client = Client {
            lines: LineReader::new(BufReader::new(reader), MAX_REQUEST_BYTES),
            writer,
            offers: Vec::new(),
        };
        while let Ok(request) = client.next_request().await {
            if self.closing() || self.answer(&mut client, request).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, client: &mut Client, request: Request) -> Result<(), Gone> {
        match request {
            Request::Ping => client.send(&Reply::Pong(self.pong.clone())).await,
            Request::Apply { spec, progress } => {
                let (sender, mut lines) = mpsc::channel(PROGRESS_CAPACITY);
                let (reply, mut answer) = oneshot::channel();
                let progress = progress.then_some(sender);
                self.ask(Ask::Apply { spec, progress, reply }).await;
                loop {
                    tokio::select! {
                        biased;
                        Some(line) = lines.recv() => client.send(&Reply::Progress(line)).await?,
                        reply = &mut answer => return self.relay_reply(client, reply.ok()).await,
                    }
                }
            }
            Request::Stop(Target { app, instances }) => self.act(client, app, Verb::Stop(instances)).await,
            Request::Start(Target { app, instances }) => self.act(client, app, Verb::Start(instances)).await,
            Request::Restart(Target { app, instances }) => {
                self.act(client, app, Verb::Restart(instances)).await
            }
            Request::Reload { app } => self.act(client, app, Verb::Reload).await,
            Request::Delete(Target { app, instances }) => {
                self.act(client, app, Verb::Delete(instances)).await
            }
            Request::Scale { app, instances, oldest_first } => {
                self.act(client, app, Verb::Scale { instances, oldest_first }).await
            }
            Request::Reset(Target { app, instances }) => self.act(client, app, Verb::Reset(instances)).await,
            Request::Signal { target: Target { app, instances }, signal } => {
                self.act(client, app, Verb::Signal { instances, signal }).await
            }
            Request::Message { target: Target { app, instances }, message } => {
                self.act(client, app, Verb::Message { instances, message }).await
            }
            Request::Trigger { target: Target { app, instances }, action, params, timeout_ms } => {
                self.act(client, app, Verb::Trigger { instances, action, params, timeout_ms }).await
            }
            Request::Input { target: Target { app, instances }, data } => {
                self.act(client, app, Verb::Input { instances, data }).await
            }
            Request::Specs { app } => self.relay(client, |reply| Ask::Specs { app, reply }).await,
            Request::Shutdown => self.shutdown(client).await,
            Request::List => self.relay(client, |reply| Ask::List { reply }).await,
            Request::Logs(request) => self.logs(client, request).await,
            Request::Watch => self.watch(client).await,
            Request::ReopenLogs | Request::FlushLogs { .. } => {
                let message = "this version does not answer this request".to_owned();
                client.send(&Reply::Error { code: ErrorCode::BadRequest, message }).await
            }
            Request::AdoptSockets { app, count } => self.adopt_sockets(client, app, count).await,
            Request::Upgrade { binary } => self.upgrade(client, binary.map(PathBuf::from)).await,
        }
    }

    async fn adopt_sockets(&self, client: &mut Client, app: String, count: u32) -> Result<(), Gone> {
        let refused = |message: String| Reply::Error { code: ErrorCode::BadRequest, message };
        if count == 0 || count > MAX_ADOPTED_SOCKETS || !client.lines.get_ref().buffer().is_empty() {
            let message = format!(
                "send 1 to {MAX_ADOPTED_SOCKETS} sockets, and nothing else before they are asked for"
            );
            return client.send(&refused(message)).await;
        }
        client.send(&Reply::SendDescriptors).await?;
        let stream = client.lines.get_ref().get_ref().as_ref();
        match tokio::time::timeout(WRITE_LIMIT, adopted::receive(stream, count)).await {
            Ok(Ok(sockets)) => {
                let offer = self.shared.keeper.adopted.offer(&app, sockets);
                client.offers.push(offer);
                client.send(&Reply::Done).await
            }
            Ok(Err(error)) => client.send(&refused(format!("no sockets were taken: {error}"))).await,
            Err(_) => Err(Gone),
        }
    }

    async fn upgrade(&self, client: &mut Client, binary: Option<PathBuf>) -> Result<(), Gone> {
        let (refused, refusal) = oneshot::channel();
        let ask = ServerAsk::Upgrade(UpgradeAsk { binary, refused });
        if self.server.send(ask).await.is_err() {
            return client.send(&lost()).await;
        }
        let message = refusal.await.unwrap_or_else(|_| "the supervisor is stopping".to_owned());
        client.send(&Reply::Error { code: ErrorCode::UpgradeRefused, message }).await
    }

    async fn act(&self, client: &mut Client, app: String, verb: Verb) -> Result<(), Gone> {
        self.relay(client, |reply| Ask::Do { app, verb, reply }).await
    }

    /// The answer means that everything is down and another supervisor may start.
    async fn shutdown(&self, client: &mut Client) -> Result<(), Gone> {
        let (down, is_down) = oneshot::channel();
        let (_told, told) = oneshot::channel();
        let ask = ServerAsk::Shutdown(ShutdownAsk { down, told });
        if self.server.send(ask).await.is_err() || is_down.await.is_err() {
            return client.send(&lost()).await;
        }
        client.send(&Reply::Done).await
    }

    async fn ask(&self, ask: Ask) {
        if self.registry.send(ask).await.is_err() {
            tracing::debug!("a request came while the supervisor ended");
        }
    }

    async fn relay(
        &self,
        client: &mut Client,
        ask: impl FnOnce(oneshot::Sender<Reply>) -> Ask,
    ) -> Result<(), Gone> {
        let (reply, answer) = oneshot::channel();
        self.ask(ask(reply)).await;
        let reply = answer.await.ok();
        self.relay_reply(client, reply).await
    }

    async fn relay_reply(&self, client: &mut Client, reply: Option<Reply>) -> Result<(), Gone> {
        match reply {
            Some(reply) => client.send(&reply).await,
            None if self.closing() => Err(Gone),
            None => client.send(&lost()).await,
        }
    }

    fn closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    async fn logs(&self, client: &mut Client, request: LogsRequest) -> Result<(), Gone> {
        let count = usize::try_from(request.lines).unwrap_or(usize::MAX);
        let app = request.apps.first().map(String::as_str);
        let (lines, mut live) = self.shared.logs.read(app, count);
        for line in lines {
            client.send(&Reply::LogLine(LogLine::clone(&line))).await?;
        }
        if !request.follow {
            return client.send(&Reply::Done).await;
        }
        let wanted = |line: &Arc<LogLine>| app.is_none_or(|app| app == line.app);
        loop {
            tokio::select! {
                line = live.recv() => match line {
                    Ok(line) if wanted(&line) => client.send(&Reply::LogLine(LogLine::clone(&line))).await?,
                    Ok(_) => {}
                    Err(RecvError::Lagged(count)) => {
                        let line = format!("[muster: {count} lines were skipped, the reader was too slow]");
                        let app = app.unwrap_or("muster").to_owned();
                        let note = LogLine { at: chrono::Utc::now(), app, instance: 0, stream: LogStreamName::Err, line };
                        client.send(&Reply::LogLine(note)).await?;
                    }
                    Err(RecvError::Closed) => return Err(Gone),
                },
                () = client.hung_up() => return Err(Gone),
            }
        }
    }

    async fn watch(&self, client: &mut Client) -> Result<(), Gone> {
        let mut events = self.shared.events.subscribe();
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Ok(event) => client.send(&Reply::Event(event)).await?,
                    Err(RecvError::Lagged(count)) => {
                        let note = ProcessEvent {
                            at: chrono::Utc::now(),
                            app: String::new(),
                            instance: None,
                            release: String::new(),
                            kind: ProcessEventKind::Missed,
                            reason: format!("{count} events were missed, the watcher was too slow"),
                            exit: None,
                        };
                        client.send(&Reply::Event(note)).await?;
                    }
                    Err(RecvError::Closed) => return Err(Gone),
                },
                () = client.hung_up() => return Err(Gone),
            }
        }
    }
}

impl Client {
    /// The next request that is one; what is none is answered, and only framing that is lost ends the connection.
    async fn next_request(&mut self) -> Result<Request, Gone> {
        loop {
            let line = match tokio::time::timeout(IDLE_LIMIT, self.lines.next_line()).await {
                Ok(Ok(Some(line))) => line,
                Ok(Err(FramingError::TooLong { cap })) => {
                    let message = format!("a request may have {cap} bytes");
                    self.send(&Reply::Error { code: ErrorCode::BadRequest, message }).await?;
                    return Err(Gone);
                }
                Ok(Ok(None) | Err(_)) | Err(_) => return Err(Gone),
            };
            match serde_json::from_slice(&line) {
                Ok(request) => return Ok(request),
                Err(error) => {
                    let message = format!("this is not a request: {error}");
                    self.send(&Reply::Error { code: ErrorCode::BadRequest, message }).await?;
                }
            }
        }
    }

    async fn send(&mut self, reply: &Reply) -> Result<(), Gone> {
        match tokio::time::timeout(WRITE_LIMIT, write_message(&mut self.writer, reply)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }

    /// A client that follows says nothing more; anything but silence ends it.
    async fn hung_up(&mut self) {
        // Whatever it is, it means the end.
        drop(self.lines.next_line().await);
    }
}

fn lost() -> Reply {
    Reply::Error {
        code: ErrorCode::Internal,
        message: "the supervisor gave no answer; it may be stopping, or the application was just deleted"
            .to_owned(),
    }
}
