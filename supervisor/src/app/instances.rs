//! What is done with instances one by one: stop, start, restart, delete, reset; and how many there are.

use std::sync::Arc;

use chrono::Utc;
use muster_planning::supervision::replacement::scaled;
use muster_planning::supervision::{Event, RestartCause};
use muster_supervisor_protocol::{AppSpec, DesiredRun, ErrorCode, Reply};
use tokio::sync::oneshot;

use super::awaited::Wish;
use super::operation::{AfterStopping, Operation, Replacing};
use super::requests::answer;
use super::{App, Command, Verb};

/// As many as a spec may have.
const MAX_INSTANCES: u32 = 512;

pub(super) fn wrong_state(message: String) -> Reply {
    Reply::Error { code: ErrorCode::WrongState, message }
}

impl Verb {
    /// Instances that have to exist.
    fn named(&self) -> &[u32] {
        match self {
            Self::Stop(named) | Self::Start(named) | Self::Restart(named) | Self::Reset(named) => named,
            Self::Signal { instances, .. }
            | Self::Message { instances, .. }
            | Self::Trigger { instances, .. }
            | Self::Input { instances, .. } => instances,
            // What is not there is deleted already.
            Self::Delete(_) | Self::Reload | Self::Scale { .. } => &[],
        }
    }

    /// It has to wait for a replacement or a stop to end.
    fn waits(&self) -> bool {
        match self {
            Self::Stop(_)
            | Self::Start(_)
            | Self::Restart(_)
            | Self::Delete(_)
            | Self::Reload
            | Self::Scale { .. } => true,
            Self::Reset(_)
            | Self::Signal { .. }
            | Self::Message { .. }
            | Self::Trigger { .. }
            | Self::Input { .. } => false,
        }
    }
}

impl App {
    pub(super) fn perform(&mut self, verb: Verb, reply: oneshot::Sender<Reply>) {
        let whole = |named: &[u32]| {
            named.is_empty()
                || (!self.instances.is_empty() && self.instances.iter().all(|n| named.contains(n)))
        };
        match &verb {
            // These two end whatever is being done.
            Verb::Stop(named) if whole(named) => {
                self.stopped = self.instances.clone();
                self.desired = DesiredRun::Stopped;
                self.save();
                return self.stop_all(AfterStopping::Keep, reply);
            }
            Verb::Delete(named) if whole(named) => {
                self.save_as(None);
                return self.stop_all(AfterStopping::Delete, reply);
            }
            Verb::Start(named)
                if named.is_empty() && matches!(self.operation, Some(Operation::Replacing(_))) =>
            {
                return answer(reply, Reply::Done);
            }
            verb if verb.waits() && self.operation.is_some() => {
                return self.waiting.push_back(Command::Do { verb: verb.clone(), reply });
            }
            _ => {}
        }
        let Some(spec) = self.spec.clone() else {
            return answer(reply, self.nothing_applied());
        };
        if let Some(missing) = verb.named().iter().find(|number| !self.instances.contains(number)) {
            let known: Vec<String> = self.instances.iter().map(ToString::to_string).collect();
            let (name, known) = (&self.name, known.join(", "));
            let message = format!("application {name:?} has no instance {missing}; it has {known}");
            return answer(reply, wrong_state(message));
        }
        match verb {
            Verb::Stop(named) => self.stop_some(&named, reply),
            Verb::Start(named) => self.start_some(&spec, &named, reply),
            Verb::Restart(named) => self.restart_some(&spec, &named, reply),
            Verb::Reload => self.reload(&spec, reply),
            Verb::Delete(named) => self.delete_some(&spec, &named, reply),
            Verb::Scale { instances, oldest_first } => self.scale(&spec, instances, oldest_first, reply),
            Verb::Reset(named) => self.reset(&named, reply),
            Verb::Signal { instances, signal } => self.signal(&instances, &signal, reply),
            Verb::Message { instances, message } => self.message(&instances, &message, reply),
            Verb::Trigger { instances, action, params, timeout_ms } => {
                self.trigger(&instances, &action, params, timeout_ms, reply);
            }
            Verb::Input { instances, data } => self.input(&instances, data, reply),
        }
    }

    /// Members behind the numbers; all when none is named.
    pub(super) fn meant(&self, named: &[u32]) -> Vec<u64> {
        let meant = |index| named.is_empty() || named.contains(&index);
        self.members
            .values()
            .filter(|member| !member.retire && meant(member.index))
            .map(|member| member.id)
            .collect()
    }

    fn stop_some(&mut self, named: &[u32], reply: oneshot::Sender<Reply>) {
        self.stopped.extend(named);
        self.refresh_desired();
        self.save();
        let members = self.meant(named);
        for id in &members {
            self.feed(*id, Event::Stop);
        }
        self.await_members(Wish::Down, members, reply);
    }

