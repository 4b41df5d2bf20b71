//! The client side: one connection, typed methods.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::io::{BufReader, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::framing::{FramingError, LineReader, MAX_REPLY_BYTES, MAX_REQUEST_BYTES, write_message};
use crate::message::{
    Applied, ErrorCode, LogsRequest, Pong, Progress, Reply, Request, Target, TriggerAnswer,
};
use crate::{AppSpec, AppStatus, LogLine, ProcessEvent};

/// A connection to a supervisor. Calls are answered in order; there are no timeouts here (an apply may take minutes),
/// so wrap calls in one where needed. After a dropped or failed call make a new connection.
#[derive(Debug)]
pub struct Client {
    lines: LineReader<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers on the socket.
    #[error("cannot connect to the supervisor at {path:?}")]
    Connect {
        /// Path of the socket.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The supervisor refused the request.
    #[error("the supervisor refused: {message}")]
    Refused {
        /// For programs.
        code: ErrorCode,
        /// For people.
        message: String,
    },
    /// The request is too large to send.
    #[error("the request has {size} bytes, more than the {MAX_REQUEST_BYTES} the supervisor accepts")]
    RequestTooLarge {
        /// Its size.
        size: usize,
    },
    /// The supervisor hung up before it answered.
    #[error("the supervisor closed the connection before it answered")]
    Closed,
    /// The answer is not one this version understands.
    #[error("the supervisor's answer is not understood: {detail}")]
    Protocol {
        /// What is wrong.
        detail: String,
    },
    /// The connection failed.
    #[error("talking to the supervisor failed")]
    Framing(#[source] FramingError),
}

impl Client {
    /// Connects to the socket at `path`.
    pub async fn connect(path: impl AsRef<Path>) -> Result<Self, ClientError> {
        let path = path.as_ref();
        let stream = UnixStream::connect(path)
            .await
            .map_err(|source| ClientError::Connect { path: path.to_owned(), source })?;
        let (reader, writer) = stream.into_split();
        Ok(Self { lines: LineReader::new(BufReader::new(reader), MAX_REPLY_BYTES), writer })
    }

    /// Who is there, and since when.
    pub async fn ping(&mut self) -> Result<Pong, ClientError> {
        match self.call(&Request::Ping).await? {
            Reply::Pong(pong) => Ok(pong),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes a spec run and waits for the outcome.
    pub async fn apply(&mut self, spec: &AppSpec) -> Result<Applied, ClientError> {
        self.apply_with_progress(spec, |_| {}).await
    }

    /// The same, telling what happens meanwhile.
    pub async fn apply_with_progress(
        &mut self,
        spec: &AppSpec,
        mut on_progress: impl FnMut(Progress),
    ) -> Result<Applied, ClientError> {
        self.send(&Request::Apply { spec: Box::new(spec.clone()), progress: true }).await?;
        loop {
            match self.receive().await? {
                Reply::Progress(progress) => on_progress(progress),
                Reply::Applied(applied) => return Ok(applied),
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// Sends a request that is answered by [`Reply::Done`]: stop, start, delete, reset, signal, message, input, logs.
    pub async fn carry_out(&mut self, request: &Request) -> Result<(), ClientError> {
        match self.call(request).await? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Sends a request that is answered by [`Reply::Applied`]: restart, reload, scale.
    pub async fn change(&mut self, request: &Request) -> Result<Applied, ClientError> {
        match self.call(request).await? {
            Reply::Applied(applied) => Ok(applied),
            other => Err(unexpected(&other)),
        }
    }

    /// Stops every instance and keeps the application.
    pub async fn stop(&mut self, app: &str) -> Result<(), ClientError> {
        self.carry_out(&Request::Stop(Target::all(app))).await
    }

    /// Starts a stopped application.
    pub async fn start(&mut self, app: &str) -> Result<(), ClientError> {
        self.carry_out(&Request::Start(Target::all(app))).await
    }

    /// Stops every instance and starts it again.
    pub async fn restart(&mut self, app: &str) -> Result<Applied, ClientError> {
        self.change(&Request::Restart(Target::all(app))).await
    }

    /// Replaces every instance by a fresh one of the same spec.
    pub async fn reload(&mut self, app: &str) -> Result<Applied, ClientError> {
        self.change(&Request::Reload { app: app.to_owned() }).await
    }

    /// Stops and forgets the application.
    pub async fn delete(&mut self, app: &str) -> Result<(), ClientError> {
        self.carry_out(&Request::Delete(Target::all(app))).await
    }

    /// The specs in force (of one application), with their environments.
    pub async fn specs(&mut self, app: Option<String>) -> Result<Vec<AppSpec>, ClientError> {
        match self.call(&Request::Specs { app }).await? {
            Reply::Specs { specs } => Ok(specs),
            other => Err(unexpected(&other)),
        }
    }

    /// Calls an action of instances and waits for what they answer.
    pub async fn trigger(
        &mut self,
        target: Target,
        action: &str,
        params: Option<serde_json::Value>,
        timeout_ms: u64,
    ) -> Result<Vec<TriggerAnswer>, ClientError> {
        let request = Request::Trigger { target, action: action.to_owned(), params, timeout_ms };
        match self.call(&request).await? {
            Reply::Triggered { answers } => Ok(answers),
            other => Err(unexpected(&other)),
        }
    }

    /// Replaces the supervisor by a binary (by the one it was started by). The connection is gone afterwards; a new one
    /// reaches the successor.
    pub async fn upgrade(mut self, binary: Option<String>) -> Result<(), ClientError> {
        match self.call(&Request::Upgrade { binary }).await {
            Err(ClientError::Closed) => Ok(()),
            // It can close the connection with something of ours unread.
            Err(ClientError::Framing(FramingError::Io(error)))
                if error.kind() == io::ErrorKind::ConnectionReset =>
            {
                Ok(())
            }
            Err(error) => Err(error),
            Ok(other) => Err(unexpected(&other)),
        }
    }

    /// Gives listening sockets of an application that is applied next over this connection.
    pub async fn adopt_sockets(&mut self, app: &str, sockets: &[BorrowedFd<'_>]) -> Result<(), ClientError> {
        let count = u32::try_from(sockets.len()).unwrap_or(u32::MAX);
        match self.call(&Request::AdoptSockets { app: app.to_owned(), count }).await? {
            Reply::SendDescriptors => {}
            other => return Err(unexpected(&other)),
        }
        send_descriptors(self.writer.as_ref(), sockets)
            .await
            .map_err(|error| ClientError::Framing(FramingError::Io(error)))?;
        match self.receive().await? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Every application, ordered by name.
    pub async fn list(&mut self) -> Result<Vec<AppStatus>, ClientError> {
        match self.call(&Request::List).await? {
            Reply::Apps { apps } => Ok(apps),
            other => Err(unexpected(&other)),
        }
    }

    /// Log lines; the connection is given to the stream.
    pub async fn logs(mut self, request: LogsRequest) -> Result<LogStream, ClientError> {
        self.send(&Request::Logs(request)).await?;
        Ok(LogStream { client: self, ended: false })
    }

    /// Process events from now on; the connection is given to the stream.
    pub async fn watch(mut self) -> Result<EventStream, ClientError> {
        self.send(&Request::Watch).await?;
        Ok(EventStream { client: self })
    }

    async fn call(&mut self, request: &Request) -> Result<Reply, ClientError> {
        self.send(request).await?;
        self.receive().await
    }

    async fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        let size = serde_json::to_vec(request)
            .map_err(|error| ClientError::Framing(FramingError::Encode(error)))?
            .len();
        if size > MAX_REQUEST_BYTES {
            return Err(ClientError::RequestTooLarge { size });
        }
        write_message(&mut self.writer, request).await.map_err(ClientError::Framing)
    }

    async fn receive(&mut self) -> Result<Reply, ClientError> {
        let line = match self.lines.next_line().await {
            Ok(Some(line)) => line,
            Ok(None) | Err(FramingError::Truncated) => return Err(ClientError::Closed),
            Err(error) => return Err(ClientError::Framing(error)),
        };
        match serde_json::from_slice(&line) {
            Ok(Reply::Error { code, message }) => Err(ClientError::Refused { code, message }),
            Ok(reply) => Ok(reply),
            Err(error) => Err(ClientError::Protocol { detail: error.to_string() }),
        }
    }
}

/// One byte with descriptors attached to it.
async fn send_descriptors(stream: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = vec![MaybeUninit::uninit(); SendAncillaryMessage::ScmRights(descriptors).size()];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(descriptors));
    stream
        .async_io(Interest::WRITABLE, || {
            rustix::net::sendmsg(stream, &[IoSlice::new(b"\n")], &mut control, SendFlags::NOSIGNAL)
                .map_err(io::Error::from)
        })
        .await?;
    Ok(())
}

fn unexpected(reply: &Reply) -> ClientError {
    let name = match reply {
        Reply::Pong(_) => "pong",
        Reply::Progress(_) => "progress",
        Reply::Applied(_) => "applied",
        Reply::Done => "done",
        Reply::Apps { .. } => "apps",
        Reply::SendDescriptors => "send_descriptors",
        Reply::Specs { .. } => "specs",
        Reply::Triggered { .. } => "triggered",
        Reply::LogLine(_) => "log_line",
        Reply::Event(_) => "event",
        Reply::Error { .. } => "error",
    };
    ClientError::Protocol { detail: format!("{name:?} does not answer the request") }
}

/// Log lines as they come.
#[derive(Debug)]
pub struct LogStream {
    client: Client,
    ended: bool,
}

impl LogStream {
    /// The next line; `None` when there are no more. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<LogLine>, ClientError> {
        if self.ended {
            return Ok(None);
        }
        match self.client.receive().await? {
            Reply::LogLine(line) => Ok(Some(line)),
            Reply::Done => {
                self.ended = true;
                Ok(None)
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// Process events as they happen.
#[derive(Debug)]
pub struct EventStream {
    client: Client,
}

impl EventStream {
    /// The next event. Cancel-safe. [`ClientError::Closed`] when the supervisor is gone.
    pub async fn next(&mut self) -> Result<ProcessEvent, ClientError> {
        match self.client.receive().await? {
            Reply::Event(event) => Ok(event),
            other => Err(unexpected(&other)),
        }
    }
}
