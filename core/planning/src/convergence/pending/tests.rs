use super::*;
use muster_domain::resource::{Command, Service};

const ALL: [Trigger; 2] = [Trigger::Reload, Trigger::Restart];

fn key(name: &str) -> ResourceKey {
    ResourceKey::new("file", name)
}

fn nginx(running: Option<bool>) -> DesiredState {
    DesiredState::Service(Service { name: "nginx.service".into(), enabled: Some(true), running })
}

fn newaliases(only_on_change: bool) -> DesiredState {
    DesiredState::Command(Command {
        name: "newaliases".into(),
        run: "newaliases".into(),
        unless: None,
        creates: Some("/etc/aliases.db".into()),
        only_on_change,
        user: None,
        cwd: None,
        timeout_ms: 1000,
    })
}

fn change(actions: &[Action]) -> Verdict {
    Verdict::Change { actions: actions.to_vec(), reason: "it differs".into() }
}

fn actions(verdict: Verdict) -> Vec<Action> {
    match verdict {
        Verdict::InPlace => vec![],
        Verdict::Change { actions, .. } => actions,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_service_reads_what_changed_once_and_not_when_it_is_meant_to_be_stopped() {
    for trigger in ALL {
        let pending = Pending::new(trigger, key("/etc/nginx/nginx.conf"), ChangeCause::Corrective);
        let action = if trigger == Trigger::Reload { Action::Reload } else { Action::Restart };
        for running in [None, Some(true)] {
            let verdict = due(&nginx(running), Verdict::InPlace, Some(&pending));
            assert_eq!(actions(verdict), [action]);
            assert_eq!(due(&nginx(running), Verdict::InPlace, None), Verdict::InPlace);
        }
        assert_eq!(due(&nginx(Some(false)), Verdict::InPlace, Some(&pending)), Verdict::InPlace);
        let verdict = due(&nginx(None), change(&[Action::Restart]), Some(&pending));
        assert_eq!(actions(verdict), [Action::Restart]);
        let waiting = Verdict::Waiting { reason: "it starts".into() };
        assert_eq!(due(&nginx(None), waiting.clone(), Some(&pending)), waiting);
    }
}

#[test]
fn a_command_runs_for_its_guard_or_for_what_it_watches_and_on_change_for_both() {
    let pending = Pending::new(Trigger::Reload, key("/etc/aliases"), ChangeCause::Intentional);
    let run = change(&[Action::RunCommand]);
    for (only_on_change, by_guard, changed, runs) in [
        (false, false, false, false),
        (false, true, false, true),
        (false, false, true, true),
        (false, true, true, true),
        (true, false, false, false),
        (true, true, false, false),
        (true, false, true, false),
        (true, true, true, true),
    ] {
        let looked = if by_guard { run.clone() } else { Verdict::InPlace };
        let verdict = due(&newaliases(only_on_change), looked, changed.then_some(&pending));
        let expected: &[Action] = if runs { &[Action::RunCommand] } else { &[] };
        assert_eq!(actions(verdict), expected, "{only_on_change} {by_guard} {changed}");
    }
}

#[test]
fn what_is_pending_only_grows_and_says_what_it_is_for() {
    let mut pending = Pending::new(Trigger::Reload, key("/a"), ChangeCause::Corrective);
    assert!(!pending.add(Trigger::Reload, &key("/a"), ChangeCause::Corrective));
    assert!(pending.add(Trigger::Reload, &key("/b"), ChangeCause::Intentional));
    assert!(pending.add(Trigger::Restart, &key("/b"), ChangeCause::Corrective));
    assert!(!pending.add(Trigger::Reload, &key("/a"), ChangeCause::Corrective));
    assert_eq!((pending.trigger, pending.cause), (Trigger::Restart, ChangeCause::Intentional));
    assert_eq!(pending.reason(), "file:/a, file:/b changed");
    for name in ["/c", "/d", "/e"] {
        pending.add(Trigger::Reload, &key(name), ChangeCause::Corrective);
    }
    assert_eq!(pending.reason(), "file:/a, file:/b, file:/c, 2 others changed");
}

#[test]
fn only_services_and_commands_are_told_and_the_stronger_wish_counts() {
    let watcher = |name: &str, desired: DesiredState| {
        let mut resource = Resource::new(ResourceKey::new(desired.kind(), name), vec![], desired);
        resource.reload_on = vec![key("/a")];
        resource
    };
    let mut strong = watcher("strong", nginx(None));
    strong.restart_on = vec![key("/a")];
    let mut ignored = watcher("ignored", nginx(None));
    ignored.mode = Mode::Ignore;
    let other = muster_domain::resource::Symlink { path: "/b".into(), target: "/a".into() };
    let resources = vec![
        watcher("weak", nginx(None)),
        strong,
        ignored,
        watcher("/b", DesiredState::Symlink(other)),
        watcher("run", newaliases(true)),
    ];
    let changed = key("/a");
    let told: Vec<(&str, Trigger)> =
        triggers(&resources, &changed).map(|(resource, trigger)| (resource.key.as_str(), trigger)).collect();
    assert_eq!(
        told,
        [
            ("service:weak", Trigger::Reload),
            ("service:strong", Trigger::Restart),
            ("command:run", Trigger::Reload)
        ]
    );
}
