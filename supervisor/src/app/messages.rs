//! What is sent to the processes of an application: signals, messages, actions, input.

use std::collections::BTreeSet;

use muster_supervisor_protocol::{ErrorCode, Reply, TriggerAnswer};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::instances::wrong_state;
use super::member::Member;
use super::requests::answer;
use super::{Alarm, App};
use crate::process::{Order, tree};

/// Nobody waits longer for an action.
const MAX_TRIGGER_MS: u64 = 10 * 60 * 1_000;

/// An action that instances were asked for.
#[derive(Debug)]
pub(super) struct Trigger {
    number: u64,
    action: String,
    /// Members that have not answered yet.
    waiting: BTreeSet<u64>,
    answers: Vec<TriggerAnswer>,
    reply: oneshot::Sender<Reply>,
}

impl App {
    /// Members that have a process, or why not. Whoever names one wants just that one.
    fn running(&self, named: &[u32]) -> Result<Vec<&Member>, String> {
        let meant = self.meant(named);
        let meant: Vec<&Member> = meant.iter().filter_map(|id| self.members.get(id)).collect();
        let running: Vec<&Member> = meant.iter().copied().filter(|member| member.process.is_some()).collect();
        let down = meant.iter().find(|member| member.process.is_none());
        match down {
            Some(down) if !named.is_empty() || running.is_empty() => Err(format!(
                "instance {} of {:?} is {}: start it first",
                down.index,
                self.name,
                down.machine.state.kind().replace('_', " ")
            )),
            _ => Ok(running),
        }
    }

    pub(super) fn signal(&mut self, named: &[u32], signal: &str, reply: oneshot::Sender<Reply>) {
        let Some(number) = tree::signal_number(signal) else {
            let message = format!("{signal:?} is not a signal; use a name such as SIGUSR2, or its number");
            return answer(reply, Reply::Error { code: ErrorCode::BadRequest, message });
        };
        let done = self.running(named).map(|members| {
            members.iter().for_each(|member| member.order(Order::SignalOne(number)));
            Reply::Done
        });
        answer(reply, done.unwrap_or_else(wrong_state));
    }

    /// Members that hear messages.
    fn hearing(&self, named: &[u32]) -> Result<Vec<&Member>, String> {
        let members = self.running(named)?;
        let deaf = |member: &&&Member| member.process.as_ref().is_some_and(|process| !process.has_channel);
        if let Some(deaf) = members.iter().find(deaf) {
            return Err(format!(
                "instance {} of {:?} has no IPC channel: only Node.js applications hear messages",
                deaf.index, self.name
            ));
        }
        let full = |member: &&&Member| {
            let gauge = member.process.as_ref().and_then(|process| process.messages.as_ref());
            gauge.is_some_and(|gauge| !gauge.has_room())
        };
        match members.iter().find(full) {
            Some(full) => Err(format!(
                "instance {} of {:?} does not read its messages, and too many wait already",
                full.index, self.name
            )),
            None => Ok(members),
        }
    }

    pub(super) fn message(&mut self, named: &[u32], message: &Value, reply: oneshot::Sender<Reply>) {
        let done = self.hearing(named).map(|members| {
            members.iter().for_each(|member| member.order(Order::Message(message.clone())));
            Reply::Done
        });
        answer(reply, done.unwrap_or_else(wrong_state));
    }

    pub(super) fn trigger(
        &mut self,
        named: &[u32],
        action: &str,
        params: Option<Value>,
        timeout_ms: u64,
        reply: oneshot::Sender<Reply>,
    ) {
        let members = match self.hearing(named) {
            Ok(members) => members,
            Err(why) => return answer(reply, wrong_state(why)),
        };
        let knowing: Vec<&Member> = members
            .iter()
            .copied()
            .filter(|member| member.reported.action_names().contains(&action))
            .collect();
        if knowing.is_empty() {
            let known: BTreeSet<&str> =
                members.iter().flat_map(|member| member.reported.action_names()).collect();
            let known = match known.is_empty() {
                true => "it announced none".to_owned(),
                false => format!("it has {}", known.into_iter().collect::<Vec<_>>().join(", ")),
            };
            let message = format!("application {:?} has no action {action:?}; {known}", self.name);
            return answer(reply, wrong_state(message));
        }
        let number = self.next_id + 1;
        let message = match params {
            None => Value::from(action),
            Some(opts) => json!({"msg": action, "opts": opts, "uuid": number.to_string()}),
        };
        let waiting = knowing.iter().map(|member| member.id).collect();
        knowing.iter().for_each(|member| member.order(Order::Message(message.clone())));
        self.next_id = number;
        let action = action.to_owned();
        self.triggers.push(Trigger { number, action, waiting, answers: Vec::new(), reply });
        self.set_alarm(timeout_ms.min(MAX_TRIGGER_MS), Alarm::Trigger { number });
    }

    /// `axm:reply`: the value goes to the oldest one who asked this instance for that action.
    pub(super) fn replied(&mut self, id: u64, mut data: Value) {
        let Some(instance) = self.members.get(&id).map(|member| member.index) else { return };
        let said = data.get("action_name").and_then(Value::as_str).map(str::to_owned);
        let asked = |trigger: &Trigger| {
            let same = said.as_ref().is_none_or(|said| said.eq_ignore_ascii_case(&trigger.action));
            same && trigger.waiting.contains(&id)
        };
        let Some(at) = self.triggers.iter().position(asked) else { return };
        let value = match data.get_mut("return") {
            Some(value) => value.take(),
            None => data,
        };
        let trigger = &mut self.triggers[at];
        trigger.waiting.remove(&id);
        trigger.answers.push(TriggerAnswer { instance, value });
        if trigger.waiting.is_empty() {
            let number = trigger.number;
            self.end_trigger(number);
        }
    }

    /// A process that ended answers nothing any more.
    pub(super) fn answers_no_more(&mut self, id: u64) {
        for trigger in &mut self.triggers {
            trigger.waiting.remove(&id);
        }
        let ended: Vec<u64> =
            self.triggers.iter().filter(|t| t.waiting.is_empty()).map(|trigger| trigger.number).collect();
        ended.into_iter().for_each(|number| self.end_trigger(number));
    }

    pub(super) fn end_trigger(&mut self, number: u64) {
        if let Some(at) = self.triggers.iter().position(|trigger| trigger.number == number) {
            let Trigger { mut answers, reply, .. } = self.triggers.remove(at);
            answers.sort_by_key(|answer| answer.instance);
            answer(reply, Reply::Triggered { answers });
        }
    }

    pub(super) fn input(&mut self, named: &[u32], data: String, reply: oneshot::Sender<Reply>) {
        let members = match self.running(named) {
            Ok(members) => members,
            Err(why) => return answer(reply, wrong_state(why)),
        };
        for member in &members {
            let gauge = member.process.as_ref().and_then(|process| process.input.as_ref());
            let takes = match gauge {
                Some(gauge) => gauge.takes(data.len()),
                None => Err("has no standard input: its spec does not ask for one (stdin)".to_owned()),
            };
            if let Err(why) = takes {
                let message = format!("instance {} of {:?} {why}", member.index, self.name);
                return answer(reply, wrong_state(message));
            }
        }
        for member in members {
            member.order(Order::Input(data.clone().into_bytes()));
        }
        answer(reply, Reply::Done);
    }
}
