//! The cases that were measured with pm2 itself: the same input, and the same answer or the better one.

use serde_json::json;

use crate::harness::{IDLE, Pm2, until};

#[test]
fn the_mode_and_the_log_files_follow_from_instances() {
    let pm2 = Pm2::new();
    pm2.file("m.js", IDLE);
    let cpus = std::thread::available_parallelism().unwrap().get();
    pm2.apps(&json!([
        {"name": "plain", "script": "m.js", "autostart": false},
        {"name": "one", "script": "m.js", "autostart": false, "instances": 1},
        {"name": "but-one", "script": "m.js", "autostart": false, "instances": -1},
        {"name": "but-two", "script": "m.js", "autostart": false, "instances": -2},
        {"name": "most", "script": "m.js", "autostart": false, "instances": "max"},
        {"name": "forks", "script": "m.js", "autostart": false, "instances": 2, "exec_mode": "fork"},
    ]));
    pm2.run("start apps.json").ok();
    let but = |n: usize| cpus.saturating_sub(n).max(1);
    // Name, mode, how many, and whether all write to one file.
    let expected = [
        ("plain", "fork_mode", 1, true),
        ("one", "cluster_mode", 1, false),
        ("but-one", "cluster_mode", but(1), false),
        ("but-two", "fork_mode", but(2), false),
        ("most", "cluster_mode", cpus, true),
        ("forks", "fork_mode", 2, false),
    ];
    for (name, mode, count, merged) in expected {
        let records = pm2.of(name);
        assert_eq!(records.len(), count, "{name}");
        for record in records {
            let env = &record["pm2_env"];
            assert_eq!(
                (env["exec_mode"].as_str(), env["status"].as_str()),
                (Some(mode), Some("stopped")),
                "{name}"
            );
            let file = if merged {
                format!("{name}-out.log")
            } else {
                format!("{name}-out-{}.log", record["pm_id"])
            };
            let path = env["pm_out_log_path"].as_str().unwrap();
            assert!(path.ends_with(&format!("/logs/{file}")), "{name}: {path}");
        }
    }
}

#[test]
fn what_exits_at_once_ends_as_errored_and_start_says_why() {
    let pm2 = Pm2::new();
    pm2.file("fail.js", "console.error('boom: no database'); setTimeout(() => process.exit(3), 50);");
    pm2.run("start fail.js --max-restarts 3").failed(1).says("exited with code 3").says("boom: no database");
    let record = &pm2.of("fail")[0]["pm2_env"];
    assert_eq!((record["status"].as_str(), &record["restart_time"]), (Some("errored"), &json!(2)));
    assert_eq!(record["exit_code"], 3);
}

#[test]
fn the_default_gives_up_after_sixteen_launches() {
    let pm2 = Pm2::new();
    pm2.file("fail.js", "process.exit(3);");
    pm2.run("start fail.js").failed(1);
    let record = &pm2.of("fail")[0]["pm2_env"];
    assert_eq!((record["status"].as_str(), &record["restart_time"]), (Some("errored"), &json!(15)));
}

#[test]
fn exits_that_mean_stop_are_no_failure() {
    let pm2 = Pm2::new();
    pm2.file("job.js", "setTimeout(() => process.exit(+process.argv[2]), 50);");
    pm2.with(&["start", "job.js", "--name", "coded", "--stop-exit-codes", "3", "--", "3"]).ok();
    pm2.with(&[
        "start",
        "job.js",
        "--name",
        "once",
        "--no-autorestart",
        "--restart-delay",
        "1000",
        "--",
        "0",
    ])
    .ok();
    for name in ["coded", "once"] {
        until("it is stopped", || (pm2.states(name) == ["stopped"]).then_some(()));
        assert_eq!(pm2.of(name)[0]["pm2_env"]["restart_time"], 0, "{name}");
    }
}

#[test]
fn never_ready_is_a_failure() {
    let pm2 = Pm2::new();
    pm2.file("silent.js", IDLE);
    pm2.apps(&json!([{
        "name": "silent", "script": "silent.js", "wait_ready": true, "listen_timeout": 300, "max_restarts": 1,
    }]));
    pm2.run("start apps.json").failed(1).says("silent").says("it was not ready within 300 ms");
    assert_eq!(pm2.states("silent"), ["errored"]);
}

