//! One application: its instances, its sockets, and the one task that owns them.
//!
//! Everything that concerns an application goes through [`App::run`]: commands of clients, news of its processes, and
//! timers. So there is nothing to lock. Decisions are those of `muster_planning::supervision`; this carries them out.

mod automatic;
mod awaited;
mod exit;
mod instances;
mod listed;
mod member;
mod messages;
mod news;
mod operation;
mod pid_file;
mod places;
mod reported;
mod requests;
mod saved;
mod status;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use chrono::Utc;
use muster_planning::supervision::{Effect, Event, Report, State, TimerId, step};
use muster_supervisor_protocol::{
    AppSpec, AppStatus, DesiredRun, LastExit, ProcessEvent, ProcessEventKind, Progress, Reply,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::cluster::sockets::Sockets;
use crate::keeper::Keeper;
use crate::logs::{FileWriter, LogHub};
use crate::process::{Happened, Origin};
use crate::registry::FromApp;
use crate::saved::ProcessLedger;
use crate::watch::FileNews;
use automatic::Automatic;
use awaited::Awaited;
use member::{Member, Role};
use messages::Trigger;
use operation::Operation;
pub(crate) use places::Ids;
use places::Place;
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
    /// Numbers of instances across all applications.
    pub(crate) ids: Ids,
    /// The drain hook, and whether users other than ours can read it.
    pub(crate) hook: PathBuf,
    pub(crate) hook_for_others: bool,
}

/// What an application is asked.
#[derive(Debug)]
pub(crate) enum Command {
    Apply {
        spec: Arc<AppSpec>,
        /// How it ran before the supervisor restarted.
        before: Option<Before>,
        progress: Option<mpsc::Sender<Progress>>,
        reply: oneshot::Sender<Reply>,
    },
    Do {
        verb: Verb,
        reply: oneshot::Sender<Reply>,
    },
    Status {
        reply: oneshot::Sender<Option<AppStatus>>,
    },
    /// The spec in force.
    Spec {
        reply: oneshot::Sender<Option<AppSpec>>,
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

/// What can be done with an application or some of its instances (all when none is named).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Verb {
    Stop(Vec<u32>),
    Start(Vec<u32>),
    Restart(Vec<u32>),
    Reload,
    Delete(Vec<u32>),
    Scale { instances: u32, oldest_first: bool },
    Reset(Vec<u32>),
    Signal { instances: Vec<u32>, signal: String },
    Message { instances: Vec<u32>, message: Value },
    Trigger { instances: Vec<u32>, action: String, params: Option<Value>, timeout_ms: u64 },
    Input { instances: Vec<u32>, data: String },
}

/// How an application ran under a supervisor that is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Before {
    /// All of it was stopped.
    pub(crate) stopped: bool,
    /// Numbers of its instances, when they are not those of its spec.
    pub(crate) instances: Option<BTreeSet<u32>>,
    /// Those that were stopped on purpose.
    pub(crate) stopped_instances: BTreeSet<u32>,
}

