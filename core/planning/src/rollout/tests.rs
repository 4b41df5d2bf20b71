use super::*;
use crate::example::{node_id, node_name, release_id};
use NodeProgress as P;
use RolloutState as S;

mod properties;

const DEADLINE_MS: u32 = 60_000;

/// A rollout with everything around it, to which events are told.
struct Story {
    now: DateTime<Utc>,
    listening_since: DateTime<Utc>,
    reachable: BTreeSet<NodeId>,
    held_back: BTreeMap<NodeId, String>,
    names: BTreeMap<NodeId, NodeName>,
    record: RolloutRecord,
    effects: Vec<RolloutEffect>,
}

impl Story {
    /// Nodes 1 to `count`, all reachable, on release 1, to go to release 2.
    fn new(count: u8) -> Self {
        let nodes: Vec<_> = (1..=count).map(node_id).collect();
        Self {
            now: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            listening_since: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            reachable: nodes.iter().copied().collect(),
            held_back: BTreeMap::new(),
            names: (1..=count).map(|n| (node_id(n), node_name(&format!("app-{n}")))).collect(),
            record: RolloutRecord::planned(
                release_id(2),
                nodes.into_iter().map(|n| (n, Some(release_id(1)))),
            ),
            effects: Vec::new(),
        }
    }

    fn try_tell(&mut self, event: RolloutEvent) -> Result<Vec<RolloutEffect>, Refused> {
        let ctx = RolloutCtx {
            now: self.now,
            node_deadline_ms: DEADLINE_MS,
            listening_since: self.listening_since,
            reachable: &self.reachable,
            held_back: &self.held_back,
            names: &self.names,
        };
        let Step { record, effects } = step(&ctx, &self.record, &event)?;
        self.record = record;
        self.effects.extend(effects.iter().cloned());
        Ok(effects)
    }

    fn tell(&mut self, event: RolloutEvent) -> Vec<RolloutEffect> {
        self.try_tell(event).unwrap()
    }

    fn ready(&mut self, node: u8, release: u8) -> Vec<RolloutEffect> {
        self.tell(RolloutEvent::NodeReported {
            node: node_id(node),
            release: Some(release_id(release)),
            outcome: NodeOutcome::Ready,
        })
    }

    fn failed(&mut self, node: u8, release: u8, reason: &str) -> Vec<RolloutEffect> {
        let outcome = NodeOutcome::Failed { reason: reason.to_owned() };
        self.tell(RolloutEvent::NodeReported {
            node: node_id(node),
            release: Some(release_id(release)),
            outcome,
        })
    }

    fn wait(&mut self, ms: u32) -> Vec<RolloutEffect> {
        self.now += chrono::TimeDelta::milliseconds(ms.into());
        self.tell(RolloutEvent::Tick)
    }

    fn progress(&self) -> Vec<&'static str> {
        self.record.nodes.iter().map(|node| word(&node.progress)).collect()
    }
}

fn word(progress: &P) -> &'static str {
    match progress {
        P::Pending => "pending",
        P::Waiting { .. } => "waiting",
        P::Away => "away",
        P::Moving { .. } => "moving",
        P::Moved { .. } => "moved",
        P::Failed { .. } => "failed",
        P::Returning { .. } => "returning",
        P::Returned { .. } => "returned",
        P::ReturnUnconfirmed { .. } => "return_unconfirmed",
    }
}

/// The assignments among effects, as (node, release).
fn assigned(effects: &[RolloutEffect]) -> Vec<(NodeId, Option<ReleaseId>)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            RolloutEffect::AssignRelease { node, release } => Some((*node, *release)),
            RolloutEffect::Announce { .. } | RolloutEffect::Finish { .. } => None,
        })
        .collect()
}

fn to(node: u8, release: u8) -> (NodeId, Option<ReleaseId>) {
    (node_id(node), Some(release_id(release)))
}

#[test]
fn time_in_which_nodes_could_not_be_heard_is_not_theirs() {
    let mut story = Story::new(2);
    story.tell(RolloutEvent::Start);
    // The controller was away for an hour and has just come back.
    story.now += chrono::TimeDelta::hours(1);
    story.listening_since = story.now;
    assert!(story.wait(0).is_empty());
    assert_eq!(story.progress(), ["moving", "pending"]);
    assert_eq!(assigned(&story.ready(1, 2)), [to(2, 2)], "the node can still say that it is ready");
    story.ready(2, 2);
    assert_eq!(story.record.state, S::Completed);
}

#[test]
fn a_node_that_is_removed_while_it_moves_does_not_hold_up_the_others() {
    let mut story = Story::new(3);
    story.tell(RolloutEvent::Start);
    story.record.nodes.remove(0);
    assert_eq!(assigned(&story.wait(0)), [to(2, 2)]);
    story.ready(2, 2);
    // The last one is removed: the one before it has shown that the release runs.
    story.record.nodes.remove(1);
    story.wait(0);
    assert_eq!(story.record.state, S::Completed);

    let mut story = Story::new(1);
    story.tell(RolloutEvent::Start);
    story.record.nodes.clear();
    story.wait(0);
    assert!(
        matches!(story.record.state, S::RolledBack { .. }),
        "nothing has shown that the release runs: {:?}",
        story.record.state
    );
}

