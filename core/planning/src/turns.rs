//! Turns: how many nodes of a role may be changing disruptively at once, and who is next.
//!
//! Holds: [`request`], [`release`] and [`settle`] over the turns of one environment, and [`may_start`] for rollouts, which
//! take their nodes' places without asking.
//! Must not: know how turns are stored. Whoever calls holds the only pen: two answers at once would give one place twice.
//! Start here: [`request`].
//!
//! A node has a place in each of its roles (nodes without a role share one). Nodes that were granted their turn take a
//! place, and so do those that a rollout is moving and those whose change failed. So a mistake in a configuration stops
//! after as many nodes as may change at once: the others wait until the failed ones are converged, there is a newer
//! configuration, or a person lets them go on. Putting drift right is no new mistake, so it waits for nodes that change, but
//! not for nodes that failed.

mod places;
#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};
use muster_domain::{
    EnvironmentName, NodeId, NodeName,
    assignment::Generation,
    event::Severity,
    fleet::Environment,
    node::Role,
    turn::{Turn, TurnAnswer, TurnKind, TurnOutcome, TurnRequest, TurnState},
};
use places::{Blocked, Places};
use std::collections::BTreeMap;

/// A change that takes longer is asked for again by the agent, half-way: a package that is unpacked on a slow disk, or a
/// release that is fetched over a slow line.
pub const CHANGE_LEASE: TimeDelta = TimeDelta::minutes(15);

/// From the order to restart until the agent is back: a host that checks its memory and its file systems takes that long.
pub const REBOOT_LEASE: TimeDelta = TimeDelta::minutes(30);

/// A node that waits asks again after this and a little for each other one that waits, so that ten thousand of them do not
/// ask all day. Those whose turn is near are told.
const RETRY_MS: i64 = 10_000;
const RETRY_PER_WAITING_MS: i64 = 20;
const RETRY_MOST_MS: i64 = 120_000;

/// Nodes that are told when a place may be free; the others are further back in the row.
const TOLD_AT_MOST: usize = 32;

/// Names in a reason; the others are counted.
const NAMES_AT_MOST: usize = 3;

/// Names in an answer.
const HOLDERS_AT_MOST: usize = 10;

/// A node of the environment, as far as turns go.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// Its name.
    pub name: &'a NodeName,
    /// What it is for.
    pub roles: &'a [Role],
    /// It is heard from.
    pub reachable: bool,
}

/// What a decision needs to know of the world.
#[derive(Debug, Clone, Copy)]
pub struct TurnCtx<'a> {
    /// Now.
    pub now: DateTime<Utc>,
    /// Since when nodes could be heard: who could not ask again has not let its turn run out.
    pub listening_since: DateTime<Utc>,
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// Its policy.
    pub policy: &'a Environment,
    /// The fleet configuration in force.
    pub configuration_version: i64,
    /// Its nodes that are not revoked.
    pub members: &'a BTreeMap<NodeId, Member<'a>>,
    /// Nodes that rollouts are moving now, and what a person should know of it.
    pub moving: &'a BTreeMap<NodeId, String>,
}

impl TurnCtx<'_> {
    fn name(&self, node: NodeId) -> String {
        self.members.get(&node).map_or_else(|| node.to_string(), |member| member.name.to_string())
    }

    /// Whether a turn has run out for a node that could ask for it again all the time.
    fn run_out(&self, turn: &Turn) -> bool {
        let lease = lease(turn.kind);
        turn.expires_at.is_some_and(|at| at.max(self.listening_since + lease) <= self.now)
    }
}

/// Something that people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How much they should care.
    pub severity: Severity,
    /// Stable dotted word of the event.
    pub kind: &'static str,
    /// One line.
    pub message: String,
}

/// What becomes of a node's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The node.
    pub node: NodeId,
    /// Its turn from now on; `None`: it has none.
    pub turn: Option<Turn>,
    /// What people are told.
    pub notice: Option<Notice>,
}

/// How long a turn lasts without being asked for again.
pub const fn lease(kind: TurnKind) -> TimeDelta {
    match kind {
        TurnKind::Change => CHANGE_LEASE,
        TurnKind::Reboot => REBOOT_LEASE,
    }
}

