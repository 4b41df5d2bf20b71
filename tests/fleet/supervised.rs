//! With the real supervisor at the end of the way: what a fleet file says is what the kernel runs, and what becomes of a
//! process is one line in the API.

use muster_supervisor_protocol::{ExecMode, LogFile, LogFormat, Readiness};
use muster_tests::{TestFleet, eventually};
use serde_json::Value;
use sqlx::PgPool;

/// A server on a port that is free, which says once that it is there.
const SERVER: &str = "
require('http').createServer((_, response) => response.end('ok')).listen(0, () => console.log('at your service'));
";

/// One node, one application with these settings, indented by four.
fn fleet_of(settings: &str) -> String {
    format!(
        "
environments: {{production: {{}}}}
nodes:
  app-1: {{environment: production, roles: [app_server]}}
applications:
  web:
    script: server.js
{settings}"
    )
}

/// The last end of the process of `web`, when it has ended.
async fn last_end(fleet: &TestFleet) -> Value {
    let path = "/api/v1/process-events?application=web&node=app-1&instance=0&kind=process.exited";
    eventually("the end of the process in the API", async || {
        fleet.get(path).await["items"].as_array()?.first().cloned()
    })
    .await
}

#[sqlx::test(migrations = "../migrations")]
async fn every_setting_arrives_at_a_real_supervisor(pool: PgPool) {
    let fleet = TestFleet::start(pool).await;
    let logs_folder = tempfile::tempdir().unwrap();
    let out_file = logs_folder.path().join("web.log");
    let settings = "
    exec_mode: cluster
    instances: 2
    args: --title 'two words'
    node_args: [--max-old-space-size=256]
    stop_exit_codes: [0, 3]
    exp_backoff_restart_delay: 100
    cron_restart: '0 3 * * *'
    max_memory_restart: 300M
    limits: {memory: 1G, cpu: 150%, pids: 64, open_files: 1024}
    kill_signal: SIGTERM
    kill_timeout: 5s
    treekill: false
    instance_var: SLOT
    increment_var: WORKER
    namespace: shop
    ignore_watch: [tmp]
    out_file: OUT_FILE
    error_file: /dev/null
    merge_logs: true
    log_type: json
    time: true
    log_rotation: {max_size: 1M, keep: 3, compress: true}
    env: {WORKER: 10}
";
    let settings = settings.replace("OUT_FILE", out_file.to_str().unwrap());
    fleet.apply(&fleet_of(&settings)).await.unwrap();
    let node = fleet.join_supervised("app-1", "production").await;
    fleet.release_of("web", "1", SERVER).await;
    assert_eq!(fleet.deploy("web", "production", "1").await.state.as_str(), "completed");

    let spec = node.supervised().await.pop().unwrap();
    assert_eq!((spec.exec_mode, spec.instances, spec.release.as_str()), (ExecMode::Cluster, 2, "1"));
    assert_eq!(spec.readiness, Readiness::Listening);
    assert_eq!(spec.args, ["--title", "two words"]);
    assert_eq!(spec.interpreter_args, ["--max-old-space-size=256"]);
    assert_eq!((spec.stop_exit_codes.as_slice(), spec.exp_backoff_restart_delay_ms), (&[0, 3][..], 100));
    assert_eq!((spec.cron_restart.as_deref(), spec.namespace.as_str()), (Some("0 3 * * *"), "shop"));
    assert_eq!(spec.max_memory_restart_bytes, Some(300 << 20));
    let limits = &spec.limits;
    assert_eq!(
        (limits.memory_bytes, limits.cpu_percent, limits.pids, limits.open_files),
        (Some(1 << 30), Some(150), Some(64), Some(1024))
    );
    assert_eq!(
        (spec.kill_signal.as_str(), spec.kill_timeout_ms, spec.treekill, spec.source_map_support),
        ("SIGTERM", 5_000, false, true)
    );
    assert_eq!(
        (spec.instance_var.as_str(), spec.increment_var.as_deref(), spec.env["WORKER"].as_str()),
        ("SLOT", Some("WORKER"), "10")
    );
    let logs = &spec.logs;
    assert_eq!((&logs.error_file, logs.merge, logs.format), (&LogFile::None, true, LogFormat::Json));
    assert_eq!((logs.rotation.max_bytes, logs.rotation.keep, logs.rotation.compress), (1 << 20, 3, true));

    let processes = eventually("who enforces the limits is known of both", async || {
        let page = fleet.get("/api/v1/processes?application=web").await;
        let items = page["items"].as_array()?.clone();
        (items.len() == 2 && items.iter().all(|one| one["limits_by"].is_string())).then_some(items)
    })
    .await;
    assert!(processes.iter().all(|one| one["state"] == "ready"), "{processes:?}");

    // Both write to the one file, in the format that was asked for.
    let lines = eventually("what both said in the file", async || {
        let text = std::fs::read_to_string(&out_file).ok()?;
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (lines.len() == 2).then_some(lines)
    })
    .await;
    assert!(lines.iter().all(|line| line.to_string().contains("at your service")), "{lines:?}");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_crash_is_one_line_with_its_reason_its_exit_code_and_its_last_words(pool: PgPool) {
    let fleet = TestFleet::start(pool).await;
    fleet.apply(&fleet_of("    min_uptime: 0\n    autorestart: false\n")).await.unwrap();
    let _node = fleet.join_supervised("app-1", "production").await;
    // It ends when the first request is there, which only this test makes.
    let source = "
        const server = require('http').createServer(() => {
            console.error('charging the card');
            throw new Error('the bank does not answer');
        });
        server.listen(0, '127.0.0.1', () => require('http').get({ port: server.address().port }).on('error', () => {}));
    ";
    fleet.release_of("web", "1.4.0", source).await;
    fleet.rollout_start("web", "production", "1.4.0").await.unwrap();

    let told = last_end(&fleet).await;
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.starts_with("exited with code 1 after "), "{reason}");
    assert!(reason.ends_with(": Error: the bank does not answer"), "{reason}");
    assert_eq!(told["release"], "1.4.0");
    let exit = &told["exit"];
    assert_eq!((exit["code"].as_i64(), exit["out_of_memory"].as_bool()), (Some(1), Some(false)));
    let words = exit["last_stderr"].as_array().unwrap();
    assert_eq!(words[0], "charging the card");
    assert!(words.iter().any(|line| line == "Error: the bank does not answer"), "{words:?}");
    let events = fleet.events().await;
    let event = events.iter().find(|event| Some(event.sequence) == told["sequence"].as_i64()).unwrap();
    assert_eq!((event.kind.as_str(), &event.message), ("process.exited", &format!("web #0: {reason}")));
}

#[sqlx::test(migrations = "../migrations")]
async fn above_its_memory_an_application_is_ended_and_the_line_says_so(pool: PgPool) {
    let fleet = TestFleet::start(pool).await;
    let settings =
        "    max_memory: 128M\n    exec_mode: fork\n    min_uptime: 10ms\n    autorestart: false\n";
    fleet.apply(&fleet_of(settings)).await.unwrap();
    let _node = fleet.join_supervised("app-1", "production").await;
    let eater = "const kept = []; setInterval(() => kept.push(Buffer.alloc(8 << 20, 1)), 5);";
    fleet.release_of("web", "1", eater).await;
    fleet.rollout_start("web", "production", "1").await.unwrap();

    // Whoever enforces it here: a scope, a control group, or the supervisor that looks.
    let told = last_end(&fleet).await;
    assert_eq!(told["exit"]["out_of_memory"], true, "{told}");
    assert_eq!(told["exit"]["signal"], "SIGKILL");
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.contains("limit 128 MB"), "{reason}");
}
