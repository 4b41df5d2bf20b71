//! Restarts of a node: whether one is needed, and when it may happen. Within its window, with the node's turn, once; or because
//! a person wants it, in no window.
//!
//! Holds: [`needed`] (why a restart is needed) and [`step`] (what to do about it, as a state machine).
//! Must not: restart anything, or know what time it is.
//! Start here: [`step`].

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// After this a restart that was asked for does not happen any more.
const GIVE_UP_AFTER: TimeDelta = TimeDelta::minutes(15);

/// So long a host that is back may take until it does its work again.
const BACK_WITHIN: TimeDelta = TimeDelta::minutes(15);

/// No window is open for longer, so after this it is another one, or one that never closes.
const LONGEST_WINDOW: TimeDelta = TimeDelta::hours(24);

/// How the restart of a node stands. Kept on its disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RebootState {
    /// None is going on.
    Idle {
        /// The last one that was planned.
        last: Option<LastReboot>,
    },
    /// The host was asked to restart, and the turn is kept.
    Asked {
        /// The start of the kernel that ends with it.
        boot_id: String,
        /// Why.
        reason: String,
        /// When it was asked.
        at: DateTime<Utc>,
        /// The node was as it should be.
        #[serde(default = "yes")]
        was_converged: bool,
    },
    /// The host is back; the turn is kept until the node does its work again.
    Returned {
        /// Why it was restarted.
        reason: String,
        /// When it was asked to.
        at: DateTime<Utc>,
        /// When it was first seen back; absent in what an older agent wrote.
        #[serde(default)]
        back_at: Option<DateTime<Utc>>,
        /// The node was as it should be before.
        #[serde(default = "yes")]
        was_converged: bool,
    },
}

const fn yes() -> bool {
    true
}

impl Default for RebootState {
    fn default() -> Self {
        Self::Idle { last: None }
    }
}

/// A restart that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReboot {
    /// When it was asked for.
    pub at: DateTime<Utc>,
    /// Its window was seen closed since.
    pub window_closed_since: bool,
}

/// What is known when it is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RebootFacts<'a> {
    /// The time.
    pub now: DateTime<Utc>,
    /// Which start of the kernel this is.
    pub boot_id: &'a str,
    /// Why a restart is needed, when it is.
    pub needed: Option<&'a str>,
    /// The restart that a person wants, and that was not carried out yet.
    pub wanted: Option<Wanted<'a>>,
    /// Whether the window is open; absent when there is none, or when its time cannot be told.
    pub window_open: Option<bool>,
    /// Why it would do harm right now: packages are being changed.
    pub busy: Option<&'a str>,
    /// The node is as it should be, and its applications are ready.
    pub converged: bool,
    /// How the node's turn stands.
    pub turn: Turn<'a>,
}

/// A restart that a person wants: in no window, and once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Who, and why.
    pub reason: &'a str,
    /// Without waiting for the node's turn.
    pub at_once: bool,
}

