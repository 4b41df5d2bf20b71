//! Rollouts from end to end: one node after another, back when one fails, on through a controller that dies.

use crate::FLEET;
use muster_app::AppError;
use muster_domain::{
    ApplicationName, EnvironmentName,
    rollout::{NodeProgress, RolloutState},
};
use muster_supervisor_protocol::InstanceState;
use muster_tests::{TestFleet, eventually};
use sqlx::PgPool;

fn web() -> (ApplicationName, EnvironmentName) {
    let (web, production) = (ApplicationName::parse("web"), EnvironmentName::parse("production"));
    (web.expect("a name"), production.expect("a name"))
}

#[sqlx::test(migrations = "../migrations")]
async fn a_release_goes_out_node_after_node_and_can_be_taken_back(pool: PgPool) {
    let fleet = TestFleet::start(pool).await;
    fleet.apply(FLEET).await.unwrap();
    let (one, two) = (fleet.join("app-1", "production").await, fleet.join("app-2", "production").await);
    for version in ["1", "2", "3"] {
        fleet.release("web", version).await;
        let rollout = fleet.deploy("web", "production", version).await;
        assert_eq!(rollout.state, RolloutState::Completed);
        assert_eq!(one.runner.running("web").as_deref(), Some(version));
        assert_eq!(two.runner.running("web").as_deref(), Some(version));
        let moved: Vec<_> = rollout
            .nodes
            .iter()
            .map(|n| match n.node.progress {
                NodeProgress::Moved { at } => at,
                ref other => panic!("{} is {other:?}", n.name),
            })
            .collect();
        assert!(moved[0] < moved[1], "the second node moved before the first was ready");
    }
    // Back, and further back: each time to what ran before, not to and fro.
    let (application, environment) = web();
    for expected in ["2", "1"] {
        let back = fleet
            .app()
            .rollout_rollback(&TestFleet::admin(), &application, &environment, None)
            .await
            .unwrap();
        assert_eq!(fleet.rollout_end(back).await.state, RolloutState::Completed);
        assert_eq!(one.runner.running("web").as_deref(), Some(expected));
        assert_eq!(two.runner.running("web").as_deref(), Some(expected));
    }
    let none = fleet.app().rollout_rollback(&TestFleet::admin(), &application, &environment, None).await;
    assert!(matches!(none, Err(AppError::Conflict { code: "nothing_to_roll_back_to", .. })), "{none:?}");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_release_that_does_not_come_up_is_taken_back_everywhere(pool: PgPool) {
    let fleet = TestFleet::start(pool).await;
    fleet.apply(FLEET).await.unwrap();
    let (one, two) = (fleet.join("app-1", "production").await, fleet.join("app-2", "production").await);
    for version in ["1", "2"] {
        fleet.release("web", version).await;
    }
    assert_eq!(fleet.deploy("web", "production", "1").await.state, RolloutState::Completed);
    // The second node is the one that fails, so that the first has to come back as well.
    two.runner.break_release("2", "port 3000 is taken");

    let rollout = fleet.deploy("web", "production", "2").await;

    let RolloutState::RolledBack { reason } = &rollout.state else { panic!("{:?}", rollout.state) };
    assert!(reason.contains("port 3000 is taken"), "the reason does not say why: {reason}");
    assert_eq!(one.runner.running("web").as_deref(), Some("1"));
    assert_eq!(two.runner.running("web").as_deref(), Some("1"));
    let next = fleet.deploy("web", "production", "1").await;
    assert_eq!(next.state, RolloutState::Completed, "the way is free for the next rollout");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_release_that_crashes_after_its_node_moved_is_taken_back_too(pool: PgPool) {
    let fleet = TestFleet::start(pool).await;
    fleet.apply(FLEET).await.unwrap();
    let one = fleet.join("app-1", "production").await;
    let mut two = fleet.join("app-2", "production").await;
    for version in ["1", "2"] {
        fleet.release("web", version).await;
    }
    assert_eq!(fleet.deploy("web", "production", "1").await.state, RolloutState::Completed);
    // The second node does not answer, so the rollout is open while the first one begins to crash.
    two.agent_kill().await;
    let started = fleet.rollout_start("web", "production", "2").await.unwrap();
    eventually("the first node to move", async || {
        (one.runner.running("web").as_deref() == Some("2")).then_some(())
    })
    .await;
    one.runner.tamper("web", |status| {
        for instance in &mut status.instances {
            instance.state = InstanceState::CrashLooping;
            instance.ready = false;
        }
    });

    let ended = fleet.rollout_end(started).await;
    let RolloutState::RolledBack { reason } = &ended.state else { panic!("{:?}", ended.state) };
    assert!(reason.contains("app-1"), "it does not blame the node that crashed: {reason}");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_node_that_is_away_does_not_hold_up_the_others_and_catches_up(pool: PgPool) {
    let fleet = TestFleet::start(pool).await;
    fleet.apply(FLEET).await.unwrap();
    let one = fleet.join("app-1", "production").await;
    let mut two = fleet.join("app-2", "production").await;
    for version in ["1", "2"] {
        fleet.release("web", version).await;
    }
    assert_eq!(fleet.deploy("web", "production", "1").await.state, RolloutState::Completed);
    two.agent_kill().await;
    fleet.event("node.down", "app-2").await;

    assert_eq!(fleet.deploy("web", "production", "2").await.state, RolloutState::Completed);
    assert_eq!(one.runner.running("web").as_deref(), Some("2"));
    assert_eq!(two.runner.running("web").as_deref(), Some("1"), "nobody can have told it");

    two.agent_start();
    eventually("the node to catch up", async || {
        (two.runner.running("web").as_deref() == Some("2")).then_some(())
    })
    .await;
    fleet.event("node.up", "app-2").await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_rollout_goes_on_after_the_controller_was_killed(pool: PgPool) {
    let mut fleet = TestFleet::start(pool).await;
    fleet.apply(FLEET).await.unwrap();
    let (one, two) = (fleet.join("app-1", "production").await, fleet.join("app-2", "production").await);
    for version in ["1", "2"] {
        fleet.release("web", version).await;
    }
    assert_eq!(fleet.deploy("web", "production", "1").await.state, RolloutState::Completed);
    let started = fleet.rollout_start("web", "production", "2").await.unwrap();
    eventually("the first node to move", async || {
        (one.runner.running("web").as_deref() == Some("2")).then_some(())
    })
    .await;
    fleet.controller_kill().await;
    fleet.controller_start().await;

    assert_eq!(fleet.rollout_end(started).await.state, RolloutState::Completed);
    assert_eq!(two.runner.running("web").as_deref(), Some("2"));
}

#[sqlx::test(migrations = "../migrations")]
async fn one_rollout_at_a_time_and_an_abort_brings_everything_back(pool: PgPool) {
    let fleet = TestFleet::start(pool).await;
    fleet.apply(FLEET).await.unwrap();
    let one = fleet.join("app-1", "production").await;
    let mut two = fleet.join("app-2", "production").await;
    for version in ["1", "2"] {
        fleet.release("web", version).await;
    }
    assert_eq!(fleet.deploy("web", "production", "1").await.state, RolloutState::Completed);
    // A node that does not answer keeps the rollout open for as long as the deadline.
    two.agent_kill().await;
    let started = fleet.rollout_start("web", "production", "2").await.unwrap();
    eventually("the first node to move", async || {
        (one.runner.running("web").as_deref() == Some("2")).then_some(())
    })
    .await;

    let second = fleet.rollout_start("web", "production", "1").await;
    let Err(AppError::Conflict { code, detail, .. }) = second else { panic!("two at a time") };
    assert_eq!(code, "rollout_in_progress");
    assert!(detail.contains("admin"), "it does not say who holds the place: {detail}");

    fleet.app().rollout_abort(&TestFleet::admin(), started.id).await.unwrap();
    two.agent_start();
    let ended = fleet.rollout_end(started).await;
    assert!(matches!(ended.state, RolloutState::Aborted { .. }), "{:?}", ended.state);
    eventually("both to run the former release", async || {
        let back = [&one, &two].iter().all(|n| n.runner.running("web").as_deref() == Some("1"));
        back.then_some(())
    })
    .await;
    let again = fleet.app().rollout_abort(&TestFleet::admin(), ended.id).await;
    assert!(matches!(again, Err(AppError::Conflict { code: "rollout_ended", .. })), "{again:?}");
}

#[sqlx::test(migrations = "../migrations")]
async fn what_cannot_be_deployed_is_refused_with_the_reason(pool: PgPool) {
    let fleet = TestFleet::start(pool).await;
    fleet.apply(FLEET).await.unwrap();
    fleet.release("web", "1").await;
    let refused = fleet.rollout_start("web", "production", "1").await.unwrap_err();
    assert!(refused.to_string().contains("no node"), "{refused}");
    assert!(matches!(fleet.rollout_start("web", "staging", "1").await, Err(AppError::NotFound { .. })));
    assert!(matches!(fleet.rollout_start("web", "production", "9").await, Err(AppError::NotFound { .. })));
    assert!(matches!(fleet.rollout_start("api", "production", "1").await, Err(AppError::NotFound { .. })));
}
