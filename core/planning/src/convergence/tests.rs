use super::*;
use model::{Model, ModelApplication, OWN, spec_of};
use muster_domain::{
    ApplicationName, Digest, ReleaseId, ReleaseVersion,
    observed::ResourceStatus,
    resource::{Application, Directory, ExecMode, File, Nodejs, ProcessSettings, Readiness, Symlink},
};
use proptest::prelude::*;

mod model;

fn uuid(number: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(number)
}

pub(super) fn application(name: &str, release: u128, instances: u32) -> Application {
    Application {
        name: ApplicationName::parse(name).unwrap(),
        release_id: ReleaseId::from_uuid(uuid(release)),
        release_version: ReleaseVersion::parse(format!("v{release}")).unwrap(),
        artifact_digest: Digest::from_bytes([1; 32]),
        nodejs_range: ">=20".into(),
        script: "server.js".into(),
        args: vec![],
        node_args: vec![],
        instances,
        exec_mode: ExecMode::Cluster,
        port: Some(3000),
        env: BTreeMap::new(),
        secrets: std::collections::BTreeSet::new(),
        readiness: Readiness::Listening,
        listen_timeout_ms: 3000,
        kill_timeout_ms: 1600,
        max_restarts: 16,
        min_uptime_ms: 1000,
        restart_delay_ms: 0,
        user: None,
        process: ProcessSettings::default(),
    }
}

fn owner() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        4 => Just(None),
        3 => Just(Some("deploy".to_owned())),
        1 => Just(Some("nobody-knows".to_owned())),
    ]
}

fn desired() -> impl Strategy<Value = DesiredState> {
    let mode = prop_oneof![Just(0o644), Just(0o600), Just(0o755)];
    prop_oneof![
        (0..4_u8, mode.clone(), owner(), owner()).prop_map(|(n, mode, owner, group)| {
            DesiredState::Directory(Directory { path: format!("/d{n}"), mode, owner, group })
        }),
        (0..4_u8, "[ab]{0,2}", mode, owner(), owner()).prop_map(|(n, content, mode, owner, group)| {
            let content = content.into_bytes();
            DesiredState::File(File {
                path: format!("/f{n}"),
                content,
                mode,
                owner,
                group,
                sensitive: false,
                validate: None,
            })
        }),
        (0..4_u8, "[ab]")
            .prop_map(|(n, target)| DesiredState::Symlink(Symlink { path: format!("/l{n}"), target })),
        prop_oneof![Just("20"), Just("22"), Just("*"), Just("not a range")]
            .prop_map(|range| DesiredState::Nodejs(Nodejs { range: range.into(), mirror: None })),
        ("[ab]", 1..3_u128, 1..3_u32).prop_map(|(name, release, instances)| DesiredState::Application(
            application(&name, release, instances)
        )),
    ]
}

fn key_of(desired: &DesiredState) -> ResourceKey {
    match desired {
        DesiredState::Directory(d) => ResourceKey::new("directory", &d.path),
        DesiredState::File(f) => ResourceKey::new("file", &f.path),
        DesiredState::Symlink(s) => ResourceKey::new("symlink", &s.path),
        DesiredState::Nodejs(n) => ResourceKey::new("nodejs", &n.range),
        DesiredState::Application(a) => ResourceKey::new("application", &a.name),
        other => panic!("{} is not among the kinds that are drawn", other.kind()),
    }
}

/// Assignments as a compiler makes them: unique keys, dependencies backwards.
fn assignment() -> impl Strategy<Value = Vec<Resource>> {
    prop::collection::vec((desired(), prop::collection::vec(any::<prop::sample::Index>(), 0..3)), 0..10)
        .prop_map(|drawn| {
            let mut resources: Vec<Resource> = Vec::new();
            for (desired, dependencies) in drawn {
                let key = key_of(&desired);
                if resources.iter().any(|known| known.key == key) {
                    continue;
                }
                let mut depends_on: Vec<ResourceKey> = Vec::new();
                if !resources.is_empty() {
                    depends_on.extend(dependencies.iter().map(|i| i.get(&resources).key.clone()));
                }
                resources.push(Resource::new(key, depends_on, desired));
            }
            resources
        })
}

