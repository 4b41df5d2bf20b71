//! What good fleet files mean, and that nothing makes the parser panic.

use muster_domain::fleet::{Duration, EnvValue, FleetConfiguration, Health, Instances, Size, Watch};
use muster_fleet_config::{
    ChangeKind, Contents, FILE_BYTES_AT_MOST, Parsed, SourceFile, diff, parse, render, schema, to_yaml,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn file(path: &str, content: impl Into<Vec<u8>>) -> SourceFile {
    SourceFile { path: path.to_owned(), content: content.into() }
}

fn good(files: &[SourceFile]) -> Parsed {
    parse(files).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn one(content: &str) -> FleetConfiguration {
    good(&[file("fleet.yaml", content)]).configuration
}

/// The parts of a real fleet that this version reads.
const SHOP: &str = r#"
environments:
  staging: {}
  production:
    env: {REGION: eu-central}

nodes:
  lb-1:    {environment: production, roles: [load_balancer]}
  app-1:   {environment: production, roles: [app_server]}
  app-2:
    environment: production
    roles: [app_server]
    overrides: {web: {instances: 2}}
  stage-1: {environment: staging, roles: [load_balancer, app_server, datastore]}

applications:
  web:
    nodejs: "22"
    build: npm ci && npm run build && npm prune --omit=dev
    script: dist/server.js
    instances: max                  # as pm2 users expect
    port: 3000
    health: {http: /healthz}
    env: {LOG_LEVEL: info}
    secrets: [STRIPE_KEY]
    overrides: {staging: {instances: 1, env: {LOG_LEVEL: debug}}}
  api:
    nodejs: ">=20.19"
    script: server.js
    instances: 2
    port: 4000
    health: {http: /health}

files:
  motd:
    path: /etc/motd
    mode: 0644
    content: |
      Run by Muster.
        Change it in the fleet files.

      Bye.
  shop-folder: {path: /srv/shop, directory: true, on: {roles: [app_server]}}
  shop-settings: {path: /srv/shop/settings.json, source: files/settings.json, mode: "0600", on: {roles: [app_server]}}
  shop-current: {path: /srv/shop/current.json, link_to: settings.json, on: {roles: [app_server]}}
"#;

fn shop() -> Parsed {
    good(&[file("fleet.yaml", SHOP), file("files/settings.json", "{}"), file("README.md", "not used")])
}

#[test]
fn a_real_fleet_is_read() {
    let Parsed { configuration, attachments, .. } = shop();
    assert_eq!(attachments.keys().collect::<Vec<_>>(), ["files/settings.json"], "only what is named is kept");
    insta::assert_json_snapshot!("shop", configuration);
}

#[test]
fn the_normal_form_is_read_back_to_the_same_configuration() {
    let Parsed { configuration, .. } = shop();
    let text = to_yaml(&configuration);
    let again = good(&[file("fleet.yaml", text.clone()), file("files/settings.json", "{}")]).configuration;
    assert_eq!(again, configuration);
    assert_eq!(to_yaml(&again), text);
    insta::assert_snapshot!("shop_normal_form", text);
}

#[test]
fn scalars_without_quotes_are_what_the_field_wants() {
    let configuration = one(
        "environments: {production: {env: {NO: no, ZERO: 007, VERSION: 1.10, YES: true, TEXT: \"3\", BIG: 12345678901234567890}}}
applications:
  web: {script: server.js, nodejs: 22, instances: 2, listen_timeout: 3000, kill_timeout: 5s, wait_ready: True, port: , args: [1, -v, no]}
  api: {script: server.js, nodejs: 20.10, health: {tcp: true}, port: 4000}
files:
  motd: {path: /etc/motd, content: 42, mode: 0755}
",
    );
    let env = &configuration.environments.values().next().unwrap().env;
    let text: Vec<_> = env.values().map(EnvValue::to_text).collect();
    assert_eq!(text, ["12345678901234567890", "no", "3", "1.10", "true", "007"]);
    let web = configuration.applications.values().next_back().unwrap();
    assert_eq!((web.nodejs.as_str(), web.wait_ready, web.port), ("22", true, None));
    assert_eq!(web.instances, Some(Instances::Count(2)));
    assert_eq!(web.listen_timeout, Some(Duration::Milliseconds(3000)));
    assert_eq!(web.kill_timeout, Some(Duration::Text("5s".into())));
    assert_eq!(web.args, ["1", "-v", "no"]);
    let api = configuration.applications.values().next().unwrap();
    assert_eq!((api.nodejs.as_str(), &api.health), ("20.10", &Some(Health::Tcp(true))));
    let motd = &configuration.files["motd"];
    assert_eq!((motd.mode.as_deref(), motd.content.as_deref()), (Some("0755"), Some("42")));
}

#[test]
fn lists_may_be_one_thing_and_words_one_text() {
    let configuration = one(
        "applications: {web: {script: a.js, exec_mode: fork, args: '--port 80 --title \"a b\"', node_args: --inspect, \
         listen_fds: 3000, stop_exit_codes: 3, watch: /etc/shop, ignore_watch: tmp cache, user: 1000, group: 33, \
         cron_restart: 0, max_memory: 419430400, max_memory_restart: 300M, limits: {cpu: 150%}, log_file: true}}",
    );
    let web = configuration.applications.values().next().unwrap();
    assert_eq!(web.args, ["--port", "80", "--title", "a b"]);
    assert_eq!(
        (web.node_args.as_slice(), web.listen_fds.as_slice()),
        (["--inspect".into()].as_slice(), ["3000".into()].as_slice())
    );
    assert_eq!(
        (web.stop_exit_codes.as_slice(), web.ignore_watch.as_ref().unwrap().len()),
        ([3].as_slice(), 2)
    );
    assert_eq!(
        (web.user.as_deref(), web.group.as_deref(), web.cron_restart.as_deref()),
        (Some("1000"), Some("33"), Some("0"))
    );
    let bytes = |size: &Option<Size>| size.as_ref().and_then(Size::as_bytes);
    assert_eq!((bytes(&web.max_memory), bytes(&web.max_memory_restart)), (Some(400 << 20), Some(300 << 20)));
    assert_eq!(web.watch.as_ref().and_then(Watch::paths), Some(vec!["/etc/shop".to_owned()]));
    assert_eq!((web.autorestart, web.treekill, web.source_map_support), (true, true, true));
}

#[test]
fn several_files_are_one_configuration() {
    let parts = [
        file("environments.yml", "environments: {production: }\n"),
        file("empty.yaml", "# nothing yet\n"),
        file("nodes/app-1.yaml", "nodes: {app-1: {environment: production}}\n"),
        file("nodes/app-2.yaml", "nodes: {app-2: {environment: production}}\napplications:\n"),
    ];
    let configuration = good(&parts).configuration;
    assert_eq!(configuration.nodes.len(), 2);
    let mut reversed = parts;
    reversed.reverse();
    assert_eq!(good(&reversed).configuration, configuration, "the order of files does not matter");
}

#[test]
fn a_yaml_file_that_is_sent_to_nodes_is_not_a_fleet_file() {
    let parsed = good(&[
        file("fleet.yaml", "files: {prometheus: {path: /etc/prometheus.yml, source: prometheus.yml}}\n"),
        file("prometheus.yml", "global: {scrape_interval: 15s}\n"),
    ]);
    assert_eq!(parsed.attachments["prometheus.yml"], b"global: {scrape_interval: 15s}\n");
}

#[test]
fn what_is_too_large_is_answered_with_one_error() {
    let garbage: Vec<u8> =
        (0..10 * 1024 * 1024).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let problems = parse(&[file("fleet.yaml", garbage)]).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].to_string(), "fleet.yaml: 10.0 MiB is too large: at most 1.0 MiB each");

    let many: Vec<_> = (0..5).map(|i| file(&format!("{i}"), vec![b'x'; FILE_BYTES_AT_MOST])).collect();
    let problems = parse(&many).unwrap_err();
    assert_eq!(problems[0].to_string(), ".: the files have 5.0 MiB in all: at most 4.0 MiB");
}

