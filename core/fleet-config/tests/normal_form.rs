//! Whatever an application says, its normal form says the same.

use muster_domain::fleet::{
    Application, ApplicationOverride, Duration, EnvValue, ExecMode, FleetConfiguration, Instances,
    KillSignal, Limits, LogRotation, LogType, MaxWord, OwnFile, Selector, Share, Size, Watch,
};
use muster_fleet_config::{SourceFile, parse, to_yaml};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Any switch, list and text of an application, so that each stands there with its default and without it.
fn any_application() -> impl Strategy<Value = Application> {
    let switches = any::<[bool; 9]>();
    let word =
        || prop::option::of(prop::sample::select(vec!["a b", "", "true", "0", "x: y", "~", "#", "'\""]));
    let words = || {
        prop::collection::vec(prop::sample::select(vec!["-v", "a b", "1", "null", "", "[", "\u{e4}"]), 0..3)
    };
    let size = || {
        prop::option::of(prop_oneof![
            (0..u64::MAX >> 11).prop_map(Size::Bytes),
            "[1-9][0-9]{0,3}[KMG]".prop_map(Size::Text)
        ])
    };
    let duration = || {
        prop::option::of(prop_oneof![
            any::<u32>().prop_map(Duration::Milliseconds),
            "[0-9]{1,4}(ms|s|m)".prop_map(Duration::Text)
        ])
    };
    let watch = prop::option::of(prop_oneof![
        any::<bool>().prop_map(Watch::Switch),
        "/[a-z]{1,5}".prop_map(Watch::Path),
        prop::collection::vec("/[a-z]{1,5}", 0..3).prop_map(Watch::Paths)
    ]);
    let file = prop::option::of(prop_oneof![
        any::<bool>().prop_map(OwnFile::Switch),
        "/[a-z]{1,5}".prop_map(OwnFile::Path)
    ]);
    let instances = prop::option::of(prop_oneof![
        (1..9_u32).prop_map(Instances::Count),
        Just(Instances::Max(MaxWord::Max))
    ]);
    let limits = prop::option::of(
        (size(), prop::option::of(1..900_u32), prop::option::of(1..9_u32)).prop_map(|(memory, cpu, pids)| {
            Limits { memory, cpu: cpu.map(|cpu| Share(format!("{cpu}%"))), pids, open_files: pids }
        }),
    );
    let rotation = prop::option::of((size(), any::<bool>(), prop::option::of(0..9_u32)).prop_map(
        |(max_size, compress, keep)| LogRotation {
            min_free: max_size.clone(),
            max_size,
            compress,
            keep,
            schedule: None,
        },
    ));
    let selector = prop::option::of(any::<bool>().prop_map(|all| Selector {
        roles: if all { vec![] } else { vec![muster_domain::node::Role::AppServer] },
        ..Selector::default()
    }));
    (
        (switches, words(), words(), word(), watch, file),
        (size(), size(), duration(), duration(), limits, rotation),
        (instances, selector, prop::collection::vec(any::<u8>(), 0..3), prop::option::of(words()), word()),
    )
        .prop_map(
            |(
                (on, args, node_args, text, watch, log_file),
                (soft, hard, one, two, limits, rotation),
                rest,
            )| {
                let (instances, selector, codes, ignore, value) = rest;
                let texts = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect::<Vec<_>>();
                let env = BTreeMap::from([
                    ("A".to_owned(), EnvValue::Bool(on[0])),
                    ("B".to_owned(), EnvValue::Text(value.unwrap_or_default().to_owned())),
                ]);
                let change = ApplicationOverride {
                    autostart: Some(on[1]),
                    args: Some(texts(args.clone())),
                    max_memory: hard.clone(),
                    limits: limits.clone(),
                    log_rotation: rotation.clone(),
                    ..ApplicationOverride::default()
                };
                Application {
                    args: texts(args),
                    node_args: texts(node_args),
                    instances,
                    exec_mode: on[2].then_some(ExecMode::Fork),
                    wait_ready: on[3],
                    autostart: on[4],
                    autorestart: on[5],
                    treekill: on[6],
                    shutdown_with_message: on[7],
                    source_map_support: on[8],
                    disable_logs: on[0],
                    time: on[1],
                    merge_logs: on[2].then_some(on[3]),
                    stop_exit_codes: codes,
                    min_uptime: one,
                    watch_delay: two,
                    max_memory_restart: soft,
                    max_memory: hard,
                    limits,
                    log_rotation: rotation,
                    kill_signal: on[4].then_some(KillSignal::SIGTERM),
                    log_type: on[5].then_some(LogType::Json),
                    log_date_format: text.map(str::to_owned),
                    watch,
                    ignore_watch: ignore.map(texts),
                    log_file,
                    env,
                    on: selector,
                    overrides: BTreeMap::from([
                        ("production".parse().expect("a valid name"), change),
                        ("staging".parse().expect("a valid name"), ApplicationOverride::default()),
                    ]),
                    ..Application::new("server.js")
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_configuration_survives_the_normal_form(application in any_application()) {
        let mut configuration = FleetConfiguration::default();
        for environment in ["production", "staging"] {
            configuration.environments.insert(environment.parse().expect("a valid name"), Default::default());
        }
        configuration.applications.insert("web".parse().expect("a valid name"), application);
        let text = to_yaml(&configuration);
        match parse(&[SourceFile { path: "fleet.yaml".to_owned(), content: text.clone().into_bytes() }]) {
            Ok(parsed) => prop_assert_eq!(&parsed.configuration, &configuration, "{}", text),
            // Nonsense is refused for what it says; nothing may be lost or misread before that.
            Err(problems) => for problem in problems {
                let read = !problem.message.contains("unknown key") && !problem.message.contains("must be");
                prop_assert!(read, "{problem}\n{text}");
            }
        }
        let stored = serde_json::to_value(&configuration).unwrap();
        prop_assert_eq!(serde_json::from_value::<FleetConfiguration>(stored).unwrap(), configuration);
    }
}
