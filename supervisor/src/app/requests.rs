//! What clients ask of an application, and when it can begin.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_planning::supervision::Event;
use muster_supervisor_protocol::{
    AppSpec, Applied, ApplyOutcome, DesiredRun, ErrorCode, ProcessEventKind, Progress, Reply,
};
use tokio::sync::{mpsc, oneshot};

use super::awaited::Wish;
use super::member::Role;
use super::operation::{AfterStopping, Operation, Replacing, Stopping};
use super::{App, Before, Command};
use crate::registry::FromApp;
use crate::saved::SavedApp;

/// Answers a client; one that has hung up does not matter.
pub(super) fn answer(reply: oneshot::Sender<Reply>, with: Reply) {
    drop(reply.send(with));
}

pub(super) fn applied(outcome: ApplyOutcome) -> Reply {
    Reply::Applied(Applied { outcome, notes: Vec::new() })
}

impl App {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Status { reply } => {
                // As above: nobody waits any more.
                drop(reply.send(self.status()));
            }
            Command::Spec { reply } => {
                drop(reply.send(self.spec.as_deref().cloned()));
            }
            Command::Apply { spec, before, progress, reply } => self.apply(spec, before, progress, reply),
            Command::Do { verb, reply } => self.perform(verb, reply),
            Command::Shutdown { reply } => self.stop_all(AfterStopping::End, reply),
            Command::HandOver { done } => self.handing_over = Some(done),
        }
    }

    fn apply(
        &mut self,
        spec: Arc<AppSpec>,
        before: Option<Before>,
        progress: Option<mpsc::Sender<Progress>>,
        reply: oneshot::Sender<Reply>,
    ) {
        match &mut self.operation {
            // An agent that was restarted asks again for what is being done: it gets the same answer.
            Some(Operation::Replacing(replacing)) if replacing.concerns(&spec.spec_digest) => {
                replacing.join(reply, progress);
                return;
            }
            Some(_) => {
                self.waiting.push_back(Command::Apply { spec, before, progress, reply });
                return;
            }
            None => {}
        }
        let in_force = self.spec.as_ref().is_some_and(|current| current.spec_digest == spec.spec_digest);
        if in_force {
            self.last_failure = None;
            answer(reply, applied(ApplyOutcome::Unchanged));
            return;
        }
        if self.spec.is_none() {
            return self.apply_first(spec, before, progress, reply);
        }
        let instances = (0..spec.instances).collect();
        self.begin(Replacing::apply(spec, &instances, BTreeSet::new()), reply, progress);
    }

    /// Nothing is in force yet.
    fn apply_first(
        &mut self,
        spec: Arc<AppSpec>,
        before: Option<Before>,
        progress: Option<mpsc::Sender<Progress>>,
        reply: oneshot::Sender<Reply>,
    ) {
        let first_time = before.is_none();
        let before = before.unwrap_or_default();
        let instances = before.instances.unwrap_or_else(|| (0..spec.instances).collect());
        let count = u32::try_from(instances.len()).unwrap_or(u32::MAX);
        let spec = match spec.instances == count {
            true => spec,
            false => Arc::new(AppSpec { instances: count, ..AppSpec::clone(&spec) }),
        };
        let stopped = before.stopped_instances.intersection(&instances).copied().collect();
        if before.stopped || (first_time && !spec.autostart) {
            self.instances = instances;
            self.stopped = self.instances.clone();
            self.refresh_desired();
            self.take_over(&spec);
            self.save();
            let notes = match before.stopped {
                true => Vec::new(),
                false => vec!["autostart is off: it is known and stopped until it is started".to_owned()],
            };
            answer(reply, Reply::Applied(Applied { outcome: ApplyOutcome::Unchanged, notes }));
        } else if spec.pm2.is_some() {
            self.start_for_good(&spec, instances, stopped, reply);
        } else {
            self.begin(Replacing::apply(spec, &instances, stopped), reply, progress);
        }
    }

    /// As users of pm2 know it: what is started stays, is restarted by its rules and shown in whatever state it is,
    /// also when it never works.
    fn start_for_good(
        &mut self,
        spec: &Arc<AppSpec>,
        instances: BTreeSet<u32>,
        stopped: BTreeSet<u32>,
        reply: oneshot::Sender<Reply>,
    ) {
        self.instances = instances;
        self.stopped = stopped;
        self.refresh_desired();
        self.take_over(spec);
        self.save();
        let running: Vec<u32> = self.instances.difference(&self.stopped).copied().collect();
        let members = self.meant(&running);
        for id in &members {
            self.feed(*id, Event::Start);
        }
        self.await_members(Wish::Up { fresh: true }, members, reply);
    }

    pub(super) fn begin(
        &mut self,
        mut replacing: Replacing,
        reply: oneshot::Sender<Reply>,
        progress: Option<mpsc::Sender<Progress>>,
    ) {
        replacing.join(reply, progress);
        // What is stopped does not serve, so there is nothing to hand over.
        if self.desired == DesiredRun::Stopped && !replacing.keeps_instances() {
            self.retire_stopped();
        }
        self.desired = DesiredRun::Running;
        let existing = self.members.values().filter(|member| !member.retire);
        let existing: BTreeSet<u32> = existing.map(|member| member.index).collect();
        let spec = self.spec.clone();
        let scaled = self.numbers_for(replacing.count(), false);
        replacing.plan_from(spec.as_deref(), existing, scaled);
        replacing.tell(None, replacing.intent(&self.name));
        self.operation = Some(Operation::Replacing(Box::new(replacing)));
    }

    fn retire_stopped(&mut self) {
        let all: Vec<u64> = self.members.keys().copied().collect();
        for id in all {
            if let Some(member) = self.members.remove(&id)
                && let Some(place) = self.places.get_mut(&member.index)
            {
                place.restarts = Some(member.machine.history.restarts);
            }
        }
    }

    pub(super) fn stop_all(&mut self, then: AfterStopping, reply: oneshot::Sender<Reply>) {
        match self.operation.take() {
            Some(Operation::Stopping(mut stopping)) => {
                stopping.join(then, reply);
                self.operation = Some(Operation::Stopping(stopping));
                return;
            }
            Some(Operation::Replacing(replacing)) => {
                replacing.finish(applied(ApplyOutcome::Failed {
                    reason: "given up: the application was stopped meanwhile".to_owned(),
                    last_stderr: Vec::new(),
                    previous_kept: false,
                }));
            }
            None => {}
        }
        let new: Vec<u64> =
            self.members.values().filter(|member| member.role == Role::New).map(|member| member.id).collect();
        for id in new {
            self.retire(id);
        }
        let all: Vec<u64> = self.members.keys().copied().collect();
        for id in all {
            self.feed(id, Event::Stop);
        }
        self.operation = Some(Operation::Stopping(Stopping::new(then, reply)));
    }

    /// A spec is in force from now on; instances it lacks exist, stopped.
    pub(super) fn take_over(&mut self, spec: &Arc<AppSpec>) {
        self.spec = Some(Arc::clone(spec));
        for index in self.instances.clone() {
            if !self.members.values().any(|member| member.index == index && !member.retire) {
                self.add_member(index, Role::Current, spec);
            }
        }
    }

    pub(super) fn nothing_applied(&self) -> Reply {
        Reply::Error {
            code: ErrorCode::AwaitingApply,
            message: format!("application {:?} has no spec that ever ran: apply one first", self.name),
        }
    }

    /// Remembers across a restart of the supervisor what runs.
    pub(super) fn save(&self) {
        // Whoever stops what is just being deleted does not bring it back into the list.
        if let Some(Operation::Stopping(stopping)) = &self.operation
            && stopping.forgets()
        {
            return;
        }
        // What the pm2-compatible command runs is remembered by its own dump.
        if let Some(spec) = self.spec.as_ref().filter(|spec| spec.pm2.is_none()) {
            self.save_as(Some(SavedApp {
                name: spec.name.clone(),
                spec_digest: spec.spec_digest.clone(),
                release: spec.release.clone(),
                release_id: spec.release_id.clone(),
                exec_mode: spec.exec_mode,
                desired: self.desired,
                instances: self.instances.clone(),
                stopped: self.stopped.clone(),
            }));
        }
    }

    pub(super) fn save_as(&self, saved: Option<SavedApp>) {
        // The registry is only gone when the supervisor ends.
        drop(self.registry.send(FromApp::Save { name: self.name.clone(), saved }));
    }

    pub(super) fn deleted(&mut self) {
        self.publish(None, String::new(), ProcessEventKind::Deleted, "deleted on request".to_owned());
        self.shared.logs.forget(&self.name);
        self.ended = true;
    }
}