/// How the node's turn stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn<'a> {
    /// It was not asked for.
    NotAsked,
    /// It is this node's.
    Granted,
    /// Others are before it, or nobody answers.
    Waits(&'a str),
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebootStep {
    /// How it stands now. To be on the disk before anything is done.
    pub state: RebootState,
    /// What to do, in this order.
    pub effects: Vec<RebootEffect>,
    /// What a needed restart waits for, for a person.
    pub waits_for: Option<String>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RebootEffect {
    /// Ask for the node's turn, and decide again with the answer.
    AskTurn {
        /// Why.
        reason: String,
    },
    /// Restart the host.
    Reboot,
    /// Give the turn back.
    ReleaseTurn,
    /// Give it back as one that went wrong.
    FailTurn {
        /// What went wrong, for a person.
        detail: String,
    },
    /// Tell the fleet.
    Tell(RebootNews),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RebootNews {
    /// The host is about to restart.
    Rebooting {
        /// Why.
        reason: String,
    },
    /// The host is back.
    Rebooted {
        /// Why it was restarted.
        reason: String,
        /// What still asks for a restart.
        still_needed: Option<String>,
    },
    /// The host was asked to restart and did not.
    Failed {
        /// Why it should have.
        reason: String,
    },
}

impl RebootStep {
    fn stay(state: &RebootState) -> Self {
        Self { state: state.clone(), effects: Vec::new(), waits_for: None }
    }
}

impl RebootState {
    /// Whether the node's turn must not be given back: a restart is on its way, or has just been.
    pub const fn keeps_turn(&self) -> bool {
        match self {
            Self::Idle { .. } => false,
            Self::Asked { .. } | Self::Returned { .. } => true,
        }
    }
}

/// Decides what to do about the restart of a node.
pub fn step(state: &RebootState, facts: &RebootFacts<'_>) -> RebootStep {
    match state {
        RebootState::Idle { last } => idle(last.as_ref(), facts),
        RebootState::Asked { boot_id, reason, at, was_converged: _ } if boot_id == facts.boot_id => {
            let over = facts.now - *at;
            // A clock that was set back must not keep the turn for years.
            if over < GIVE_UP_AFTER && over > -GIVE_UP_AFTER {
                return RebootStep::stay(state);
            }
            let last = LastReboot { at: facts.now, window_closed_since: false };
            let news = RebootNews::Failed { reason: reason.clone() };
            RebootStep {
                state: RebootState::Idle { last: Some(last) },
                effects: vec![RebootEffect::Tell(news), RebootEffect::ReleaseTurn],
                waits_for: None,
            }
        }
        RebootState::Asked { boot_id: _, reason, at, was_converged } => {
            let news = RebootNews::Rebooted {
                reason: reason.clone(),
                still_needed: facts.needed.map(str::to_owned),
            };
            let mut after = returned(reason, *at, facts.now, *was_converged, facts);
            after.effects.insert(0, RebootEffect::Tell(news));
            after
        }
        RebootState::Returned { reason, at, back_at, was_converged } => {
            returned(reason, *at, back_at.unwrap_or(*at), *was_converged, facts)
        }
    }
}

fn returned(
    reason: &str,
    at: DateTime<Utc>,
    back_at: DateTime<Utc>,
    was_converged: bool,
    facts: &RebootFacts<'_>,
) -> RebootStep {
    let over = facts.now - back_at;
    // As above: a clock that jumps must not keep the turn for years.
    if !facts.converged && over < BACK_WITHIN && over > -BACK_WITHIN {
        let reason = reason.to_owned();
        let state = RebootState::Returned { reason, at, back_at: Some(back_at), was_converged };
        return RebootStep { state, effects: Vec::new(), waits_for: None };
    }
    let last = LastReboot { at, window_closed_since: facts.window_open == Some(false) };
    let effect = if facts.converged || !was_converged {
        RebootEffect::ReleaseTurn
    } else {
        let minutes = BACK_WITHIN.num_minutes();
        let detail = format!(
            "{minutes} min after its restart ({reason}) it is not what it should be, as it was before"
        );
        RebootEffect::FailTurn { detail }
    };
    RebootStep { state: RebootState::Idle { last: Some(last) }, effects: vec![effect], waits_for: None }
}

fn idle(last: Option<&LastReboot>, facts: &RebootFacts<'_>) -> RebootStep {
    let last = last.map(|last| LastReboot {
        at: last.at,
        window_closed_since: last.window_closed_since || facts.window_open == Some(false),
    });
    // One that lies in the future was noted by a clock that was wrong.
    let recent = last.as_ref().filter(|last| {
        let since = facts.now - last.at;
        !last.window_closed_since && since < LONGEST_WINDOW && since > -LONGEST_WINDOW
    });
    let mut waits_for = None;
    let mut effects = Vec::new();
    let mut state = None;
    if let Some(reason) = facts.wanted.map(|wanted| wanted.reason).or(facts.needed) {
        let again = recent.map(|last| {
            format!(
                "the next window: it was restarted at {} and that did not help",
                last.at.format("%Y-%m-%d %H:%M UTC")
            )
        });
        let busy = || facts.busy.map(|busy| format!("the end of {busy}"));
        waits_for = match facts.window_open {
            _ if facts.wanted.is_some() => busy(),
            None => Some("a person: no reboot window is declared, or its time cannot be told".to_owned()),
            Some(false) => Some("its window".to_owned()),
            Some(true) => again.or_else(busy),
        };
        if waits_for.is_none() {
            let at_once = facts.wanted.is_some_and(|wanted| wanted.at_once);
            match facts.turn {
                Turn::NotAsked if !at_once => {
                    effects.push(RebootEffect::AskTurn { reason: reason.to_owned() })
                }
                Turn::Waits(why) if !at_once => waits_for = Some(format!("its turn: {why}")),
                Turn::NotAsked | Turn::Waits(_) | Turn::Granted => {
                    let reason = reason.to_owned();
                    effects.push(RebootEffect::Tell(RebootNews::Rebooting { reason: reason.clone() }));
                    effects.push(RebootEffect::Reboot);
                    let boot_id = facts.boot_id.to_owned();
                    let (at, was_converged) = (facts.now, facts.converged);
                    state = Some(RebootState::Asked { boot_id, reason, at, was_converged });
                }
            }
        }
    }
    if facts.turn == Turn::Granted && state.is_none() {
        // What it was asked for went away in the meantime.
        effects.push(RebootEffect::ReleaseTurn);
    }
    RebootStep { state: state.unwrap_or(RebootState::Idle { last }), effects, waits_for }
}

/// Why a restart is needed: packages asked for it, or a newer kernel than the running one is installed.
pub fn needed(requested_by: Option<&[String]>, running: &str, installed: &[String]) -> Option<String> {
    let (version, flavour) = kernel(running);
    let newer = installed
        .iter()
        .filter(|release| {
            let (other, of) = kernel(release);
            of == flavour && other > version
        })
        .max_by_key(|release| kernel(release).0);
    match (requested_by, newer) {
        (_, Some(newer)) => Some(format!("the kernel {newer} is installed and {running} is running")),
        (Some([]), None) => Some("an upgrade asks for a restart".to_owned()),
        (Some(packages), None) => Some(format!("upgraded: {}", packages.join(", "))),
        (None, None) => None,
    }
}

/// The numbers of a kernel's release, and what kind of kernel it is: `6.1.0-28-cloud-amd64` is 6, 1, 0, 28 of `cloud-amd64`.
/// One of another kind is not what the node would start next.
fn kernel(release: &str) -> (Vec<u64>, &str) {
    let mut numbers = Vec::new();
    let mut rest = release;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let Ok(number) = number.parse() else { break };
        numbers.push(number);
        match after.strip_prefix(['.', '-', '+', '~']) {
            Some(next) => rest = next,
            None => {
                rest = after;
                break;
            }
        }
    }
    (numbers, rest)
}

#[cfg(test)]
mod tests;
