//! Who belongs to the fleet: tokens that hold once, identities that end at once.

use crate::FLEET;
use muster_domain::NodeName;
use muster_tests::{TestFleet, TestNode, eventually};
use sqlx::PgPool;

#[sqlx::test(migrations = "../migrations")]
async fn a_token_holds_once_and_only_for_its_fleet(pool: PgPool) {
    let fleet = TestFleet::start(pool).await;
    fleet.apply(FLEET).await.unwrap();
    let token = fleet.invite("app-1", "production").await;
    TestNode::join("app-1", &token, fleet.agents_address()).await.unwrap();
    let again = TestNode::join("app-1", &token, fleet.agents_address()).await.err().unwrap().to_string();
    assert!(again.contains("used"), "{again}");

    let (front, _) = token.rsplit_once('_').unwrap();
    let foreign = format!("{front}_{}", "0".repeat(64));
    let wrong = TestNode::join("app-1", &foreign, fleet.agents_address()).await.err().unwrap().to_string();
    assert!(wrong.contains("nothing was sent"), "{wrong}");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_revoked_node_is_cut_off_at_once_and_its_name_can_be_given_again(pool: PgPool) {
    let fleet = TestFleet::start(pool).await;
    fleet.apply(FLEET).await.unwrap();
    let node = fleet.join("app-1", "production").await;
    fleet.event("node.converged", "app-1").await;
    let admin = TestFleet::admin();
    fleet.app().node_revoke(&admin, &NodeName::parse("app-1").unwrap()).await.unwrap();

    fleet.apply(&FLEET.replace("hello", "not for you")).await.unwrap();
    let other = fleet.join("app-2", "production").await;
    eventually("the other node", async || {
        (other.file("/etc/motd").as_deref() == Some("not for you\n")).then_some(())
    })
    .await;
    assert_eq!(node.file("/etc/motd").as_deref(), Some("hello\n"), "a revoked node was told something new");

    let again = fleet.join("app-1", "production").await;
    eventually("the new host", async || {
        (again.file("/etc/motd").as_deref() == Some("not for you\n")).then_some(())
    })
    .await;
}
