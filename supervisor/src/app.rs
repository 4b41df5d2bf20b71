//! One application: its instances, its sockets, and the one task that owns them.
//!
//! Everything that concerns an application goes through [`App::run`]: commands of clients, news of its processes, and
//! timers. So there is nothing to lock. Decisions are those of `muster_planning::supervision`; this carries them out.

mod listed;
mod member;
mod news;
mod operation;
mod requests;
mod saved;
mod status;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use chrono::Utc;
use muster_planning::supervision::{Effect, Event, State, TimerId, step};
use muster_supervisor_protocol::{
    AppSpec, AppStatus, DesiredRun, ProcessEvent, ProcessEventKind, Progress, Reply,
};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::cluster::sockets::Sockets;
use crate::keeper::Keeper;
use crate::logs::{FileWriter, LogHub};
use crate::process::{Happened, Origin};
use crate::registry::FromApp;
use crate::saved::ProcessLedger;
use member::{Member, Role};
use operation::Operation;
pub(crate) use saved::{PARKED_UNDER, SavedState};

/// What all applications share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) logs: LogHub,
    pub(crate) writer: FileWriter,
    pub(crate) events: broadcast::Sender<ProcessEvent>,
    pub(crate) ledger: ProcessLedger,
    pub(crate) keeper: Keeper,
    /// The drain hook, and whether users other than ours can read it.
    pub(crate) hook: PathBuf,
    pub(crate) hook_for_others: bool,
}

/// What an application is asked.
#[derive(Debug)]
pub(crate) enum Command {
    Apply {
        spec: Arc<AppSpec>,
        /// Take the spec over without starting it: it was stopped on purpose before the supervisor restarted.
        stay_stopped: bool,
        progress: Option<mpsc::Sender<Progress>>,
        reply: oneshot::Sender<Reply>,
    },
    Restart {
        reply: oneshot::Sender<Reply>,
    },
    Start {
        reply: oneshot::Sender<Reply>,
    },
    Stop {
        reply: oneshot::Sender<Reply>,
    },
    Delete {
        reply: oneshot::Sender<Reply>,
    },
    Status {
        reply: oneshot::Sender<Option<AppStatus>>,
    },
    /// Stop everything and end the task; the supervisor is ending.
    Shutdown {
        reply: oneshot::Sender<Reply>,
    },
    /// Leave everything as it is and end the task; another supervisor goes on.
    HandOver {
        done: oneshot::Sender<()>,
    },
}

/// News of processes that wait for us; a process that has more to tell waits.
const NEWS_CAPACITY: usize = 64;

pub(crate) struct App {
    name: String,
    shared: Shared,
    registry: mpsc::UnboundedSender<FromApp>,
    commands: mpsc::UnboundedReceiver<Command>,
    news: mpsc::Receiver<(Origin, Happened)>,
    news_sender: mpsc::Sender<(Origin, Happened)>,
    /// The spec in force: that of the last apply that succeeded.
    spec: Option<Arc<AppSpec>>,
    desired: DesiredRun,
    members: BTreeMap<u64, Member>,
    next_id: u64,
    sockets: Sockets,
    operation: Option<Operation>,
    /// Commands that wait for the operation to end.
    waiting: VecDeque<Command>,
    /// By time (of the clock) and a number of their own.
    timers: BTreeMap<(u64, u64), (u64, TimerId)>,
    last_failure: Option<String>,
    ended: bool,
    /// Someone waits for us to let go of everything.
    handing_over: Option<oneshot::Sender<()>>,
}

impl App {
    /// Starts the task of an application.
    pub(crate) fn start(
        name: String,
        shared: Shared,
        registry: mpsc::UnboundedSender<FromApp>,
    ) -> mpsc::UnboundedSender<Command> {
        let (sender, app) = Self::new(name, shared, registry);
        tokio::spawn(app.run());
        sender
    }

    fn new(
        name: String,
        shared: Shared,
        registry: mpsc::UnboundedSender<FromApp>,
    ) -> (mpsc::UnboundedSender<Command>, Self) {
        let (sender, commands) = mpsc::unbounded_channel();
        let (news_sender, news) = mpsc::channel(NEWS_CAPACITY);
        let app = Self {
            name,
            shared,
            registry,
            commands,
            news,
            news_sender,
            spec: None,
            desired: DesiredRun::Running,
            members: BTreeMap::new(),
            next_id: 1,
            sockets: Sockets::default(),
            operation: None,
            waiting: VecDeque::new(),
            timers: BTreeMap::new(),
            last_failure: None,
            ended: false,
            handing_over: None,
        };
        (sender, app)
    }

