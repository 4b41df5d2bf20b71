use std::collections::BTreeSet;

use proptest::prelude::*;

use super::replacement::{Direction, Next, Plan, Slot, Strategy as Order, View, next, scaled};

/// A world that carries out what `next` says and finishes started and stopping instances in a random order.
struct World {
    plan: Plan,
    slots: Vec<Slot>,
    /// New instances of these numbers never get ready.
    broken: Vec<u32>,
    failures: u32,
    /// Fewest numbers served at any time.
    fewest_serving: usize,
}

impl World {
    fn new(plan: Plan, broken: Vec<u32>) -> Self {
        let size = plan.old.iter().chain(&plan.new).max().map_or(0, |highest| highest + 1);
        let slots = (0..size)
            .map(|index| Slot { old: plan.old.contains(&index).then_some(View::Ready), new: None })
            .collect();
        let fewest_serving = plan.old.len();
        Self { plan, slots, broken, failures: 0, fewest_serving }
    }

    fn serving(&self) -> usize {
        self.slots
            .iter()
            .filter(|slot| slot.old == Some(View::Ready) || slot.new == Some(View::Ready))
            .count()
    }

    /// True when something happened by itself.
    fn tick(&mut self, pick: usize) -> bool {
        let mut pending: Vec<(usize, bool)> = vec![];
        for (index, slot) in self.slots.iter().enumerate() {
            for (is_new, view) in [(false, slot.old), (true, slot.new)] {
                if matches!(view, Some(View::Starting | View::Stopping)) {
                    pending.push((index, is_new));
                }
            }
        }
        if pending.is_empty() {
            return false;
        }
        let (index, is_new) = pending[pick % pending.len()];
        let broken = is_new && self.broken.contains(&(index as u32));
        let view = if is_new { &mut self.slots[index].new } else { &mut self.slots[index].old };
        *view = match view {
            Some(View::Starting) => Some(if broken { View::Down } else { View::Ready }),
            _ => None,
        };
        true
    }

    fn run(&mut self, picks: &[usize]) -> Result<(), TestCaseError> {
        let mut picks = picks.iter().copied().cycle();
        for _ in 0..2_000 {
            self.fewest_serving = self.fewest_serving.min(self.serving());
            match next(&self.plan, &self.slots) {
                Next::StartNew(i) => self.slots[i as usize].new = Some(View::Starting),
                Next::StartOld(i) => self.slots[i as usize].old = Some(View::Starting),
                Next::StopNew(i) => stop(&mut self.slots[i as usize].new),
                Next::StopOld(i) => stop(&mut self.slots[i as usize].old),
                Next::Failed(_) => {
                    self.failures += 1;
                    self.plan.direction = Direction::Back;
                }
                Next::Wait => {
                    let moved = self.tick(picks.next().unwrap_or(0));
                    prop_assert!(moved, "waits for nothing: {:?}", self.slots);
                }
                Next::Finished => return Ok(()),
            }
        }
        Err(TestCaseError::fail("never finished"))
    }
}

fn stop(view: &mut Option<View>) {
    *view = match view {
        Some(View::Down) => None,
        _ => Some(View::Stopping),
    };
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let strategy = prop_oneof![Just(Order::StartFirst), Just(Order::StopFirst), Just(Order::StopAllFirst)];
    let numbers = |least: usize| prop::collection::btree_set(0_u32..6, least..5);
    (strategy, numbers(0), numbers(1)).prop_map(|(strategy, old, new)| Plan {
        strategy,
        direction: Direction::Forward,
        old,
        new,
        keep_existing: false,
    })
}

proptest! {
    #[test]
    fn a_good_spec_takes_over_completely(plan in any_plan(), picks in prop::collection::vec(0_usize..8, 1..50)) {
        let mut world = World::new(plan.clone(), vec![]);
        world.run(&picks)?;
        for (index, slot) in world.slots.iter().enumerate() {
            let expected = plan.new.contains(&(index as u32)).then_some(View::Ready);
            prop_assert_eq!(*slot, Slot { old: None, new: expected });
        }
        if plan.strategy == Order::StartFirst {
            prop_assert!(world.fewest_serving >= plan.old.intersection(&plan.new).count());
        }
    }

    #[test]
    fn a_broken_spec_leaves_everything_as_it_was(
        plan in any_plan(),
        broken in 0_u32..5,
        picks in prop::collection::vec(0_usize..8, 1..50),
    ) {
        let broken = *plan.new.iter().nth(broken as usize % plan.new.len()).expect("there is one");
        let mut world = World::new(plan.clone(), vec![broken]);
        world.run(&picks)?;
        prop_assert_eq!(world.failures, 1);
        for (index, slot) in world.slots.iter().enumerate() {
            let expected = plan.old.contains(&(index as u32)).then_some(View::Ready);
            prop_assert_eq!(*slot, Slot { old: expected, new: None });
        }
        if plan.strategy == Order::StartFirst {
            prop_assert!(world.fewest_serving >= plan.old.intersection(&plan.new).count());
        }
    }

    #[test]
    fn a_change_of_count_alone_touches_nobody_else(
        old in prop::collection::btree_set(0_u32..8, 1..6),
        count in 1_usize..6,
        picks in prop::collection::vec(0_usize..8, 1..20),
    ) {
        let newest_first: Vec<u32> = old.iter().rev().copied().collect();
        let new = scaled(&old, &newest_first, count);
        prop_assert_eq!(new.len(), count);
        let plan = Plan {
            strategy: Order::StartFirst,
            direction: Direction::Forward,
            old: old.clone(),
            new: new.clone(),
            keep_existing: true,
        };
        let mut world = World::new(plan, vec![]);
        world.run(&picks)?;
        for (index, slot) in world.slots.iter().enumerate() {
            let index = index as u32;
            let kept = (old.contains(&index) && new.contains(&index)).then_some(View::Ready);
            let added = (!old.contains(&index) && new.contains(&index)).then_some(View::Ready);
            prop_assert_eq!(*slot, Slot { old: kept, new: added });
        }
    }
}

#[test]
fn scaling_fills_holes_and_takes_whom_it_is_told() {
    let set = |numbers: &[u32]| numbers.iter().copied().collect::<BTreeSet<u32>>();
    assert_eq!(scaled(&set(&[0, 2]), &[2, 0], 4), set(&[0, 1, 2, 3]));
    assert_eq!(scaled(&set(&[0, 1, 2, 3]), &[3, 2, 1, 0], 2), set(&[0, 1]));
    assert_eq!(scaled(&set(&[0, 1, 2, 3]), &[0, 1, 2, 3], 2), set(&[2, 3]));
}
