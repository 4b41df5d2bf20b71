//! Who may change when.

use crate::world::{FLEET, World, admin};
use chrono::TimeDelta;
use muster_app::{AppError, NodeHint, NodeReport};
use muster_domain::{
    ApplicationName, Digest, EnvironmentName, NodeId, ReleaseVersion,
    assignment::Generation,
    observed::{ChangeCause, ConvergenceReport, ResourceReport},
    resource::ResourceKey,
    rollout::NodeProgress,
    turn::{TurnAnswer, TurnKind, TurnOutcome, TurnRequest, TurnState},
};
use sqlx::PgPool;

impl World {
    async fn ask(&self, node: NodeId) -> TurnAnswer {
        let asked = TurnRequest {
            generation: Generation::new(2),
            kind: TurnKind::Change,
            cause: ChangeCause::Intentional,
            reason: "restart service:nginx.service".to_owned(),
        };
        self.app.turn_request(node, &asked).await.unwrap()
    }

    async fn granted(&self, node: NodeId) -> bool {
        matches!(self.ask(node).await, TurnAnswer::Granted { .. })
    }

    async fn gives_back(&self, node: NodeId, outcome: TurnOutcome) {
        self.app.turn_give_back(node, Generation::new(2), &outcome).await.unwrap();
    }

    async fn fails(&self, node: NodeId) {
        self.gives_back(node, TurnOutcome::Failed { detail: "nginx refused it".to_owned() }).await;
    }

    async fn converges(&self, node: NodeId, sequence: u64, generation: u64) {
        let report = ConvergenceReport {
            sequence,
            generation: Generation::new(generation),
            revision: Digest::from_bytes([1; 32]),
            started_at: self.app.now(),
            finished_at: self.app.now(),
            resources: vec![ResourceReport::converged(ResourceKey::new("file", "/etc/motd"))],
            reboot_required: None,
        };
        self.app.reports_store(node, vec![NodeReport::Convergence(report)]).await.unwrap();
    }

    async fn turns(&self) -> Vec<(String, TurnState)> {
        let turns = self.app.turn_list(&admin(), None).await.unwrap();
        turns.into_iter().map(|turn| (turn.node.to_string(), turn.state)).collect()
    }
}

async fn two_nodes(pool: PgPool) -> (World, NodeId, NodeId) {
    let world = World::new(pool);
    world.apply(FLEET).await;
    let (one, two) = (world.join("web-1").await, world.join("web-2").await);
    (world, one, two)
}

