//! A whole application as the next supervisor has to know it: parked with the keeper after every change, and once more
//! with what is under way when the supervisor replaces itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use muster_planning::supervision::TimerId;
use muster_supervisor_protocol::{AppSpec, DesiredRun};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::member::{Meanwhile, Member, SavedMember};
use super::operation::{Operation, SavedOperation};
use super::places::SavedPlace;
use super::{Alarm, App, Before, Command, Shared, Verb};
use crate::cluster::sockets::{SavedSocket, Sockets};
use crate::process::{Happened, Order, Origin, ProcessRest};
use crate::registry::FromApp;

/// Applications are parked under keys that begin so.
pub(crate) const PARKED_UNDER: &str = "app/";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SavedState {
    /// All that are in use, with their environments: this is never written to disk.
    specs: Vec<AppSpec>,
    /// Which one is in force.
    spec: Option<usize>,
    desired: DesiredRun,
    members: Vec<SavedMember>,
    instances: BTreeSet<u32>,
    stopped: BTreeSet<u32>,
    places: Vec<SavedPlace>,
    next_cron: Option<DateTime<Utc>>,
    next_id: u64,
    sockets: Vec<SavedSocket>,
    operation: Option<SavedOperation>,
    waiting: Vec<SavedCommand>,
    /// Time, number, member and name of each.
    timers: Vec<(u64, u64, u64, TimerId)>,
    last_failure: Option<String>,
    /// Only when it was handed over.
    under_way: Option<UnderWay>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct UnderWay {
    /// News nobody heard yet.
    news: Vec<(Origin, Happened)>,
    /// By member; a process that is missing here has ended, and the news tell so.
    processes: BTreeMap<u64, ProcessRest>,
}

/// A command whose sender is gone.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum SavedCommand {
    Apply { spec: usize, before: Option<Before> },
    Do(Verb),
}

impl SavedState {
    /// Processes that are to be taken over.
    pub(crate) fn pids(&self) -> BTreeSet<u32> {
        self.members.iter().filter_map(|member| member.process.as_ref()).map(|process| process.pid).collect()
    }
}

impl App {
    fn parked_key(&self) -> String {
        format!("{PARKED_UNDER}{}", self.name)
    }

    pub(super) fn park_state(&self) {
        self.park(self.save_state(None));
    }

    fn park(&self, state: SavedState) {
        match serde_json::to_vec(&state) {
            Ok(text) => self.shared.keeper.put(&self.parked_key(), text),
            Err(error) => tracing::error!(app = self.name, %error, "its state cannot be parked"),
        }
    }

    pub(super) fn forget_state(&self) {
        drop(self.shared.keeper.forget(&self.parked_key()));
    }

    fn save_state(&self, under_way: Option<UnderWay>) -> SavedState {
        let mut specs: Vec<Arc<AppSpec>> = Vec::new();
        let mut number = |spec: &Arc<AppSpec>| {
            specs.iter().position(|known| Arc::ptr_eq(known, spec) || known == spec).unwrap_or_else(|| {
                specs.push(Arc::clone(spec));
                specs.len() - 1
            })
        };
        let spec = self.spec.as_ref().map(&mut number);
        let members = self.members.values().map(|member| member.save(number(&member.spec))).collect();
        let operation = self.operation.as_ref().map(|operation| operation.save(&mut number));
        let command = |command: &Command| match command {
            Command::Apply { spec, before, .. } => {
                Some(SavedCommand::Apply { spec: number(spec), before: before.clone() })
            }
            Command::Do { verb, .. } => Some(SavedCommand::Do(verb.clone())),
            Command::Status { .. }
            | Command::Spec { .. }
            | Command::Shutdown { .. }
            | Command::HandOver { .. } => None,
        };
        let waiting = self.waiting.iter().filter_map(command).collect();
        let timers = self.alarms.iter().filter_map(|((at, number), alarm)| match alarm {
            Alarm::Member { member, timer } => Some((*at, *number, *member, *timer)),
            // Who waits for the answers is gone by then, and the rest is arranged anew.
            Alarm::Trigger { .. } | Alarm::Cron | Alarm::Memory | Alarm::Files => None,
        });
        SavedState {
            spec,
            desired: self.desired,
            members,
            instances: self.instances.clone(),
            stopped: self.stopped.clone(),
            places: self.save_places(),
            next_cron: self.automatic.next_cron,
            next_id: self.next_id,
            sockets: self.sockets.save(),
            operation,
            waiting,
            timers: timers.collect(),
            last_failure: self.last_failure.clone(),
            under_way,
            specs: specs.iter().map(|spec| AppSpec::clone(spec)).collect(),
        }
    }