/// What time, and a newer configuration, have made of the turns. To be carried out before anything else is decided.
pub fn settle(ctx: &TurnCtx<'_>, turns: &[Turn]) -> Vec<Change> {
    turns.iter().filter_map(|turn| settle_one(ctx, turn)).collect()
}

fn settle_one(ctx: &TurnCtx<'_>, turn: &Turn) -> Option<Change> {
    let name = ctx.name(turn.node);
    let gone = |notice| Some(Change { node: turn.node, turn: None, notice });
    match turn.state {
        // Another mistake would be another one: the newer configuration may be what mends this.
        TurnState::Failed if turn.configuration_version < ctx.configuration_version => gone(None),
        TurnState::Failed => None,
        TurnState::Waiting => turn.expires_at.is_some_and(|at| at <= ctx.now).then(|| gone(None)).flatten(),
        TurnState::Granted if !ctx.run_out(turn) => None,
        TurnState::Granted if ctx.members.get(&turn.node).is_some_and(|member| member.reachable) => {
            gone(Some(Notice {
                severity: Severity::Warning,
                kind: "node.turn_lost",
                message: format!(
                    "{name} had its turn for {} min ({}) and did not give it back; others may change now",
                    lease(turn.kind).num_minutes(),
                    turn.reason
                ),
            }))
        }
        TurnState::Granted => {
            // Whatever silenced it, it is silent now, under the configuration of now.
            let turn = Turn { configuration_version: ctx.configuration_version, ..turn.clone() };
            Some(failed(ctx, &turn, "it fell silent during its turn".to_owned()))
        }
    }
}

fn failed(ctx: &TurnCtx<'_>, turn: &Turn, detail: String) -> Change {
    let name = ctx.name(turn.node);
    let message = format!(
        "{name} failed in its turn ({}): {detail}; it keeps its place until it is converged or there is a newer fleet configuration; `muster node release-turn {name}` lets others change",
        turn.reason
    );
    Change {
        node: turn.node,
        turn: Some(Turn {
            state: TurnState::Failed,
            since: ctx.now,
            expires_at: None,
            detail,
            ..turn.clone()
        }),
        notice: Some(Notice { severity: Severity::Error, kind: "node.turn_failed", message }),
    }
}

/// A node asks for its turn, or for longer. Gives back what becomes of its turn, and the answer.
pub fn request(
    ctx: &TurnCtx<'_>,
    turns: &[Turn],
    node: NodeId,
    request: &TurnRequest,
) -> (Change, TurnAnswer) {
    let own = turns.iter().find(|turn| turn.node == node);
    let state = own.map(|turn| turn.state);
    let since = own.map(|turn| turn.since);
    let turn = |state, since, expires_at, detail| Turn {
        node,
        kind: request.kind,
        // Whoever has its turn for what is new and puts drift right besides still has it for what is new.
        cause: own
            .filter(|own| state == TurnState::Granted && own.state == TurnState::Granted)
            .map_or(request.cause, |own| places::stricter(own.cause, request.cause)),
        reason: request.reason.clone(),
        generation: request.generation,
        configuration_version: ctx.configuration_version,
        state,
        since,
        expires_at,
        detail,
    };
    let granted = own.filter(|turn| turn.state == TurnState::Granted);
    let blocked = restarting(ctx, turns, node, request.kind).or_else(|| match granted {
        _ if ctx.moving.contains_key(&node) => None,
        Some(granted) => goes_too_far(ctx, turns, granted, request),
        None => blocked(ctx, turns, node, request),
    });
    let Some(blocked) = blocked else {
        let since = if state == Some(TurnState::Granted) { since } else { None };
        let expires_at = ctx.now + lease(request.kind);
        let granted = turn(TurnState::Granted, since.unwrap_or(ctx.now), Some(expires_at), String::new());
        let lease_ms = u32::try_from(lease(request.kind).num_milliseconds()).unwrap_or(u32::MAX);
        let change = Change { node, turn: Some(granted), notice: None };
        return (change, TurnAnswer::Granted { lease_ms });
    };
    let reason = why(ctx, turns, &blocked);
    let others = |turn: &&Turn| turn.state == TurnState::Waiting && turn.node != node;
    let waiting = turns.iter().filter(others).count();
    let retry_ms = RETRY_MS
        .saturating_add(RETRY_PER_WAITING_MS.saturating_mul(i64::try_from(waiting).unwrap_or(i64::MAX)))
        .min(RETRY_MOST_MS);
    let answer = TurnAnswer::Waiting {
        reason: reason.clone(),
        holders: blocked.holders.iter().take(HOLDERS_AT_MOST).map(|n| ctx.name(*n)).collect(),
        retry_after_ms: u32::try_from(retry_ms).unwrap_or(u32::MAX),
    };
    // A node whose change failed keeps its place while it waits to try again, and one that puts drift right goes on with that.
    let Some(own) = own.filter(|turn| matches!(turn.state, TurnState::Failed | TurnState::Granted)) else {
        // Three questions may get lost.
        let expires_at = ctx.now + TimeDelta::milliseconds(3 * retry_ms) + TimeDelta::minutes(1);
        let notice = state.is_none().then(|| Notice {
            severity: Severity::Info,
            kind: "node.turn_waiting",
            message: format!("{} waits for its turn to {}: {reason}", ctx.name(node), request.reason),
        });
        let waits = turn(TurnState::Waiting, since.unwrap_or(ctx.now), Some(expires_at), reason);
        return (Change { node, turn: Some(waits), notice }, answer);
    };
    (Change { node, turn: Some(own.clone()), notice: None }, answer)
}

