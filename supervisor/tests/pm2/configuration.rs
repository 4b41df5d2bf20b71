//! Configurations: in JavaScript, on standard input, by flags.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::json;

use crate::harness::{IDLE, Pm2, said};

#[test]
fn the_ecosystem_file_is_started_without_being_named() {
    let pm2 = Pm2::new();
    pm2.file("a.js", IDLE);
    pm2.file(
        "ecosystem.config.js",
        "module.exports = {apps: ['x', 'y'].map((name) => ({name, script: 'a.js', env: {SHELL_SAYS: process.env.SAID}}))};",
    );
    pm2.run("start").ok().says("App [x] launched (1 instances)").says("App [y] launched (1 instances)");
    pm2.run("delete x").ok();
    pm2.run("start ecosystem.config.js --only x").ok();
    assert_eq!(pm2.jlist().len(), 2);
    pm2.run("start ecosystem.config.js --only z").failed(1);
    pm2.run("start nothing.config.js").failed(1).says("File nothing.config.js not found");
}

#[test]
fn a_configuration_comes_by_standard_input() {
    let pm2 = Pm2::new();
    pm2.file("a.js", IDLE);
    let mut command = pm2.command(&Pm2::program(), &["pm2", "start", "-"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"{apps: [{script: 'a.js', /* why */ name: 'piped',}]}").unwrap();
    said(child.wait_with_output().unwrap()).ok();
    assert_eq!(pm2.states("piped"), ["online"]);
}

#[test]
fn flags_describe_an_application() {
    let pm2 = Pm2::new();
    pm2.file("sub/a.js", IDLE);
    pm2.with(&[
        "start",
        "sub/a.js",
        "--name",
        "flags",
        "--namespace",
        "team",
        "-o",
        "o.log",
        "-e",
        "/dev/null",
        "--time",
        "--kill-timeout",
        "3000",
        "--max-memory-restart",
        "200M",
        "--cron",
        "0 4 * * *",
        "--node-args",
        "--max-old-space-size=100",
        "--",
        "--port",
        "80",
        "a b",
    ])
    .ok();
    let env = pm2.of("flags")[0]["pm2_env"].clone();
    assert_eq!(env["namespace"], "team");
    assert_eq!(env["args"], json!(["--port", "80", "a b"]));
    assert_eq!(env["node_args"], json!(["--max-old-space-size=100"]));
    assert_eq!(env["pm_out_log_path"], json!(pm2.app().join("o.log")));
    assert_eq!(env["pm_err_log_path"], "/dev/null");
    assert_eq!((&env["kill_timeout"], &env["max_memory_restart"]), (&json!(3000), &json!(209_715_200)));
    assert_eq!(
        (env["cron_restart"].as_str(), env["log_date_format"].as_str()),
        (Some("0 4 * * *"), Some("YYYY-MM-DDTHH:mm:ss"))
    );
    // A flag of restart changes what is there, and only that.
    pm2.run("restart flags --kill-timeout 500").ok();
    let env = pm2.of("flags")[0]["pm2_env"].clone();
    assert_eq!((&env["kill_timeout"], env["namespace"].as_str()), (&json!(500), Some("team")));
    assert_eq!(env["args"], json!(["--port", "80", "a b"]));
}

#[test]
fn the_environment_changes_only_when_it_is_asked_for() {
    let mut pm2 = Pm2::new();
    pm2.env.insert("FROM_SHELL".to_owned(), "1".to_owned());
    pm2.file("a.js", IDLE);
    pm2.run("start a.js").ok();
    let seen = |pm2: &Pm2| pm2.of("a")[0]["pm2_env"]["env"]["FROM_SHELL"].clone();
    pm2.env.insert("FROM_SHELL".to_owned(), "2".to_owned());
    pm2.run("restart a").ok().says("Use --update-env to update environment variables");
    assert_eq!(seen(&pm2), "1");
    pm2.run("restart a --update-env").ok();
    assert_eq!(seen(&pm2), "2");
}

#[test]
fn command_lines_and_binaries_are_started_as_they_are() {
    let pm2 = Pm2::new();
    pm2.with(&["start", "sleep 1000 && true", "--name", "line"]).ok().says("in fork_mode (1 instance)");
    pm2.with(&["start", "sleep", "--", "1000"]).ok();
    assert_eq!(pm2.of("line")[0]["pm2_env"]["args"], json!(["-c", "sleep 1000 && true"]));
    assert_eq!(pm2.of("sleep")[0]["pm2_env"]["exec_interpreter"], "none");
    pm2.run("start nothere.js").failed(1).says("Script not found: ");
    pm2.file("a.js", IDLE);
    pm2.run("start a.js --interpreter nothere").failed(1).says("NOT AVAILABLE in PATH");
}

#[test]
fn node_is_asked_for_its_version_once() {
    let mut pm2 = Pm2::new();
    let path = std::env::var("PATH").unwrap();
    let node = std::env::split_paths(&path).map(|dir| dir.join("node")).find(|node| node.exists()).unwrap();
    let asked = pm2.app().join("asked");
    let script =
        format!("#!/bin/sh\necho \"$1\" >> '{}'\nexec '{}' \"$@\"\n", asked.display(), node.display());
    pm2.file("bin/node", &script);
    let bin = pm2.app().join("bin");
    std::fs::set_permissions(bin.join("node"), std::fs::Permissions::from_mode(0o755)).unwrap();
    pm2.env.insert("PATH".to_owned(), format!("{}:{path}", bin.display()));
    pm2.file("a.js", "");
    let app = |name: u32| json!({"name": name.to_string(), "script": "a.js", "autostart": false});
    pm2.apps(&(0..5).map(app).collect());
    pm2.run("start apps.json").ok();
    assert_eq!(std::fs::read_to_string(asked).unwrap(), "--version\n");
    assert!(pm2.jlist().iter().all(|it| it["pm2_env"]["node_version"].is_string()));
}
