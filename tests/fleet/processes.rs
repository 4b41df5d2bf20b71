//! "Why did web restart?" is one line, within moments, for whoever may look; and it tells no secret.

use crate::FLEET;
use chrono::Utc;
use muster_supervisor_protocol::{LastExit, ProcessEvent, ProcessEventKind};
use muster_tests::{TestFleet, eventually};
use sqlx::PgPool;

const SECRET: &str = "sk_live_do_not_show_this";

#[sqlx::test(migrations = "../migrations")]
async fn a_crash_is_explained_by_the_api_without_its_secrets(pool: PgPool) {
    let fleet = TestFleet::start(pool.clone()).await;
    fleet.apply(&FLEET.replace("env: {LOG_LEVEL: info}", "secrets: [STRIPE_KEY]")).await.unwrap();
    fleet.app().secret_set(&TestFleet::admin(), "STRIPE_KEY", None, SECRET.into()).await.unwrap();
    let node = fleet.join("app-1", "production").await;
    fleet.release("web", "1.4.0").await;
    assert_eq!(fleet.deploy("web", "production", "1.4.0").await.state.as_str(), "completed");

    node.runner.tamper("web", |app| {
        app.listening = vec!["tcp 0.0.0.0:3000".into()];
        app.instances[0].restarts = 7;
        app.instances[0].unstable_restarts = 3;
        app.instances[0].limits_by = Some("systemd scope".into());
    });
    let at = Utc::now();
    let last_stderr =
        [&format!("charging with {SECRET}"), "Error: the bank does not answer", "    at pay.js:9"];
    node.runner.emit(&ProcessEvent {
        at,
        app: "web".into(),
        instance: Some(0),
        release: "1.4.0".into(),
        kind: ProcessEventKind::Exited,
        reason: "exited with code 1 after 2400 ms".into(),
        exit: Some(LastExit {
            code: Some(1),
            signal: None,
            reason: "exited with code 1 after 2400 ms".into(),
            at,
            out_of_memory: false,
            uptime_ms: 2400,
            last_stderr: last_stderr.map(str::to_owned).to_vec(),
        }),
    });
    let path = "/api/v1/process-events?application=web&node=app-1&instance=0&kind=process.exited";
    let told = eventually("the crash in the API", async || {
        fleet.get(path).await["items"].as_array()?.first().cloned()
    })
    .await;
    assert_eq!(told["reason"], "exited with code 1 after 2400 ms: Error: the bank does not answer");
    assert_eq!((told["release"].as_str(), told["restarts"].as_u64()), (Some("1.4.0"), Some(7)));
    assert_eq!(told["at"].as_str().unwrap()[..19], at.to_rfc3339()[..19]);
    let exit = &told["exit"];
    assert_eq!((exit["code"].as_i64(), exit["uptime_ms"].as_u64()), (Some(1), Some(2400)));
    assert_eq!(exit["last_stderr"][0], "charging with [redacted]");
    let event = fleet.event("process.exited", "web #0: exited with code 1").await;
    assert_eq!(Some(event.sequence), told["sequence"].as_i64(), "both lists speak of the same");

    let process = eventually("what else is known of the process", async || {
        let page = fleet.get("/api/v1/processes?application=web").await;
        let process = page["items"].as_array()?.first()?.clone();
        (process["restarts"].as_u64() == Some(7)).then_some(process)
    })
    .await;
    assert_eq!(process["unstable_restarts"], 3);
    assert_eq!(process["limits_by"], "systemd scope");
    assert_eq!(process["listening"][0], "tcp 0.0.0.0:3000");

    for table in ["events", "process_events", "processes"] {
        let rows: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT t::text FROM {table} t")))
                .fetch_all(&pool)
                .await
                .unwrap();
        assert!(!rows.is_empty() && !rows.join("\n").contains(SECRET), "table {table}");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn what_happened_while_the_controller_was_away_is_told_with_its_own_time(pool: PgPool) {
    let mut fleet = TestFleet::start(pool).await;
    fleet.apply(FLEET).await.unwrap();
    let node = fleet.join("app-1", "production").await;
    fleet.release("web", "1").await;
    fleet.deploy("web", "production", "1").await;
    fleet.controller_stop().await;
    let at = Utc::now() - chrono::TimeDelta::hours(3);
    node.runner.emit(&ProcessEvent {
        at,
        app: "web".into(),
        instance: None,
        release: "1".into(),
        kind: ProcessEventKind::CronRestart,
        reason: "cron_restart \"0 3 * * *\" is due".into(),
        exit: None,
    });
    fleet.controller_start().await;
    let told = eventually("the restart in the API", async || {
        let page = fleet.get("/api/v1/process-events?kind=process.cron_restart").await;
        page["items"].as_array()?.first().cloned()
    })
    .await;
    assert_eq!(told["at"].as_str().unwrap()[..19], at.to_rfc3339()[..19]);
    assert!(told["reported_at"].as_str().unwrap() > told["at"].as_str().unwrap());
    assert_eq!((told["exit"].is_null(), told["instance"].is_null()), (true, true));
}