/// Inputs that cost a parser the most, at a size where anything that grows with its square would never end here.
#[test]
fn hostile_files_are_answered_and_never_with_an_endless_list() {
    const SIZE: usize = FILE_BYTES_AT_MOST / 4;
    let fill = |unit: &str| unit.repeat(SIZE / unit.len());
    let numbered = |unit: &dyn Fn(usize) -> String| {
        let mut text = String::from("files:\n");
        let mut index = 0;
        while text.len() < SIZE {
            text.push_str(&unit(index));
            index += 1;
        }
        text
    };
    let inputs = [
        fill("["),
        fill("{a: "),
        fill("- "),
        fill("? "),
        fill("a"),
        fill("a: b\n"),
        fill("\"\\x41\n"),
        fill("\n"),
        fill("#"),
        fill("'"),
        fill("a,\n"),
        fill("&a [*a,"),
        fill("- !!binary x\n"),
        fill("%TAG ! x\n"),
        numbered(&|i| format!("  k{i}: 1\n")),
        numbered(&|i| format!("  k{i}: {{path: /p/{i}, link_to: /p/{}}}\n", i + 1)),
        numbered(&|i| format!("  k{i}: {{path: /p, content: x}}\n")),
        format!("x: {{{}}}", (0..15_000).map(|i| format!("k{i}: [], ")).collect::<String>()),
        format!(
            "environments: {{a: {{env: {{{}}}}}}}",
            (0..15_000).map(|i| format!("0{i}: 1, ")).collect::<String>()
        ),
        // Each refers to all, to the next, and to nothing; and all are the same package.
        numbered(&|i| format!("  k{i}: {{path: /p/{i}, content: x, depends_on: [file:/p/]}}\n")),
        numbered(&|i| format!("  k{i}: {{path: /p/{i}, content: x, depends_on: [file:/p/{}]}}\n", i + 1)),
        numbered(&|i| format!("  k{i}: {{path: /p/{i}, content: x, depends_on: [user:u{i}]}}\n")),
        numbered(&|i| format!("  k{i}: {{name: nginx}}\n")).replacen("files", "packages", 1),
        numbered(&|i| format!("  s{i}@a: {{}}\n")).replacen("files", "services", 1)
            + &numbered(&|i| format!("  s{i}@.service: {{content: x}}\n")).replacen(
                "files",
                "systemd_units",
                1,
            ),
    ];
    for input in inputs {
        if let Err(problems) = parse(&[file("fleet.yaml", input.clone())]) {
            assert!((1..=201).contains(&problems.len()), "{} problems", problems.len());
        }
    }
}

