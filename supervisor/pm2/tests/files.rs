//! Whole files, from bytes to differences and a fragment that `muster apply` takes.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

use std::fs;
use std::path::Path;

use muster_fleet_config::SourceFile;
use muster_pm2::{
    CANDIDATES, Format, ImportError, InstancesGiven, Loaded, Severity, Surroundings, differences,
    fleet_fragment, format_of, load,
};

fn surroundings() -> Surroundings {
    let mut surroundings = Surroundings::of_this_process();
    surroundings.env.retain(|name, _| name == "PATH");
    surroundings.home = "/home/deploy".into();
    surroundings.pm2_home = "/home/deploy/.pm2".into();
    surroundings.cpus = 4;
    surroundings.evaluation_timeout = std::time::Duration::from_secs(120);
    surroundings
}

fn read(name: &str, text: &str) -> Result<Loaded, ImportError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    fs::write(&file, text).unwrap();
    load(&file, &surroundings())
}

/// A fragment must be accepted beside the environments and nodes that everybody declares.
fn assert_accepted(fragment: &str) -> muster_fleet_config::Parsed {
    let rest = "environments: {production: {}, staging: {}}\n\
                nodes: {app-1: {environment: production, roles: [app_server]}, app-2: {environment: staging, roles: [app_server]}}\n";
    let files = [("fleet.yaml", rest), ("pm2.yaml", fragment)]
        .map(|(path, text)| SourceFile { path: path.to_owned(), content: text.as_bytes().to_vec() });
    muster_fleet_config::parse(&files).unwrap_or_else(|problems| panic!("{problems:#?}\n{fragment}"))
}

/// Differences, warnings and the fragment as one text, without the folder of the test.
fn report(loaded: &Loaded, folder: &Path) -> String {
    let mut text = String::new();
    for warning in &loaded.warnings {
        text += &format!("warning: {warning}\n");
    }
    for difference in differences(&loaded.apps) {
        let app = difference.app.as_deref().unwrap_or("(all)");
        text += &format!(
            "{:?} {app} {}: {} -> {}",
            difference.severity, difference.field, difference.pm2, difference.muster
        );
        text += &difference.todo.map_or_else(String::new, |todo| format!(" [{todo}]"));
        text += "\n";
    }
    text += "---\n";
    text += &fleet_fragment(&loaded.apps).text;
    text.replace(&*folder.to_string_lossy(), "/srv/shop")
}

fn ecosystem(surroundings: &Surroundings) -> (Loaded, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ecosystem.config.js");
    fs::write(&file, include_str!("files/ecosystem.config.js")).unwrap();
    fs::create_dir_all(folder.path().join("api")).unwrap();
    fs::create_dir_all(folder.path().join("jobs")).unwrap();
    for script in ["api/server.js", "worker.js", "jobs/report.js", "predict.py"] {
        fs::write(folder.path().join(script), "").unwrap();
    }
    (load(&file, surroundings).unwrap(), folder)
}

#[test]
fn a_realistic_ecosystem_file() {
    let (loaded, folder) = ecosystem(&surroundings());
    insta::assert_snapshot!(report(&loaded, folder.path()));
    let fragment = fleet_fragment(&loaded.apps);
    let parsed = assert_accepted(&fragment.text);
    assert_eq!(parsed.configuration.applications.len(), 5);
    assert_eq!(fragment.secrets, ["DATABASE_URL", "SESSION_SECRET", "STRIPE_KEY"]);
}

#[test]
fn with_env_a_section_is_part_of_env() {
    let mut surroundings = surroundings();
    surroundings.env_name = Some("staging".to_owned());
    let (loaded, _folder) = ecosystem(&surroundings);
    let fragment = fleet_fragment(&loaded.apps).text;
    assert!(fragment.contains("LOG_LEVEL: debug") && fragment.contains("port: 3100"), "{fragment}");
    assert!(!fragment.contains("overrides"), "{fragment}");
    assert_accepted(&fragment);
    let missing = loaded.warnings.iter().filter(|warning| warning.key == "--env").count();
    assert_eq!(missing, 4, "four applications have no env_staging: {:?}", loaded.warnings);
}

