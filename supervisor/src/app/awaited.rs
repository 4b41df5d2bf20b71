//! Clients that wait until instances have stopped, gone, or come up.

use std::collections::BTreeSet;

use muster_planning::supervision::{AfterStop, State, StopCause};
use muster_supervisor_protocol::{Applied, ApplyOutcome, Reply};
use tokio::sync::oneshot;

use super::App;
use super::member::Member;
use super::operation::why_down;
use super::requests::answer;

/// A client that waits. After an upgrade it is gone, and with it the reason to remember this.
#[derive(Debug)]
pub(super) struct Awaited {
    wish: Wish,
    members: BTreeSet<u64>,
    reply: oneshot::Sender<Reply>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// No process is on its way out any longer.
    Down,
    /// They are forgotten.
    Gone,
    /// Each is ready, or will not be.
    Up {
        /// They are started for the first time.
        fresh: bool,
    },
}

/// How it went with one that was to come up.
enum Came {
    Later,
    Up,
    /// It did what it was there for and ended.
    Done(String),
    Failed(String),
}

impl App {
    pub(super) fn await_members(
        &mut self,
        wish: Wish,
        members: impl IntoIterator<Item = u64>,
        reply: oneshot::Sender<Reply>,
    ) {
        self.awaited.push(Awaited { wish, members: members.into_iter().collect(), reply });
    }

    /// Answers those whose wish has come true, or will not.
    pub(super) fn answer_awaited(&mut self) {
        let mut waiting = Vec::new();
        for awaited in std::mem::take(&mut self.awaited) {
            match self.outcome(&awaited) {
                None => waiting.push(awaited),
                Some(reply) => {
                    if awaited.wish == (Wish::Up { fresh: true }) {
                        self.last_failure = match &reply {
                            Reply::Applied(Applied {
                                outcome: ApplyOutcome::Failed { reason, .. }, ..
                            }) => Some(reason.clone()),
                            _ => None,
                        };
                    }
                    answer(awaited.reply, reply);
                }
            }
        }
        self.awaited = waiting;
    }

    fn outcome(&self, awaited: &Awaited) -> Option<Reply> {
        let members = awaited.members.iter().map(|id| (id, self.members.get(id)));
        match awaited.wish {
            Wish::Gone => members.into_iter().all(|(_, member)| member.is_none()).then_some(Reply::Done),
            Wish::Down => {
                let ending = |member: &Member| {
                    matches!(member.machine.state, State::Stopping { then: AfterStop::Stay, .. })
                };
                (!members.into_iter().any(|(_, member)| member.is_some_and(ending))).then_some(Reply::Done)
            }
            Wish::Up { fresh } => {
                let mut notes = Vec::new();
                let mut failure: Option<(String, Vec<String>)> = None;
                for (_, member) in members {
                    let Some(member) = member else {
                        let reason = "an instance was replaced or deleted meanwhile".to_owned();
                        failure.get_or_insert((reason, Vec::new()));
                        continue;
                    };
                    match came(member) {
                        Came::Later => return None,
                        Came::Up => {}
                        Came::Done(how) => notes.push(format!("instance {} {how}", member.index)),
                        Came::Failed(why) => match &mut failure {
                            None => {
                                let reason = format!("instance {} {why}", member.index);
                                failure = Some((reason, member.last_words()));
                            }
                            Some((reason, _)) => {
                                reason.push_str(&format!("; instance {} too", member.index));
                            }
                        },
                    }
                }
                let outcome = match failure {
                    Some((reason, last_stderr)) => {
                        ApplyOutcome::Failed { reason, last_stderr, previous_kept: false }
                    }
                    None if fresh => ApplyOutcome::Started,
                    None => ApplyOutcome::Replaced,
                };
                Some(Reply::Applied(Applied { outcome, notes }))
            }
        }
    }
}

fn came(member: &Member) -> Came {
    match &member.machine.state {
        State::Starting { .. } | State::Stopping { then: AfterStop::StartAgain, .. } => Came::Later,
        State::Ready { .. } => Came::Up,
        State::Stopped { cause: StopCause::Ended { reason } } if member.ended_well() => {
            Came::Done(reason.clone())
        }
        State::Stopped { cause: StopCause::Requested | StopCause::NeverStarted }
        | State::Stopping { then: AfterStop::Stay, .. } => Came::Failed("was stopped meanwhile".to_owned()),
        State::Stopped { .. }
        | State::BackingOff { .. }
        | State::CrashLooping { .. }
        | State::Stopping { then: AfterStop::Fail { .. }, .. } => Came::Failed(why_down(member)),
    }
}