#[test]
fn nodes_move_one_after_another() {
    let mut story = Story::new(2);
    assert_eq!(assigned(&story.tell(RolloutEvent::Start)), [to(1, 2)]);
    assert_eq!(story.progress(), ["moving", "pending"]);
    assert_eq!(assigned(&story.ready(1, 2)), [to(2, 2)]);
    assert_eq!(story.progress(), ["moved", "moving"]);
    let last = story.ready(2, 2);
    assert_eq!(story.record.state, S::Completed);
    assert_eq!(last.last(), Some(&RolloutEffect::Finish { completed: true }));
}

#[test]
fn a_node_whose_role_is_changing_elsewhere_waits_for_its_turn() {
    let mut story = Story::new(2);
    story.held_back.insert(node_id(1), "app-9 is restarting".to_owned());
    assert_eq!(assigned(&story.tell(RolloutEvent::Start)), []);
    assert_eq!(story.progress(), ["waiting", "pending"]);
    let told = |story: &Story| {
        let waiting = |e: &&RolloutEffect| {
            matches!(e, RolloutEffect::Announce { kind: "rollout.node_waiting", message, .. }
                if message == "app-1 waits for its turn: app-9 is restarting")
        };
        story.effects.iter().filter(waiting).count()
    };
    assert_eq!(told(&story), 1);
    // It has no deadline: it was given nothing that it could fail at.
    assert!(story.wait(10 * DEADLINE_MS).is_empty());
    story.held_back.insert(node_id(1), "app-8 failed".to_owned());
    story.wait(1);
    assert!(matches!(&story.record.nodes[0].progress, P::Waiting { reason, .. } if reason == "app-8 failed"));
    assert_eq!(told(&story), 1, "that it waits is said once");
    story.held_back.clear();
    assert_eq!(assigned(&story.wait(1)), [to(1, 2)]);
    story.held_back.insert(node_id(2), "app-9 is restarting".to_owned());
    story.ready(1, 2);
    assert_eq!(story.progress(), ["moved", "waiting"]);
    story.tell(RolloutEvent::Abort { by: "amara".to_owned() });
    assert_eq!(story.progress(), ["returning", "pending"], "who was not touched waits for nothing");
}

#[test]
fn nodes_that_went_away_while_they_waited_prove_nothing() {
    let mut story = Story::new(1);
    story.held_back.insert(node_id(1), "app-9 is restarting".to_owned());
    story.tell(RolloutEvent::Start);
    story.reachable.clear();
    story.wait(1);
    let reason = "none of its nodes could be reached when its turn came".to_owned();
    assert_eq!(story.record.state, S::RolledBack { reason });
}

#[test]
fn a_failure_takes_every_touched_node_back_and_leaves_the_others_alone() {
    let mut story = Story::new(4);
    story.reachable.remove(&node_id(4));
    story.tell(RolloutEvent::Start);
    story.ready(1, 2);
    let effects = story.failed(2, 2, "exit code 1 before it was ready");
    assert_eq!(assigned(&effects), [to(1, 1), to(2, 1), to(4, 1)]);
    assert_eq!(story.progress(), ["returning", "returning", "pending", "return_unconfirmed"]);
    story.ready(2, 1);
    story.ready(1, 1);
    let reason = "app-2: exit code 1 before it was ready".to_owned();
    assert_eq!(story.record.state, S::RolledBack { reason });
    assert_eq!(story.progress(), ["returned", "returned", "pending", "return_unconfirmed"]);
    assert_eq!(story.effects.last(), Some(&RolloutEffect::Finish { completed: false }));
}

#[test]
fn an_application_that_was_not_there_before_goes_again() {
    let mut story = Story::new(1);
    story.record.nodes[0].former_release = None;
    story.tell(RolloutEvent::Start);
    assert_eq!(assigned(&story.failed(1, 2, "no")), [(node_id(1), None)]);
    story.tell(RolloutEvent::NodeReported { node: node_id(1), release: None, outcome: NodeOutcome::Ready });
    assert_eq!(story.progress(), ["returned"]);
}

#[test]
fn a_node_that_says_nothing_fails_at_its_deadline() {
    let mut story = Story::new(1);
    story.tell(RolloutEvent::Start);
    assert!(story.wait(DEADLINE_MS - 1).is_empty());
    assert_eq!(assigned(&story.wait(1)), [to(1, 1)]);
    story.reachable.clear();
    story.wait(DEADLINE_MS);
    assert_eq!(story.record.state, S::RolledBack { reason: "app-1: not ready within 1 min".to_owned() });
    assert_eq!(story.progress(), ["return_unconfirmed"]);
}