    /// Lets go of every process without harm and parks the state with what is under way. No command, timer or news
    /// is acted upon from here on.
    pub(super) async fn hand_over(mut self, done: oneshot::Sender<()>) {
        let (reply, mut rests) = mpsc::unbounded_channel();
        for member in self.members.values_mut() {
            member.order(Order::HandOver(reply.clone()));
        }
        drop(reply);
        let (mut news, mut processes) = (Vec::new(), BTreeMap::new());
        loop {
            // A process that has more to tell than there is room for lets go only when it was heard.
            tokio::select! {
                Some(happened) = self.news.recv() => news.push(happened),
                rest = rests.recv() => match rest {
                    Some((member, rest)) => drop(processes.insert(member, rest)),
                    None => break,
                },
            }
        }
        while let Ok(happened) = self.news.try_recv() {
            news.push(happened);
        }
        let state = self.save_state(Some(UnderWay { news, processes }));
        for member in self.members.values_mut() {
            member.stop_probe();
        }
        self.park(state);
        self.sockets.hand_over();
        if done.send(()).is_err() {
            tracing::error!(app = self.name, "nobody waits for it to be handed over");
        }
    }

    /// Goes on with an application of another supervisor.
    pub(crate) fn resume(
        name: String,
        state: SavedState,
        shared: Shared,
        registry: mpsc::UnboundedSender<FromApp>,
    ) -> mpsc::UnboundedSender<Command> {
        let (sender, mut app) = Self::new(name, shared, registry);
        let specs: Vec<Arc<AppSpec>> = state.specs.into_iter().map(Arc::new).collect();
        app.spec = state.spec.and_then(|number| specs.get(number).cloned());
        app.desired = state.desired;
        app.instances = state.instances;
        app.stopped = state.stopped;
        app.resume_places(state.places);
        app.automatic.next_cron = state.next_cron;
        app.next_id = state.next_id;
        app.last_failure = state.last_failure;
        app.sockets = Sockets::resume(state.sockets, &app.name, &app.shared.keeper);
        let killed = state.under_way.is_none();
        let (news, mut processes) =
            state.under_way.map(|under_way| (under_way.news, under_way.processes)).unwrap_or_default();
        for saved in state.members {
            let Some(spec) = specs.get(saved.spec) else { continue };
            let meanwhile = match processes.remove(&saved.id) {
                _ if killed => Meanwhile::Unknown,
                Some(rest) => Meanwhile::HandedOver(Box::new(rest)),
                None => Meanwhile::Ended,
            };
            let id = saved.id;
            let numbers = app.place(saved.index, spec);
            let sockets = |key: &str| app.sockets.held(key);
            let (shared, news) = (&app.shared, &app.news_sender);
            let member = Member::resume(saved, Arc::clone(spec), numbers, meanwhile, shared, news, sockets);
            app.members.insert(id, member);
        }
        app.operation = state.operation.and_then(|saved| Operation::resume(saved, &specs));
        app.waiting = state.waiting.into_iter().filter_map(|saved| saved.revive(&specs)).collect();
        app.alarms = state
            .timers
            .into_iter()
            .map(|(at, number, member, timer)| ((at, number), Alarm::Member { member, timer }))
            .collect();
        for (origin, happened) in news {
            app.hear(origin, happened);
        }
        app.settle();
        app.park_state();
        tokio::spawn(app.run());
        sender
    }
}

impl SavedCommand {
    fn revive(self, specs: &[Arc<AppSpec>]) -> Option<Command> {
        let (reply, _) = oneshot::channel();
        Some(match self {
            Self::Apply { spec, before } => {
                Command::Apply { spec: Arc::clone(specs.get(spec)?), before, progress: None, reply }
            }
            Self::Do(verb) => Command::Do { verb, reply },
        })
    }
}