/// Nodes in any state, also ones that no assignment would make.
fn model() -> impl Strategy<Value = Model> {
    let kind = prop_oneof![
        Just(PathKind::Directory),
        Just(PathKind::Other),
        "[ab]{0,2}".prop_map(|c| PathKind::File(Digest::from_bytes(*blake3::hash(c.as_bytes()).as_bytes()))),
        "[ab]".prop_map(PathKind::Symlink),
    ];
    let state = (kind, prop_oneof![Just(0o644), Just(0o600)], 0..2_u32)
        .prop_map(|(kind, mode, uid)| PathState { kind, mode, uid, gid: uid });
    let processes =
        (any::<[bool; 4]>(), 0..3_u32, 1..3_u128, 1..3_u32).prop_map(|(flags, ready, release, instances)| {
            let [awaiting_apply, stopped, replacing, crash_looping] = flags;
            ObservedProcesses {
                spec: spec_of(&application("a", release, instances)),
                release: format!("v{release}"),
                awaiting_apply,
                stopped,
                replacing,
                crash_looping,
                ready: ready.min(instances),
                ended: instances.saturating_sub(ready.saturating_add(1)),
                instances,
                trouble: vec![],
            }
        });
    let known = (prop::option::of(processes), prop::option::of(1..3_u128), any::<bool>()).prop_map(
        |(processes, current, assembled)| ModelApplication {
            assembled: if assembled { vec![ReleaseId::from_uuid(uuid(1))] } else { vec![] },
            current: current.map(|n| ReleaseId::from_uuid(uuid(n))),
            processes,
        },
    );
    let name = "[ab]".prop_map(|name| ApplicationName::parse(name).unwrap());
    (
        prop::collection::btree_map("/[dfl][0-3]", state, 0..6),
        prop::collection::vec(prop_oneof![Just("18.1.0".to_owned()), Just("20.1.0".to_owned())], 0..3),
        prop::collection::btree_map(name, known, 0..3),
    )
        .prop_map(|(paths, versions, applications)| Model { paths, versions, applications })
}

const HARD: Effort = Effort { start_crash_looping: true };

proptest! {
    #[test]
    fn after_a_run_nothing_is_left_to_do(resources in assignment(), mut model in model()) {
        prop_assert_eq!(check(&resources), vec![]);
        let first = model.converge(&resources, HARD);
        let left = plan(&resources, &model.observe_all(&resources), HARD);
        for (step, (key, status)) in left.steps.iter().zip(&first) {
            if *status == ResourceStatus::Converged {
                prop_assert_eq!(&step.verdict, &Verdict::InPlace, "{}", key);
            }
        }
        // An application that stands before its Node.js without naming it fails once and is mended by the next run.
        let second = model.converge(&resources, HARD);
        for ((key, was), (_, now)) in first.iter().zip(&second) {
            prop_assert!(*was != ResourceStatus::Converged || *now == ResourceStatus::Converged, "{}", key);
        }
        let before = format!("{model:?}");
        prop_assert_eq!(&second, &model.converge(&resources, HARD));
        prop_assert_eq!(before, format!("{model:?}"));
    }

    #[test]
    fn a_plan_has_one_step_for_each_resource_in_its_order_and_is_always_the_same(
        resources in assignment(), model in model(),
    ) {
        let observed = model.observe_all(&resources);
        let one = plan(&resources, &observed, Effort::default());
        let keys: Vec<_> = one.steps.iter().map(|step| &step.key).collect();
        prop_assert_eq!(keys, resources.iter().map(|r| &r.key).collect::<Vec<_>>());
        prop_assert_eq!(&one, &plan(&resources, &observed, Effort::default()));
    }

    #[test]
    fn a_failure_skips_its_dependants_and_nobody_else(resources in assignment(), mut model in model()) {
        let statuses: BTreeMap<_, _> = model.converge(&resources, HARD).into_iter().collect();
        for resource in &resources {
            let held_up = resource.depends_on.iter().any(|dependency| {
                matches!(statuses[dependency], ResourceStatus::Failed | ResourceStatus::Skipped)
            });
            prop_assert_eq!(statuses[&resource.key] == ResourceStatus::Skipped, held_up, "{}", resource.key);
            let waits = resource.depends_on.iter().any(|key| statuses[key] == ResourceStatus::Waiting);
            let waiting = statuses[&resource.key] == ResourceStatus::Waiting;
            prop_assert!(held_up || !waits || waiting, "{}", resource.key);
        }
    }

    #[test]
    fn unmanaged_paths_are_untouched(resources in assignment(), mut model in model()) {
        let managed: Vec<String> = resources.iter().map(|r| r.key.as_str().split_once(':').unwrap().1.to_owned()).collect();
        let before = model.paths.clone();
        model.converge(&resources, HARD);
        for (path, state) in before.iter().filter(|(path, _)| !managed.contains(path)) {
            prop_assert_eq!(model.paths.get(path), Some(state));
        }
    }

    #[test]
    fn disorder_is_always_noticed(mut resources in assignment(), seed in any::<prop::sample::Index>()) {
        let with_dependency: Vec<usize> =
            (0..resources.len()).filter(|i| !resources[*i].depends_on.is_empty()).collect();
        if !with_dependency.is_empty() {
            let moved = resources.remove(*seed.get(&with_dependency));
            resources.insert(0, moved);
            let noticed = check(&resources).iter().any(|fault| matches!(fault, AssignmentFault::OutOfOrder { .. }));
            prop_assert!(noticed);
        }
    }
}

