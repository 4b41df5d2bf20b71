//! Settings of pm2's on their whole way: fleet file, controller, wire, agent, and the spec that the supervisor is given.

use muster_supervisor_protocol::{ExecMode, LogFile, LogFormat, Readiness};
use muster_tests::TestFleet;
use sqlx::PgPool;

const FLEET: &str = "
environments: {production: {}}
nodes:
  app-1:
    environment: production
    roles: [app_server]
    overrides: {web: {limits: {pids: 128}, cron_restart: 0}}
applications:
  web:
    script: server.js
    exec_mode: fork
    instances: 2
    listen_fds: 3000
    args: --title 'two words'
    node_args: [--max-old-space-size=256]
    autorestart: false
    stop_exit_codes: [0, 3]
    exp_backoff_restart_delay: 100
    cron_restart: '0 3 * * *'
    max_memory_restart: 300M
    max_memory: 400M
    limits: {cpu: 150%, pids: 64, open_files: 1024}
    kill_signal: SIGTERM
    kill_timeout: 5s
    treekill: false
    instance_var: SLOT
    increment_var: WORKER
    source_map_support: false
    namespace: shop
    watch: /etc/shop
    ignore_watch: [tmp]
    watch_delay: 50
    out_file: /var/log/web.log
    error_file: /dev/null
    merge_logs: true
    log_type: json
    time: true
    log_rotation: {max_size: 1M, keep: 3, schedule: '0 0 * * *', compress: true}
    pid_file: /run/web.pid
    overrides: {production: {max_memory: 1G, env: {WORKER: 10}}}
";

#[sqlx::test(migrations = "../migrations")]
async fn every_setting_of_a_fleet_file_reaches_the_supervisor(pool: PgPool) {
    let fleet = TestFleet::start(pool).await;
    fleet.apply(FLEET).await.unwrap();
    let node = fleet.join("app-1", "production").await;
    fleet.release("web", "1").await;
    assert_eq!(fleet.deploy("web", "production", "1").await.state.as_str(), "completed");

    let spec = node.runner.applied().pop().unwrap();
    assert_eq!(spec.problems(), []);
    assert_eq!(
        (spec.exec_mode, spec.instances, spec.listen_fds.as_slice()),
        (ExecMode::Fork, 2, &["3000".to_owned()][..])
    );
    assert_eq!(spec.readiness, Readiness::Started, "a socket that is held for it says nothing");
    assert_eq!(
        (spec.args.as_slice(), spec.interpreter_args.len()),
        (&["--title".to_owned(), "two words".to_owned()][..], 1)
    );
    assert_eq!(
        (spec.autostart, spec.autorestart, spec.treekill, spec.source_map_support),
        (true, false, false, false)
    );
    assert_eq!((spec.stop_exit_codes.as_slice(), spec.exp_backoff_restart_delay_ms), (&[0, 3][..], 100));
    assert_eq!((spec.kill_signal.as_str(), spec.kill_timeout_ms), ("SIGTERM", 5_000));
    assert_eq!(
        (spec.instance_var.as_str(), spec.increment_var.as_deref(), spec.env["WORKER"].as_str()),
        ("SLOT", Some("WORKER"), "10")
    );
    assert_eq!((spec.namespace.as_str(), spec.pid_file.as_deref()), ("shop", Some("/run/web.pid")));
    assert_eq!(spec.max_memory_restart_bytes, Some(300 << 20));
    // The node switched the restarts off, and has more processes; the environment has more memory.
    assert_eq!(spec.cron_restart, None);
    let limits = &spec.limits;
    assert_eq!(
        (limits.memory_bytes, limits.cpu_percent, limits.pids, limits.open_files),
        (Some(1 << 30), Some(150), Some(128), Some(1024))
    );
    let watch = spec.watch.as_ref().unwrap();
    assert_eq!((watch.paths.as_slice(), watch.delay_ms), (&["/etc/shop".to_owned()][..], 50));
    let logs = &spec.logs;
    assert_eq!(
        (&logs.out_file, &logs.error_file),
        (&LogFile::Path("/var/log/web.log".into()), &LogFile::None)
    );
    assert_eq!(
        (logs.merge, logs.format, logs.date_format.as_deref()),
        (true, LogFormat::Json, Some("YYYY-MM-DDTHH:mm:ss"))
    );
    assert_eq!((logs.rotation.max_bytes, logs.rotation.keep, logs.rotation.compress), (1 << 20, 3, true));

    // What is said twice is said once: the same settings make no version, and no work for the node.
    let before = node.runner.applied().len();
    fleet.apply(&format!("# the same\n{FLEET}")).await.unwrap();
    let stored = fleet.app().fleet_configuration_get(&TestFleet::admin(), None).await.unwrap();
    assert_eq!((stored.version, node.runner.applied().len()), (1, before));
}
