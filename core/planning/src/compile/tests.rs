use super::*;
use crate::example::{ExampleFleet, application, application_name, environment, node_name, release};
use muster_domain::{
    fleet::{
        self, ApplicationOverride, Duration, EnvValue, ExecMode, FileEntry, Health, Instances, KillSignal,
        Limits, LogRotation, LogType, OwnFile, Selector, Share, Size, Watch,
    },
    resource::{self, DesiredState, Interpreter, Readiness, Resource},
};
use proptest::prelude::*;
use std::collections::{BTreeSet, HashSet};

fn snapshot(content: &AssignmentContent) -> String {
    serde_json::to_string_pretty(content).unwrap()
}

fn find<'a>(content: &'a AssignmentContent, name: &str) -> &'a resource::Application {
    let found = content.resources.iter().find_map(|resource| match &resource.desired {
        DesiredState::Application(application) if application.name.as_str() == name => Some(application),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("{name} is not on the node"))
}

fn keys(content: &AssignmentContent) -> Vec<&str> {
    content.resources.iter().map(|resource| resource.key.as_str()).collect()
}

fn link(path: &str, to: &str) -> FileEntry {
    FileEntry { path: path.to_owned(), link_to: Some(to.to_owned()), ..FileEntry::default() }
}

#[test]
fn an_application_server_has_files_runtimes_and_applications_in_this_order() {
    insta::assert_snapshot!("app_server", snapshot(&ExampleFleet::shop().compile("app-1").unwrap()));
}

#[test]
fn a_load_balancer_has_no_applications() {
    assert_eq!(keys(&ExampleFleet::shop().compile("lb-1").unwrap()), ["file:/etc/motd"]);
}

#[test]
fn staging_overrides_hold_in_staging_only() {
    let fleet = ExampleFleet::shop();
    let (staging, production) = (fleet.compile("stage-1").unwrap(), fleet.compile("app-1").unwrap());
    let (staging, production) = (find(&staging, "web"), find(&production, "web"));
    assert_eq!((staging.instances, production.instances), (1, 0), "0 is one per processor");
    assert_eq!((&*staging.env["LOG_LEVEL"], &*production.env["LOG_LEVEL"]), ("debug", "info"));
    assert!(!staging.env.contains_key("REGION"));
}

#[test]
fn variables_are_merged_from_the_general_to_the_particular_and_secrets_win() {
    let mut fleet = ExampleFleet::shop();
    let keys = ["A", "B", "C", "D", "E"];
    let layer = |from: usize, word: &str| -> BTreeMap<String, EnvValue> {
        keys[from..].iter().map(|key| ((*key).to_owned(), EnvValue::Text(word.to_owned()))).collect()
    };
    fleet.configuration.environments.get_mut(&environment("production")).unwrap().env =
        layer(0, "environment");
    let change =
        |from, word| ApplicationOverride { env: layer(from, word), ..ApplicationOverride::default() };
    let web = fleet.application("web");
    web.env = layer(1, "application");
    web.overrides.insert(environment("production"), change(2, "override"));
    web.secrets = vec!["E".to_owned()];
    let node = fleet.configuration.nodes.get_mut(&node_name("app-1")).unwrap();
    node.overrides.insert(application_name("web"), change(3, "node"));
    fleet.secrets.insert("E".to_owned(), "secret".to_owned());
    let content = fleet.compile("app-1").unwrap();
    let values: Vec<_> = find(&content, "web").env.values().map(String::as_str).collect();
    assert_eq!(values, ["environment", "application", "override", "node", "secret"]);
}