#[test]
fn nodes_that_are_away_get_the_release_at_once_and_hold_nobody_up() {
    let mut story = Story::new(3);
    story.reachable.remove(&node_id(1));
    assert_eq!(assigned(&story.tell(RolloutEvent::Start)), [to(1, 2), to(2, 2)]);
    story.reachable.remove(&node_id(3));
    assert_eq!(assigned(&story.ready(2, 2)), [to(3, 2)], "it went away before its turn");
    assert_eq!(story.record.state, S::Completed);
    assert_eq!(story.progress(), ["away", "moved", "away"]);
}

#[test]
fn a_node_that_comes_back_in_time_counts() {
    let mut story = Story::new(2);
    story.reachable.remove(&node_id(2));
    story.tell(RolloutEvent::Start);
    story.ready(2, 2);
    assert_eq!(story.progress(), ["moving", "moved"]);
    story.ready(1, 2);
    assert_eq!(story.record.state, S::Completed);
}

#[test]
fn a_node_that_fails_after_it_had_moved_stops_the_rollout() {
    let mut story = Story::new(3);
    story.tell(RolloutEvent::Start);
    story.ready(1, 2);
    assert_eq!(assigned(&story.failed(1, 2, "crash looping")), [to(1, 1), to(2, 1)]);
}

#[test]
fn nothing_is_touched_when_nobody_can_be_reached() {
    let mut story = Story::new(2);
    story.reachable.clear();
    let effects = story.tell(RolloutEvent::Start);
    assert_eq!(assigned(&effects), []);
    let reason = "none of its 2 nodes can be reached: app-1, app-2; nothing was changed".to_owned();
    assert_eq!(story.record.state, S::RolledBack { reason });
    assert_eq!(story.progress(), ["pending", "pending"]);
}

#[test]
fn an_abort_goes_back_and_says_who() {
    let mut story = Story::new(2);
    story.tell(RolloutEvent::Start);
    story.ready(1, 2);
    let abort = RolloutEvent::Abort { by: "amara".to_owned() };
    assert_eq!(assigned(&story.tell(abort.clone())), [to(1, 1), to(2, 1)]);
    assert!(story.tell(abort).is_empty(), "twice is once");
    story.ready(1, 1);
    story.ready(2, 1);
    assert_eq!(story.record.state, S::Aborted { reason: "aborted by amara".to_owned() });
}

#[test]
fn an_abort_before_the_start_touches_nothing() {
    let mut story = Story::new(2);
    let effects = story.tell(RolloutEvent::Abort { by: "amara".to_owned() });
    assert_eq!(assigned(&effects), []);
    assert!(matches!(story.record.state, S::Aborted { .. }));
}

#[test]
fn a_report_about_another_release_is_stale() {
    let mut story = Story::new(2);
    story.tell(RolloutEvent::Start);
    assert!(story.ready(1, 1).is_empty(), "it still runs the former release");
    story.failed(1, 2, "no");
    assert!(story.ready(1, 2).is_empty(), "the new release came up too late");
    assert_eq!(story.progress(), ["returning", "pending"]);
}

#[test]
fn a_former_release_that_does_not_run_is_said_and_ends_the_wait() {
    let mut story = Story::new(1);
    story.tell(RolloutEvent::Start);
    story.failed(1, 2, "no");
    story.failed(1, 1, "port 3000 is taken");
    let unconfirmed = &story.record.nodes[0].progress;
    assert!(matches!(unconfirmed, P::ReturnUnconfirmed { reason } if reason.contains("port 3000 is taken")));
    assert!(matches!(story.record.state, S::RolledBack { .. }));
}

#[test]
fn strangers_and_the_past_are_refused() {
    let mut story = Story::new(1);
    let foreign = RolloutEvent::NodeReported { node: node_id(9), release: None, outcome: NodeOutcome::Ready };
    assert_eq!(story.try_tell(foreign), Err(Refused::ForeignNode { node: node_id(9) }));
    story.tell(RolloutEvent::Start);
    story.ready(1, 2);
    let refused = story.try_tell(RolloutEvent::Abort { by: "amara".to_owned() }).unwrap_err();
    assert_eq!(refused.to_string(), "the rollout is completed already, so \"abort\" has no effect");
}

#[test]
fn what_is_announced_reads_well() {
    let mut story = Story::new(3);
    story.reachable.remove(&node_id(3));
    story.tell(RolloutEvent::Start);
    story.ready(1, 2);
    story.wait(DEADLINE_MS);
    story.ready(1, 1);
    story.wait(DEADLINE_MS);
    let lines: Vec<_> = story
        .effects
        .iter()
        .filter_map(|effect| match effect {
            RolloutEffect::Announce { severity, kind, message, .. } => {
                Some(format!("{:7} {kind}: {message}", severity.as_str()))
            }
            RolloutEffect::AssignRelease { .. } | RolloutEffect::Finish { .. } => None,
        })
        .collect();
    insta::assert_snapshot!("announcements", lines.join("\n"));
}
