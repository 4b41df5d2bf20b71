use super::*;
use muster_domain::{
    ApplicationName, ReleaseVersion,
    resource::{Application, DesiredState, ExecMode, File, Readiness, Resource, ResourceKey},
};
use std::collections::BTreeMap;

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
        readiness: Readiness::Http { path: "/healthz".into() },
        listen_timeout_ms: 3000,
        kill_timeout_ms: 1600,
        max_restarts: 16,
        min_uptime_ms: 1000,
        restart_delay_ms: 0,
        user: None,
    };
    let file = File {
        path: "/etc/motd".into(),
        content: b"hello".to_vec(),
        mode: 0o644,
        owner: None,
        group: None,
        sensitive: false,
    };
    let key = ResourceKey::new("file", "/etc/motd");
    AssignmentContent {
        resources: vec![
            Resource { key: key.clone(), depends_on: vec![], desired: DesiredState::File(file) },
            Resource {
                key: ResourceKey::new("application", "web"),
                depends_on: vec![key],
                desired: DesiredState::Application(application),
            },
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
        resources: vec![v1::Resource { key: "future:x".into(), depends_on: vec![], desired: None }],
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
