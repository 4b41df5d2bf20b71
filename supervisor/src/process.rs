//! One process: started, listened to, signalled, and mourned with everything it started.
//!
//! [`spawn`] gives a [`Process`] to send orders to, and so does [`attach`] for one that an earlier supervisor started;
//! what happens comes back as [`Happened`] messages, of which [`Happened::Exited`] is the last. Must not decide
//! anything.

pub(crate) mod command;
mod input;
pub(crate) mod ports;
mod protection;
pub(crate) mod stats;
mod task;
pub(crate) mod tree;
pub(crate) mod users;
pub(crate) mod watch;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use muster_planning::supervision::{Exit, LaunchId};
use muster_supervisor_protocol::{AppSpec, ExecMode, LogStreamName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use crate::cluster::channel::rest::ChannelRest;
use crate::cluster::channel::{Channel, ChannelGauge};
use crate::cluster::protocol::{AddressType, Listening, QueryServer};
use crate::keeper::{Keeper, Spill};
use crate::limits::{Guard, LimitsBy};
use crate::logs::{Output, OutputRest, OutputTask, Source, Tail};
use input::Input;
pub(crate) use input::InputGauge;
use task::{ParkedChannel, Task};
use watch::Watch;

/// Which process of which instance a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub(crate) member: u64,
    pub(crate) launch: LaunchId,
}

/// What a process did.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    /// It reported something as pm2's libraries do: `axm:monitor`, `axm:action`, `axm:reply`.
    Axm { topic: String, data: Value },
    /// All its connections have ended.
    Drained,
    /// It closed its channel and did not end.
    ChannelLost,
    /// It sent what we do not put up with; its channel is closed.
    CutOff { reason: String },
    /// The kernel ended something it had started, for want of memory.
    ChildOutOfMemory { reason: String },
    /// Its program could not be executed; nothing runs.
    NotStarted { reason: String },
    /// It ended.
    Exited(Exit),
}

impl Happened {
    /// Values that are soon followed by others.
    pub(crate) fn is_metrics(&self) -> bool {
        matches!(self, Self::Axm { topic, .. } if topic == "axm:monitor")
    }
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
    /// A signal for the process and, unless only the process itself is to be ended, its group.
    Signal(i32),
    /// A signal for the process alone.
    SignalOne(i32),
    /// SIGKILL for it and, unless only the process itself is to be ended, everything it started.
    Kill,
    /// Bytes for its standard input.
    Input(Vec<u8>),
    /// Let go of it without harm: another supervisor goes on. Answered with the id of its member.
    HandOver(mpsc::UnboundedSender<(u64, ProcessRest)>),
}

/// A process that was started.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) launch: LaunchId,
    pub(crate) pid: u32,
    pub(crate) start_ticks: u64,
    pub(crate) has_channel: bool,
    pub(crate) orders: mpsc::UnboundedSender<Order>,
    pub(crate) stderr_tail: Tail,
    /// When it has a channel.
    pub(crate) messages: Option<ChannelGauge>,
    /// When it has a standard input.
    pub(crate) input: Option<InputGauge>,
    /// What enforces its limits, when it has any and that is known.
    pub(crate) limits_by: LimitsBy,
}

/// What names a process that runs, for the next supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedProcess {
    pub(crate) launch: LaunchId,
    pub(crate) pid: u32,
    pub(crate) start_ticks: u64,
    pub(crate) has_channel: bool,
}

/// What is under way with a process when the supervisor replaces itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ProcessRest {
    channel: Option<ChannelRest>,
    out: OutputRest,
    err: OutputRest,
    last_stderr: Vec<String>,
    /// Waits to be written to its standard input.
    input: Vec<u8>,
}

impl Process {
    pub(crate) fn save(&self) -> SavedProcess {
        let Self { launch, pid, start_ticks, has_channel, .. } = self;
        SavedProcess { launch: *launch, pid: *pid, start_ticks: *start_ticks, has_channel: *has_channel }
    }

