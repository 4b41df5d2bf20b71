use super::*;
use crate::example::{environment, node_id, node_name};
use muster_domain::{fleet::MaxChanging, observed::ChangeCause};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// An environment to which things happen.
#[derive(Clone)]
struct World {
    now: DateTime<Utc>,
    listening_since: DateTime<Utc>,
    policy: Environment,
    version: i64,
    environment: EnvironmentName,
    nodes: BTreeMap<NodeId, (NodeName, Vec<Role>, bool)>,
    moving: BTreeMap<NodeId, String>,
    turns: BTreeMap<NodeId, Turn>,
    notices: Vec<&'static str>,
}

impl World {
    /// Application servers 1 to `count`, of which `most` may change at once.
    fn new(count: u8, most: Option<MaxChanging>) -> Self {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        Self {
            now,
            listening_since: now,
            policy: Environment { max_changing: most, ..Environment::default() },
            version: 1,
            environment: environment("production"),
            nodes: (1..=count)
                .map(|n| (node_id(n), (node_name(&format!("app-{n}")), vec![Role::AppServer], true)))
                .collect(),
            moving: BTreeMap::new(),
            turns: BTreeMap::new(),
            notices: Vec::new(),
        }
    }

    fn decide<T>(&self, decide: impl FnOnce(&TurnCtx<'_>, &[Turn]) -> T) -> T {
        let members = self
            .nodes
            .iter()
            .map(|(id, (name, roles, reachable))| (*id, Member { name, roles, reachable: *reachable }))
            .collect();
        let ctx = TurnCtx {
            now: self.now,
            listening_since: self.listening_since,
            environment: &self.environment,
            policy: &self.policy,
            configuration_version: self.version,
            members: &members,
            moving: &self.moving,
        };
        let turns: Vec<Turn> = self.turns.values().cloned().collect();
        decide(&ctx, &turns)
    }

    fn carry_out(&mut self, change: Change) {
        let Change { node, turn, notice } = change;
        match turn {
            Some(turn) => self.turns.insert(node, turn),
            None => self.turns.remove(&node),
        };
        self.notices.extend(notice.map(|notice| notice.kind));
    }

    fn settle(&mut self) {
        for change in self.decide(settle) {
            self.carry_out(change);
        }
    }

    fn ask_for(&mut self, node: u8, kind: TurnKind, cause: ChangeCause) -> TurnAnswer {
        self.settle();
        let asked = TurnRequest {
            generation: Generation::new(u64::try_from(self.version).unwrap()),
            kind,
            cause,
            reason: "restart service:nginx".to_owned(),
        };
        let (change, answer) = self.decide(|ctx, turns| request(ctx, turns, node_id(node), &asked));
        self.carry_out(change);
        answer
    }

    fn ask(&mut self, node: u8) -> bool {
        let answer = self.ask_for(node, TurnKind::Change, ChangeCause::Intentional);
        matches!(answer, TurnAnswer::Granted { .. })
    }

    fn heal(&mut self, node: u8) -> bool {
        let answer = self.ask_for(node, TurnKind::Change, ChangeCause::Corrective);
        matches!(answer, TurnAnswer::Granted { .. })
    }

    fn done(&mut self, node: u8) {
        self.give_back(node, &TurnOutcome::Done);
    }

    fn fails(&mut self, node: u8) {
        self.give_back(node, &TurnOutcome::Failed { detail: "nginx refused it".to_owned() });
    }

    fn give_back(&mut self, node: u8, outcome: &TurnOutcome) {
        let generation = Generation::new(u64::try_from(self.version).unwrap());
        let change = self.decide(|ctx, turns| release(ctx, turns, node_id(node), generation, outcome));
        if let Some(change) = change {
            self.carry_out(change);
        }
    }

    fn passes(&mut self, minutes: i64) {
        self.now += TimeDelta::minutes(minutes);
    }

    fn state(&self, node: u8) -> Option<TurnState> {
        self.turns.get(&node_id(node)).map(|turn| turn.state)
    }

    fn start(&self, node: u8) -> Result<(), String> {
        self.decide(|ctx, turns| may_start(ctx, turns, node_id(node)))
    }
}

#[test]
fn one_of_three_changes_at_a_time_in_the_order_in_which_they_asked() {
    let mut world = World::new(3, None);
    assert!(world.ask(2));
    assert!(world.ask(2), "asking again is asking for longer");
    assert!(!world.ask(3));
    assert!(!world.ask(1));
    assert_eq!(world.notices, ["node.turn_waiting", "node.turn_waiting"]);
    world.done(2);
    assert_eq!(world.decide(|_, turns| next_in_row(turns)), [node_id(1), node_id(3)]);
    // Both asked in the same instant, so the order of their ids decides.
    assert!(!world.ask(3));
    assert!(world.ask(1));
    world.done(1);
    assert!(world.ask(3));
    assert_eq!(world.notices.len(), 2, "who waits is told once");
}

#[test]
fn whoever_waited_longer_is_served_before_one_that_asks_just_as_a_place_is_free() {
    let mut world = World::new(3, None);
    assert!(world.ask(1));
    assert!(!world.ask(3));
    world.passes(1);
    world.done(1);
    assert!(!world.ask(2), "app-3 asked first");
    assert!(world.ask(3));
}

#[test]
fn one_that_waits_and_is_gone_holds_nobody_up() {
    let mut world = World::new(3, None);
    assert!(world.ask(1));
    assert!(!world.ask(2));
    world.done(1);
    world.nodes.get_mut(&node_id(2)).unwrap().2 = false;
    assert!(world.ask(3), "app-2 cannot be heard");
    world.done(3);
    world.nodes.get_mut(&node_id(2)).unwrap().2 = true;
    world.passes(5);
    assert!(world.ask(3), "app-2 has not asked for long");
    assert_eq!(world.state(2), None);
}

#[test]
fn a_failure_stops_the_others_until_it_is_mended() {
    let mut world = World::new(3, None);
    assert!(world.ask(1));
    world.fails(1);
    assert_eq!(world.notices, ["node.turn_failed"]);
    assert!(!world.ask(2));
    world.passes(600);
    assert!(!world.ask(2), "a failure does not pass by itself");
    world.done(1);
    assert_eq!(world.state(1), Some(TurnState::Failed), "a run with nothing to do mends nothing");
    let reason = world.turns[&node_id(2)].detail.clone();
    insta::assert_snapshot!(reason, @"app-1 failed at 08:00:00Z (nginx refused it; `muster node release-turn app-1` lets others change); at most 1 of the 3 app_server in production may change at once");
    assert!(world.heal(3), "drift is put right all the same");
    world.done(3);
    assert!(world.ask(1), "it may try again itself");
    world.done(1);
    assert!(world.ask(2));
}

#[test]
fn a_turn_for_putting_drift_right_is_none_for_what_others_failed_at() {
    let mut world = World::new(4, None);
    assert!(world.ask(1));
    world.fails(1);
    assert!(world.heal(2) && !world.ask(2));
    assert_eq!(world.state(2), Some(TurnState::Granted), "it goes on with what drifted");
    assert!(world.heal(2));
    world.done(2);
    world.version += 1;
    assert!(world.heal(2) && world.ask(2), "nobody has failed since");
    world.done(2);
    assert_eq!(world.state(2), None);
}

#[test]
fn a_newer_configuration_lets_everybody_try() {
    let mut world = World::new(3, None);
    assert!(world.ask(1));
    world.fails(1);
    assert!(!world.ask(2));
    world.version += 1;
    assert!(world.ask(2));
    assert_eq!(world.state(1), None);
}

#[test]
fn two_that_failed_do_not_wait_for_each_other() {
    let mut world = World::new(4, Some(MaxChanging::Nodes(2)));
    assert!(world.ask(1) && world.ask(2));
    world.fails(1);
    world.fails(2);
    world.policy.max_changing = Some(MaxChanging::Nodes(1));
    assert!(!world.ask(3));
    assert!(world.ask(1));
    assert!(!world.ask(2), "one is changing");
    assert_eq!(world.state(2), Some(TurnState::Failed), "and its place is kept while it waits");
    world.done(1);
    assert!(world.ask(2));
}

#[test]
fn a_turn_that_is_not_asked_for_again_is_lost_by_the_living_and_failed_by_the_silent() {
    let mut world = World::new(3, None);
    assert!(world.ask(1));
    world.passes(14);
    assert!(world.ask(1), "asked for again in time");
    world.passes(14);
    assert!(!world.ask(2));
    world.passes(1);
    assert!(world.ask(2), "app-1 had fifteen minutes and lives");
    world.nodes.get_mut(&node_id(2)).unwrap().2 = false;
    world.passes(15);
    assert!(!world.ask(3), "app-2 fell silent while it changed");
    assert_eq!(world.state(2), Some(TurnState::Failed));
    assert_eq!(
        world.notices,
        ["node.turn_waiting", "node.turn_lost", "node.turn_failed", "node.turn_waiting"]
    );
}

#[test]
fn whoever_waits_for_a_silent_node_is_told_so_and_what_to_do() {
    let mut world = World::new(2, None);
    assert!(world.ask(1));
    let why = |world: &mut World| match world.ask_for(2, TurnKind::Change, ChangeCause::Intentional) {
        TurnAnswer::Waiting { reason, .. } => reason,
        TurnAnswer::Granted { .. } => panic!("the other one has its turn"),
    };
    assert!(why(&mut world).starts_with("app-1 is changing since "));
    world.nodes.get_mut(&node_id(1)).unwrap().2 = false;
    let told = why(&mut world);
    assert!(told.starts_with("app-1 is not heard from, and was changing since "), "{told}");
    assert!(told.contains("`muster node release-turn app-1` lets others change"), "{told}");
}

#[test]
fn one_of_a_role_restarts_at_a_time_however_many_may_change() {
    let mut world = World::new(4, Some(MaxChanging::Nodes(3)));
    let restarts = |world: &mut World, node| {
        let answer = world.ask_for(node, TurnKind::Reboot, ChangeCause::Intentional);
        matches!(answer, TurnAnswer::Granted { .. })
    };
    assert!(restarts(&mut world, 1) && restarts(&mut world, 1), "it may ask again");
    assert!(!restarts(&mut world, 2));
    let reason = world.turns[&node_id(2)].detail.clone();
    insta::assert_snapshot!(reason, @"app-1 is restarting since 08:00:00Z; at most 1 of the 4 app_server in production may restart at once");
    assert!(world.ask(3) && world.ask(4), "one that waits for a restart keeps no place free");
    assert!(!restarts(&mut world, 3), "also not in a turn that it has for a change");
    assert_eq!(world.state(3), Some(TurnState::Granted));
    world.done(1);
    world.done(3);
    assert!(restarts(&mut world, 2));
}

#[test]
fn a_restart_has_longer_and_time_without_a_controller_does_not_count() {
    let mut world = World::new(2, None);
    let answer = world.ask_for(1, TurnKind::Reboot, ChangeCause::Intentional);
    assert_eq!(answer, TurnAnswer::Granted { lease_ms: 30 * 60_000 });
    world.nodes.get_mut(&node_id(1)).unwrap().2 = false;
    world.passes(29);
    assert!(!world.ask(2));
    assert!(world.turns[&node_id(2)].detail.contains("app-1 is restarting"));
    world.passes(60);
    world.listening_since = world.now;
    world.settle();
    assert_eq!(world.state(1), Some(TurnState::Granted), "it could not ask");
    world.passes(31);
    world.settle();
    assert_eq!(world.state(1), Some(TurnState::Failed), "it did not come back");
}

#[test]
fn roles_are_counted_apart_and_a_node_with_two_needs_a_place_in_both() {
    let mut world = World::new(4, None);
    world.nodes.get_mut(&node_id(3)).unwrap().1 = vec![Role::LoadBalancer];
    world.nodes.get_mut(&node_id(4)).unwrap().1 = vec![Role::LoadBalancer, Role::AppServer];
    assert!(world.ask(1));
    assert!(!world.ask(4), "app servers have no place");
    assert!(world.ask(3), "app-4 cannot take the place of a load balancer, so it holds nobody up");
    world.done(1);
    assert!(!world.ask(4), "load balancers have none");
    assert!(world.ask(2));
    world.done(2);
    world.done(3);
    assert!(world.ask(4));
    assert!(!world.ask(1) && !world.ask(3));
}

#[test]
fn nodes_without_a_role_are_one_group() {
    let mut world = World::new(2, None);
    for node in world.nodes.values_mut() {
        node.1.clear();
    }
    assert!(world.ask(1) && !world.ask(2));
    assert!(
        world.turns[&node_id(2)]
            .detail
            .ends_with("at most 1 of the 2 nodes without a role in production may change at once")
    );
}

#[test]
fn a_rollout_has_its_nodes_places_and_waits_for_those_of_others() {
    let mut world = World::new(3, None);
    world.moving.insert(node_id(1), "web 1.2.0 is rolled out".to_owned());
    assert!(!world.ask(2));
    assert!(world.ask(1), "a node that is being moved need not wait");
    assert!(world.start(2).is_err(), "another rollout waits");
    world.moving.clear();
    assert!(world.start(1).is_ok(), "it has its turn already");
    let refused = world.start(3).unwrap_err();
    assert!(refused.starts_with("app-1 is changing"), "{refused}");
    world.done(1);
    assert!(world.start(3).is_ok());
}

#[derive(Debug, Clone)]
enum Happening {
    Ask(u8, bool, bool),
    Done(u8),
    Fails(u8),
    Dies(u8),
    Lives(u8),
    Starts(u8),
    Moved(u8),
    Passes(u8),
    NewVersion,
}

fn happening() -> impl Strategy<Value = Happening> {
    let node = 1..=8_u8;
    prop_oneof![
        6 => (node.clone(), any::<bool>(), any::<bool>()).prop_map(|(n, c, r)| Happening::Ask(n, c, r)),
        3 => node.clone().prop_map(Happening::Done),
        2 => node.clone().prop_map(Happening::Fails),
        1 => node.clone().prop_map(Happening::Dies),
        1 => node.clone().prop_map(Happening::Lives),
        2 => node.clone().prop_map(Happening::Starts),
        2 => node.prop_map(Happening::Moved),
        2 => (1..40_u8).prop_map(Happening::Passes),
        1 => Just(Happening::NewVersion),
    ]
}

fn any_roles() -> impl Strategy<Value = Vec<Role>> {
    proptest::sample::subsequence(Role::ALL.to_vec(), 0..=3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: never more nodes of a role change at once than may, and a failure counts like a
    /// change for whoever wants something new.
    #[test]
    fn no_role_ever_has_more_nodes_changing_than_may(
        roles in proptest::collection::vec(any_roles(), 8),
        most in proptest::option::of(1..4_u32),
        happenings in proptest::collection::vec(happening(), 1..60),
    ) {
        let mut world = World::new(8, most.map(MaxChanging::Nodes));
        for (n, roles) in (1_u8..).zip(roles) {
            world.nodes.get_mut(&node_id(n)).unwrap().1 = roles;
        }
        for happening in happenings {
            world.now += TimeDelta::milliseconds(1);
            let before = world.clone();
            let mut asked_for_new = None;
            match happening {
                Happening::Ask(n, corrective, reboot) => {
                    let cause = if corrective { ChangeCause::Corrective } else { ChangeCause::Intentional };
                    let kind = if reboot { TurnKind::Reboot } else { TurnKind::Change };
                    let answer = world.ask_for(n, kind, cause);
                    let granted = matches!(answer, TurnAnswer::Granted { .. });
                    // A settled world answers the same question the same way.
                    prop_assert_eq!(world.ask_for(n, kind, cause), answer);
                    let cause_of = |world: &World| {
                        let turn = world.turns.get(&node_id(n));
                        turn.filter(|turn| turn.state == TurnState::Granted).map(|turn| turn.cause)
                    };
                    // One that has its turn for less keeps it for that.
                    let kept = before.state(n) == Some(TurnState::Granted);
                    let has = world.state(n) == Some(TurnState::Granted);
                    prop_assert!(granted == has || (has && kept));
                    let anew = cause_of(&before) != Some(ChangeCause::Intentional)
                        && before.state(n) != Some(TurnState::Failed);
                    if granted && anew && !corrective && !before.moving.contains_key(&node_id(n)) {
                        asked_for_new = Some(n);
                    }
                }
                Happening::Done(n) => world.done(n),
                Happening::Fails(n) => world.fails(n),
                Happening::Dies(n) => world.nodes.get_mut(&node_id(n)).unwrap().2 = false,
                Happening::Lives(n) => world.nodes.get_mut(&node_id(n)).unwrap().2 = true,
                Happening::Starts(n) => {
                    if world.start(n).is_ok() {
                        world.moving.insert(node_id(n), "web is rolled out".to_owned());
                    }
                }
                Happening::Moved(n) => { world.moving.remove(&node_id(n)); }
                Happening::Passes(minutes) => world.passes(minutes.into()),
                Happening::NewVersion => world.version += 1,
            }
            let of = |state| world.turns.values().filter(move |t| t.state == state).map(|t| t.node);
            let changing: BTreeSet<_> =
                of(TurnState::Granted).chain(world.moving.keys().copied()).collect();
            let stopped: BTreeSet<_> = changing.iter().copied().chain(of(TurnState::Failed)).collect();
            for role in Role::ALL.into_iter().map(Some).chain([None]) {
                let has = |node: &NodeId| {
                    let roles = &world.nodes[node].1;
                    role.map_or(roles.is_empty(), |role| roles.contains(&role))
                };
                let size = world.nodes.keys().filter(|n| has(n)).count();
                let most = world.policy.changing_at_most(size);
                let count = changing.iter().filter(|n| has(n)).count();
                prop_assert!(count <= most, "{count} of {role:?} change, {most} may");
                let restart = |t: &&Turn| t.state == TurnState::Granted && t.kind == TurnKind::Reboot;
                let count = world.turns.values().filter(restart).filter(|t| has(&t.node)).count();
                prop_assert!(count <= 1, "{count} of {role:?} restart");
                if let Some(n) = asked_for_new && has(&node_id(n)) {
                    let count = stopped.iter().filter(|n| has(n)).count();
                    prop_assert!(count <= most, "{count} of {role:?} change or failed, {most} may");
                }
            }
        }
        // Nobody waits for ever: once all are done or mended, each gets its turn.
        world.moving.clear();
        world.turns.clear();
        for n in 1..=8 {
            prop_assert!(world.ask(n));
            world.done(n);
        }
    }
}
