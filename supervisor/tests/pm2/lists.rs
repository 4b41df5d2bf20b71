//! `jlist`, `prettylist`, `list` and `describe`: the shapes that scripts read.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{IDLE, Pm2, said};

const JLIST: &str = include_str!("golden/jlist.json");
const LIST_EMPTY: &str = include_str!("golden/list-empty.txt");
const DESCRIBE: &str = include_str!("golden/describe.txt");

/// What only pm2's own daemon and its agent in the process know.
const OF_PM2: [&str; 5] = ["_pm2_version", "unique_id", "PM2_USAGE", "PM2_JSON_PROCESSING", "_"];

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "map",
    }
}

fn shop() -> Pm2 {
    let pm2 = Pm2::new();
    pm2.file("http.js", IDLE);
    pm2.file("tick.js", IDLE);
    pm2.file("package.json", r#"{"name": "shop", "version": "1.2.3"}"#);
    pm2.apps(&json!([
        {"name": "api", "script": "http.js", "instances": 2, "exec_mode": "cluster",
         "env": {"PORT": 34561, "NODE_ENV": "production", "API_TOKEN": "hunter2", "A_B": "it's"}},
        {"name": "worker", "script": "tick.js", "namespace": "jobs", "cron_restart": "0 3 * * *",
         "max_memory_restart": "300M", "watch": false, "args": "--queue mail", "env": {"A_KEY": "k"}},
    ]));
    pm2
}

#[test]
fn jlist_has_the_keys_and_kinds_of_pm2() {
    let pm2 = shop();
    pm2.run("start apps.json").ok();
    let ours = pm2.jlist();
    let theirs: Vec<Value> = serde_json::from_str(JLIST).unwrap();
    for record in &theirs {
        let name = record["name"].as_str().unwrap();
        let same = ours.iter().find(|ours| ours["name"] == name).unwrap();
        assert_eq!(keys(same), keys(record));
        assert_eq!(keys(&same["monit"]), keys(&record["monit"]));
        for (key, value) in record["pm2_env"].as_object().unwrap() {
            let of_the_shell = ["OLDPWD", "SHLVL"].contains(&key.as_str());
            // pm2 leaves a variable with the name of the application, and sections of other environments.
            if OF_PM2.contains(&key.as_str()) || of_the_shell || key == name || key.starts_with("env_") {
                continue;
            }
            let ours = same["pm2_env"].get(key).unwrap_or_else(|| panic!("{key} is missing"));
            // Variables are texts in a process, whatever the file says.
            if key != "PORT" {
                assert_eq!(kind(ours), kind(value), "{key}");
            }
        }
        assert_eq!(same["pm2_env"]["version"], record["pm2_env"]["version"]);
        assert_eq!(same["pm2_env"]["exec_mode"], record["pm2_env"]["exec_mode"]);
    }
    // Names stay, values that look like secrets do not.
    let api = ours.iter().find(|record| record["name"] == "api").unwrap();
    assert_eq!(api["pm2_env"]["env"]["API_TOKEN"], "[redacted]");
    assert_eq!(api["pm2_env"]["API_TOKEN"], "[redacted]");
    assert_eq!(api["pm2_env"]["NODE_ENV"], "production");
    assert!(!pm2.run("prettylist").out.contains("hunter2"));
    assert!(!pm2.run("describe api").out.contains("hunter2"));
}

#[test]
fn prettylist_is_what_node_prints() {
    let pm2 = shop();
    // Nothing runs, so nothing moves between the two.
    pm2.apps(&json!([
        {"name": "api", "script": "http.js", "instances": 2, "exec_mode": "cluster", "autostart": false,
         "env": {"NODE_ENV": "production", "A_B": "it's", "LONG": "word ".repeat(40), "LINES": "a\nb\u{1b}"}},
        {"name": "worker", "script": "tick.js", "autostart": false, "stop_exit_codes": [1, 2, 3, 4, 5, 6, 7, 8, 9],
         "args": "a b c d e f g hh --queue mail"},
    ]));
    pm2.run("start apps.json").ok();
    let json = pm2.run("jlist").ok().out;
    pm2.file("jlist.json", &json);
    let script = "process.stdout.write(require('util').inspect(JSON.parse(require('fs').readFileSync('jlist.json', 'utf8')), false, null, false))";
    let node = said(pm2.command("node".as_ref(), &["-e", script]).output().unwrap()).ok();
    assert_eq!(pm2.run("prettylist").ok().out, node.out);
}

#[test]
fn the_empty_list_is_drawn_as_pm2_draws_it() {
    let pm2 = Pm2::new();
    pm2.run("ping").ok().says("{ msg: 'pong' }");
    assert_eq!(pm2.run("list").ok().out, LIST_EMPTY);
    assert_eq!(pm2.run("jlist").ok().out, "[]");
}

#[test]
fn describe_has_the_rows_of_pm2() {
    let pm2 = shop();
    pm2.run("start apps.json --only worker").ok();
    let titles = |text: &str| -> Vec<String> {
        let rows = text.lines().filter(|line| line.starts_with('│'));
        let titles = rows.filter_map(|line| line.split('│').nth(1)).map(|title| title.trim().to_owned());
        titles.filter(|title| !title.starts_with("km:")).collect()
    };
    let ours = pm2.run("describe worker").ok().out;
    let theirs = titles(DESCRIBE);
    let ours: Vec<String> = titles(&ours).into_iter().filter(|title| theirs.contains(title)).collect();
    assert_eq!(ours, theirs);
    pm2.run("describe nothing").failed(1).says("nothing doesn't exist");
}

#[test]
fn rows_are_sorted_and_compact_lists_are_plain() {
    let pm2 = shop();
    pm2.run("start apps.json").ok();
    let rows = |line: &str| -> Vec<String> {
        let out = pm2.run(line).ok().out;
        out.lines().skip(3).filter_map(|row| row.split('│').nth(1).map(|id| id.trim().to_owned())).collect()
    };
    assert_eq!(rows("list"), ["0", "1", "2"]);
    assert_eq!(rows("list --sort id:desc"), ["2", "1", "0"]);
    let compact = pm2.run("list -m").ok().out;
    assert!(compact.contains("+--- worker\nnamespace : jobs\nversion : 1.2.3\npid : "), "{compact}");
    assert_eq!(pm2.run("id api").ok().out, "[ 0, 1 ]\n");
    assert_eq!(pm2.run("id nothing").ok().out, "[]\n");
    assert_eq!(pm2.run("pid worker").ok().out.trim(), pm2.of("worker")[0]["pid"].to_string());
    pm2.run("env 2").ok().says("A_KEY: k");
}
