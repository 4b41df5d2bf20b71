use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::app::{FilterEnv, LogFile};
use crate::validate::validate;

/// A machine with two processors, a shop in /srv/shop, node, and python3 but no python.
struct Machine;

impl Files for Machine {
    fn exists(&self, path: &Path) -> bool {
        path.starts_with("/srv/shop")
            && path != Path::new("/srv/shop/npm")
            && path != Path::new("/srv/shop/gone.js")
    }

    fn which(&self, program: &str) -> Option<PathBuf> {
        ["node", "npm", "python3"].contains(&program).then(|| Path::new("/usr/bin").join(program))
    }

    fn binary(&self, path: &Path) -> bool {
        path.ends_with("server")
    }
}

fn surroundings() -> Surroundings {
    Surroundings {
        cwd: None,
        home: "/home/deploy".into(),
        pm2_home: "/home/deploy/.pm2".into(),
        env: BTreeMap::new(),
        env_name: None,
        cpus: 2,
        node: None,
        evaluation_timeout: Duration::from_secs(10),
    }
}

fn app_with(written: Value, surroundings: &Surroundings, deploy: Option<&Value>) -> (Pm2App, Vec<Warning>) {
    let mut checked = validate("app", written.as_object().unwrap());
    let context = Context { surroundings, files: &Machine, cwd: Path::new("/srv/shop"), deploy };
    let app = resolve("app", &mut checked, &context).unwrap();
    (app, checked.warnings)
}

fn app(written: Value) -> Pm2App {
    app_with(written, &surroundings(), None).0
}

/// The first rows of the golden cases, all measured on pm2 7.0.3: mode, instances, log file of `pm_id` 0.
#[test]
fn modes_counts_and_log_files_are_those_of_pm2() {
    use ExecMode::{Cluster, Fork};
    for (settings, mode, count, file) in [
        (json!({}), Fork, 1, "m-out.log"),
        (json!({"instances": 1}), Cluster, 1, "m-out-0.log"),
        (json!({"instances": -1}), Cluster, 1, "m-out-0.log"),
        (json!({"instances": -2}), Fork, 1, "m-out-0.log"),
        (json!({"instances": "max"}), Cluster, 2, "m-out.log"),
        (json!({"instances": 0}), Cluster, 2, "m-out.log"),
        (json!({"instances": 2, "exec_mode": "fork"}), Fork, 2, "m-out-0.log"),
        (json!({"exec_mode": "cluster"}), Cluster, 1, "m-out-0.log"),
        (json!({"exec_mode": "cluster_mode", "instances": "max"}), Cluster, 2, "m-out-0.log"),
        (json!({"instances": 2, "merge_logs": true}), Cluster, 2, "m-out.log"),
        (json!({"instances": 2, "execute_command": true}), Fork, 2, "m-out-0.log"),
        (json!({"instances": 2, "interpreter": "python3"}), Fork, 2, "m-out-0.log"),
        (json!({"instances": 2, "interpreter": "/usr/local/bin/bun"}), Cluster, 2, "m-out-0.log"),
    ] {
        let mut written = json!({"script": "m.js"});
        written.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let app = app(written);
        assert_eq!((app.exec_mode, app.instances.count), (mode, count), "{settings}");
        let expected = LogFile::Path(format!("/home/deploy/.pm2/logs/{file}").into());
        assert_eq!(app.out_file.of_instance(0, app.merge_logs), expected, "{settings}");
    }
}

#[test]
fn counts_never_fall_below_one() {
    for (given, cpus, count) in
        [(None, 8, 1), (Some(0), 8, 8), (Some(-1), 8, 7), (Some(-8), 8, 1), (Some(-99), 8, 1)]
    {
        assert_eq!(instance_count(given, cpus), count, "{given:?}");
    }
    assert!(merge_logs_default(None, None) && merge_logs_default(Some(ExecMode::Fork), Some(0)));
    assert!(!merge_logs_default(Some(ExecMode::Cluster), None) && !merge_logs_default(None, Some(-1)));
}