#[test]
fn a_diff_shows_what_changes_and_nothing_else() {
    let Parsed { configuration: old, attachments: old_files, .. } = shop();
    let new_text = SHOP
        .replace("instances: 2}", "instances: 3}")
        .replace("  lb-1:    {environment: production, roles: [load_balancer]}\n", "")
        .replace("        Change it in the fleet files.\n", "        Change it in the repository.\n")
        .replace("  api:\n", "  worker: {script: worker.js, exec_mode: fork}\n  api:\n");
    let new = good(&[file("fleet.yaml", new_text), file("files/settings.json", "{\"a\": 1}\n")]);
    let old = Contents { configuration: &old, attachments: &old_files };
    let new = Contents { configuration: &new.configuration, attachments: &new.attachments };
    let changes = diff(&old, &new);
    let kinds: Vec<_> = changes.iter().map(|c| (c.section.as_str(), c.name.as_str(), c.kind)).collect();
    assert_eq!(
        kinds,
        [
            ("nodes", "app-2", ChangeKind::Changed),
            ("nodes", "lb-1", ChangeKind::Removed),
            ("applications", "worker", ChangeKind::Added),
            ("files", "motd", ChangeKind::Changed),
            ("files", "shop-settings", ChangeKind::Changed),
        ]
    );
    insta::assert_snapshot!("diff", render(&changes));
    assert!(diff(&new, &new).is_empty());
    assert_eq!(render(&[]), "nothing changes\n");
}