    /// One whose end was seen already and is still to be told.
    pub(crate) fn gone(saved: &SavedProcess) -> Self {
        let (orders, _) = mpsc::unbounded_channel();
        let SavedProcess { launch, pid, start_ticks, has_channel } = *saved;
        let (stderr_tail, limits_by) = (Tail::default(), LimitsBy::default());
        Self {
            launch,
            pid,
            start_ticks,
            has_channel,
            orders,
            stderr_tail,
            messages: None,
            input: None,
            limits_by,
        }
    }
}

/// Where the parts of a process are parked.
fn parked_key(pid: u32, start_ticks: u64, part: &str) -> String {
    format!("process/{pid}-{start_ticks}/{part}")
}

/// What only one instance of an application is started with.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) index: u32,
    pub(crate) worker_id: u64,
    pub(crate) hook: Option<&'a Path>,
    pub(crate) own_variables: &'a BTreeMap<String, String>,
    /// Sockets of `listen_fds`, by name.
    pub(crate) listed: &'a [(String, Arc<OwnedFd>)],
}

/// Whom a process belongs to.
#[derive(Debug)]
pub(crate) struct Owner<'a> {
    pub(crate) spec: &'a AppSpec,
    pub(crate) output: &'a Output,
    pub(crate) origin: Origin,
    pub(crate) happened: mpsc::Sender<(Origin, Happened)>,
    pub(crate) keeper: &'a Keeper,
}

/// Starts one process of a spec.
pub(crate) fn spawn(owner: Owner<'_>, start: Start<'_>) -> Result<Process, String> {
    let Start { index, worker_id, hook, own_variables, listed } = start;
    let spec = owner.spec;
    let user = users::resolve(spec)?;
    let wants_channel = command::wants_channel(spec);
    let (channel, their_end) = match wants_channel.then(Channel::pair).transpose() {
        Ok(Some((channel, theirs))) => (Some(channel), Some(theirs)),
        Ok(None) => (None, None),
        Err(error) => return Err(format!("its ipc channel cannot be made: {error}")),
    };
    let (stdin, our_input) = match spec.stdin.then(Input::pair).transpose() {
        Ok(pair) => pair.unzip(),
        Err(error) => return Err(format!("its standard input cannot be made: {error}")),
    };
    let launch = command::Launch {
        spec,
        index,
        worker_id,
        hook,
        user: user.as_ref(),
        channel: their_end,
        stdin,
        own_variables,
        listed,
    };
    let command::Started { mut child, launcher } = {
        let _unprotected = protection::suspend();
        command::start(launch)?
    };
    let pid = child.id();
    let watch = Watch::started(pid);
    let start_ticks = watch.start_ticks();
    let source = |pipe: Option<OwnedFd>, part: &str| {
        let receiver = pipe::Receiver::from_owned_fd(pipe?);
        match receiver {
            Ok(pipe) => Some(Source {
                parked: owner.keeper.park(parked_key(pid, start_ticks, part), &pipe),
                pipe,
                spill: Spill::default(),
                rest: OutputRest::default(),
            }),
            Err(error) => {
                tracing::error!(pid, %error, "the output of a process cannot be read");
                None
            }
        }
    };
    let out = source(child.stdout.take().map(OwnedFd::from), "out");
    let err = source(child.stderr.take().map(OwnedFd::from), "err");
    let channel = channel.map(|channel| ParkedChannel {
        _parked: owner.keeper.park(parked_key(pid, start_ticks, "channel"), &channel),
        channel,
    });
    let input = our_input.map(|mut input| {
        input.parked = Some(owner.keeper.park(parked_key(pid, start_ticks, "in"), &input.pipe));
        input
    });
    let guard = Guard::started(spec, pid, start_ticks, launcher);
    let ends = Ends {
        guard,
        channel,
        channel_lost: false,
        outputs: [out, err],
        stderr_tail: Tail::default(),
        input,
    };
    Ok(run(owner, watch, pid, ends))
}