/// A node has used its turn. `None`: it had none, or what it has stays.
pub fn release(
    ctx: &TurnCtx<'_>,
    turns: &[Turn],
    node: NodeId,
    generation: Generation,
    outcome: &TurnOutcome,
) -> Option<Change> {
    let own = turns.iter().find(|turn| turn.node == node)?;
    match (own.state, outcome) {
        (TurnState::Granted | TurnState::Waiting, TurnOutcome::Done) => {
            Some(Change { node, turn: None, notice: None })
        }
        (TurnState::Granted, TurnOutcome::Failed { detail }) => {
            let own = Turn { generation: own.generation.max(generation), ..own.clone() };
            Some(failed(ctx, &own, detail.clone()))
        }
        // What failed is not done because a later run had nothing to do; a report that everything is converged ends it.
        (TurnState::Failed, TurnOutcome::Done | TurnOutcome::Failed { .. })
        | (TurnState::Waiting, TurnOutcome::Failed { .. }) => None,
    }
}

/// Whether a rollout may start with a node now; else whom it waits for and why. `ctx.moving` is without the nodes of that
/// rollout: it moves them one after another by itself.
pub fn may_start(ctx: &TurnCtx<'_>, turns: &[Turn], node: NodeId) -> Result<(), String> {
    let granted = turns.iter().any(|turn| turn.node == node && turn.state == TurnState::Granted);
    if granted || ctx.moving.contains_key(&node) {
        return Ok(());
    }
    let places = Places::of(ctx, turns);
    places.blocked(ctx, turns, node, true).map_or(Ok(()), |blocked| Err(why(ctx, turns, &blocked)))
}

/// The nodes that may be next, in their order.
pub fn next_in_row(turns: &[Turn]) -> Vec<NodeId> {
    let mut waiting: Vec<_> = turns.iter().filter(|turn| turn.state == TurnState::Waiting).collect();
    waiting.sort_by_key(|turn| (turn.since, turn.node));
    waiting.into_iter().take(TOLD_AT_MOST).map(|turn| turn.node).collect()
}

