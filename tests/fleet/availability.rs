//! What goes on when a part is away: the controller, the agent, the database.

use crate::FLEET;
use muster_domain::{node::Liveness, rollout::RolloutState};
use muster_tests::{TestFleet, eventually};
use sqlx::PgPool;

#[sqlx::test(migrations = "../migrations")]
async fn with_the_controller_away_nodes_keep_their_shape_and_tell_it_later(pool: PgPool) {
    let mut fleet = TestFleet::start(pool).await;
    fleet.apply(FLEET).await.unwrap();
    let mut node = fleet.join("app-1", "production").await;
    fleet.event("node.converged", "app-1").await;
    fleet.controller_stop().await;

    node.host.tamper("/etc/motd", "mischief");
    eventually("the drift to be mended", async || {
        (node.file("/etc/motd").as_deref() == Some("hello\n")).then_some(())
    })
    .await;
    // Also from the ledger alone, by an agent that was started while nobody answers.
    node.agent_kill().await;
    node.host.tamper_delete("/etc/motd");
    node.agent_start();
    eventually("the file from the ledger", async || {
        (node.file("/etc/motd").as_deref() == Some("hello\n")).then_some(())
    })
    .await;

    fleet.controller_start().await;
    let corrected = async || {
        let count = fleet.events().await.into_iter().filter(|e| e.kind == "resource.corrected").count();
        (count == 2).then_some(())
    };
    eventually("both corrections to be reported", corrected).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn one_missed_beat_is_not_down_and_a_restarted_controller_does_not_cry_wolf(pool: PgPool) {
    let mut fleet = TestFleet::start(pool).await;
    fleet.apply(FLEET).await.unwrap();
    let node = fleet.join("app-1", "production").await;
    fleet.event("node.up", "app-1").await;
    fleet.controller_stop().await;
    fleet.controller_start().await;
    // The node comes back and is heard; had the silence counted, there would be an event before that.
    let since = fleet.app().now();
    let admin = TestFleet::admin();
    eventually("a beat after the restart", async || {
        let seen = fleet.app().node_get(&admin, "app-1").await.ok()?.overview.last_heartbeat_at?;
        (seen > since).then_some(())
    })
    .await;
    let facts = fleet.app().node_get(&admin, "app-1").await.unwrap().overview.facts;
    assert_eq!(facts.hostname, "app-1", "a beat without facts must not make the controller forget them");
    assert!(!fleet.events().await.iter().any(|e| e.kind == "node.down"));
    drop(node);
    fleet.event("node.down", "app-1").await;
}

#[tokio::test]
async fn a_killed_database_comes_back_and_nothing_is_lost() {
    let data = tempfile::tempdir().unwrap();
    let postgres = muster_postgres::PrivatePostgres::start(muster_postgres::Config::for_tests(data.path()))
        .await
        .unwrap();
    let db = muster_db::Db::connect_lazy(&postgres.url()).unwrap();
    db.migrate().await.unwrap();
    let fleet = TestFleet::start(db.pool().clone()).await;
    fleet.apply(FLEET).await.unwrap();
    let node = fleet.join("app-1", "production").await;
    fleet.release("web", "1").await;
    assert_eq!(fleet.deploy("web", "production", "1").await.state, RolloutState::Completed);

    let killed = postgres.pid().unwrap();
    kill(killed);
    eventually("the database to be started again", async || postgres.pid().filter(|pid| *pid != killed))
        .await;

    eventually("the controller to reach it", async || {
        fleet.apply(&FLEET.replace("hello", "again")).await.ok()
    })
    .await;
    eventually("the change to arrive", async || {
        (node.file("/etc/motd").as_deref() == Some("again\n")).then_some(())
    })
    .await;
    fleet.release("web", "2").await;
    // With beats every 300 ms, a second without a database is long enough to be called down until the next one.
    let admin = TestFleet::admin();
    eventually("the node to be heard again", async || {
        let node = fleet.app().node_get(&admin, "app-1").await.ok()?;
        (node.overview.liveness == Liveness::Up).then_some(())
    })
    .await;
    assert_eq!(fleet.deploy("web", "production", "2").await.state, RolloutState::Completed);
    drop(fleet);
    db.close().await;
    postgres.stop().await.unwrap();
}

/// Ends a process the hard way.
fn kill(pid: u32) {
    let status =
        std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill runs");
    assert!(status.success());
}