#[test]
fn a_dump_of_pm2() {
    let loaded = read("dump.pm2", include_str!("files/dump.pm2")).unwrap();
    assert_eq!(loaded.format, Format::Dump);
    let names: Vec<_> = loaded.apps.iter().map(|app| (app.name.as_str(), app.instances.given)).collect();
    assert_eq!(
        names,
        [
            ("Shop API", InstancesGiven::Count(2)),
            ("worker", InstancesGiven::Count(1)),
            ("import", InstancesGiven::Count(1))
        ]
    );
    insta::assert_snapshot!(report(&loaded, Path::new("/nowhere")));
    assert_accepted(&fleet_fragment(&loaded.apps).text);
}

#[test]
fn secrets_are_nowhere_in_the_clear() {
    let (of_file, folder) = ecosystem(&surroundings());
    let of_dump = read("dump.pm2", include_str!("files/dump.pm2")).unwrap();
    for (loaded, folder) in [(&of_file, folder.path()), (&of_dump, Path::new("/nowhere"))] {
        let shown = format!("{}{loaded:?}", report(loaded, folder));
        for secret in ["hunter2", "keyboard cat", "t0ps3cret", "sk_live"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
    }
}

#[test]
fn json_may_have_comments_and_trailing_commas() {
    let text = "// ours\n{\n  apps: [{\n    script: 'shop.js', /* max */ instances: \"max\",\n  },],\n}\n";
    for name in ["processes.json", "ecosystem.json5", "ecosystem.config.json"] {
        let loaded = read(name, text).unwrap();
        assert_eq!((loaded.apps[0].name.as_str(), loaded.apps[0].instances.count), ("shop", 4), "{name}");
    }
}

#[test]
fn yaml_is_read_with_anchors() {
    let text = "shared: &shared\n  NODE_ENV: production\n  VERSION: 3.0\napps:\n  - script: shop.js\n    env:\n      <<: *shared\n      ANSWER: no\n";
    let loaded = read("ecosystem.config.yaml", text).unwrap();
    let env = &loaded.apps[0].env;
    assert_eq!(
        (env["NODE_ENV"].as_str(), env["ANSWER"].as_str(), env["VERSION"].as_str()),
        ("production", "no", "3")
    );
    assert_eq!(loaded.warnings[0].key, "`shared`");
}

#[test]
fn what_is_not_well_formed_has_a_place() {
    for (name, text, place) in [
        ("a.json", "{\n  apps: [{script: 'a.js' instances: 2}]\n}", "a.json:2:"),
        ("a.json", "{apps: [{script: 'a.js', max: 1024 * 1024}]}", "a.json:1:"),
        ("a.yaml", "apps:\n  - script: a.js\n instances: 2\n", "a.yaml:"),
        ("dump.pm2", "[{\"name\": \"a\"", "dump.pm2:1:"),
    ] {
        let error = read(name, text).unwrap_err();
        assert!(matches!(error, ImportError::Syntax { .. }), "{error:?}");
        assert!(error.to_string().contains(place), "{error}");
        assert!(error.hint().is_some());
    }
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for name in ["a.json", "a.yaml", "dump.pm2"] {
        assert!(read(name, &deep).is_err(), "{name}");
    }
}

#[test]
fn every_bad_key_of_every_application_is_named_at_once() {
    let text = "{apps: [{name: 'api', script: 'a.js', kill_timeout: '5s'}, {script: 'b.js', watch: 1}, {name: 'c'}]}";
    let error = read("a.json", text).unwrap_err().to_string();
    for part in [
        "3 problems",
        "api: kill_timeout: `5s` is text; valid: a number",
        "application 2: watch: it is a number; valid: true or false or a list or text",
        "c: script: it is missing",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn formats_are_told_by_name_as_pm2_does() {
    for (name, format) in [
        ("processes.json", Some(Format::Json)),
        ("app.json5", Some(Format::Json)),
        ("a.yml", Some(Format::Yaml)),
        ("pm2.config.js", Some(Format::JavaScript)),
        ("dump.pm2", Some(Format::Dump)),
        ("dump.pm2.bak", Some(Format::Dump)),
        ("server.js", None),
        ("README", None),
    ] {
        assert_eq!(format_of(Path::new(name)), format, "{name}");
    }
    assert!(CANDIDATES.iter().all(|name| format_of(Path::new(name)).is_some()));
    assert!(matches!(read("server.js", ""), Err(ImportError::UnknownFormat { .. })));
    assert!(matches!(
        load(Path::new("/nowhere/a.json"), &surroundings()),
        Err(ImportError::Unreadable { .. })
    ));
}

/// Every field of pm2 at once, with a value that is not its default.
const EVERYTHING: &str = r#"{apps: [{
    name: "all", namespace: "n", name_prefix: "p", append_env_to_name: true, script: "a.js", cwd: "sub", args: "-a --token=x",
    node_args: "--x", interpreter: "node@20.1.0", exec_mode: "fork", instances: 2, instance_var: "SLOT", increment_var: "PORT",
    port: 4000, env: {A: 1, "bad name": 2}, "env_prod_eu": {B: 2}, "env___": {C: 1}, filter_env: ["X"], autostart: false,
    autorestart: false, stop_exit_codes: [0, 3], min_uptime: "5s", max_restarts: 3, restart_delay: 100,
    exp_backoff_restart_delay: 100, max_memory_restart: "1G", cron_restart: "0 0 * * *", wait_ready: true, listen_timeout: 0,
    kill_timeout: 100, kill_retry_time: 50, treekill: false, shutdown_with_message: true, merge_logs: true, out_file: "o.log",
    error_file: "e.log", log_file: "c.log", disable_logs: true, log_type: "json", log_date_format: "YYYY", time: true,
    pid_file: "a.pid", uid: 1000, gid: "www", watch: true, ignore_watch: ["x"], watch_delay: 5, watch_options: {},
    disable_source_map_support: true, force: true, vizion: false, pmx: false, automation: false, trace: true, v8: true,
    event_loop_inspector: true, deep_monitoring: true, io: {}, post_update: ["x"], install_url: "x", write: true, windowsHide: false
}]}"#;

