//! What is being done with an application as a whole: a replacement, or a stop.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_planning::supervision::replacement::{Direction, Next, Plan, Slot, Strategy, View, next};
use muster_planning::supervision::{AfterStop, Event, State, StopCause};
use muster_supervisor_protocol::{
    AppSpec, Applied, ApplyOutcome, ExecMode, ProcessEventKind, Progress, Readiness, Reply,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::member::{Member, Role};
use super::requests::answer;
use super::{App, status};

mod saved;
mod strategy;

pub(super) use saved::SavedOperation;

#[derive(Debug)]
pub(super) enum Operation {
    Replacing(Box<Replacing>),
    Stopping(Stopping),
}

impl Operation {
    pub(super) fn incoming_spec(&self) -> Option<&Arc<AppSpec>> {
        match self {
            Self::Replacing(replacing) => Some(&replacing.spec),
            Self::Stopping(_) => None,
        }
    }
}

/// A new spec (or fresh processes of the same one) takes over.
#[derive(Debug)]
pub(super) struct Replacing {
    spec: Arc<AppSpec>,
    kind: Kind,
    /// Numbers of the new spec that exist, but are not to run.
    stopped: BTreeSet<u32>,
    plan: Plan,
    replies: Vec<oneshot::Sender<Reply>>,
    watchers: Vec<mpsc::Sender<Progress>>,
    notes: Vec<String>,
    failure: Option<Failure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::app) enum Kind {
    /// A new spec.
    Apply,
    /// Fresh processes of the same one, for the instances of the plan.
    Reload,
    /// More or fewer instances of the same one.
    Scale,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Failure {
    reason: String,
    last_stderr: Vec<String>,
}

impl Replacing {
    /// A spec with these instances, of which some are not to run.
    pub(super) fn apply(spec: Arc<AppSpec>, instances: &BTreeSet<u32>, stopped: BTreeSet<u32>) -> Self {
        let running = instances.difference(&stopped).copied().collect();
        Self { stopped, ..Self::new(spec, Kind::Apply, running) }
    }

    pub(super) fn reload(spec: Arc<AppSpec>, instances: impl IntoIterator<Item = u32>) -> Self {
        Self::new(spec, Kind::Reload, instances.into_iter().collect())
    }

    pub(super) fn scale(spec: Arc<AppSpec>, instances: BTreeSet<u32>) -> Self {
        Self::new(spec, Kind::Scale, instances)
    }

    fn new(spec: Arc<AppSpec>, kind: Kind, new: BTreeSet<u32>) -> Self {
        let plan = Plan {
            strategy: Strategy::StartFirst,
            direction: Direction::Forward,
            old: BTreeSet::new(),
            new,
            keep_existing: false,
        };
        let stopped = BTreeSet::new();
        Self { spec, kind, stopped, plan, replies: vec![], watchers: vec![], notes: vec![], failure: None }
    }

    /// Whether an apply of this digest asks for what is being done already.
    pub(super) fn concerns(&self, digest: &str) -> bool {
        self.kind == Kind::Apply
            && self.spec.spec_digest == digest
            && self.plan.direction == Direction::Forward
    }

    pub(super) fn join(&mut self, reply: oneshot::Sender<Reply>, progress: Option<mpsc::Sender<Progress>>) {
        self.replies.push(reply);
        self.watchers.extend(progress);
    }

    /// Decides how the old instances and the new ones can meet. `scaled`: the numbers when only the count changes.
    pub(super) fn plan_from(
        &mut self,
        old: Option<&AppSpec>,
        existing: BTreeSet<u32>,
        scaled: BTreeSet<u32>,
    ) {
        let old_spec = old.filter(|_| !existing.is_empty());
        self.plan.old = match self.kind {
            Kind::Reload => self.plan.new.clone(),
            Kind::Apply | Kind::Scale => existing,
        };
        let Some(old) = old_spec else { return };
        self.plan.keep_existing = match self.kind {
            Kind::Scale => true,
            Kind::Reload => false,
            Kind::Apply => differs_in_count_only(old, &self.spec),
        };
        if self.plan.keep_existing {
            if self.kind == Kind::Apply {
                self.plan.new = scaled;
            }
            return;
        }
        let (strategy, note) = strategy::choose(old, &self.spec);
        self.plan.strategy = strategy;
        self.notes.extend(note);
    }

    /// Instances that are stopped stay as they are.
    pub(super) fn keeps_instances(&self) -> bool {
        self.kind == Kind::Scale
    }

    /// How many instances there are to be.
    pub(super) fn count(&self) -> u32 {
        self.spec.instances
    }

    /// Whether it is about this instance.
    fn concerns_instance(&self, index: u32) -> bool {
        self.kind != Kind::Reload || self.plan.new.contains(&index)
    }

    /// Processes that were replaced by request count as restarts, as users of pm2 know it.
    fn counts_as_restart(&self) -> bool {
        match self.kind {
            Kind::Reload => true,
            Kind::Apply => self.spec.pm2.is_some(),
            Kind::Scale => false,
        }
    }

    pub(super) fn intent(&self, name: &str) -> String {
        let verb = match (self.kind, self.plan.old.is_empty()) {
            (Kind::Reload, _) => "reloading",
            (Kind::Scale, _) => "scaling",
            (Kind::Apply, true) => "starting",
            (Kind::Apply, false) => "replacing",
        };
        format!("{verb} {name} {}: {} instances", self.spec.release, self.plan.new.len())
    }

    pub(super) fn tell(&mut self, instance: Option<u32>, message: String) {
        // A watcher that does not read misses lines; it must not hold us up.
        self.watchers.retain(|watcher| {
            !matches!(
                watcher.try_send(status::progress(instance, message.clone())),
                Err(mpsc::error::TrySendError::Closed(_))
            )
        });
    }

    pub(super) fn finish(self, reply: Reply) {
        for waiting in self.replies {
            answer(waiting, reply.clone());
        }
    }
}

/// An old instance as the plan shall see it. One that is started again after a failed replacement gets one attempt: if it
/// fails too, it is tried on by the rules, and whoever waits for the outcome is told.
fn seen(plan: &Plan, member: &Member) -> View {
    let tried = member.machine.history.unstable_restarts() > 0;
    match member.view() {
        View::Starting | View::Stopping if plan.direction == Direction::Back && tried => View::Down,
        view => view,
    }
}

fn differs_in_count_only(old: &AppSpec, new: &AppSpec) -> bool {
    let as_new = AppSpec { instances: new.instances, spec_digest: new.spec_digest.clone(), ..old.clone() };
    as_new == *new
}

/// Everything ends.
#[derive(Debug)]
pub(super) struct Stopping {
    then: AfterStopping,
    replies: Vec<oneshot::Sender<Reply>>,
}

/// What follows; a stronger wish wins over a weaker one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum AfterStopping {
    Keep,
    Delete,
    End,
}

impl Stopping {
    pub(super) fn new(then: AfterStopping, reply: oneshot::Sender<Reply>) -> Self {
        Self { then, replies: vec![reply] }
    }

    /// Nothing of the application is left afterwards.
    pub(super) fn forgets(&self) -> bool {
        self.then == AfterStopping::Delete
    }

    pub(super) fn join(&mut self, then: AfterStopping, reply: oneshot::Sender<Reply>) {
        self.then = self.then.max(then);
        self.replies.push(reply);
    }
}

impl App {
    /// Goes on with what is being done as far as it can without waiting.
    pub(super) fn advance(&mut self) {
        loop {
            match self.operation.take() {
                None => {}
                Some(Operation::Stopping(stopping)) => {
                    if self
                        .members
                        .values()
                        .all(|member| matches!(member.machine.state, State::Stopped { .. }))
                    {
                        self.stopped(stopping);
                    } else {
                        self.operation = Some(Operation::Stopping(stopping));
                    }
                }
                Some(Operation::Replacing(mut replacing)) => match self.replace(&mut replacing) {
                    None => self.operation = Some(Operation::Replacing(replacing)),
                    Some(reply) => replacing.finish(reply),
                },
            }
            if self.operation.is_some() || self.ended {
                return;
            }
            let Some(command) = self.waiting.pop_front() else { return };
            self.command(command);
        }
    }

    fn stopped(&mut self, stopping: Stopping) {
        self.sockets.retain(|_| false);
        match stopping.then {
            AfterStopping::Keep => {
                // Those that were on their way in are gone; the spec in force is shown as stopped.
                if let Some(spec) = self.spec.clone() {
                    self.take_over(&spec);
                }
            }
            AfterStopping::Delete => self.deleted(),
            AfterStopping::End => self.ended = true,
        }
        for reply in stopping.replies {
            answer(reply, Reply::Done);
        }
    }

    /// `Some` when it is over.
    fn replace(&mut self, replacing: &mut Replacing) -> Option<Reply> {
        loop {
            match next(&replacing.plan, &self.slots(replacing)) {
                Next::Wait => return None,
                Next::StartNew(index) => {
                    self.make_room(&replacing.plan);
                    replacing.tell(Some(index), format!("starting instance {index}"));
                    let restarts = self.restarts_of(index);
                    let id = self.add_member(index, Role::New, &replacing.spec);
                    if let Some((member, restarts)) = self.members.get_mut(&id).zip(restarts)
                        && replacing.counts_as_restart()
                    {
                        member.machine.history.restarts = restarts.saturating_add(1);
                    }
                    self.feed(id, Event::Start);
                }
                Next::StartOld(index) => {
                    let Some(spec) = self.spec.clone() else {
                        return Some(self.replacement_failed(replacing));
                    };
                    self.make_room(&replacing.plan);
                    replacing.tell(Some(index), format!("starting the former instance {index} again"));
                    let id = self.add_member(index, Role::Current, &spec);
                    if !self.stopped.contains(&index) {
                        self.feed(id, Event::Start);
                    }
                }
                Next::StopNew(index) => self.retire_all(index, Role::New),
                Next::StopOld(index) => {
                    replacing.tell(Some(index), format!("the former instance {index} finishes its work"));
                    self.retire_all(index, Role::Current);
                }
                Next::Failed(index) => {
                    let failure = self.failure(index, replacing);
                    replacing.tell(Some(index), format!("failed: {}", failure.reason));
                    replacing.failure = Some(failure);
                    replacing.plan.direction = Direction::Back;
                }
                Next::Finished => {
                    return Some(match replacing.failure {
                        None => self.replacement_succeeded(replacing),
                        Some(_) => self.replacement_failed(replacing),
                    });
                }
            }
        }
    }

    /// Restarts of the instance so far, when there is or was one.
    fn restarts_of(&self, index: u32) -> Option<u32> {
        let former = self.members.values().find(|member| member.index == index);
        former
            .map(|member| member.machine.history.restarts)
            .or_else(|| self.places.get(&index).and_then(|place| place.restarts))
    }

    fn slots(&self, replacing: &Replacing) -> Vec<Slot> {
        let count = self.members.values().map(|member| member.index as usize + 1).max().unwrap_or(0);
        let mut slots = vec![Slot::default(); count];
        for member in self.members.values().filter(|member| replacing.concerns_instance(member.index)) {
            let slot = &mut slots[member.index as usize];
            match member.role {
                Role::Current => slot.old = Some(seen(&replacing.plan, member)),
                Role::New => slot.new = Some(member.view()),
            }
        }
        slots
    }

    /// When the modes differ, a process of the other mode needs the port we may still hold for those that are gone.
    fn make_room(&mut self, plan: &Plan) {
        if plan.strategy == Strategy::StopAllFirst {
            self.let_go_of_unused_sockets();
        }
    }

    fn let_go_of_unused_sockets(&mut self) {
        let members = &self.members;
        self.sockets.retain(|key| members.values().any(|member| member.keys.contains(key)));
    }

    fn retire_all(&mut self, index: u32, role: Role) {
        let ids: Vec<u64> = self
            .members
            .values()
            .filter(|member| member.index == index && member.role == role)
            .map(|member| member.id)
            .collect();
        for id in ids {
            self.retire(id);
        }
    }

    fn failure(&self, index: u32, replacing: &Replacing) -> Failure {
        let Some(member) =
            self.members.values().find(|member| member.role == Role::New && member.index == index)
        else {
            return Failure { reason: format!("instance {index} is gone"), last_stderr: Vec::new() };
        };
        let of = match replacing.spec.release.as_str() {
            "" => String::new(),
            release => format!(" of release {release:?}"),
        };
        Failure {
            reason: format!("instance {index}{of} {}", why_down(member)),
            last_stderr: member.last_words(),
        }
    }

    fn replacement_succeeded(&mut self, replacing: &mut Replacing) -> Reply {
        let fresh = replacing.plan.old.is_empty();
        match replacing.kind {
            Kind::Reload => {}
            Kind::Scale => {
                self.instances = replacing.plan.new.clone();
                let instances = &self.instances;
                self.stopped.retain(|number| instances.contains(number));
            }
            Kind::Apply => {
                self.instances = replacing.plan.new.union(&replacing.stopped).copied().collect();
                self.stopped = std::mem::take(&mut replacing.stopped);
            }
        }
        for member in self.members.values_mut() {
            member.adopt(&replacing.spec);
            member.set_role(Role::Current);
        }
        self.take_over(&replacing.spec);
        self.refresh_desired();
        // Ports only the old release listened on are free from now on.
        self.let_go_of_unused_sockets();
        self.last_failure = None;
        self.save();
        let (outcome, reason) = match (fresh, replacing.kind) {
            (true, _) => (ApplyOutcome::Started, "every instance is ready"),
            (false, Kind::Reload) => (ApplyOutcome::Replaced, "every instance was reloaded and is ready"),
            (false, Kind::Apply | Kind::Scale) => (ApplyOutcome::Replaced, "every instance is ready"),
        };
        self.publish(None, replacing.spec.release.clone(), ProcessEventKind::Replaced, reason.to_owned());
        Reply::Applied(Applied { outcome, notes: std::mem::take(&mut replacing.notes) })
    }

    fn replacement_failed(&mut self, replacing: &mut Replacing) -> Reply {
        let Failure { reason, last_stderr } = replacing.failure.take().unwrap_or_else(|| Failure {
            reason: "the former spec is not known".to_owned(),
            last_stderr: Vec::new(),
        });
        let mut wanted = self.members.values().filter(|member| {
            replacing.plan.old.contains(&member.index) && !self.stopped.contains(&member.index)
        });
        let previous_kept = !replacing.plan.old.is_empty() && wanted.all(Member::ready);
        self.let_go_of_unused_sockets();
        if let Some(spec) = self.spec.clone() {
            // It was stopped before, or its instances went down: what is left of it stays visible.
            if self.members.is_empty() {
                self.stopped = self.instances.clone();
            }
            self.refresh_desired();
            self.take_over(&spec);
        }
        self.last_failure = Some(reason.clone());
        self.publish(None, replacing.spec.release.clone(), ProcessEventKind::ReplaceFailed, reason.clone());
        let notes = std::mem::take(&mut replacing.notes);
        Reply::Applied(Applied {
            outcome: ApplyOutcome::Failed { reason, last_stderr, previous_kept },
            notes,
        })
    }
}

pub(super) fn why_down(member: &Member) -> String {
    let mut why = match &member.machine.state {
        State::Stopped { cause: StopCause::Ended { reason } }
        | State::BackingOff { reason, .. }
        | State::CrashLooping { reason }
        | State::Stopping { then: AfterStop::Fail { reason }, .. } => reason.clone(),
        State::Stopped { .. } | State::Starting { .. } | State::Ready { .. } | State::Stopping { .. } => {
            "is not running".to_owned()
        }
    };
    if member.spec.exec_mode == ExecMode::Cluster && !member.online && member.started_at.is_some() {
        why.push_str(" (its Node.js never opened the cluster channel)");
    }
    let listening_wanted = matches!(member.spec.readiness, Readiness::Listening);
    if member.online && listening_wanted && member.hints.is_empty() && matches!(member.view(), View::Stopping)
    {
        why.push_str(
            " (it did not listen on anything; what does not listen needs another kind of readiness)",
        );
    }
    if !member.hints.is_empty() {
        why.push_str(" (");
        why.push_str(&member.hints.join("; "));
        if let Some(port) = member.spec.port
            && member.hints.iter().all(|hint| hint.starts_with("it listened on"))
        {
            why.push_str(&format!(", its port is {port}"));
        }
        why.push(')');
    }
    why
}
