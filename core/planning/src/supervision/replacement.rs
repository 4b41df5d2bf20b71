//! The order in which the instances of a new spec take over from those of the old one.
//!
//! [`next`] looks at the slots as they are and names the one next thing to do; called again after each change it
//! leads from any mixture to the end. So nothing is remembered between calls but the direction.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// How old and new may meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// The new instance is ready before the old one is asked to go.
    StartFirst,
    /// They cannot share the port: the old instance of a slot ends before the new one starts.
    StopFirst,
    /// They cannot even share the machine's sockets across slots: all old ones end before the first new one starts.
    StopAllFirst,
}

/// Towards the new spec, or back to the old one after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// Towards the new spec.
    Forward,
    /// Back to the old one.
    Back,
}

/// What is to be reached. Numbers of instances may have holes: some were deleted one by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// How old and new may meet.
    pub strategy: Strategy,
    /// Towards what.
    pub direction: Direction,
    /// Numbers of the instances of the old spec.
    pub old: BTreeSet<u32>,
    /// Numbers of the instances of the new spec.
    pub new: BTreeSet<u32>,
    /// The specs differ in nothing but the count: instances that exist are kept.
    pub keep_existing: bool,
}

/// An instance as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Not ready yet.
    Starting,
    /// Ready.
    Ready,
    /// Asked to end, still there.
    Stopping,
    /// No process: ended, waiting or given up.
    Down,
}

/// The old and the new instance of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slot {
    /// Of the old spec.
    pub old: Option<View>,
    /// Of the new spec.
    pub new: Option<View>,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Start an instance of the new spec.
    StartNew(u32),
    /// Start an instance of the old spec again.
    StartOld(u32),
    /// End (and forget) the new instance.
    StopNew(u32),
    /// End (and forget) the old instance.
    StopOld(u32),
    /// Nothing until something changes.
    Wait,
    /// The new instance of this number did not make it: turn back.
    Failed(u32),
    /// Done.
    Finished,
}

/// The next thing to do. `slots[i]` is instance `i`; slots beyond the end count as empty.
#[must_use]
pub fn next(plan: &Plan, slots: &[Slot]) -> Next {
    match plan.direction {
        Direction::Forward => forward(plan, slots),
        Direction::Back => back(plan, slots),
    }
}

fn all(plan: &Plan, slots: &[Slot]) -> Vec<(u32, Slot)> {
    let seen = 0..u32::try_from(slots.len()).unwrap_or(u32::MAX);
    let numbers: BTreeSet<u32> =
        seen.chain(plan.old.iter().copied()).chain(plan.new.iter().copied()).collect();
    let slot = |index: u32| (index, slots.get(index as usize).copied().unwrap_or_default());
    numbers.into_iter().map(slot).collect()
}

fn forward(plan: &Plan, slots: &[Slot]) -> Next {
    let slots = all(plan, slots);
    // A broken new instance is answered at once, whatever else is going on.
    for (index, slot) in &slots {
        if matches!(slot.new, Some(View::Down | View::Stopping)) {
            return Next::Failed(*index);
        }
    }
    if plan.strategy == Strategy::StopAllFirst && slots.iter().any(|(_, slot)| slot.old.is_some()) {
        return slots.iter().find_map(|(index, slot)| stop_old(*index, *slot)).unwrap_or(Next::Wait);
    }
    // Once one new instance has proven itself, slots that have no old one are started side by side.
    let proven = slots.iter().any(|(_, slot)| slot.new == Some(View::Ready)) || plan.keep_existing;
    let mut waiting = false;
    for &(index, slot) in &slots {
        let kept = plan.keep_existing && slot.old.is_some();
        if !plan.new.contains(&index) || kept {
            continue;
        }
        if plan.strategy == Strategy::StopFirst && slot.old.is_some() {
            return stop_old(index, slot).unwrap_or(Next::Wait);
        }
        match slot.new {
            None => return Next::StartNew(index),
            Some(View::Starting) if proven && slot.old.is_none() => waiting = true,
            Some(View::Starting) => return Next::Wait,
            Some(View::Ready) if slot.old.is_some() => return stop_old(index, slot).unwrap_or(Next::Wait),
            Some(View::Ready) => {}
            Some(View::Down | View::Stopping) => return Next::Failed(index),
        }
    }
    // Only when every new instance is ready do old ones go that have no successor.
    if waiting {
        return Next::Wait;
    }
    let surplus: Vec<_> =
        slots.iter().filter(|(index, slot)| !plan.new.contains(index) && slot.old.is_some()).collect();
    match surplus.iter().find_map(|(index, slot)| stop_old(*index, *slot)) {
        Some(stop) => stop,
        None if surplus.is_empty() => Next::Finished,
        None => Next::Wait,
    }
}

fn back(plan: &Plan, slots: &[Slot]) -> Next {
    let slots = all(plan, slots);
    let mut waiting = false;
    // What did not make it goes first; with stop-first everything new does, because it is in the way.
    for &(index, slot) in &slots {
        let in_the_way = match plan.strategy {
            Strategy::StartFirst => slot.new != Some(View::Ready) || !plan.old.contains(&index),
            Strategy::StopFirst | Strategy::StopAllFirst => true,
        };
        match slot.new {
            Some(View::Starting | View::Ready | View::Down) if in_the_way => return Next::StopNew(index),
            Some(View::Stopping) => waiting = true,
            None | Some(_) => {}
        }
    }
    if waiting && plan.strategy == Strategy::StopAllFirst {
        return Next::Wait;
    }
    for &(index, slot) in slots.iter().filter(|(index, _)| plan.old.contains(index)) {
        match (slot.old, slot.new) {
            (None, Some(View::Stopping)) if plan.strategy != Strategy::StartFirst => waiting = true,
            (None, _) => return Next::StartOld(index),
            (Some(View::Starting | View::Stopping), _) => waiting = true,
            // Whether the old one came back or not: the new one must not stay.
            (Some(View::Ready | View::Down), Some(View::Starting | View::Ready | View::Down)) => {
                return Next::StopNew(index);
            }
            (Some(View::Ready | View::Down), Some(View::Stopping) | None) => {}
        }
    }
    if waiting { Next::Wait } else { Next::Finished }
}

/// `None` when there is none or it is on its way out already.
fn stop_old(index: u32, slot: Slot) -> Option<Next> {
    match slot.old {
        None | Some(View::Stopping) => None,
        Some(View::Starting | View::Ready | View::Down) => Some(Next::StopOld(index)),
    }
}

/// Which numbers `count` instances have when these exist: new ones take the lowest free numbers; those that go are given
/// in the order in which they would go.
#[must_use]
pub fn scaled(existing: &BTreeSet<u32>, first_to_go: &[u32], count: usize) -> BTreeSet<u32> {
    let mut numbers = existing.clone();
    for gone in first_to_go.iter().take(existing.len().saturating_sub(count)) {
        numbers.remove(gone);
    }
    let free = (0..).filter(|number| !existing.contains(number));
    numbers.extend(free.take(count.saturating_sub(existing.len())));
    numbers
}