#[test]
fn the_published_schema_says_what_is_read() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let text = schema.to_string();
    assert!(!text.contains("\"null\"") && !text.contains(":null"), "an absent value is absent");
    let descriptions = schema["$defs"]["Application"]["properties"].as_object().unwrap();
    assert!(descriptions.values().all(|field| field["description"].is_string()), "every field is explained");
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let Parsed { configuration, .. } = shop();
    assert!(validator.is_valid(&serde_json::to_value(&configuration).unwrap()));
    assert!(
        validator.is_valid(&serde_json::json!({"applications": {"web": {"script": "a.js", "nodejs": 22.1}}}))
    );
    assert!(
        !validator
            .is_valid(&serde_json::json!({"applications": {"web": {"script": "a.js", "instances": "two"}}}))
    );
}

/// Text that is nearly a fleet file, which gets further than noise does.
fn nearly() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "environments",
        "nodes",
        "applications",
        "files",
        "web",
        "script",
        "port",
        "env",
        "overrides",
        "on",
        "path",
        "source",
        "link_to",
        "health",
        "http",
        "instances",
        "max",
        "roles",
        "app_server",
        "a/~1b",
        "0",
        "null",
        "true",
        "-1",
        "1.5",
        "9999999999999999999999",
        "/etc/motd",
        "\"\\u0000\"",
        "'x",
        "&a",
        "*a",
        "!!str",
        "|\n",
        ">-\n",
        "? ",
        "<<",
        "ä",
        "\u{2028}",
        "\t",
    ]);
    let glue = prop::sample::select(vec![
        ": ", ":\n  ", ":\n    ", ", ", " {", "}", " [", "]", "\n", "\n- ", " # ", "\n  ",
    ]);
    prop::collection::vec((word, glue), 0..60)
        .prop_map(|parts| parts.into_iter().flat_map(|(word, glue)| [word, glue]).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_makes_it_panic(text in prop_oneof![nearly(), any::<String>(), "[-:{}\\[\\]a \n\"'#&*!|>?,]{0,200}"]) {
        match parse(&[file("fleet.yaml", text.clone())]) {
            Ok(parsed) => {
                // What is accepted has a normal form that means the same.
                let again = parse(&[file("fleet.yaml", to_yaml(&parsed.configuration))]);
                prop_assert_eq!(again.as_ref().map(|p| &p.configuration), Ok(&parsed.configuration), "{}", to_yaml(&parsed.configuration));
            }
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                let lines = u32::try_from(text.split('\n').count()).unwrap();
                for problem in problems {
                    prop_assert!(problem.line <= lines + 1 && problem.hint.is_some(), "{:?}", problem);
                }
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(parse(&[file("fleet.yaml", bytes)]).err().is_none_or(|problems| !problems.is_empty()));
    }

    #[test]
    fn every_text_survives_the_normal_form(value in any::<String>(), content in "[ -~\n\t\u{e4}\u{2028}\u{85}]{0,60}") {
        let mut configuration = FleetConfiguration::default();
        let mut env = BTreeMap::new();
        env.insert("A".to_owned(), EnvValue::Text(value.replace('\0', "")));
        let environment = muster_domain::fleet::Environment { env, ..Default::default() };
        configuration.environments.insert("production".parse().unwrap(), environment);
        let entry = muster_domain::fleet::FileEntry { path: "/a".into(), content: Some(content), ..Default::default() };
        configuration.files.insert("a".into(), entry);
        let text = to_yaml(&configuration);
        let again = parse(&[file("fleet.yaml", text.clone())]);
        prop_assert_eq!(again.map(|p| p.configuration), Ok(configuration), "{}", text);
    }
}