#[test]
fn nothing_that_was_given_is_dropped_in_silence() {
    let loaded = read("all.json", EVERYTHING).unwrap();
    let app = &loaded.apps[0];
    let fragment = fleet_fragment(&loaded.apps).text;
    let parsed = assert_accepted(&fragment.replace("prod-eu", "production"));
    assert_eq!(parsed.configuration.applications.len(), 1);
    let differences = differences(&loaded.apps);
    // What these say is in the fragment as it was said, or (source maps, pmx) already is how Muster does it.
    let same = [
        "name",
        "script",
        "args",
        "node_args",
        "exec_interpreter",
        "exec_mode",
        "instances",
        "env",
        "min_uptime",
        "max_restarts",
        "kill_timeout",
        "restart_delay",
        "listen_timeout",
        "disable_source_map_support",
        "pmx",
        "automation",
        "time",
        "watch_options",
        "port",
        // `time` wins over it, there and here.
        "log_date_format",
    ];
    for field in &app.given {
        let told = same.contains(field)
            || differences.iter().any(|difference| difference.app.is_some() && difference.field == *field)
            || fragment.contains(&format!("{field}:"));
        assert!(told, "{field} is dropped in silence:\n{fragment}");
    }
    for severity in [Severity::Lost, Severity::Changed, Severity::Improved] {
        assert!(differences.iter().any(|difference| difference.severity == severity));
    }
}

/// Every application that pm2's own validation was asked about.
#[test]
fn the_fragment_of_every_golden_input_is_read() {
    let golden: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("golden/verify-confs.json")).unwrap();
    let mut read_at_all = 0;
    for case in &golden {
        let text = serde_json::json!({ "apps": [case["input"]] }).to_string();
        let Ok(loaded) = read("a.json", &text) else { continue };
        read_at_all += 1;
        let fragment = fleet_fragment(&loaded.apps);
        assert_accepted(&fragment.text);
        // What is not carried is always said.
        let told = differences(&loaded.apps);
        for app in &loaded.apps {
            assert!(told.iter().any(|difference| difference.app.as_deref() == Some(&app.name)), "{text}");
        }
    }
    assert!(read_at_all > 100, "{read_at_all} of {}", golden.len());
}

fn fragment_of(app: &str) -> (String, Vec<(Severity, String)>) {
    let loaded = read("a.json", &format!("{{apps: [{app}]}}")).unwrap();
    let fragment = fleet_fragment(&loaded.apps).text;
    assert_accepted(&fragment);
    let told = differences(&loaded.apps).into_iter().filter(|difference| difference.app.is_some());
    (fragment, told.map(|difference| (difference.severity, difference.field)).collect())
}

