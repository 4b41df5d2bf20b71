use super::*;
use muster_domain::observed::ResourceStatus;
use muster_domain::resource::{
    Certificate, CronJob, File, Mode, Package, PackageEnsure, Service, Symlink, Sysctl, SystemdUnit,
};

fn resource(mode: Mode) -> Resource {
    let symlink = Symlink { path: "/a".into(), target: "b".into() };
    let mut resource =
        Resource::new(ResourceKey::new("symlink", "/a"), vec![], DesiredState::Symlink(symlink));
    resource.mode = mode;
    resource
}

fn verdicts() -> [Verdict; 5] {
    let reason = || "why".to_owned();
    [
        Verdict::InPlace,
        Verdict::Change { actions: vec![Action::MakeSymlink], reason: reason() },
        Verdict::Waiting { reason: reason() },
        Verdict::Impossible { reason: reason() },
        Verdict::Unsupported { reason: reason() },
    ]
}

fn statuses(mode: Mode, memory: Memory<'_>) -> Vec<Option<ResourceStatus>> {
    let status = |decision| match decision {
        Decision::Stands { status, .. } => Some(status),
        Decision::Do { .. } => None,
    };
    verdicts().into_iter().map(|verdict| status(decide(&resource(mode), verdict, memory))).collect()
}

#[test]
fn only_what_is_enforced_and_was_not_refused_is_changed() {
    use ResourceStatus::{Converged, Drifted, Failed, Unsupported, Waiting};
    let fresh = Memory::default();
    let enforced = [Some(Converged), None, Some(Waiting), Some(Failed), Some(Unsupported)];
    assert_eq!(statuses(Mode::Enforce, fresh), enforced);
    let reported = [Some(Converged), Some(Drifted), Some(Drifted), Some(Drifted), Some(Unsupported)];
    assert_eq!(statuses(Mode::Report, fresh), reported);
    assert_eq!(statuses(Mode::Ignore, fresh), [Some(Converged); 5]);
    for memory in [
        Memory { refused: Some("refused"), held_back: None },
        Memory { refused: None, held_back: Some("held back") },
    ] {
        let held = [Some(Converged), Some(Failed), Some(Waiting), Some(Failed), Some(Unsupported)];
        assert_eq!(statuses(Mode::Enforce, memory), held);
        assert_eq!(statuses(Mode::Report, memory), reported);
    }
}

#[test]
fn what_takes_the_node_from_its_users_is_disruptive() {
    let unread = Observed::Unreadable(String::new());
    let service = Service { name: "nginx.service".into(), enabled: None, running: Some(true) };
    let service = DesiredState::Service(service);
    assert!(disruptive(&service, &unread, &[Action::Restart]));
    assert!(!disruptive(&service, &unread, &[Action::Reload]));
    let found = |reloads, activity| {
        let (loaded, enablement) = (UnitLoad::Loaded, Enablement::Enabled);
        let found = ObservedService { loaded, enablement, activity, ends_by_itself: false, reloads };
        Observed::Service(found)
    };
    for (reloads, activity, restarts) in [
        (true, Activity::Active, false),
        (false, Activity::Active, true),
        (false, Activity::Starting, true),
        (false, Activity::Inactive, false),
    ] {
        let found = found(reloads, activity);
        assert_eq!(disruptive(&service, &found, &[Action::Reload]), restarts, "{found:?}");
        let watcher = Resource::new(ResourceKey::new("service", "web"), vec![], service.clone());
        assert_eq!(restarts_for_change(&watcher, Trigger::Reload, Some(&found)), restarts, "{found:?}");
        assert!(restarts_for_change(&watcher, Trigger::Restart, Some(&found)));
        let only_told = Resource { mode: Mode::Report, ..watcher };
        assert!(!restarts_for_change(&only_told, Trigger::Restart, Some(&found)));
    }
    assert!(disruptive(&service, &found(true, Activity::Active), &[Action::Stop]));
    let package = Package { name: "nginx".into(), ensure: PackageEnsure::Present, hold: false };
    let package = DesiredState::Package(package);
    assert!(disruptive(&package, &unread, &[Action::WriteFile]) && !disruptive(&package, &unread, &[]));
    assert!(disruptive_removal(&package) && !disruptive_removal(&resource(Mode::Enforce).desired));
    assert!(!disruptive(&resource(Mode::Enforce).desired, &unread, &[Action::MakeSymlink]));
}