#[test]
fn interpreters_are_chosen_by_extension() {
    let program = |name: &str| Interpreter::Program(name.to_owned());
    for (script, expected) in [
        ("a.js", Interpreter::Node),
        ("a.mjs", Interpreter::Node),
        ("a.sh", program("bash")),
        ("a.py", program("python3")),
        ("a.rb", program("ruby")),
        ("a.php", program("php")),
        ("a.pl", program("perl")),
        ("a.coffee", program("coffee")),
        ("a.ls", program("lsc")),
        ("a.ts", program("bun")),
        ("a.tsx", program("bun")),
        ("server", Interpreter::None),
        ("cli", Interpreter::Node),
    ] {
        assert_eq!(app(json!({"script": script})).interpreter, expected, "{script}");
    }
    let chosen = |name: &str| app(json!({"script": "a.py", "interpreter": name})).interpreter;
    assert_eq!(chosen("none"), Interpreter::None);
    assert_eq!(chosen("node@20.11.0"), Interpreter::NodeVersion("20.11.0".to_owned()));
    assert_eq!(chosen("python"), program("python"), "what is given is not replaced");
    assert_eq!(app(json!({"script": "a.py"})).own_env()["PYTHONUNBUFFERED"], "1");
}

#[test]
fn every_default_is_that_of_pm2() {
    let app = app(json!({"script": "dist/my_app.min.js"}));
    assert_eq!((app.name.as_str(), app.namespace.as_str()), ("my_app.min", "default"));
    assert_eq!((app.min_uptime_ms, app.max_restarts, app.restart_delay_ms), (1_000, 16, 0));
    assert_eq!((app.listen_timeout_ms, app.kill_timeout_ms, app.kill_retry_time_ms), (3_000, 1_600, 100));
    assert_eq!((app.kill_signal.as_str(), app.instance_var.as_str()), ("SIGINT", "NODE_APP_INSTANCE"));
    assert!(app.autostart && app.autorestart && app.treekill && app.merge_logs && app.source_map_support);
    assert!(app.vizion && app.pmx && app.automation && app.windows_hide);
    assert!(!app.wait_ready && !app.shutdown_with_message && !app.disable_logs && !app.force && !app.time);
    assert_eq!(
        (app.cron_restart, app.max_memory_restart_bytes, app.exp_backoff_restart_delay_ms),
        (None, None, None)
    );
    assert_eq!((app.log_type, app.log_file, app.log_date_format), (LogType::Raw, LogFile::None, None));
    assert_eq!((app.watch, app.ignore_watch, app.watch_delay_ms), (Watch::Off, None, 0));
    assert_eq!(app.out_file, LogFile::Path("/home/deploy/.pm2/logs/my-app.min-out.log".into()));
    assert_eq!(app.error_file, LogFile::Path("/home/deploy/.pm2/logs/my-app.min-error.log".into()));
    assert_eq!(app.pid_file, Path::new("/home/deploy/.pm2/pids/my-app.min.pid"));
    assert_eq!((app.cwd.as_path(), app.script_found), (Path::new("/srv/shop"), true));
    assert_eq!(app.given, BTreeSet::from(["script"]));
}

#[test]
fn scripts_are_looked_for_in_cwd_and_then_in_path() {
    let found = app(json!({"script": "./x/../app.js", "cwd": "./api"}));
    assert_eq!(
        (found.script_path.as_path(), found.cwd.as_path()),
        (Path::new("/srv/shop/api/app.js"), Path::new("/srv/shop/api"))
    );
    assert_eq!(app(json!({"script": "npm"})).script_path, Path::new("/usr/bin/npm"));
    let line = app(json!({"script": "python x.py --ok"}));
    assert_eq!(line.command_line.as_deref(), Some("python x.py --ok"));
    assert_eq!((line.script.as_str(), line.name.as_str()), ("bash", "python x"));
    let (gone, warnings) = app_with(json!({"script": "gone.js"}), &surroundings(), None);
    assert!(!gone.script_found);
    assert!(warnings[0].message.contains("/srv/shop/gone.js"), "{warnings:?}");
}

#[test]
fn log_paths_follow_pm2() {
    let app = app(json!({
        "script": "a.js", "instances": 2, "out": "~/logs/out.log", "error_file": "logs/err.txt", "log": true, "pid": "run/a.pid"
    }));
    let file = |path: &str| LogFile::Path(path.into());
    assert_eq!(app.out_file.of_instance(3, false), file("/home/deploy/logs/out-3.log"));
    assert_eq!(
        app.error_file.of_instance(3, false),
        file("/srv/shop/logs/err.txt"),
        "only .log gets a number"
    );
    assert_eq!(
        (app.log_file, app.pid_file),
        (file("/home/deploy/.pm2/logs/a.log"), "/srv/shop/run/a.pid".into())
    );
    for none in ["NULL", "/dev/null"] {
        assert_eq!(super::tests::app(json!({"script": "a.js", "out_file": none})).out_file, LogFile::None);
    }
}