#[test]
fn what_means_the_same_is_carried_and_not_reported() {
    let (fragment, told) = fragment_of(
        "{name: 'web', script: 'a.js', exec_mode: 'cluster', instances: 2, wait_ready: true, autorestart: false,
          stop_exit_codes: [0, 3], exp_backoff_restart_delay: 100, kill_timeout: 5000, treekill: false, namespace: 'shop',
          instance_var: 'SLOT', increment_var: 'WORKER', disable_logs: true, log_type: 'json', time: true,
          out_file: '/dev/null', watch: ['/etc/shop'], ignore_watch: ['tmp'], watch_delay: 50, source_map_support: false}",
    );
    for line in [
        "autorestart: false",
        "stop_exit_codes: [0, 3]",
        "exp_backoff_restart_delay: 100",
        "treekill: false",
        "namespace: shop",
        "instance_var: SLOT",
        "increment_var: WORKER",
        "disable_logs: true",
        "log_type: json",
        "time: true",
        "out_file: /dev/null",
        "watch: [/etc/shop]",
        "ignore_watch: [tmp]",
        "watch_delay: 50",
    ] {
        assert!(fragment.contains(line), "{line} is not in\n{fragment}");
    }
    assert!(!fragment.contains("not carried over"), "{fragment}");
    assert_eq!(told, [(Severity::Improved, "wait_ready".to_owned())]);
}

#[test]
fn other_interpreters_and_command_lines_are_carried() {
    for (app, lines) in [
        ("{script: 'a.py', interpreter: 'python3'}", &["interpreter: python3", "exec_mode: fork"][..]),
        ("{script: 'run', interpreter: 'none', node_args: '-x'}", &["interpreter: none"]),
        ("{script: 'a.ts'}", &["interpreter: bun"]),
        ("{script: 'a.sh', instances: 2}", &["script: a.sh", "exec_mode: fork"]),
        ("{name: 'front', script: 'npm', args: 'run start:prod'}", &["script: \"npm run start:prod\""]),
        ("{name: 'line', script: 'node a.js | cat'}", &["script: \"node a.js | cat\""]),
    ] {
        let (fragment, told) = fragment_of(app);
        for line in lines {
            assert!(fragment.contains(line), "{line} is not in\n{fragment}");
        }
        assert!(!fragment.contains("left out"), "{fragment}");
        assert!(!told.iter().any(|(severity, _)| *severity == Severity::Lost), "{app}: {told:?}");
    }
}

#[test]
fn what_a_fleet_file_refuses_is_lost_and_said() {
    for (app, field) in [
        ("{script: 'a.js', max_memory_restart: 100}", "max_memory_restart"),
        ("{script: 'a.js', namespace: 'a b'}", "namespace"),
        ("{script: 'a.js', gid: 33}", "gid"),
        ("{script: 'a.js', instance_var: 'MY-VAR'}", "instance_var"),
        ("{script: 'a.js', watch: true}", "watch"),
        ("{script: 'a.js', watch: ['/etc/x'], ignore_watch: ['[']}", "ignore_watch"),
        ("{script: 'a.js', interpreter: 'python3 -O'}", "script"),
        ("{script: 'npm'}", "script"),
    ] {
        let (fragment, told) = fragment_of(app);
        assert!(told.contains(&(Severity::Lost, field.to_owned())), "{app}: {told:?}\n{fragment}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_names_and_variables_are_the_fragment_is_valid(
        name in "\\PC{1,20}", other in "\\PC{1,20}", variable in "\\PC{0,12}", value in "(?s).{0,40}",
        port in proptest::option::of(1u16..), instances in -3i32..4, fork in proptest::bool::ANY,
    ) {
        let app = serde_json::json!({
            "name": name, "script": "a.js", "instances": instances, "exec_mode": if fork { "fork" } else { "cluster" },
            "env": {variable.clone(): value.clone()}, "env_staging": {variable: value}, "port": port,
        });
        let mut second = app.clone();
        second["name"] = serde_json::json!(other);
        let text = serde_json::json!({"apps": [app, second]}).to_string();
        let loaded = read("a.json", &text).unwrap();
        assert_accepted(&fleet_fragment(&loaded.apps).text);
    }
}