#[test]
fn an_application_that_is_replaced_for_its_configuration_is_disruptive_and_a_rollout_has_chosen_its_node() {
    let wanted = super::tests::application("web", 1, 2);
    let found = |release: &str, ready, stopped| {
        Observed::Application(ObservedApplication {
            release_assembled: true,
            current: None,
            wanted_spec: Some("other".into()),
            processes: Some(ObservedProcesses {
                release: release.into(),
                ready,
                stopped,
                instances: 2,
                ..ObservedProcesses::default()
            }),
        })
    };
    let desired = DesiredState::Application(wanted);
    let run = [Action::RunRelease];
    assert!(disruptive(&desired, &found("v1", 2, false), &run));
    assert!(!disruptive(&desired, &found("v0", 2, false), &run), "a rollout");
    assert!(!disruptive(&desired, &found("v1", 0, false), &run), "it serves nobody");
    assert!(!disruptive(&desired, &found("v1", 0, true), &run), "it was stopped");
    assert!(!disruptive(&desired, &found("v1", 2, false), &[Action::PointCurrent]));
}

fn file(path: &str) -> DesiredState {
    DesiredState::File(File {
        path: path.into(),
        content: vec![],
        mode: 0o644,
        owner: None,
        group: None,
        sensitive: false,
        validate: None,
    })
}

#[test]
fn the_same_thing_under_two_kinds_or_names_is_a_contradiction() {
    let certificate = Certificate {
        name: "web".into(),
        dns_names: vec![],
        addresses: vec![],
        key_path: "/etc/ssl/web.key".into(),
        certificate_path: "/etc/ssl/web.pem".into(),
        ca_path: Some("/etc/ssl/fleet.pem".into()),
        owner: None,
        group: None,
    };
    let unit = SystemdUnit { name: "web.service.d/limits.conf".into(), content: String::new() };
    let job = CronJob {
        name: "backup".into(),
        user: "root".into(),
        schedule: "@daily".into(),
        command: "true".into(),
        env: vec![],
    };
    let sysctl = |name: &str| DesiredState::Sysctl(Sysctl { name: name.into(), value: "1".into() });
    let certificate = DesiredState::Certificate(certificate);
    for (one, other, shared) in [
        (DesiredState::SystemdUnit(unit), file("/etc/systemd/system/web.service.d/limits.conf"), true),
        (DesiredState::CronJob(job), file("/etc/cron.d/muster-backup"), true),
        (certificate.clone(), file("/etc/ssl/fleet.pem"), true),
        (certificate, file("/etc/ssl/other.pem"), false),
        (sysctl("net.core.somaxconn"), sysctl("net.core.somaxconn"), true),
        (sysctl("net.core.somaxconn"), sysctl("vm.swappiness"), false),
        (file("/a"), file("/a/b"), false),
    ] {
        let resources = [
            Resource::new(ResourceKey::new("x", "one"), vec![], one),
            Resource::new(ResourceKey::new("x", "other"), vec![], other),
        ];
        let faults = check(&resources);
        assert_eq!(!faults.is_empty(), shared, "{faults:?}");
        assert!(faults.iter().all(|fault| matches!(fault, AssignmentFault::SameClaim { .. })), "{faults:?}");
    }
}

#[test]
fn a_watch_is_an_order_and_part_of_every_circle() {
    let mut first = resource(Mode::Enforce);
    let service = Service { name: "web.service".into(), enabled: None, running: None };
    let mut second =
        Resource::new(ResourceKey::new("service", "web"), vec![], DesiredState::Service(service));
    second.reload_on = vec![first.key.clone()];
    assert_eq!(check(&[first.clone(), second.clone()]), []);
    let text = |resources: &[Resource]| check(resources).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        text(&[second.clone(), first.clone()]),
        ["resource service:web stands before symlink:/a, which it depends on"]
    );
    first.depends_on = vec![second.key.clone()];
    assert_eq!(
        text(&[first, second.clone()]),
        ["resources depend on each other in a circle: symlink:/a -> service:web -> symlink:/a"]
    );
    assert_eq!(
        text(&[second]),
        ["resource service:web depends on symlink:/a, which is not part of the assignment"]
    );
}

#[test]
fn a_failure_counts_before_a_wait_and_drift_holds_nobody_up() {
    use ResourceStatus as Status;
    let key = |name: &str| ResourceKey::new("file", name);
    let mut dependant = resource(Mode::Enforce);
    dependant.depends_on = vec![key("waits"), key("drifts"), key("failed")];
    let mut outcomes = Outcomes::default();
    outcomes.record(key("waits"), Status::Waiting);
    outcomes.record(key("drifts"), Status::Drifted);
    outcomes.record(key("failed"), Status::Failed);
    assert_eq!(outcomes.blocked_by(&dependant), Some(Blocked::Failed(&key("failed"))));
    outcomes.record(key("failed"), Status::Converged);
    let blocked = outcomes.blocked_by(&dependant).unwrap();
    assert_eq!(blocked.standing(), (Status::Waiting, "waits for file:waits".to_owned()));
    outcomes.record(key("waits"), Status::Unsupported);
    assert_eq!(outcomes.blocked_by(&dependant), None);
}