#[test]
fn environments_are_united_as_pm2_does() {
    let written = json!({
        "script": "a.js", "port": 3000, "append_env_to_name": true,
        "env": {"A": "env", "B": "env", "PORT": 1, "OBJECT": {"x": 1}, "NUMBER": 1.50, "NULL": null},
        "env_production": {"A": "production", "PORT": 4000}
    });
    let base = app(written.clone());
    assert_eq!((base.name.as_str(), base.env["PORT"].as_str(), base.env["A"].as_str()), ("a", "3000", "env"));
    assert_eq!(
        (base.env["OBJECT"].as_str(), base.env["NUMBER"].as_str(), base.env["NULL"].as_str()),
        ("{\"x\":1}", "1.5", "null")
    );
    assert_eq!(base.environments["production"]["PORT"], "4000");

    let mut surroundings = surroundings();
    surroundings.env_name = Some("production".to_owned());
    let deploy = json!({"production": {"env": {"A": "deploy", "B": "deploy", "C": "deploy"}}});
    let (app, _) = app_with(written.clone(), &surroundings, Some(&deploy));
    let get = |name: &str| app.env[name].as_str();
    assert_eq!(
        (app.name.as_str(), get("A"), get("B"), get("C"), get("PORT")),
        ("a-production", "production", "deploy", "deploy", "4000")
    );

    surroundings.env_name = Some("test".to_owned());
    let (app, warnings) = app_with(written, &surroundings, None);
    assert_eq!(app.env["A"], "env");
    assert!(warnings.iter().any(|warning| warning.message.contains("env_test")), "{warnings:?}");
}

#[test]
fn filter_env_drops_what_it_says() {
    let caller: BTreeMap<String, String> =
        ["SECRETX", "X", "HOME"].into_iter().map(|name| (name.to_owned(), "1".to_owned())).collect();
    let kept = |filter: Value| {
        let filter = app(json!({"script": "a.js", "filter_env": filter})).filter_env;
        crate::environment::inherited_env(&caller, &filter).keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(kept(json!(false)), ["HOME", "SECRETX", "X"]);
    assert_eq!(kept(json!(true)), [""; 0], "ours: as documented");
    assert_eq!(kept(json!("X")), ["HOME", "SECRETX"], "text is an exact name");
    assert_eq!(kept(json!(["SECRET"])), ["HOME", "X"], "a list has parts of names");
    assert_eq!(kept(json!([])), ["HOME", "SECRETX", "X"]);
    assert_eq!(environment::filter(Some(&json!([]))), FilterEnv::Off);
}

#[test]
fn switches_of_the_daemon_are_honoured() {
    let mut surroundings = surroundings();
    surroundings.env = [
        ("PM2_KILL_TIMEOUT", "9000"),
        ("PM2_KILL_SIGNAL", "SIGTERM"),
        ("PM2_GRACEFUL_LISTEN_TIMEOUT", "7000"),
        ("PM2_KILL_USE_MESSAGE", "true"),
        ("PM2_PROCESS_INSTANCE_VAR", "SLOT"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    let (app, _) = app_with(json!({"script": "a.js", "instance_var": "MINE"}), &surroundings, None);
    assert_eq!((app.kill_timeout_ms, app.listen_timeout_ms, app.shutdown_with_message), (9000, 7000, true));
    assert_eq!((app.kill_signal.as_str(), app.instance_var.as_str()), ("SIGTERM", "SLOT"));
    let (app, _) = app_with(json!({"script": "a.js", "kill_timeout": 5}), &surroundings, None);
    assert_eq!(app.kill_timeout_ms, 5, "what the file says wins");
}

#[test]
fn numbers_out_of_range_and_a_missing_script_fail_the_file() {
    let surroundings = surroundings();
    let context =
        Context { surroundings: &surroundings, files: &Machine, cwd: Path::new("/srv/shop"), deploy: None };
    let mut checked = validate("api", json!({"port": 70000, "kill_timeout": -1}).as_object().unwrap());
    let problems = resolve("api", &mut checked, &context).unwrap_err();
    let keys: BTreeSet<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, BTreeSet::from(["kill_timeout", "port", "script"]));
}

#[test]
fn values_of_variables_never_reach_debug_output() {
    let shown =
        format!("{:?}", app(json!({"script": "a.js", "env": {"A": "hunter2"}, "env_x": {"B": "hunter2"}})));
    assert!(shown.contains("\"A\"") && !shown.contains("hunter2"), "{shown}");
}
