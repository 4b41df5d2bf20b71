//! The task behind one process: hears it, tells it, and sees it end.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;

use super::input::{self, Input};
use super::watch::Watch;
use super::{Happened, Order, Origin, ProcessRest, tree};
use crate::cluster::channel::Channel;
use crate::cluster::protocol::{self, Incoming};
use crate::keeper::Parked;
use crate::logs::{OutputRest, OutputTask, Tail};

/// A cluster worker whose channel closed normally ends at once; this is how long it may take.
const CHANNEL_LOSS_GRACE: Duration = Duration::from_secs(1);
/// After the end of a process its pipes are read to their end, unless someone else keeps them open.
const OUTPUT_GRACE: Duration = Duration::from_millis(250);

/// Output of what a process left behind is read for this long at most.
const LEFT_BEHIND_OUTPUT: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);
const KILL: i32 = 9;

/// A channel whose end would not end with us.
#[derive(Debug)]
pub(super) struct ParkedChannel {
    pub(super) channel: Channel,
    pub(super) _parked: Parked,
}

pub(super) struct Task {
    pub(super) watch: Watch,
    pub(super) pid: u32,
    pub(super) channel: Option<ParkedChannel>,
    pub(super) channel_lost: bool,
    pub(super) cluster: bool,
    /// What it started ends with it.
    pub(super) whole_tree: bool,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    pub(super) origin: Origin,
    pub(super) happened: mpsc::Sender<(Origin, Happened)>,
    pub(super) outputs: [Option<OutputTask>; 2],
    pub(super) stderr_tail: Tail,
    pub(super) input: Option<Input>,
}

impl Task {
    pub(super) async fn run(mut self) {
        let grace = || tokio::time::Instant::now() + CHANNEL_LOSS_GRACE;
        let mut channel_lost_at = self.channel_lost.then(grace);
        let mut orders_open = true;
        let exit = loop {
            tokio::select! {
                exit = self.watch.ended() => break exit,
                order = self.orders.recv(), if orders_open => match order {
                    Some(Order::HandOver(reply)) => {
                        let member = self.origin.member;
                        // Whoever asked waits for it, or is gone and needs it no more.
                        drop(reply.send((member, self.hand_over().await)));
                        return;
                    }
                    Some(order) => self.obey(order),
                    // The application is gone (shutdown of the supervisor, or a bug): nobody is left to own this.
                    None => {
                        orders_open = false;
                        self.obey(Order::Kill);
                    }
                },
                incoming = next_message(&mut self.channel) => match incoming {
                    Some(incoming) => self.hear(incoming).await,
                    None => {
                        self.channel = None;
                        channel_lost_at = Some(grace());
                    }
                },
                () = input::write_on(&mut self.input) => {}
                () = sleep_until(channel_lost_at) => {
                    channel_lost_at = None;
                    if self.cluster {
                        self.tell(Happened::ChannelLost).await;
                    }
                }
            }
        };
        let outputs = std::mem::take(&mut self.outputs).into_iter().flatten();
        if self.whole_tree {
            // Nothing it started may stay behind: it would hold ports, pipes and memory of a process that is gone.
            if self.number_is_its() {
                tree::kill_group(self.pid);
            }
            for output in outputs {
                output.finish(OUTPUT_GRACE).await;
            }
        } else {
            // What goes on without it may go on writing; what it wrote itself is read by now, or will be.
            for output in outputs {
                tokio::spawn(output.finish(LEFT_BEHIND_OUTPUT));
            }
        }
        self.input = None;
        self.channel = None;
        self.tell(Happened::Exited(exit)).await;
    }

    async fn hand_over(self) -> ProcessRest {
        let [out, err] = self.outputs;
        let stop = async |output: Option<OutputTask>| match output {
            Some(output) => output.stop().await,
            None => OutputRest::default(),
        };
        ProcessRest {
            channel: self.channel.map(|parked| parked.channel.into_rest()),
            out: stop(out).await,
            err: stop(err).await,
            last_stderr: self.stderr_tail.lines(),
            input: self.input.map(Input::into_waiting).unwrap_or_default(),
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Signal(_) | Order::SignalOne(_) | Order::Kill if !self.number_is_its() => {}
            Order::Signal(signal) if self.whole_tree => tree::signal(self.pid, signal),
            Order::Signal(signal) | Order::SignalOne(signal) => tree::signal_one(self.pid, signal),
            Order::Kill if self.whole_tree => tree::kill(self.pid),
            Order::Kill => tree::signal_one(self.pid, KILL),
            Order::Input(bytes) => {
                if let Some(input) = &mut self.input {
                    input.push(&bytes);
                }
            }
            Order::Grant { query, kind, socket, data } => {
                if let Some(parked) = &mut self.channel {
                    parked.channel.send_with(
                        &protocol::grant(&query, kind, &data),
                        socket,
                        Some(query.key()),
                    );
                }
            }
            Order::Refuse { query, errno } => self.send(&protocol::refuse(&query, errno)),
            Order::Connection { key, connection } => {
                if let Some(parked) = &mut self.channel {
                    parked.channel.send_with(&protocol::new_connection(0, &key), connection, None);
                }
            }
            Order::Drain { idle_after_ms } => self.send(&protocol::drain(idle_after_ms)),
            Order::Disconnect => self.send(&protocol::disconnect()),
            Order::Message(message) => self.send(&message),
            // Ends the task before it comes here.
            Order::HandOver(_) => {}
        }
    }

    /// Whether its number still means it, or nobody. The number of a process that is not our child is free as soon as
    /// it ended; once it means another process nothing is left of its group.
    fn number_is_its(&self) -> bool {
        tree::stat(self.pid).is_none_or(|stat| stat.start_ticks == self.watch.start_ticks())
    }

    fn send(&mut self, message: &Value) {
        if let Some(parked) = &mut self.channel {
            parked.channel.send(message);
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
            Incoming::Axm { topic, data } => self.tell(Happened::Axm { topic, data }).await,
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

async fn next_message(channel: &mut Option<ParkedChannel>) -> Option<Incoming> {
    match channel {
        Some(parked) => parked.channel.next().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