#[test]
fn a_node_override_wins_over_that_of_its_environment() {
    let mut fleet = ExampleFleet::shop();
    let change = |port, instances| ApplicationOverride { port, instances, ..ApplicationOverride::default() };
    let production = environment("production");
    fleet.application("api").overrides.insert(production, change(Some(4001), Some(Instances::Count(3))));
    let node = fleet.configuration.nodes.get_mut(&node_name("app-2")).unwrap();
    node.overrides.insert(application_name("api"), change(Some(4002), None));
    let running = |node| {
        let content = fleet.compile(node).unwrap();
        let api = find(&content, "api");
        (api.port, api.instances)
    };
    assert_eq!(running("app-1"), (Some(4001), 3));
    assert_eq!(running("app-2"), (Some(4002), 3));
    assert_eq!(running("stage-1"), (Some(4000), 2));
}

#[test]
fn readiness_follows_what_is_declared_and_else_the_way_of_running() {
    let check = |health: Option<Health>, wait_ready, mode: Option<ExecMode>, port, expected: Readiness| {
        let mut fleet = ExampleFleet::shop();
        let web = fleet.application("web");
        (web.health, web.wait_ready, web.exec_mode, web.port) = (health, wait_ready, mode, port);
        assert_eq!(find(&fleet.compile("app-1").unwrap(), "web").readiness, expected);
    };
    let http = || Some(Health::Http("/up".to_owned()));
    let fork = Some(ExecMode::Fork);
    check(http(), false, None, Some(1), Readiness::Http { path: "/up".to_owned() });
    check(http(), false, fork, Some(1), Readiness::Http { path: "/up".to_owned() });
    check(Some(Health::Tcp(true)), false, None, Some(1), Readiness::Tcp);
    check(None, true, None, Some(1), Readiness::ReadyMessage);
    check(None, true, fork, None, Readiness::ReadyMessage);
    check(None, false, None, Some(1), Readiness::Listening);
    check(None, false, None, None, Readiness::Listening);
    check(None, false, fork, Some(1), Readiness::Tcp);
    check(None, false, fork, None, Readiness::Started);
}

#[test]
fn every_setting_of_a_process_reaches_the_node() {
    let mut fleet = ExampleFleet::shop();
    let text = |text: &str| Some(text.to_owned());
    *fleet.application("api") = fleet::Application {
        interpreter: text("python3"),
        listen_fds: vec!["4000".to_owned()],
        port: Some(4000),
        autostart: false,
        autorestart: false,
        stop_exit_codes: vec![0],
        exp_backoff_restart_delay: Some(Duration::Text("1s".to_owned())),
        cron_restart: text("0 3 * * *"),
        max_memory_restart: Some(Size::Text("300M".to_owned())),
        max_memory: Some(Size::Text("400M".to_owned())),
        limits: Some(Limits { cpu: Some(Share("150%".to_owned())), pids: Some(64), ..Limits::default() }),
        kill_signal: Some(KillSignal::SIGTERM),
        treekill: false,
        shutdown_with_message: true,
        instance_var: text("SLOT"),
        increment_var: text("WORKER"),
        source_map_support: false,
        watch: Some(Watch::Path("/etc/shop".to_owned())),
        ignore_watch: Some(vec!["tmp".to_owned()]),
        watch_delay: Some(Duration::Milliseconds(50)),
        out_file: text("/dev/null"),
        error_file: text("/var/log/shop.log"),
        log_file: Some(OwnFile::Switch(true)),
        log_type: Some(LogType::Json),
        time: true,
        log_rotation: Some(LogRotation { keep: Some(3), compress: true, ..LogRotation::default() }),
        pid_file: text("/run/shop.pid"),
        namespace: text("shop"),
        user: text("shop"),
        group: text("www-data"),
        ..application("serve.py")
    };
    let content = fleet.compile("app-1").unwrap();
    assert_eq!(
        keys(&content).into_iter().filter(|key| key.starts_with("nodejs:")).count(),
        1,
        "web alone needs one"
    );
    let api = find(&content, "api");
    assert_eq!(
        (api.exec_mode, &api.readiness, api.nodejs_range.as_str()),
        (resource::ExecMode::Fork, &Readiness::Started, "")
    );
    insta::assert_snapshot!("every_setting", serde_json::to_string_pretty(&api.process).unwrap());
}

