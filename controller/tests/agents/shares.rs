//! What one node may take of what all nodes share.

use crate::support::{Controller, soon};
use muster_proto::v1;
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::task::JoinSet;

#[sqlx::test(migrations = "../migrations")]
async fn a_node_that_calls_without_end_waits_for_itself_and_not_others_for_it(pool: PgPool) {
    // The row of the node is held, as by a long compile, through a connection that is not the controller's.
    let beside = PgPoolOptions::new().connect_with((*pool.connect_options()).clone()).await.unwrap();
    let controller = Controller::start(pool).await;
    let (greedy, modest) = (controller.join("web-1").await, controller.join("web-2").await);
    let mut held = beside.begin().await.unwrap();
    sqlx::query("SELECT FROM nodes WHERE id = $1 FOR UPDATE")
        .bind(greedy.node.as_uuid())
        .execute(&mut *held)
        .await
        .unwrap();
    let mut calls = JoinSet::new();
    let agent = controller.agent(&greedy);
    for _ in 0..40 {
        let mut agent = agent.clone();
        calls.spawn(async move { agent.heartbeat(v1::HeartbeatRequest::default()).await });
    }
    // At least one waits for the row, so the others had their time to come.
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    soon(async {
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&beside).await.unwrap() < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;

    soon(controller.agent(&modest).heartbeat(v1::HeartbeatRequest::default())).await.unwrap();

    held.commit().await.unwrap();
    while let Some(answered) = soon(calls.join_next()).await {
        answered.unwrap().unwrap();
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_node_cannot_take_every_connection(pool: PgPool) {
    let controller = Controller::start(pool).await;
    let (greedy, modest) = (controller.join("web-1").await, controller.join("web-2").await);
    let mut open = Vec::new();
    loop {
        let mut agent = controller.agent(&greedy);
        match soon(agent.heartbeat(v1::HeartbeatRequest::default())).await {
            Ok(_) => open.push(agent),
            Err(_) => break,
        }
        assert!(open.len() < 50, "there is no limit");
    }
    soon(controller.agent(&modest).heartbeat(v1::HeartbeatRequest::default())).await.unwrap();
    soon(open[0].heartbeat(v1::HeartbeatRequest::default())).await.unwrap();
}