    async fn run(mut self) {
        while !self.ended {
            let next_timer = self.timers.keys().next().map(|(at_ms, _)| self.shared.clock.instant(*at_ms));
            let mut changed = true;
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => {
                        changed = !matches!(command, Command::Status { .. });
                        self.command(command);
                    }
                    None => self.ended = true,
                },
                Some((origin, happened)) = self.news.recv() => self.hear(origin, happened),
                () = sleep_until(next_timer) => self.fire_timers(),
            }
            if let Some(done) = self.handing_over.take() {
                return self.hand_over(done).await;
            }
            self.settle();
            if changed {
                self.park_state();
            }
        }
        self.forget_state();
        // Dropping the members drops their orders, which ends whatever might still run.
        self.members.clear();
        self.commands.close();
        let mut leftover: Vec<Command> = self.waiting.drain(..).collect();
        while let Some(command) = self.commands.recv().await {
            leftover.push(command);
        }
        // The registry is only gone when the supervisor ends.
        drop(self.registry.send(FromApp::Ended { name: self.name, leftover }));
    }

    fn fire_timers(&mut self) {
        let now_ms = self.shared.clock.now_ms();
        while let Some(entry) = self.timers.first_entry()
            && entry.key().0 <= now_ms
        {
            let (member, timer) = entry.remove();
            self.feed(member, Event::TimerFired { timer });
        }
    }

    /// Lets the state machine of a member decide, and carries out what it says.
    fn feed(&mut self, id: u64, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let Some(member) = self.members.get_mut(&id) else { return };
            let next = match step(&member.context(self.shared.clock.now_ms()), &member.machine, event) {
                Ok(next) => next,
                Err(refused) => {
                    tracing::debug!(app = self.name, index = member.index, %refused, "a request came at the wrong time");
                    continue;
                }
            };
            member.machine = next.instance;
            for effect in next.effects {
                if let Some(consequence) = self.carry_out(id, effect) {
                    events.push_back(consequence);
                }
            }
        }
    }

    fn carry_out(&mut self, id: u64, effect: Effect) -> Option<Event> {
        let member = self.members.get_mut(&id)?;
        match effect {
            Effect::Spawn { launch } => {
                let listed = self.listed_sockets(id);
                let member = self.members.get_mut(&id)?;
                let started =
                    listed.and_then(|listed| member.spawn(launch, &self.shared, &self.news_sender, &listed));
                if let Err(reason) = started {
                    return Some(Event::SpawnFailed { launch, reason });
                }
            }
            Effect::ArmTimer { timer, after_ms } => {
                let at_ms = self.shared.clock.now_ms() + after_ms.min(MAX_TIMER_MS);
                self.next_id += 1;
                self.timers.insert((at_ms, self.next_id), (id, timer));
            }
            Effect::Drain { .. } => member.drain(),
            Effect::Disconnect { .. } => member.disconnect(),
            Effect::Ask { .. } => member.ask(),
            Effect::Kill { .. } => member.kill(),
            Effect::Report { report, reason } => {
                let (index, release) = (member.index, member.spec.release.clone());
                self.publish(Some(index), release, status::event_kind(report), reason);
            }
        }
        None
    }

    /// After anything happened: forget who has gone, go on with what is being done, let go of sockets nobody needs.
    fn settle(&mut self) {
        self.forget_retired();
        self.advance();
        self.forget_retired();
        let alive = |member: &Member| {
            !matches!(member.machine.state, State::Stopped { .. } | State::CrashLooping { .. })
        };
        if self.operation.is_none() && !self.sockets.is_empty() && !self.members.values().any(alive) {
            // Nobody will ever accept: clients shall be refused at once instead of waiting in a queue.
            self.sockets.retain(|_| false);
        }
    }

    fn forget_retired(&mut self) {
        self.members.retain(|_, member| {
            !(member.retire
                && matches!(member.machine.state, State::Stopped { .. })
                && member.process.is_none())
        });
        let members = &self.members;
        self.timers.retain(|_, (id, _)| members.contains_key(id));
    }

    fn add_member(&mut self, index: u32, role: Role, spec: &Arc<AppSpec>) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        self.members.insert(id, Member::new(id, index, role, Arc::clone(spec)));
        id
    }

    /// Ends a member and forgets it when it has ended.
    fn retire(&mut self, id: u64) {
        if let Some(member) = self.members.get_mut(&id) {
            member.retire = true;
        }
        self.feed(id, Event::Stop);
        self.forget_retired();
    }

    fn publish(&self, instance: Option<u32>, release: String, kind: ProcessEventKind, reason: String) {
        tracing::info!(app = self.name, instance, release, kind = ?kind, reason, "process event");
        if self.shared.events.receiver_count() > 0 {
            let event = ProcessEvent {
                at: Utc::now(),
                app: self.name.clone(),
                instance,
                release,
                kind,
                reason,
                exit: None,
            };
            // Nobody listens any more: nobody misses it.
            drop(self.shared.events.send(event));
        }
    }
}

/// About a month: far beyond any sensible setting, and no overflow.
const MAX_TIMER_MS: u64 = 30 * 24 * 3_600 * 1_000;

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