/// Whether a node that has no place has to wait. First come, first served: a place that is free belongs to whoever has
/// waited longest of those that could take it. One that cannot, because another of its roles is full, holds nobody up.
fn blocked(ctx: &TurnCtx<'_>, turns: &[Turn], node: NodeId, request: &TurnRequest) -> Option<Blocked> {
    let mut places = Places::of(ctx, turns);
    let intentional = places::counts_failed(request.cause);
    if let Some(blocked) = places.blocked(ctx, turns, node, intentional) {
        return Some(blocked);
    }
    let own = turns.iter().find(|turn| turn.node == node && turn.state == TurnState::Waiting);
    let before = |turn: &&Turn| {
        turn.state == TurnState::Waiting
            && turn.node != node
            && ctx.members.get(&turn.node).is_some_and(|member| member.reachable)
            && own.is_none_or(|own| (turn.since, turn.node) < (own.since, own.node))
    };
    let mut row: Vec<_> = turns.iter().filter(before).collect();
    row.sort_by_key(|turn| (turn.since, turn.node));
    for turn in row {
        if restarting(ctx, turns, turn.node, turn.kind).is_none()
            && places.blocked(ctx, turns, turn.node, places::counts_failed(turn.cause)).is_none()
        {
            places.reserve(ctx, turn.node);
        }
    }
    places.blocked(ctx, turns, node, intentional)
}

/// Whether a node has to wait with its restart for another one of a role of its own, however many may change at once.
fn restarting(ctx: &TurnCtx<'_>, turns: &[Turn], node: NodeId, kind: TurnKind) -> Option<Blocked> {
    let restarts = |turn: &&Turn| turn.state == TurnState::Granted && turn.kind == TurnKind::Reboot;
    if kind != TurnKind::Reboot || turns.iter().filter(restarts).any(|turn| turn.node == node) {
        return None;
    }
    let others: Vec<NodeId> = turns.iter().filter(restarts).map(|turn| turn.node).collect();
    places::shared_with(ctx, node, &others)
}

/// Whether a node that has its turn has to wait with what it wants besides: a turn for putting drift right, which did not have
/// to wait for nodes that failed, is none for trying what they failed at.
fn goes_too_far(ctx: &TurnCtx<'_>, turns: &[Turn], granted: &Turn, request: &TurnRequest) -> Option<Blocked> {
    if places::counts_failed(granted.cause) || !places::counts_failed(request.cause) {
        return None;
    }
    let others: Vec<Turn> = turns.iter().filter(|turn| turn.node != granted.node).cloned().collect();
    Places::of(ctx, &others).blocked(ctx, &others, granted.node, true)
}

/// Whom a node waits for and why, for a person.
fn why(ctx: &TurnCtx<'_>, turns: &[Turn], blocked: &Blocked) -> String {
    let of = |node: &NodeId| {
        let name = ctx.name(*node);
        if let Some(moving) = ctx.moving.get(node) {
            return format!("{name} is moving ({moving})");
        }
        let Some(turn) = turns.iter().find(|turn| turn.node == *node) else { return name };
        let since = turn.since.format("%H:%M:%SZ");
        let silent = !ctx.members.get(node).is_some_and(|member| member.reachable);
        match (turn.state, turn.kind) {
            // A node that restarts is silent for a while.
            (TurnState::Granted, TurnKind::Change) if silent => format!(
                "{name} is not heard from, and was changing since {since} ({}; `muster node release-turn {name}` lets others change)",
                turn.reason
            ),
            (TurnState::Granted, TurnKind::Change) => {
                format!("{name} is changing since {since} ({})", turn.reason)
            }
            (TurnState::Granted, TurnKind::Reboot) => format!("{name} is restarting since {since}"),
            (TurnState::Failed, _) => format!(
                "{name} failed at {since} ({}; `muster node release-turn {name}` lets others change)",
                turn.detail
            ),
            (TurnState::Waiting, _) => format!("{name} asked first"),
        }
    };
    let named: Vec<_> = blocked.holders.iter().take(NAMES_AT_MOST).map(of).collect();
    let more = match blocked.holders.len().saturating_sub(NAMES_AT_MOST) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let role = blocked.role.map_or("nodes without a role", Role::as_str);
    let verb = if blocked.restarts { "restart" } else { "change" };
    format!(
        "{}{more}; at most {} of the {} {role} in {} may {verb} at once",
        named.join(", "),
        blocked.most,
        blocked.nodes,
        ctx.environment
    )
}