/// What is due at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Alarm {
    /// Of the state machine of a member.
    Member { member: u64, timer: TimerId },
    /// An action had the time to answer.
    Trigger { number: u64 },
    /// It may be time for `cron_restart`.
    Cron,
    /// To look at the memory of the processes.
    Memory,
    /// Files changed, and no other changed since for a while.
    Files,
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
    /// Numbers of the instances of the spec in force.
    instances: BTreeSet<u32>,
    /// Those of them that are stopped on purpose.
    stopped: BTreeSet<u32>,
    /// What belongs to the numbers, whatever process has them.
    places: BTreeMap<u32, Place>,
    next_id: u64,
    sockets: Sockets,
    operation: Option<Operation>,
    /// Commands that wait for the operation to end.
    waiting: VecDeque<Command>,
    /// Clients that wait for instances.
    awaited: Vec<Awaited>,
    /// Clients that wait for answers to an action.
    triggers: Vec<Trigger>,
    automatic: Automatic,
    file_news: mpsc::Receiver<FileNews>,
    file_news_sender: mpsc::Sender<FileNews>,
    /// By time (of the clock) and a number of their own.
    alarms: BTreeMap<(u64, u64), Alarm>,
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
        let (file_news_sender, file_news) = mpsc::channel(NEWS_CAPACITY);
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
            instances: BTreeSet::new(),
            stopped: BTreeSet::new(),
            places: BTreeMap::new(),
            next_id: 1,
            sockets: Sockets::default(),
            operation: None,
            waiting: VecDeque::new(),
            awaited: Vec::new(),
            triggers: Vec::new(),
            automatic: Automatic::default(),
            file_news,
            file_news_sender,
            alarms: BTreeMap::new(),
            last_failure: None,
            ended: false,
            handing_over: None,
        };
        (sender, app)
    }

    async fn run(mut self) {
        while !self.ended {
            let next_alarm = self.alarms.keys().next().map(|(at_ms, _)| self.shared.clock.instant(*at_ms));
            let mut changed = true;
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => {
                        changed = !matches!(command, Command::Status { .. } | Command::Spec { .. });
                        self.command(command);
                    }
                    None => self.ended = true,
                },
                Some((origin, happened)) = self.news.recv() => {
                    // A process may report values as fast as it can; the last ones go with the next change.
                    changed = !happened.is_metrics();
                    self.hear(origin, happened);
                }
                Some(news) = self.file_news.recv() => self.hear_of_files(news),
                () = sleep_until(next_alarm) => self.fire_alarms(),
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
        self.places.clear();
        self.commands.close();
        let mut leftover: Vec<Command> = self.waiting.drain(..).collect();
        while let Some(command) = self.commands.recv().await {
            leftover.push(command);
        }
        // The registry is only gone when the supervisor ends.
        drop(self.registry.send(FromApp::Ended { name: self.name, leftover }));
    }

    fn fire_alarms(&mut self) {
        let now_ms = self.shared.clock.now_ms();
        while let Some(entry) = self.alarms.first_entry()
            && entry.key().0 <= now_ms
        {
            match entry.remove() {
                Alarm::Member { member, timer } => self.feed(member, Event::TimerFired { timer }),
                Alarm::Trigger { number } => self.end_trigger(number),
                Alarm::Cron => self.cron_due(),
                Alarm::Memory => self.look_at_memory(),
                Alarm::Files => self.files_changed(),
            }
        }
    }

    fn set_alarm(&mut self, after_ms: u64, alarm: Alarm) {
        let at_ms = self.shared.clock.now_ms() + after_ms.min(MAX_ALARM_MS);
        self.next_id += 1;
        self.alarms.insert((at_ms, self.next_id), alarm);
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
                    member.last_exit = Some(exit::never_started(&reason));
                    return Some(Event::SpawnFailed { launch, reason });
                }
            }
            Effect::ArmTimer { timer, after_ms } => {
                self.set_alarm(after_ms, Alarm::Member { member: id, timer });
            }
            Effect::Drain { .. } => member.drain(),
            Effect::Disconnect { .. } => member.disconnect(),
            Effect::Ask { .. } => member.ask(),
            Effect::Kill { .. } => member.kill(),
            Effect::Replace { .. } => {
                let instance = member.index;
                self.replace_one(instance);
            }
            Effect::Report { report, reason } => {
                let (index, release) = (member.index, member.spec.release.clone());
                let exit = if report == Report::Exited { member.last_exit.clone() } else { None };
                self.publish_with(Some(index), release, status::event_kind(report), reason, exit);
            }
        }
        None
    }

    /// After anything happened: forget who has gone, go on with what is being done, let go of sockets nobody needs.
    fn settle(&mut self) {
        self.forget_retired();
        self.answer_awaited();
        self.advance();
        self.forget_retired();
        self.follow_spec();
        let alive = |member: &Member| {
            !matches!(member.machine.state, State::Stopped { .. } | State::CrashLooping { .. })
        };
        if self.operation.is_none() && !self.sockets.is_empty() && !self.members.values().any(alive) {
            // Nobody will ever accept: clients shall be refused at once instead of waiting in a queue.
            self.sockets.retain(|_| false);
        }
    }

    fn forget_retired(&mut self) {
        let places = &mut self.places;
        self.members.retain(|_, member| {
            let gone = member.retire
                && matches!(member.machine.state, State::Stopped { .. })
                && member.process.is_none();
            if gone && let Some(place) = places.get_mut(&member.index) {
                place.restarts = Some(member.machine.history.restarts);
            }
            !gone
        });
        let members = &self.members;
        self.alarms.retain(|_, alarm| match alarm {
            Alarm::Member { member, .. } => members.contains_key(member),
            Alarm::Trigger { .. } | Alarm::Cron | Alarm::Memory | Alarm::Files => true,
        });
        if self.operation.is_none() {
            let (members, instances) = (&self.members, &self.instances);
            let used = |index: &u32| {
                instances.contains(index) || members.values().any(|member| member.index == *index)
            };
            self.places.retain(|index, _| used(index));
        }
    }

    fn add_member(&mut self, index: u32, role: Role, spec: &Arc<AppSpec>) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        let place = self.place(index, spec);
        let member = Member::new(id, index, role, Arc::clone(spec), place);
        self.members.insert(id, member);
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
        self.publish_with(instance, release, kind, reason, None);
    }

    fn publish_with(
        &self,
        instance: Option<u32>,
        release: String,
        kind: ProcessEventKind,
        reason: String,
        exit: Option<LastExit>,
    ) {
        tracing::info!(app = self.name, instance, release, kind = ?kind, reason, "process event");
        if self.shared.events.receiver_count() > 0 {
            let event = ProcessEvent {
                at: Utc::now(),
                app: self.name.clone(),
                instance,
                release,
                kind,
                reason,
                exit,
            };
            // Nobody listens any more: nobody misses it.
            drop(self.shared.events.send(event));
        }
    }
}

/// About a month: far beyond any sensible setting, and no overflow.
const MAX_ALARM_MS: u64 = 30 * 24 * 3_600 * 1_000;

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