fn file(path: &str, depends_on: &[&str]) -> Resource {
    let file = File {
        path: path.into(),
        content: vec![],
        mode: 0o644,
        owner: None,
        group: None,
        sensitive: true,
        validate: None,
    };
    Resource::new(
        ResourceKey::new("file", path),
        depends_on.iter().map(|path| ResourceKey::new("file", path)).collect(),
        DesiredState::File(file),
    )
}

#[test]
fn contradictions_are_named() {
    let texts = |resources: &[Resource]| check(resources).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(texts(&[file("/a", &[]), file("/a", &[])]), ["resource file:/a is listed twice"]);
    assert_eq!(
        texts(&[file("/a", &["/b"])]),
        ["resource file:/a depends on file:/b, which is not part of the assignment"]
    );
    assert_eq!(
        texts(&[file("/a", &["/b"]), file("/b", &[])]),
        ["resource file:/a stands before file:/b, which it depends on"]
    );
    assert_eq!(
        texts(&[file("/a", &["/b"]), file("/b", &["/c"]), file("/c", &["/a"])]),
        ["resources depend on each other in a circle: file:/a -> file:/b -> file:/c -> file:/a"]
    );
    assert_eq!(
        texts(&[file("/a", &["/a"])]),
        ["resources depend on each other in a circle: file:/a -> file:/a"]
    );
    let mut other = file("/a", &[]);
    other.key = ResourceKey::new("file", "other");
    assert_eq!(texts(&[file("/a", &[]), other]), ["resources file:/a and file:other both claim path /a"]);
}

fn found(kind: PathKind, mode: u32) -> ObservedPath {
    let found = Some(PathState { kind, mode, uid: 0, gid: 0 });
    ObservedPath { found, owner: Principal::Any, group: Principal::Any, privileged: true, own: OWN }
}

fn check_verdict(desired: &DesiredState, observed: ObservedPath, expected: &str) {
    let text = match verdict(desired, &Observed::Path(observed), Effort::default()) {
        Verdict::InPlace => "in place".to_owned(),
        Verdict::Change { actions, reason } => format!("{actions:?}: {reason}"),
        Verdict::Waiting { reason } => format!("waiting: {reason}"),
        Verdict::Impossible { reason } => format!("impossible: {reason}"),
        Verdict::Unsupported { reason } => format!("unsupported: {reason}"),
    };
    assert_eq!(text, expected);
}

#[test]
fn reasons_tell_what_differs() {
    let wanted = file("/etc/motd", &[]).desired;
    let empty = Digest::from_bytes(*blake3::hash(b"").as_bytes());
    check_verdict(&wanted, found(PathKind::File(empty), 0o644), "in place");
    check_verdict(
        &wanted,
        found(PathKind::File(Digest::from_bytes([0; 32])), 0o600),
        "[WriteFile]: content differs, mode is 0600 instead of 0644",
    );
    check_verdict(
        &wanted,
        found(PathKind::Symlink("/etc/shadow".into()), 0o777),
        "[WriteFile]: is a symbolic link instead of a file",
    );
    check_verdict(
        &wanted,
        found(PathKind::Directory, 0o755),
        "impossible: a folder is in the place of a file; it is not deleted, move it away",
    );
}