#[test]
fn ready_is_waited_for() {
    let pm2 = Pm2::new();
    pm2.file("slow.js", "setTimeout(() => process.send('ready'), 300); setInterval(() => {}, 1000);");
    pm2.run("start slow.js --wait-ready").ok();
    assert_eq!(pm2.states("slow"), ["online"]);
}

#[test]
fn shutdown_is_a_message_in_stop_and_in_reload() {
    let pm2 = Pm2::new();
    pm2.file(
        "polite.js",
        "const fs = require('fs');
         process.on('SIGINT', () => fs.appendFileSync('seen', 'signal\\n'));
         process.on('message', (m) => { if (m === 'shutdown') { fs.appendFileSync('seen', 'message\\n'); process.exit(0); } });
         setInterval(() => {}, 1000);",
    );
    pm2.run("start polite.js --shutdown-with-message").ok();
    pm2.run("reload polite").ok();
    pm2.run("stop polite").ok();
    assert_eq!(std::fs::read_to_string(pm2.app().join("seen")).unwrap(), "message\nmessage\n");
}

#[test]
fn a_variable_that_left_the_file_leaves_the_application() {
    let pm2 = Pm2::new();
    pm2.file("a.js", IDLE);
    pm2.apps(&json!([{"name": "a", "script": "a.js", "env": {"KEPT": "1", "GONE": "1"}}]));
    pm2.run("start apps.json").ok();
    assert_eq!(pm2.of("a")[0]["pm2_env"]["env"]["GONE"], "1");
    pm2.apps(&json!([{"name": "a", "script": "a.js", "env": {"KEPT": "2"}}]));
    pm2.run("restart apps.json --update-env").ok();
    let env = pm2.of("a")[0]["pm2_env"]["env"].clone();
    assert_eq!((env["KEPT"].as_str(), env.get("GONE")), (Some("2"), None));
}

#[test]
fn the_shell_is_filtered() {
    let mut pm2 = Pm2::new();
    pm2.env.insert("SECRETX".to_owned(), "1".to_owned());
    pm2.env.insert("X".to_owned(), "1".to_owned());
    pm2.file("a.js", IDLE);
    pm2.apps(&json!([
        {"name": "all", "script": "a.js", "autostart": false, "filter_env": true},
        {"name": "exact", "script": "a.js", "autostart": false, "filter_env": "X"},
        {"name": "part", "script": "a.js", "autostart": false, "filter_env": ["SECRET"]},
        {"name": "none", "script": "a.js", "autostart": false},
    ]));
    pm2.run("start apps.json").ok();
    for (name, secret, x) in
        [("all", false, false), ("exact", true, false), ("part", false, true), ("none", true, true)]
    {
        let env = pm2.of(name)[0]["pm2_env"]["env"].clone();
        assert_eq!((env.get("SECRETX").is_some(), env.get("X").is_some()), (secret, x), "{name}");
    }
}

#[test]
fn scaling_down_takes_the_newest_or_as_pm2_the_oldest() {
    let pm2 = Pm2::new();
    pm2.file("a.js", IDLE);
    pm2.run("start a.js -i 4 -x").ok();
    let ids = || pm2.of("a").iter().map(|record| record["pm_id"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(ids(), [0, 1, 2, 3]);
    pm2.run("scale a 3").ok();
    assert_eq!(ids(), [0, 1, 2]);
    pm2.run("scale a 2 --pm2-order").ok();
    assert_eq!(ids(), [1, 2]);
    pm2.run("scale a 2").failed(1).says("Nothing to do");
    pm2.run("scale a +1").ok();
    assert_eq!(ids().len(), 3);
}

#[test]
fn what_ignores_the_signal_is_killed_with_its_children() {
    let pm2 = Pm2::new();
    pm2.file(
        "deaf.js",
        "process.on('SIGINT', () => {});
         const child = require('child_process').spawn(process.execPath, ['-e', \"process.on('SIGINT',()=>{});setInterval(()=>{},1000)\"]);
         require('fs').writeFileSync('child', String(child.pid));
         setInterval(() => {}, 1000);",
    );
    pm2.run("start deaf.js --kill-timeout 200").ok();
    let child: u32 = std::fs::read_to_string(pm2.app().join("child")).unwrap().parse().unwrap();
    pm2.run("stop deaf").ok();
    assert_eq!(pm2.states("deaf"), ["stopped"]);
    until("the child is gone", || {
        (!std::path::Path::new(&format!("/proc/{child}/cwd")).exists()).then_some(())
    });
}
