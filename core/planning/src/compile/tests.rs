use super::*;
use crate::example::{ExampleFleet, application, application_name, environment, node_name, release};
use muster_domain::{
    fleet::{ApplicationOverride, EnvValue, ExecMode, FileEntry, Health, Instances, Selector},
    resource::{self, DesiredState, Readiness, Resource},
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
