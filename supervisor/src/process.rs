//! One process: started, listened to, signalled, and mourned with everything it started.
//!
//! [`spawn`] gives a [`Process`] to send orders to; what happens comes back as [`Happened`] messages, of which
//! [`Happened::Exited`] is the last. Must not decide anything.

pub(crate) mod command;
pub(crate) mod ports;
pub(crate) mod stats;
pub(crate) mod tree;
pub(crate) mod users;

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster_planning::supervision::{Exit, LaunchId};
use muster_supervisor_protocol::{AppSpec, ExecMode, LogStreamName};
use serde_json::Value;
use tokio::process::Child;
use tokio::sync::mpsc;

use crate::cluster::channel::Channel;
use crate::cluster::protocol::{self, AddressType, Incoming, Listening, QueryServer};
use crate::logs::{Output, OutputTask, Tail};

/// Which process of which instance a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) member: u64,
    pub(crate) launch: LaunchId,
}

/// What a process did.
#[derive(Debug)]
pub(crate) enum Happened {
    /// Node's cluster module is up in it.
    Online,
    /// It calls `listen()`.
    Query(QueryServer),
    /// It listens.
    Listening(Listening),
    /// It closed a server.
    Closed { key: String },
    /// It sent `ready`.
    Ready,
    /// A probe of ours found it ready.
    ProbeSucceeded,
    /// A probe of ours found something that would explain a failure.
    Noticed { hint: String },
    /// All its connections have ended.
    Drained,
    /// It closed its channel and did not end.
    ChannelLost,
    /// It ended.
    Exited(Exit),
}

/// What a process is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Answer to a query, with the socket.
    Grant { query: QueryServer, kind: AddressType, socket: Arc<OwnedFd>, data: Value },
    /// Answer to a query, without.
    Refuse { query: QueryServer, errno: i32 },
    /// One connection for the server behind `key`.
    Connection { key: String, connection: Arc<OwnedFd> },
    /// Finish the connections.
    Drain { idle_after_ms: u64 },
    /// Close servers and channel.
    Disconnect,
    /// A message for the application.
    Message(Value),
    /// A signal for the process and its group.
    Signal(i32),
    /// SIGKILL for it and everything it started.
    Kill,
}

/// A process that was started.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) launch: LaunchId,
    pub(crate) pid: u32,
    pub(crate) orders: mpsc::UnboundedSender<Order>,
    pub(crate) stderr_tail: Tail,
}

/// A cluster worker whose channel closed normally ends at once; this is how long it may take.
const CHANNEL_LOSS_GRACE: Duration = Duration::from_secs(1);
/// After the end of a process its pipes are read to their end, unless someone else keeps them open.
const OUTPUT_GRACE: Duration = Duration::from_millis(250);

/// Starts one process of a spec.
pub(crate) fn spawn(
    spec: &Arc<AppSpec>,
    index: u32,
    worker_id: u64,
    hook: Option<&Path>,
    output: &Output,
    origin: Origin,
    happened: mpsc::Sender<(Origin, Happened)>,
) -> Result<Process, String> {
    let user = users::resolve(spec)?;
    let wants_channel = command::wants_channel(spec);
    let (channel, their_end) = match wants_channel.then(Channel::pair).transpose() {
        Ok(Some((channel, theirs))) => (Some(channel), Some(theirs)),
        Ok(None) => (None, None),
        Err(error) => return Err(format!("its ipc channel cannot be made: {error}")),
    };
    let launch = command::Launch { spec, index, worker_id, hook, user: user.as_ref(), channel: their_end };
    let mut child = command::start(launch)?;
    let pid = child.id().ok_or_else(|| "it ended before it could be looked at".to_owned())?;
    let stderr_tail = Tail::default();
    let out = child.stdout.take().map(|pipe| output.follow(pipe, LogStreamName::Out, None));
    let err =
        child.stderr.take().map(|pipe| output.follow(pipe, LogStreamName::Err, Some(stderr_tail.clone())));
    let (orders, received) = mpsc::unbounded_channel();
    let task = Task {
        child,
        pid,
        channel,
        cluster: spec.exec_mode == ExecMode::Cluster,
        orders: received,
        origin,
        happened,
        outputs: [out, err],
    };
    tokio::spawn(task.run());
    Ok(Process { launch: origin.launch, pid, orders, stderr_tail })
}

