//! Files come, drift, and come back; bad configuration changes nothing; secrets go where they are needed and nowhere else.

use crate::FLEET;
use muster_app::AppError;
use muster_domain::{EnvironmentName, event::Severity};
use muster_tests::{TestFleet, eventually};
use sqlx::PgPool;

#[sqlx::test(migrations = "../migrations")]
async fn a_declared_file_arrives_changes_and_drift_is_put_back(pool: PgPool) {
    let fleet = TestFleet::start(pool).await;
    fleet.apply(FLEET).await.unwrap();
    let node = fleet.join("app-1", "production").await;
    eventually("the file", async || (node.file("/etc/motd").as_deref() == Some("hello\n")).then_some(()))
        .await;

    fleet.apply(&FLEET.replace("hello", "welcome")).await.unwrap();
    eventually("the new content", async || {
        (node.file("/etc/motd").as_deref() == Some("welcome\n")).then_some(())
    })
    .await;

    node.host.tamper("/etc/motd", "mischief");
    eventually("the drift to be mended", async || {
        (node.file("/etc/motd").as_deref() == Some("welcome\n")).then_some(())
    })
    .await;
    let event = fleet.event("resource.corrected", "file:/etc/motd").await;
    assert_eq!(event.severity, Severity::Warning);

    node.host.tamper_delete("/etc/motd");
    eventually("the deleted file", async || {
        (node.file("/etc/motd").as_deref() == Some("welcome\n")).then_some(())
    })
    .await;
    let corrected = async || {
        let count = fleet.events().await.into_iter().filter(|e| e.kind == "resource.corrected").count();
        (count == 2).then_some(())
    };
    eventually("the second correction to be reported", corrected).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn the_same_declaration_makes_no_version_and_no_work(pool: PgPool) {
    let fleet = TestFleet::start(pool).await;
    fleet.apply(FLEET).await.unwrap();
    let node = fleet.join("app-1", "production").await;
    fleet.event("node.converged", "app-1").await;
    let admin = TestFleet::admin();
    let before = fleet.app().node_get(&admin, "app-1").await.unwrap();
    let writes = node.host.writes();

    fleet.apply(&format!("# a comment\n{FLEET}")).await.unwrap();
    let stored = fleet.app().fleet_configuration_get(&admin, None).await.unwrap();
    assert_eq!(stored.version, 1);
    let after = fleet.app().node_get(&admin, "app-1").await.unwrap();
    assert_eq!(before.overview.generation, after.overview.generation);
    assert_eq!(node.host.writes(), writes);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_configuration_with_errors_changes_nothing_and_names_them_all(pool: PgPool) {
    let fleet = TestFleet::start(pool).await;
    fleet.apply(FLEET).await.unwrap();
    let bad = FLEET
        .replace("port: 3000", "port: many\n    instnces: 2")
        .replace("app-2: {environment: production", "app-2: {environment: prodction");
    let Err(AppError::InvalidInput { problems, .. }) = fleet.apply(&bad).await else {
        panic!("it was accepted")
    };
    let messages: Vec<_> =
        problems.iter().map(|p| format!("{}: {}", p.line.unwrap_or(0), p.message)).collect();
    assert_eq!(problems.len(), 3, "{messages:#?}");
    assert!(problems.iter().all(|p| p.line.is_some() && p.column.is_some()), "{messages:#?}");
    let stored = fleet.app().fleet_configuration_get(&TestFleet::admin(), None).await.unwrap();
    assert_eq!(stored.version, 1);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_secret_reaches_the_process_and_nothing_that_people_read(pool: PgPool) {
    const VALUE: &str = "sk_live_do_not_show_this";
    let fleet = TestFleet::start(pool.clone()).await;
    fleet.apply(&FLEET.replace("env: {LOG_LEVEL: info}", "secrets: [STRIPE_KEY]")).await.unwrap();
    let node = fleet.join("app-1", "production").await;
    fleet.release("web", "1").await;

    let failed = fleet.deploy("web", "production", "1").await;
    assert_eq!(failed.state.as_str(), "rolled_back", "a secret without a value must stop the rollout");
    let told = fleet.events().await.into_iter().any(|e| e.message.contains("STRIPE_KEY"));
    assert!(told, "nobody is told which secret is missing");

    let production = EnvironmentName::parse("production").unwrap();
    fleet.app().secret_set(&TestFleet::admin(), "STRIPE_KEY", Some(&production), VALUE.into()).await.unwrap();
    let done = fleet.deploy("web", "production", "1").await;
    assert_eq!(done.state.as_str(), "completed");
    let spec = node.runner.applied().pop().unwrap();
    assert_eq!(spec.env.get("STRIPE_KEY").map(String::as_str), Some(VALUE));

    assert!(!format!("{spec:?}").contains(VALUE), "the debug form of a spec shows a secret");
    let shown: Vec<String> = fleet.events().await.into_iter().map(|e| e.message).collect();
    assert!(!shown.join("\n").contains(VALUE));
    let tables = [
        "events",
        "assignments",
        "resource_states",
        "secrets",
        "audit_log",
        "fleet_configurations",
        "processes",
        "process_events",
    ];
    for table in tables {
        let rows: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT t::text FROM {table} t")))
                .fetch_all(&pool)
                .await
                .unwrap();
        assert!(!rows.join("\n").contains(VALUE), "table {table} holds the secret in the clear");
        assert!(!rows.join("\n").contains(&hex(VALUE)), "table {table} holds the secret in the clear");
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|b| format!("{b:02x}")).collect()
}
