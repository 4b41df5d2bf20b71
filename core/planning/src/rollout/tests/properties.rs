//! What holds whatever happens to a rollout.

use super::*;
use proptest::prelude::*;

/// Anything that can happen, to any of five nodes of which the last is a stranger.
fn any_event() -> impl Strategy<Value = RolloutEvent> {
    let outcome = prop_oneof![
        3 => Just(NodeOutcome::Ready),
        1 => Just(NodeOutcome::Failed { reason: "it broke".to_owned() }),
    ];
    let release = prop_oneof![3 => Just(Some(2)), 3 => Just(Some(1)), 1 => Just(None), 1 => Just(Some(3))];
    prop_oneof![
        2 => Just(RolloutEvent::Start),
        12 => (1u8..=5, release, outcome).prop_map(|(node, release, outcome)| RolloutEvent::NodeReported {
            node: node_id(node),
            release: release.map(release_id),
            outcome,
        }),
        3 => Just(RolloutEvent::Tick),
        1 => Just(RolloutEvent::Abort { by: "amara".to_owned() }),
    ]
}

/// An event, the time that passed before it, and who can be reached and who has to wait then.
type Happening = (RolloutEvent, u32, u8, u8);

fn any_history() -> impl Strategy<Value = Vec<Happening>> {
    // Mostly nobody has to wait.
    let held_back = prop_oneof![2 => Just(0), 1 => any::<u8>()];
    prop::collection::vec((any_event(), 0..DEADLINE_MS, any::<u8>(), held_back), 0..40)
}

fn reachable(bits: u8) -> BTreeSet<NodeId> {
    (1..=4).filter(|node| bits & (1 << node) != 0).map(node_id).collect()
}

/// Four nodes, of which one never had the application.
fn four() -> Story {
    let mut story = Story::new(4);
    story.record.nodes[3].former_release = None;
    story
}

fn tell(
    story: &mut Story,
    (event, passed_ms, bits, held_back): &Happening,
) -> Result<Vec<RolloutEffect>, Refused> {
    story.now += chrono::TimeDelta::milliseconds((*passed_ms).into());
    story.reachable = reachable(*bits);
    story.held_back =
        reachable(*held_back).into_iter().map(|node| (node, "others change".to_owned())).collect();
    story.try_tell(event.clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn whatever_happens_the_invariants_hold(history in any_history()) {
        let mut story = four();
        let members: BTreeSet<_> = story.record.nodes.iter().map(|node| node.node).collect();
        // What each node was last given; only what the effects say.
        let mut given: BTreeMap<NodeId, Option<ReleaseId>> =
            story.record.nodes.iter().map(|node| (node.node, node.former_release)).collect();
        for happening in &history {
            let before = story.record.clone();
            let result = tell(&mut story, happening);
            let record = &story.record;
            if before.state.terminal() {
                prop_assert!(result.is_err(), "terminal states absorb");
                prop_assert_eq!(record, &before);
            }
            let Ok(effects) = result else { continue };
            for (node, release) in assigned(&effects) {
                prop_assert!(members.contains(&node), "effects name only nodes of the rollout");
                given.insert(node, release);
            }
            let moving = record.nodes.iter().filter(|node| matches!(node.progress, P::Moving { .. })).count();
            prop_assert!(moving <= 1, "never more than one node moves");
            let waiting = record.nodes.iter().filter(|node| matches!(node.progress, P::Waiting { .. })).count();
            prop_assert_eq!(moving + waiting == 1, record.state == S::Running, "a running rollout always has a next step");
            for (node, old) in record.nodes.iter().zip(&before.nodes) {
                if matches!(node.progress, P::Moving { .. }) && node.progress != old.progress {
                    prop_assert!(!story.held_back.contains_key(&node.node), "who has to wait is not started with");
                }
            }
            let finished = effects.iter().filter(|e| matches!(e, RolloutEffect::Finish { .. })).count();
            prop_assert_eq!(finished == 1, record.state.terminal() && !before.state.terminal());
            for node in &record.nodes {
                let expected = match &node.progress {
                    P::Away | P::Moving { .. } | P::Moved { .. } => Some(release_id(2)),
                    P::Pending
                    | P::Waiting { .. }
                    | P::Returning { .. }
                    | P::Returned { .. }
                    | P::ReturnUnconfirmed { .. } => node.former_release,
                    P::Failed { .. } => return Err(TestCaseError::fail("a failed node goes back in the same step")),
                };
                prop_assert_eq!(given[&node.node], expected, "the assignment follows the progress of {}", word(&node.progress));
            }
            if record.state == S::Completed {
                let words = story.progress();
                prop_assert!(words.contains(&"moved") && words.iter().all(|word| ["moved", "away"].contains(word)));
            }
        }
    }

    #[test]
    fn a_duplicate_event_adds_no_effect(history in any_history()) {
        let mut story = four();
        for happening in &history {
            if tell(&mut story, happening).is_err() {
                continue;
            }
            let record = story.record.clone();
            let again = story.try_tell(happening.0.clone());
            prop_assert!(again.is_err() || again.is_ok_and(|effects| effects.is_empty()));
            prop_assert_eq!(&story.record, &record);
        }
    }

    #[test]
    fn replaying_the_events_gives_the_stored_state(history in any_history()) {
        let (mut first, mut second) = (four(), four());
        for happening in &history {
            let accepted = tell(&mut first, happening).is_ok();
            if accepted {
                tell(&mut second, happening).unwrap();
            } else {
                second.now = first.now;
            }
        }
        prop_assert_eq!(first.record, second.record);
        prop_assert_eq!(first.effects, second.effects);
    }

    #[test]
    fn time_alone_ends_every_rollout_that_was_started(history in any_history()) {
        let mut story = four();
        for happening in &history {
            tell(&mut story, happening).ok();
        }
        story.held_back.clear();
        story.try_tell(RolloutEvent::Start).ok();
        for _ in 0..3 {
            if !story.record.state.terminal() {
                story.wait(DEADLINE_MS);
            }
        }
        prop_assert!(story.record.state.terminal(), "{:?}", story.record);
    }
}