    fn start_some(&mut self, spec: &Arc<AppSpec>, named: &[u32], reply: oneshot::Sender<Reply>) {
        self.wanted(spec, named);
        for id in self.meant(named) {
            self.feed(id, Event::Start);
        }
        answer(reply, Reply::Done);
    }

    fn restart_some(&mut self, spec: &Arc<AppSpec>, named: &[u32], reply: oneshot::Sender<Reply>) {
        self.wanted(spec, named);
        let members = self.meant(named);
        for id in &members {
            if let Some(member) = self.members.get_mut(id) {
                member.created_at = Utc::now();
            }
            self.feed(*id, Event::Restart { cause: RestartCause::Requested });
        }
        self.await_members(Wish::Up { fresh: false }, members, reply);
    }

    /// They shall run from now on.
    fn wanted(&mut self, spec: &Arc<AppSpec>, named: &[u32]) {
        self.stopped.retain(|number| !named.is_empty() && !named.contains(number));
        self.refresh_desired();
        self.save();
        self.take_over(spec);
    }

    /// Start-first; what does not run at all is just started.
    fn reload(&mut self, spec: &Arc<AppSpec>, reply: oneshot::Sender<Reply>) {
        let running: Vec<u32> = self
            .members
            .values()
            .filter(|member| !member.retire && member.machine.launch().is_some())
            .map(|member| member.index)
            .collect();
        if running.is_empty() {
            return self.restart_some(spec, &[], reply);
        }
        self.begin(Replacing::reload(Arc::clone(spec), running), reply, None);
    }

    /// One instance has to be replaced; when something else is going on, its need will be seen again.
    pub(super) fn replace_one(&mut self, instance: u32) {
        let Some(spec) = self.spec.clone().filter(|_| self.operation.is_none()) else { return };
        let (reply, _) = oneshot::channel();
        self.begin(Replacing::reload(spec, [instance]), reply, None);
    }

    fn delete_some(&mut self, spec: &Arc<AppSpec>, named: &[u32], reply: oneshot::Sender<Reply>) {
        let members = self.meant(named);
        self.instances.retain(|number| !named.contains(number));
        self.count_instances(spec);
        for id in &members {
            self.retire(*id);
        }
        self.await_members(Wish::Gone, members, reply);
    }

    /// The spec in force has as many instances as there are.
    fn count_instances(&mut self, spec: &Arc<AppSpec>) {
        let count = u32::try_from(self.instances.len()).unwrap_or(u32::MAX);
        let spec = Arc::new(AppSpec { instances: count, ..AppSpec::clone(spec) });
        let instances = &self.instances;
        self.stopped.retain(|number| instances.contains(number));
        for member in self.members.values_mut().filter(|member| instances.contains(&member.index)) {
            member.adopt(&spec);
        }
        self.spec = Some(spec);
        self.refresh_desired();
        self.save();
    }

    fn scale(&mut self, spec: &Arc<AppSpec>, count: u32, oldest_first: bool, reply: oneshot::Sender<Reply>) {
        if !(1..=MAX_INSTANCES).contains(&count) {
            let message = format!(
                "{count} is not between 1 and {MAX_INSTANCES}; to have none, stop or delete the application"
            );
            return answer(reply, Reply::Error { code: ErrorCode::BadRequest, message });
        }
        let instances = self.numbers_for(count, oldest_first);
        let spec = Arc::new(AppSpec { instances: count, ..AppSpec::clone(spec) });
        self.begin(Replacing::scale(spec, instances), reply, None);
    }

    /// Numbers of that many instances: those there are, fewer of them or more.
    pub(super) fn numbers_for(&self, count: u32, oldest_first: bool) -> std::collections::BTreeSet<u32> {
        let mut first_to_go: Vec<u32> = self.instances.iter().copied().collect();
        first_to_go.sort_by_key(|number| self.places.get(number).map(|place| place.number()));
        if !oldest_first {
            first_to_go.reverse();
        }
        scaled(&self.instances, &first_to_go, usize::try_from(count).unwrap_or(usize::MAX))
    }

    fn reset(&mut self, named: &[u32], reply: oneshot::Sender<Reply>) {
        for id in self.meant(named) {
            if let Some(member) = self.members.get_mut(&id) {
                member.created_at = Utc::now();
            }
            self.feed(id, Event::Reset);
        }
        answer(reply, Reply::Done);
    }

    /// Stopped as a whole is what has every instance stopped.
    pub(super) fn refresh_desired(&mut self) {
        let all_stopped = !self.instances.is_empty() && self.instances.is_subset(&self.stopped);
        self.desired = if all_stopped { DesiredRun::Stopped } else { DesiredRun::Running };
    }
}
