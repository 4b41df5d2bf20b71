//! What clients ask of an application, and when it can begin.

use std::sync::Arc;

use muster_planning::supervision::Event;
use muster_supervisor_protocol::{
    AppSpec, Applied, ApplyOutcome, DesiredRun, ErrorCode, ProcessEventKind, Progress, Reply,
};
use tokio::sync::{mpsc, oneshot};

use super::member::Role;
use super::operation::{AfterStopping, Operation, Replacing, Stopping};
use super::{App, Command};
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
            Command::Apply { spec, stay_stopped, progress, reply } => {
                self.apply(spec, stay_stopped, progress, reply)
            }
            Command::Restart { reply } => self.restart(reply),
            Command::Start { reply } => self.start_all(reply),
            Command::Stop { reply } => {
                self.desired = DesiredRun::Stopped;
                self.save();
                self.stop_all(AfterStopping::Keep, reply);
            }
            Command::Delete { reply } => {
                self.save_as(None);
                self.stop_all(AfterStopping::Delete, reply);
            }
            Command::Shutdown { reply } => self.stop_all(AfterStopping::End, reply),
            Command::HandOver { done } => self.handing_over = Some(done),
        }
    }

    fn apply(
        &mut self,
        spec: Arc<AppSpec>,
        stay_stopped: bool,
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
                self.waiting.push_back(Command::Apply { spec, stay_stopped, progress, reply });
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
        if stay_stopped && self.spec.is_none() {
            self.desired = DesiredRun::Stopped;
            self.take_over(&spec);
            self.save();
            answer(reply, applied(ApplyOutcome::Unchanged));
            return;
        }
        self.begin(Replacing::apply(spec), reply, progress);
    }

    fn restart(&mut self, reply: oneshot::Sender<Reply>) {
        if self.operation.is_some() {
            self.waiting.push_back(Command::Restart { reply });
            return;
        }
        match self.spec.clone() {
            Some(spec) => self.begin(Replacing::restart(spec), reply, None),
            None => answer(reply, self.nothing_applied()),
        }
    }

    fn begin(
        &mut self,
        mut replacing: Replacing,
        reply: oneshot::Sender<Reply>,
        progress: Option<mpsc::Sender<Progress>>,
    ) {
        replacing.join(reply, progress);
        // What is stopped does not serve, so there is nothing to hand over.
        if self.desired == DesiredRun::Stopped {
            self.members.clear();
        }
        self.desired = DesiredRun::Running;
        let old_count = self.members.values().map(|member| member.index + 1).max().unwrap_or(0);
        replacing.plan_from(self.spec.as_deref(), old_count);
        replacing.tell(None, replacing.intent(&self.name));
        self.operation = Some(Operation::Replacing(Box::new(replacing)));
    }

    fn start_all(&mut self, reply: oneshot::Sender<Reply>) {
        match &self.operation {
            Some(Operation::Replacing(_)) => {
                answer(reply, Reply::Done);
                return;
            }
            Some(Operation::Stopping(_)) => {
                self.waiting.push_back(Command::Start { reply });
                return;
            }
            None => {}
        }
        let Some(spec) = self.spec.clone() else {
            answer(reply, self.nothing_applied());
            return;
        };
        self.desired = DesiredRun::Running;
        self.save();
        self.take_over(&spec);
        let ids: Vec<u64> = self
            .members
            .values()
            .filter(|member| member.machine.launch().is_none())
            .map(|member| member.id)
            .collect();
        for id in ids {
            self.feed(id, Event::Start);
        }
        answer(reply, Reply::Done);
    }

    fn stop_all(&mut self, then: AfterStopping, reply: oneshot::Sender<Reply>) {
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
        for index in 0..spec.instances {
            if !self.members.values().any(|member| member.index == index && !member.retire) {
                self.add_member(index, Role::Current, spec);
            }
        }
    }

    fn nothing_applied(&self) -> Reply {
        Reply::Error {
            code: ErrorCode::AwaitingApply,
            message: format!("application {:?} has no spec that ever ran: apply one first", self.name),
        }
    }

    /// Remembers across a restart of the supervisor what runs.
    pub(super) fn save(&self) {
        if let Some(spec) = &self.spec {
            self.save_as(Some(SavedApp {
                name: spec.name.clone(),
                spec_digest: spec.spec_digest.clone(),
                release: spec.release.clone(),
                release_id: spec.release_id.clone(),
                exec_mode: spec.exec_mode,
                desired: self.desired,
            }));
        }
    }

    fn save_as(&self, saved: Option<SavedApp>) {
        // The registry is only gone when the supervisor ends.
        drop(self.registry.send(FromApp::Save { name: self.name.clone(), saved }));
    }

    pub(super) fn deleted(&mut self) {
        self.publish(None, String::new(), ProcessEventKind::Deleted, "deleted on request".to_owned());
        self.shared.logs.forget(&self.name);
        self.ended = true;
    }
}