#[test]
fn an_agent_without_root_does_not_fail_on_owners_it_cannot_set() {
    let wanted = file("/etc/motd", &[]).desired;
    let rootless =
        |owner| ObservedPath { found: None, owner, group: Principal::Any, privileged: false, own: (7, 7) };
    check_verdict(
        &wanted,
        rootless(Principal::Id(33)),
        "unsupported: giving it to another user needs an agent that runs as root",
    );
    check_verdict(&wanted, rootless(Principal::Id(7)), "[WriteFile]: is missing");
}

#[test]
fn a_crash_loop_is_a_failure_until_a_person_asks_for_another_try() {
    let wanted = application("a", 1, 1);
    let observed = Observed::Application(ObservedApplication {
        release_assembled: true,
        current: Some(wanted.release_id),
        wanted_spec: Some(spec_of(&wanted)),
        processes: Some(ObservedProcesses {
            spec: spec_of(&wanted),
            crash_looping: true,
            instances: 1,
            trouble: vec!["instance 0 exited with code 1".into()],
            ..ObservedProcesses::default()
        }),
    });
    let desired = DesiredState::Application(wanted);
    let Verdict::Impossible { reason } = verdict(&desired, &observed, Effort::default()) else { panic!() };
    assert!(reason.contains("instance 0 exited with code 1"), "{reason}");
    let Verdict::Change { actions, .. } = verdict(&desired, &observed, HARD) else { panic!() };
    assert_eq!(actions, [Action::StartAgain]);
}

#[test]
fn a_crash_loop_for_want_of_the_release_ends_when_that_is_put_back() {
    let wanted = application("a", 1, 1);
    let observed = Observed::Application(ObservedApplication {
        release_assembled: false,
        current: Some(wanted.release_id),
        wanted_spec: Some(spec_of(&wanted)),
        processes: Some(ObservedProcesses {
            spec: spec_of(&wanted),
            crash_looping: true,
            instances: 1,
            ..ObservedProcesses::default()
        }),
    });
    let desired = DesiredState::Application(wanted);
    let Verdict::Change { actions, .. } = verdict(&desired, &observed, Effort::default()) else { panic!() };
    assert_eq!(actions, [Action::FetchRelease, Action::StartAgain]);
}

#[test]
fn what_somebody_stopped_is_started_again_and_not_given_to_the_supervisor_a_second_time() {
    let wanted = application("a", 1, 1);
    let actions = |spec: String| {
        let observed = Observed::Application(ObservedApplication {
            release_assembled: true,
            current: Some(wanted.release_id),
            wanted_spec: Some(spec_of(&wanted)),
            processes: Some(ObservedProcesses {
                spec,
                release: wanted.release_version.to_string(),
                stopped: true,
                instances: 1,
                ..ObservedProcesses::default()
            }),
        });
        match verdict(&DesiredState::Application(wanted.clone()), &observed, Effort::default()) {
            Verdict::Change { actions, .. } => actions,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(actions(spec_of(&wanted)), [Action::StartAgain]);
    assert_eq!(actions("another".to_owned()), [Action::RunRelease]);
}

#[test]
fn what_is_meant_to_be_stopped_is_in_place() {
    let check = |change: fn(&mut ProcessSettings), processes: ObservedProcesses, in_place: bool| {
        let mut wanted = application("a", 1, 2);
        change(&mut wanted.process);
        let observed = Observed::Application(ObservedApplication {
            release_assembled: true,
            current: Some(wanted.release_id),
            wanted_spec: Some(spec_of(&wanted)),
            processes: Some(ObservedProcesses { spec: spec_of(&wanted), instances: 2, ..processes }),
        });
        let verdict = verdict(&DesiredState::Application(wanted), &observed, Effort::default());
        assert_eq!(verdict == Verdict::InPlace, in_place, "{verdict:?}");
    };
    let stopped = || ObservedProcesses { stopped: true, ended: 2, ..ObservedProcesses::default() };
    check(|_| {}, stopped(), false);
    check(|process| process.autostart = false, stopped(), true);
    let one_ended = || ObservedProcesses { ready: 1, ended: 1, ..ObservedProcesses::default() };
    check(|_| {}, one_ended(), false);
    check(|process| process.autorestart = false, one_ended(), true);
    check(|process| process.stop_exit_codes = vec![0], one_ended(), true);
    let one_starting = || ObservedProcesses { ready: 1, ..ObservedProcesses::default() };
    check(|process| process.autorestart = false, one_starting(), false);
}
