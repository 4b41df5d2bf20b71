use super::*;
use muster_domain::{
    ApplicationName, ReleaseVersion,
    observed::{ProcessEvent, ProcessExit},
    resource::{
        Application, DesiredState, ExecMode, File, ProcessSettings, Readiness, Resource, ResourceKey,
    },
};
use std::collections::{BTreeMap, BTreeSet};

fn example() -> AssignmentContent {
    let application = Application {
        name: ApplicationName::parse("web").unwrap(),
        release_id: ReleaseId::from_uuid(uuid::Uuid::from_u128(7)),
        release_version: ReleaseVersion::parse("1.0").unwrap(),
        artifact_digest: Digest::from_bytes([3; 32]),
        nodejs_range: "22".into(),
        script: "server.js".into(),
        args: vec!["--verbose".into()],
        node_args: vec![],
        instances: 2,
        exec_mode: ExecMode::Cluster,
        port: Some(3000),
        env: BTreeMap::from([("A".into(), "1".into()), ("B".into(), "2".into())]),
        secrets: BTreeSet::from(["B".into()]),
        readiness: Readiness::Http { path: "/healthz".into() },
        listen_timeout_ms: 3000,
        kill_timeout_ms: 1600,
        max_restarts: 16,
        min_uptime_ms: 1000,
        restart_delay_ms: 0,
        user: None,
        process: ProcessSettings::default(),
    };
    let file = File {
        path: "/etc/motd".into(),
        content: b"hello".to_vec(),
        mode: 0o644,
        owner: None,
        group: None,
        sensitive: false,
        validate: None,
    };
    let key = ResourceKey::new("file", "/etc/motd");
    AssignmentContent {
        resources: vec![
            Resource::new(key.clone(), vec![], DesiredState::File(file)),
            Resource::new(
                ResourceKey::new("application", "web"),
                vec![key],
                DesiredState::Application(application),
            ),
        ],
    }
}

#[test]
fn content_survives_the_wire_and_is_always_the_same_bytes() {
    let content = example();
    let bytes = encode_content(&content);
    assert_eq!(decode_content(&bytes).unwrap(), content);
    assert_eq!(encode_content(&decode_content(&bytes).unwrap()), bytes);
}

/// Every node of the example that has everything, as it is compiled.
#[test]
fn what_the_compiler_makes_of_a_whole_host_survives_the_wire() {
    let fleet = muster_planning::example::ExampleFleet::web_stack();
    for node in ["lb-1", "app-1", "app-2", "stage-1"] {
        let content = fleet.compile(node).unwrap();
        let bytes = encode_content(&content);
        assert_eq!(decode_content(&bytes).unwrap(), content, "{node}");
    }
}

/// The revision is the digest of these bytes: another one would give every node of every fleet a new generation.
#[test]
fn a_fleet_that_says_nothing_of_hosts_keeps_its_revisions() {
    let fleet = muster_planning::example::ExampleFleet::shop();
    for (node, revision) in [
        ("lb-1", "f29bae38be6ec3d710d05ef18a7a06773c22eb1785a4cb7901a4ecd42b2ed65a"),
        ("app-1", "7e2cd960c1354328df7e70014661e0be661861b69c815d209768a830e9ba087b"),
        ("app-2", "7e2cd960c1354328df7e70014661e0be661861b69c815d209768a830e9ba087b"),
        ("stage-1", "8f92014e68ce0edc27048b8280077c7be69c92fd45cb810dd83c1d362690978e"),
    ] {
        let content = fleet.compile(node).unwrap();
        assert_eq!(blake3::hash(&encode_content(&content)).to_hex().as_str(), revision, "{node}");
    }
}

#[test]
fn a_path_that_is_not_plain_and_absolute_is_refused() {
    for path in ["etc/motd", "/etc/../root/x", "/etc//motd", "/etc/motd/", "/", "/a\0b"] {
        let mut content = example();
        let DesiredState::File(file) = &mut content.resources[0].desired else { unreachable!() };
        file.path = path.into();
        let error = decode_content(&encode_content(&content)).unwrap_err();
        assert_eq!(error.field, "path", "{path:?}");
    }
}

#[test]
fn a_resource_of_an_unknown_kind_is_refused_by_name() {
    let wire = v1::AssignmentContent {
        resources: vec![v1::Resource { key: "future:x".into(), ..v1::Resource::default() }],
    };
    assert_eq!(AssignmentContent::try_from(wire).unwrap_err().field, "resource.desired");
}

#[test]
fn random_bytes_never_panic() {
    for seed in 0..2000_u32 {
        let mut state = seed.wrapping_mul(2_654_435_761).max(1);
        let bytes: Vec<u8> = (0..seed % 97)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state.to_le_bytes()[0]
            })
            .collect();
        if let Ok(content) = decode_content(&bytes) {
            assert_eq!(decode_content(&encode_content(&content)).unwrap(), content);
        }
    }
}

#[test]
fn long_texts_of_a_report_are_cut_at_a_character() {
    assert_eq!(report::cut("äää".into(), 3), "ä…");
    assert_eq!(report::cut("a\0b".into(), 9), "a\u{fffd}b");
}

#[test]
fn an_exit_survives_the_wire_within_its_bounds() {
    let event = ProcessEvent {
        instance: Some(3),
        release: Some(ReleaseVersion::parse("1.4.0").unwrap()),
        reason: "exited with code 1 after 50 ms".into(),
        restarts: Some(7),
        exit: Some(ProcessExit {
            code: Some(1),
            signal: None,
            out_of_memory: false,
            uptime_ms: 50,
            last_stderr: vec!["Error: no route".into(), "    at main.js:1".into()],
        }),
    };
    assert_eq!(ProcessEvent::try_from(v1::ProcessEvent::from(&event)).unwrap(), event);

    let mut wire = v1::ProcessEvent::from(&event);
    wire.release_version = "not a/version".into();
    wire.reason = "x".repeat(100_000);
    wire.exit.as_mut().unwrap().last_stderr = (0..1_000).map(|n| format!("{n:0>2000}")).collect();
    let read = ProcessEvent::try_from(wire).unwrap();
    assert_eq!(read.release, None);
    assert!(read.reason.len() < 1_100);
    let kept = read.exit.unwrap().last_stderr;
    assert!(kept.iter().map(String::len).sum::<usize>() <= report::MAX_STDERR_BYTES);
    assert!(kept.len() > 5, "the end is kept");

    let wire = v1::ProcessEvent { restarts: Some(u64::MAX), ..v1::ProcessEvent::from(&event) };
    assert_eq!(ProcessEvent::try_from(wire).unwrap_err().field, "event.process.restarts");
}

#[test]
fn the_newest_short_lines_of_standard_error_are_kept_in_their_order() {
    let kept = cut_stderr((0..100).map(|n| n.to_string()).collect());
    assert_eq!(kept.len(), report::MAX_STDERR_LINES);
    assert_eq!((kept[0].as_str(), kept[19].as_str()), ("80", "99"));
}