/// Goes on with a process that an earlier supervisor started (or we, before an upgrade).
pub(crate) fn attach(
    owner: Owner<'_>,
    saved: &SavedProcess,
    rest: Option<ProcessRest>,
    sockets: impl Fn(&str) -> Option<Arc<OwnedFd>>,
) -> Process {
    let SavedProcess { pid, start_ticks, .. } = *saved;
    let (channel_rest, out, err, last_stderr, waiting_input) = match rest {
        Some(rest) => (rest.channel, rest.out, rest.err, rest.last_stderr, rest.input),
        None => (None, OutputRest::default(), OutputRest::default(), Vec::new(), Vec::new()),
    };
    let claim = |part: &str| owner.keeper.claim(&parked_key(pid, start_ticks, part));
    let source = |part: &str, rest: OutputRest| {
        let (descriptor, parked, spill) = claim(part)?;
        let pipe = pipe::Receiver::from_owned_fd(descriptor)
            .inspect_err(|error| tracing::error!(pid, part, %error, "the output of a process was lost"))
            .ok()?;
        Some(Source { pipe, parked, spill, rest })
    };
    let outputs = [source("out", out), source("err", err)];
    let channel = claim("channel").and_then(|(descriptor, parked, _)| {
        let channel = Channel::resume(descriptor, channel_rest, sockets)
            .inspect_err(|error| tracing::error!(pid, %error, "the channel of a process was lost"))
            .ok()?;
        Some(ParkedChannel { channel, _parked: parked })
    });
    let channel_lost = saved.has_channel && channel.is_none();
    let input = claim("in").and_then(|(descriptor, parked, _)| {
        Input::resume(descriptor, parked, waiting_input)
            .inspect_err(|error| tracing::error!(pid, %error, "the standard input of a process was lost"))
            .ok()
    });
    let watch = Watch::again(pid, start_ticks);
    let guard = Guard::attached(owner.spec, pid, start_ticks);
    let ends = Ends { guard, channel, channel_lost, outputs, stderr_tail: Tail::with(last_stderr), input };
    run(owner, watch, pid, ends)
}

/// Our ends of what connects us with a process.
struct Ends {
    guard: Guard,
    channel: Option<ParkedChannel>,
    channel_lost: bool,
    outputs: [Option<Source>; 2],
    stderr_tail: Tail,
    input: Option<Input>,
}

fn run(owner: Owner<'_>, watch: Watch, pid: u32, ends: Ends) -> Process {
    let Ends { guard, channel, channel_lost, outputs: [out, err], stderr_tail, input } = ends;
    let (orders, received) = mpsc::unbounded_channel();
    let follow = |source: Option<Source>, stream, tail| -> Option<OutputTask> {
        source.map(|source| owner.output.follow(source, stream, tail))
    };
    let outputs =
        [follow(out, LogStreamName::Out, None), follow(err, LogStreamName::Err, Some(stderr_tail.clone()))];
    let (launch, start_ticks) = (owner.origin.launch, watch.start_ticks());
    let has_channel = channel.is_some() || channel_lost;
    let limits_by = guard.by();
    let task = Task {
        watch,
        guard,
        pid,
        channel,
        channel_lost,
        cluster: owner.spec.exec_mode == ExecMode::Cluster,
        whole_tree: owner.spec.treekill,
        orders: received,
        origin: owner.origin,
        happened: owner.happened,
        outputs,
        stderr_tail: stderr_tail.clone(),
        input,
    };
    let input = task.input.as_ref().map(Input::gauge);
    let messages = task.channel.as_ref().map(|parked| parked.channel.gauge());
    tokio::spawn(task.run());
    Process { launch, pid, start_ticks, has_channel, orders, stderr_tail, messages, input, limits_by }
}
