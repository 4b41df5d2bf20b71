//! The places of each role, and who has them.

use super::TurnCtx;
use muster_domain::{
    NodeId,
    node::Role,
    observed::ChangeCause,
    turn::{Turn, TurnState},
};
use std::collections::BTreeSet;

/// One for each role, and one for nodes without any.
const GROUPS: usize = Role::ALL.len() + 1;

fn group_of(role: Option<Role>) -> usize {
    role.and_then(|role| Role::ALL.iter().position(|known| *known == role)).unwrap_or(Role::ALL.len())
}

fn roles(roles: &[Role]) -> Vec<Option<Role>> {
    let distinct: BTreeSet<Role> = roles.iter().copied().collect();
    if distinct.is_empty() { vec![None] } else { distinct.into_iter().map(Some).collect() }
}

/// Whether what a node wants may be the mistake that others have failed at.
pub(super) fn counts_failed(cause: ChangeCause) -> bool {
    match cause {
        ChangeCause::Intentional => true,
        ChangeCause::Corrective => false,
    }
}

/// The one of two causes that waits for more.
pub(super) fn stricter(one: ChangeCause, other: ChangeCause) -> ChangeCause {
    if counts_failed(one) { one } else { other }
}

/// Why a node has to wait.
#[derive(Debug)]
pub(super) struct Blocked {
    /// The role whose places are taken.
    pub(super) role: Option<Role>,
    /// How many places it has.
    pub(super) most: usize,
    /// How many nodes it has.
    pub(super) nodes: usize,
    /// The nodes that have them.
    pub(super) holders: Vec<NodeId>,
    /// It is about restarts alone.
    pub(super) restarts: bool,
}

/// The first role that a node has in common with others, which have its only place.
pub(super) fn shared_with(ctx: &TurnCtx<'_>, node: NodeId, others: &[NodeId]) -> Option<Blocked> {
    let member = ctx.members.get(&node)?;
    let has = |node: &NodeId, role| ctx.members.get(node).is_some_and(|m| roles(m.roles).contains(&role));
    roles(member.roles).into_iter().find_map(|role| {
        let holders: Vec<NodeId> = others.iter().copied().filter(|other| has(other, role)).collect();
        let nodes = ctx.members.keys().filter(|node| has(node, role)).count();
        (!holders.is_empty()).then_some(Blocked { role, most: 1, nodes, holders, restarts: true })
    })
}

/// Counts per role, so that one look at a node does not look at every other.
#[derive(Debug, Clone)]
pub(super) struct Places {
    nodes: [usize; GROUPS],
    busy: [usize; GROUPS],
    failed: [usize; GROUPS],
    reserved: Vec<NodeId>,
}

impl Places {
    pub(super) fn of(ctx: &TurnCtx<'_>, turns: &[Turn]) -> Self {
        let mut places =
            Self { nodes: [0; GROUPS], busy: [0; GROUPS], failed: [0; GROUPS], reserved: Vec::new() };
        for member in ctx.members.values() {
            for role in roles(member.roles) {
                places.nodes[group_of(role)] += 1;
            }
        }
        for node in ctx.moving.keys() {
            count(ctx, *node, &mut places.busy);
        }
        for turn in turns.iter().filter(|turn| !ctx.moving.contains_key(&turn.node)) {
            match turn.state {
                TurnState::Granted => count(ctx, turn.node, &mut places.busy),
                TurnState::Failed => count(ctx, turn.node, &mut places.failed),
                TurnState::Waiting => {}
            }
        }
        places
    }

    /// Takes a place for a node that waits longer than the one in question.
    pub(super) fn reserve(&mut self, ctx: &TurnCtx<'_>, node: NodeId) {
        count(ctx, node, &mut self.busy);
        self.reserved.push(node);
    }

    /// Whether a role of this node has no free place for it. The node neither has its turn nor is moving.
    pub(super) fn blocked(
        &self,
        ctx: &TurnCtx<'_>,
        turns: &[Turn],
        node: NodeId,
        counts_failed: bool,
    ) -> Option<Blocked> {
        let member = ctx.members.get(&node)?;
        let failed_itself = turns.iter().any(|turn| turn.node == node && turn.state == TurnState::Failed);
        // A node that failed has its place already; two that failed must not wait for each other.
        let counts_failed = counts_failed && !failed_itself;
        roles(member.roles).into_iter().find_map(|role| {
            let group = group_of(role);
            let taken = self.busy[group] + if counts_failed { self.failed[group] } else { 0 };
            let most = ctx.policy.changing_at_most(self.nodes[group]);
            (taken >= most).then(|| Blocked {
                role,
                most,
                nodes: self.nodes[group],
                holders: self.holders(ctx, turns, node, role, counts_failed),
                restarts: false,
            })
        })
    }

    /// Who has the places of a role, those that failed first: they are what a person has to look at.
    fn holders(
        &self,
        ctx: &TurnCtx<'_>,
        turns: &[Turn],
        node: NodeId,
        role: Option<Role>,
        counts_failed: bool,
    ) -> Vec<NodeId> {
        let of_state = |state| turns.iter().filter(move |turn| turn.state == state).map(|turn| turn.node);
        let failed = of_state(TurnState::Failed).filter(|_| counts_failed);
        let mut seen = BTreeSet::new();
        failed
            .chain(ctx.moving.keys().copied())
            .chain(of_state(TurnState::Granted))
            .chain(self.reserved.iter().copied())
            .filter(|holder| *holder != node && seen.insert(*holder))
            .filter(|holder| {
                ctx.members.get(holder).is_some_and(|member| roles(member.roles).contains(&role))
            })
            .collect()
    }
}

fn count(ctx: &TurnCtx<'_>, node: NodeId, counts: &mut [usize; GROUPS]) {
    // A node that is no longer of the environment, or was revoked, takes nobody's place.
    if let Some(member) = ctx.members.get(&node) {
        for role in roles(member.roles) {
            counts[group_of(role)] += 1;
        }
    }
}