struct Task {
    child: Child,
    pid: u32,
    channel: Option<Channel>,
    cluster: bool,
    orders: mpsc::UnboundedReceiver<Order>,
    origin: Origin,
    happened: mpsc::Sender<(Origin, Happened)>,
    outputs: [Option<OutputTask>; 2],
}

impl Task {
    async fn run(mut self) {
        let mut channel_lost_at = None;
        let mut orders_open = true;
        let exit = loop {
            tokio::select! {
                status = self.child.wait() => break match status {
                    Ok(status) => match (status.code(), status.signal()) {
                        (Some(code), _) => Exit::Code(code),
                        (None, signal) => Exit::Signal(signal.unwrap_or(0)),
                    },
                    Err(error) => {
                        tracing::error!(pid = self.pid, %error, "a process cannot be waited for");
                        Exit::Code(-1)
                    }
                },
                order = self.orders.recv(), if orders_open => match order {
                    Some(order) => self.obey(order),
                    // The application is gone (shutdown of the supervisor, or a bug): nobody is left to own this.
                    None => {
                        orders_open = false;
                        tree::kill(self.pid);
                    }
                },
                incoming = next_message(&mut self.channel) => match incoming {
                    Some(incoming) => self.hear(incoming).await,
                    None => {
                        self.channel = None;
                        channel_lost_at = Some(tokio::time::Instant::now() + CHANNEL_LOSS_GRACE);
                    }
                },
                () = sleep_until(channel_lost_at) => {
                    channel_lost_at = None;
                    if self.cluster {
                        self.tell(Happened::ChannelLost).await;
                    }
                }
            }
        };
        // Nothing it started may stay behind: it would hold ports, pipes and memory of a process that is gone.
        tree::kill_group(self.pid);
        for output in self.outputs.iter_mut().filter_map(Option::take) {
            output.finish(OUTPUT_GRACE).await;
        }
        self.tell(Happened::Exited(exit)).await;
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Signal(signal) => tree::signal(self.pid, signal),
            Order::Kill => tree::kill(self.pid),
            Order::Grant { query, kind, socket, data } => {
                if let Some(channel) = &mut self.channel {
                    channel.send_with(&protocol::grant(&query, kind, &data), socket);
                }
            }
            Order::Refuse { query, errno } => self.send(&protocol::refuse(&query, errno)),
            Order::Connection { key, connection } => {
                if let Some(channel) = &mut self.channel {
                    channel.send_with(&protocol::new_connection(0, &key), connection);
                }
            }
            Order::Drain { idle_after_ms } => self.send(&protocol::drain(idle_after_ms)),
            Order::Disconnect => self.send(&protocol::disconnect()),
            Order::Message(message) => self.send(&message),
        }
    }

    fn send(&mut self, message: &Value) {
        if let Some(channel) = &mut self.channel {
            channel.send(message);
        }
    }

    async fn hear(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Online { seq } => {
                self.send(&protocol::ack(seq));
                self.tell(Happened::Online).await;
            }
            Incoming::ExitedAfterDisconnect { seq } => self.send(&protocol::ack(seq)),
            Incoming::QueryServer(query) => self.tell(Happened::Query(query)).await,
            Incoming::Listening(listening) => self.tell(Happened::Listening(listening)).await,
            Incoming::Close { key } => self.tell(Happened::Closed { key }).await,
            Incoming::Drained => self.tell(Happened::Drained).await,
            Incoming::Ready => self.tell(Happened::Ready).await,
            Incoming::HandleAck | Incoming::HandleNack | Incoming::Handle | Incoming::Other => {}
        }
    }

    /// Waits while the owner is busy; when there is no owner any more there is nobody to tell.
    async fn tell(&mut self, happened: Happened) {
        if self.happened.send((self.origin, happened)).await.is_err() {
            tracing::debug!(pid = self.pid, "a process outlived its application");
        }
    }
}

async fn next_message(channel: &mut Option<Channel>) -> Option<Incoming> {
    match channel {
        Some(channel) => channel.next().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