#[test]
fn without_a_word_the_settings_are_pm2s() {
    let content = ExampleFleet::shop().compile("app-1").unwrap();
    assert_eq!(find(&content, "web").process, resource::ProcessSettings::default());
}

#[test]
fn settings_of_an_environment_and_a_node_are_in_force_and_limits_are_merged() {
    let mut fleet = ExampleFleet::shop();
    let api = fleet.application("api");
    api.cron_restart = Some("0 3 * * *".to_owned());
    api.limits = Some(Limits { pids: Some(64), open_files: Some(1000), ..Limits::default() });
    api.overrides.insert(
        environment("production"),
        ApplicationOverride {
            max_memory: Some(Size::Text("1G".to_owned())),
            cron_restart: Some("0".to_owned()),
            args: Some(vec!["--production".to_owned()]),
            kill_timeout: Some(Duration::Milliseconds(9)),
            ..ApplicationOverride::default()
        },
    );
    let node = fleet.configuration.nodes.get_mut(&node_name("app-1")).unwrap();
    let limits = Some(Limits { pids: Some(128), ..Limits::default() });
    let change = ApplicationOverride { limits, autostart: Some(false), ..ApplicationOverride::default() };
    node.overrides.insert(application_name("api"), change);
    let running = |node: &str| {
        let content = fleet.compile(node).unwrap();
        let api = find(&content, "api");
        let resource::Limits { memory_bytes, pids, open_files, .. } = api.process.limits.clone();
        let limits = (memory_bytes, pids, open_files);
        (limits, api.process.cron_restart.clone(), api.process.autostart, api.args.len(), api.kill_timeout_ms)
    };
    assert_eq!(running("app-1"), ((Some(1 << 30), Some(128), Some(1000)), None, false, 1, 9));
    assert_eq!(running("app-2"), ((Some(1 << 30), Some(64), Some(1000)), None, true, 1, 9));
    let daily = Some("0 3 * * *".to_owned());
    assert_eq!(running("stage-1"), ((None, Some(64), Some(1000)), daily, true, 0, 1_600));
}

#[test]
fn named_logs_are_merged_as_pm2_decides() {
    let merged = |mode: Option<ExecMode>, instances: Option<Instances>, given: Option<bool>, named: bool| {
        let mut fleet = ExampleFleet::shop();
        let api = fleet.application("api");
        (api.exec_mode, api.instances, api.merge_logs) = (mode, instances, given);
        api.out_file = named.then(|| "/var/log/api.log".to_owned());
        find(&fleet.compile("app-1").unwrap(), "api").process.logs.merge
    };
    let (max, two) = (Some(Instances::Max(fleet::MaxWord::Max)), Some(Instances::Count(2)));
    assert!(merged(None, None, None, true) && merged(None, max, None, true));
    assert!(merged(Some(ExecMode::Fork), None, None, true) && merged(None, two, Some(true), true));
    assert!(!merged(Some(ExecMode::Cluster), None, None, true) && !merged(None, two, None, true));
    assert!(!merged(None, None, Some(false), true) && !merged(None, None, Some(true), false));
}

#[test]
fn what_runs_a_script_decides_the_mode_and_the_need_for_nodejs() {
    let check =
        |script: &str, interpreter: Option<&str>, nodejs: &str, expected: (Interpreter, &str, bool)| {
            let mut fleet = ExampleFleet::shop();
            let api = fleet.application("api");
            (api.script, api.nodejs, api.instances) = (script.to_owned(), nodejs.to_owned(), None);
            api.interpreter = interpreter.map(str::to_owned);
            let content = fleet.compile("app-1").unwrap();
            let api = find(&content, "api");
            let cluster = api.exec_mode == resource::ExecMode::Cluster;
            assert_eq!(
                (api.process.interpreter.clone(), api.nodejs_range.as_str(), cluster),
                expected,
                "{script}"
            );
        };
    let program = |name: &str| Interpreter::Program(name.to_owned());
    check("server.js", None, "*", (Interpreter::Nodejs, "*", true));
    check("run.sh", None, "*", (program("bash"), "", false));
    check("run.sh", None, "22", (program("bash"), "22", false));
    check("bin/run", Some("none"), "*", (Interpreter::Itself, "", false));
    check("npm start", None, "*", (Interpreter::Shell, "*", false));
}

