//! `save` and `resurrect`.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::harness::{IDLE, Pm2};

const DUMP: &str = include_str!("golden/dump.pm2");

fn process_env(pid: &serde_json::Value) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    String::from_utf8_lossy(&bytes).replace('\0', "\n")
}

#[test]
fn the_list_comes_back_with_its_secrets_and_what_was_stopped_stays_stopped() {
    let pm2 = Pm2::new();
    pm2.file("a.js", IDLE);
    pm2.apps(&json!([
        {"name": "a", "script": "a.js", "instances": 2, "exec_mode": "fork", "env": {"DB_PASSWORD": "hunter2", "STAGE": "x"}},
        {"name": "b", "script": "a.js"},
    ]));
    pm2.run("start apps.json").ok();
    pm2.run("stop b").ok();
    pm2.run("save").ok().says("Successfully saved in");
    let dump = pm2.home().join("dump.pm2");
    let text = std::fs::read_to_string(&dump).unwrap();
    assert!(!text.contains("hunter2") && text.contains("DB_PASSWORD"), "{text}");
    for file in ["dump.pm2", "muster/dump.key"] {
        let mode = std::fs::metadata(pm2.home().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    pm2.run("kill").ok();
    pm2.run("resurrect").ok().says("restored");
    assert_eq!(pm2.states("a"), ["online", "online"]);
    assert_eq!(pm2.states("b"), ["stopped"]);
    let env = process_env(&pm2.of("a")[0]["pid"]);
    assert!(env.contains("DB_PASSWORD=hunter2") && env.contains("STAGE=x"), "{env}");
    // What is there already is left alone.
    let before = pm2.of("a")[0]["pid"].clone();
    pm2.run("resurrect").ok();
    assert_eq!(pm2.of("a")[0]["pid"], before);
    // An empty list does not replace a full one by accident.
    pm2.run("delete all").ok();
    pm2.run("save").ok().says("skipping save");
    assert_eq!(std::fs::read_to_string(&dump).unwrap(), text);
    pm2.run("save --force").ok();
    assert_eq!(std::fs::read_to_string(&dump).unwrap(), "[]");
    assert_eq!(std::fs::read_to_string(pm2.home().join("dump.pm2.bak")).unwrap(), text);
}

#[test]
fn a_broken_list_is_kept_aside_and_the_one_before_is_used() {
    let pm2 = Pm2::new();
    pm2.file("a.js", IDLE);
    pm2.run("start a.js").ok();
    pm2.run("save").ok();
    pm2.run("save").ok();
    std::fs::write(pm2.home().join("dump.pm2"), "[{\"name\": \"a").unwrap();
    pm2.run("kill").ok();
    pm2.run("resurrect").ok().says("dump.pm2.corrupt");
    assert_eq!(pm2.states("a"), ["online"]);
    assert_eq!(std::fs::read_to_string(pm2.home().join("dump.pm2.corrupt")).unwrap(), "[{\"name\": \"a");
}

#[test]
fn a_list_that_pm2_saved_comes_back() {
    let pm2 = Pm2::new();
    pm2.file("http.js", IDLE);
    pm2.file("tick.js", IDLE);
    std::fs::create_dir_all(pm2.home()).unwrap();
    let dump =
        DUMP.replace("@APP@", pm2.app().to_str().unwrap()).replace("@HOME@", pm2.home().to_str().unwrap());
    std::fs::write(pm2.home().join("dump.pm2"), dump).unwrap();
    pm2.run("resurrect").ok();
    assert_eq!(pm2.states("api"), ["online", "online"]);
    let worker = &pm2.of("worker")[0];
    assert_eq!(worker["pm2_env"]["namespace"], "jobs");
    assert_eq!(worker["pm2_env"]["args"], json!(["--queue", "mail"]));
    let env = process_env(&worker["pid"]);
    assert!(env.contains("A_KEY=k\n") && !env.contains("unique_id="), "{env}");
}

#[test]
fn what_was_given_up_is_tried_again() {
    let pm2 = Pm2::new();
    pm2.file(
        "a.js",
        "if (!require('fs').existsSync('database')) process.exit(1); setInterval(() => {}, 1000);",
    );
    pm2.run("start a.js --max-restarts 1").failed(1);
    assert_eq!(pm2.states("a"), ["errored"]);
    pm2.run("save").ok();
    pm2.run("kill").ok();
    pm2.file("database", "");
    pm2.run("resurrect").ok();
    assert_eq!(pm2.states("a"), ["online"]);
}