#[sqlx::test(migrations = "../../migrations")]
async fn one_node_of_a_role_changes_at_a_time_and_the_next_is_told(pool: PgPool) {
    let (world, one, two) = two_nodes(pool).await;
    assert!(world.granted(one).await);
    let mut hints = world.app.hints().subscribe(two);
    let TurnAnswer::Waiting { reason, holders, retry_after_ms } = world.ask(two).await else {
        panic!("both change")
    };
    assert_eq!(holders, ["web-1"]);
    assert!(
        reason.contains("web-1 is changing") && reason.contains("at most 1 of the 2 app_server"),
        "{reason}"
    );
    assert!((1_000..60_000).contains(&retry_after_ms));
    assert_eq!(world.events("node.turn_waiting").await.len(), 1);
    let shown = world.app.node_get(&admin(), "web-2").await.unwrap().turn.unwrap();
    assert_eq!((shown.state, shown.detail), (TurnState::Waiting, reason));

    world.gives_back(one, TurnOutcome::Done).await;
    assert_eq!(hints.recv().await.unwrap(), NodeHint::TurnChanged);
    assert!(world.granted(two).await);
    world.gives_back(two, TurnOutcome::Done).await;
    world.gives_back(two, TurnOutcome::Done).await;
    assert!(world.turns().await.is_empty());
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_failure_holds_the_others_up_until_it_is_mended(pool: PgPool) {
    let (world, one, two) = two_nodes(pool).await;
    let failed = vec![("web-1".to_owned(), TurnState::Failed)];

    // Mended by itself.
    assert!(world.granted(one).await);
    world.fails(one).await;
    assert_eq!(world.turns().await, failed);
    assert!(!world.granted(two).await);
    let overview = world.app.overview_get(&admin()).await.unwrap();
    assert!(
        overview.attention.iter().any(|a| a.hint.contains("muster node release-turn web-1")),
        "{:?}",
        overview.attention
    );
    world.converges(one, 1, 1).await;
    assert!(!world.granted(two).await, "that was before it failed");
    let mut hints = world.app.hints().subscribe(two);
    world.converges(one, 2, 2).await;
    assert_eq!(hints.recv().await.unwrap(), NodeHint::TurnChanged);
    assert!(world.granted(two).await);
    world.gives_back(two, TurnOutcome::Done).await;

    // Let go by a person.
    assert!(world.granted(one).await);
    world.fails(one).await;
    world.app.turn_release(&admin(), "web-1").await.unwrap();
    assert!(world.granted(two).await);
    assert_eq!(world.events("node.turn_released").await.len(), 1);
    world.gives_back(two, TurnOutcome::Done).await;
    let again = world.app.turn_release(&admin(), "web-1").await.unwrap_err();
    assert!(matches!(again, AppError::Conflict { code: "node_has_no_turn", .. }), "{again:?}");

    // A newer configuration.
    assert!(world.granted(one).await);
    world.fails(one).await;
    assert!(!world.granted(two).await);
    world.apply(&FLEET.replace("production: {}", "production: {max_changing: 2}")).await;
    assert!(world.granted(two).await);
    assert!(world.granted(one).await, "two may change now");
    assert_eq!(world.events("node.turn_failed").await.len(), 3);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_node_that_has_nothing_left_to_change_does_not_wait_any_more(pool: PgPool) {
    let (world, one, two) = two_nodes(pool).await;
    assert!(world.granted(one).await);
    assert!(!world.granted(two).await);
    // What it was to change is declared no more.
    world.converges(two, 1, 3).await;
    assert_eq!(world.turns().await, [("web-1".to_owned(), TurnState::Granted)]);
    world.gives_back(one, TurnOutcome::Done).await;
    assert!(world.granted(one).await, "nobody asked first");
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_node_that_falls_silent_in_its_turn_counts_as_failed(pool: PgPool) {
    let (world, one, two) = two_nodes(pool).await;
    assert!(world.granted(one).await);
    world.passes(16, &[two]).await;
    world.app.turns_maintain().await.unwrap();
    assert_eq!(world.turns().await, [("web-1".to_owned(), TurnState::Failed)]);
    assert!(!world.granted(two).await);
    world.app.turn_release(&admin(), "web-1").await.unwrap();
    assert!(world.granted(two).await);
    // One that is heard from has only forgotten it.
    world.passes(16, &[one, two]).await;
    world.app.turns_maintain().await.unwrap();
    assert!(world.turns().await.is_empty());
    assert_eq!(world.events("node.turn_lost").await.len(), 1);
}

#[sqlx::test(migrations = "../../migrations")]
async fn many_that_ask_at_the_same_moment_get_no_more_places_than_there_are(pool: PgPool) {
    let (world, one, two) = two_nodes(pool).await;
    for _ in 0..10 {
        let (first, second) = tokio::join!(world.granted(one), world.granted(two));
        assert!(first != second, "exactly one of both");
        let winner = if first { one } else { two };
        world.gives_back(winner, TurnOutcome::Done).await;
        // The other one is next in the row; it does without.
        world.gives_back(if first { two } else { one }, TurnOutcome::Done).await;
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_rollout_waits_for_nodes_that_change_and_they_for_it(pool: PgPool) {
    let (world, one, two) = two_nodes(pool).await;
    world.release("1").await;
    assert!(world.granted(two).await);
    let (shop, production) =
        (ApplicationName::parse("shop").unwrap(), EnvironmentName::parse("production").unwrap());
    let version = ReleaseVersion::parse("1").unwrap();
    let rollout = world.app.rollout_start(&admin(), &shop, &production, &version).await.unwrap();
    world.app.rollouts_drive().await.unwrap();
    let first =
        async || world.app.rollout_get(&admin(), rollout.id).await.unwrap().nodes[0].node.progress.clone();
    let NodeProgress::Waiting { reason, .. } = first().await else { panic!("{:?}", first().await) };
    assert!(reason.starts_with("web-2 is changing"), "{reason}");
    assert_eq!(world.carried("web-1").await, None, "nothing was touched");
    // However long it takes.
    world.passes(14, &[one, two]).await;
    world.app.rollouts_drive().await.unwrap();
    assert!(matches!(first().await, NodeProgress::Waiting { .. }));

    world.gives_back(two, TurnOutcome::Done).await;
    world.app.rollouts_drive().await.unwrap();
    assert!(matches!(first().await, NodeProgress::Moving { .. }));
    assert_eq!(world.carried("web-1").await.as_deref(), Some("1"));
    let TurnAnswer::Waiting { reason, .. } = world.ask(two).await else { panic!("two change") };
    assert!(reason.starts_with("web-1 is moving (shop 1 is rolled out)"), "{reason}");
    assert!(world.granted(one).await, "its place is the rollout's");
    let shown = world.app.turn_list(&admin(), Some(&production)).await.unwrap();
    assert_eq!(shown.iter().filter(|turn| turn.rollout == Some(rollout.id)).count(), 1);

    // Going back does not ask.
    world.app.rollout_abort(&admin(), rollout.id).await.unwrap();
    assert_eq!(world.carried("web-1").await, None);
    world.clock.advance(TimeDelta::minutes(6));
    world.beat(one).await;
    world.app.rollouts_drive().await.unwrap();
    assert!(world.app.rollout_get(&admin(), rollout.id).await.unwrap().state.terminal());
}