#[test]
fn every_missing_secret_is_named_and_there_is_no_assignment() {
    let mut fleet = ExampleFleet::shop();
    fleet.secrets.clear();
    fleet.application("api").secrets = vec!["API_KEY".to_owned()];
    let error = fleet.compile("app-1").unwrap_err();
    assert_eq!(
        error.to_string(),
        "secret \"API_KEY\" of application \"api\" has no value in environment \"production\": \
         set it with `muster secret set API_KEY --environment production`; \
         secret \"STRIPE_KEY\" of application \"web\" has no value in environment \"production\": \
         set it with `muster secret set STRIPE_KEY --environment production`"
    );
    assert!(fleet.compile("lb-1").is_ok(), "a node that does not need the secret is not held back");
}

#[test]
fn an_application_without_a_release_waits_for_its_first() {
    let mut fleet = ExampleFleet::shop();
    fleet.releases.clear();
    fleet.secrets.clear();
    let content = fleet.compile("app-1").unwrap();
    assert_eq!(keys(&content), ["directory:/srv/shop", "file:/etc/motd", "file:/srv/shop/settings.json"]);
}

#[test]
fn applications_share_a_runtime_when_they_ask_for_the_same_range() {
    let mut fleet = ExampleFleet::shop();
    let runtimes = |fleet: &ExampleFleet| {
        let content = fleet.compile("app-1").unwrap();
        let keys = keys(&content).into_iter().filter(|key| key.starts_with("nodejs:"));
        keys.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(runtimes(&fleet), ["nodejs:22"]);
    fleet.application("api").nodejs = ">=20.19 <23".to_owned();
    assert_eq!(runtimes(&fleet), ["nodejs:22", "nodejs:>=20.19 <23"]);
}

#[test]
fn links_stand_behind_what_they_point_to_and_circles_are_refused() {
    let mut fleet = ExampleFleet::shop();
    fleet.configuration.files.insert("a".to_owned(), link("/srv/a", "/srv/b"));
    fleet.configuration.files.insert("b".to_owned(), link("/srv/b", "/etc/motd"));
    let content = fleet.compile("lb-1").unwrap();
    assert_eq!(keys(&content), ["file:/etc/motd", "symlink:/srv/b", "symlink:/srv/a"]);
    fleet.configuration.files.insert("b".to_owned(), link("/srv/b", "/srv/a"));
    let error = fleet.compile("lb-1").unwrap_err();
    assert_eq!(
        error.to_string(),
        "these resources depend on each other in a circle: symlink:/srv/a, symlink:/srv/b"
    );
}

#[test]
fn a_configuration_that_was_never_checked_is_refused_field_by_field() {
    let mut fleet = ExampleFleet::shop();
    fleet.attachments.clear();
    let file = |path: &str, mode: &str| FileEntry {
        path: path.to_owned(),
        mode: Some(mode.to_owned()),
        content: Some(String::new()),
        ..FileEntry::default()
    };
    for (name, entry) in [
        ("1-relative", file("etc/motd", "0644")),
        ("2-mode", file("/etc/mode", "9999")),
        ("3-twice", file("/etc/motd/", "0644")),
        ("4-both", FileEntry { directory: true, ..file("/etc/both", "0644") }),
    ] {
        fleet.configuration.files.insert(name.to_owned(), entry);
    }
    fleet.application("web").listen_timeout = Some(muster_domain::fleet::Duration::Text("soon".to_owned()));
    let error = fleet.compile("app-1").unwrap_err();
    let lines: Vec<_> = error.problems.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!("unchecked", lines.join("\n"));
}

/// Any fleet of a few files, links and applications, with the order of declaration as a seed.
fn any_fleet() -> impl Strategy<Value = (ExampleFleet, Vec<usize>)> {
    let entry = (0usize..4, 0usize..4, 0usize..4, 0usize..4);
    (prop::collection::vec(entry, 0..8), prop::collection::vec(any::<usize>(), 8)).prop_map(
        |(entries, seed)| {
            let mut fleet = ExampleFleet::shop();
            for (index, (depth, kind, target, node)) in entries.into_iter().enumerate() {
                let path = "/d".repeat(depth + 1)
                    + &format!("/{}", if kind == 0 { "d" } else { "f" })
                    + &index.to_string();
                let mut file = FileEntry { path, ..FileEntry::default() };
                match kind {
                    0 => {
                        file.directory = true;
                        file.path = "/d".repeat(depth + 1);
                    }
                    1 => file.content = Some(index.to_string()),
                    2 => file.link_to = Some("/d".repeat(target + 1)),
                    _ => file.source = Some("settings.json".to_owned()),
                }
                if node > 1 {
                    let nodes = vec![node_name(["app-1", "stage-1"][node - 2])];
                    file.on = Some(Selector { nodes, ..Selector::default() });
                }
                // A folder per depth, so that no path is declared twice.
                let name = if file.directory { format!("folder-{depth}") } else { format!("entry-{index}") };
                fleet.configuration.files.insert(name, file);
                let worker = format!("worker-{index}");
                let nodejs = ["22", "20", ">=18", "*"][kind].to_owned();
                let declared = muster_domain::fleet::Application { nodejs, ..application("w.js") };
                fleet.configuration.applications.insert(application_name(&worker), declared);
                fleet.releases.insert(application_name(&worker), release(u8::try_from(index).unwrap()));
            }
            (fleet, seed)
        },
    )
}

proptest! {
    #[test]
    fn the_same_input_gives_the_same_content_and_dependencies_come_first((fleet, _) in any_fleet()) {
        for node in ["lb-1", "app-1", "app-2", "stage-1"] {
            let content = fleet.compile(node).unwrap();
            prop_assert_eq!(&content, &fleet.compile(node).unwrap());
            let mut before: HashSet<&ResourceKey> = HashSet::new();
            for resource in &content.resources {
                prop_assert!(resource.depends_on.iter().all(|key| before.contains(key)), "{} comes too early", resource.key);
                prop_assert!(before.insert(&resource.key), "{} stands twice", resource.key);
            }
        }
    }

    #[test]
    fn the_order_in_which_resources_are_found_does_not_matter((fleet, seed) in any_fleet()) {
        let sorted = fleet.compile("app-1").unwrap().resources;
        let mut shuffled: Vec<Resource> = sorted.clone();
        for (index, random) in seed.into_iter().enumerate().take(shuffled.len()) {
            let other = random % shuffled.len();
            shuffled.swap(index, other);
        }
        prop_assert_eq!(order::sort(shuffled).unwrap(), sorted);
    }

    #[test]
    fn a_change_on_one_node_leaves_the_others_alone((fleet, _) in any_fleet(), port in 1u16..) {
        let mut changed = fleet.clone();
        let node = changed.configuration.nodes.get_mut(&node_name("app-1")).unwrap();
        let only_port = ApplicationOverride { port: Some(port), ..ApplicationOverride::default() };
        node.overrides.insert(application_name("web"), only_port);
        let differs: BTreeSet<_> = ["lb-1", "app-1", "app-2", "stage-1"]
            .into_iter()
            .filter(|node| fleet.compile(node).unwrap() != changed.compile(node).unwrap())
            .collect();
        prop_assert!(differs.is_subset(&BTreeSet::from(["app-1"])));
        prop_assert_eq!(differs.is_empty(), port == 3000);
    }
}
