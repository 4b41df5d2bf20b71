//! On a host in memory: every kind, also when the agent is killed at any change.

use crate::{Node, declare};
use muster_agent::resources::{self, Look, units_of};
use muster_domain::resource::{Command, DesiredState, Ensure, Group, Resource, ResourceKey, User};
use muster_planning::convergence::{Action, Effort, Verdict, verdict};
use muster_platform::{
    AccountHost, CommandOutput, FakeHost, FakeScript, FakeUnit, Host, ServiceHost, ShellOutcome,
};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA amara@laptop";
const OTHER_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB bo@desk";
const UNIT: &str = "[Service]\nExecStart=/usr/bin/node server.js\n[Install]\nWantedBy=multi-user.target\n";

fn fake() -> (Arc<FakeHost>, Node) {
    let host = Arc::new(FakeHost::new("vps1"));
    host.set_unit("nginx.service", FakeUnit::default());
    let done = ShellOutcome { code: Some(0), ..ShellOutcome::default() };
    let open = ShellOutcome { code: Some(1), ..ShellOutcome::default() };
    let script = |outcome: &ShellOutcome| FakeScript { outcome: outcome.clone(), ..FakeScript::default() };
    // Both find everything good: what they say of bad files is seen on real hosts.
    for judge in ["systemd-analyze", "logrotate"] {
        host.set_program(judge, CommandOutput { code: Some(0), ..CommandOutput::default() });
    }
    host.set_script("test -e /done", script(&open));
    let work = FakeScript { satisfies: vec!["test -e /done".into()], ..script(&done) };
    host.set_script("work", work);
    host.set_script("make /made", FakeScript { creates: Some("/made".into()), ..script(&done) });
    host.set_script(
        "fail",
        FakeScript {
            outcome: ShellOutcome { code: Some(3), output: "no luck\n".into(), ..done },
            ..script(&open)
        },
    );
    (host.clone(), Node::new(host))
}

/// One of every kind, in an order that can be applied.
fn every_kind() -> Vec<DesiredState> {
    vec![
        declare::group("docker"),
        declare::user(User {
            groups: vec!["docker".into(), "sudo".into()],
            shell: Some("/bin/sh".into()),
            comment: Some("ships".into()),
            ..declare::plain_user("deploy")
        }),
        declare::user(User { system: true, ..declare::plain_user("shop") }),
        declare::keys("deploy", &[KEY], false),
        declare::hostname("app-1.example.com"),
        declare::hosts(&[("10.0.0.2", &["db"])]),
        declare::timezone("UTC"),
        declare::sysctl("net.ipv4.tcp_rmem", "4096 87380 6291456"),
        declare::unit("shop.service", UNIT),
        declare::unit("nginx.service.d/limits.conf", "[Service]\nLimitNOFILE=10000\n"),
        declare::logrotate("shop", "/var/log/shop.log {\n  daily\n}\n"),
        declare::cron("nightly", "deploy", "0 4 * * *", "date +%F"),
        declare::service("nginx.service", true, true),
        declare::service("shop.service", true, true),
        declare::command(Command { unless: Some("test -e /done".into()), ..declare::plain_command("work") }),
        declare::command(Command { creates: Some("/made".into()), ..declare::plain_command("make /made") }),
    ]
}

#[test]
fn every_kind_shows_what_differs_converges_and_is_left_alone() {
    let (host, node) = fake();
    for desired in every_kind() {
        assert!(node.diff(&desired).is_some(), "{desired:?}");
        assert!(!node.settle(&desired).is_empty(), "{desired:?}");
    }
    let before = host.writes();
    for desired in every_kind() {
        assert_eq!(node.converge(&desired), Ok(vec![]), "{desired:?}");
    }
    assert_eq!(host.writes(), before);
}

#[test]
fn an_agent_killed_at_any_change_converges_in_its_next_run() {
    for (index, desired) in every_kind().into_iter().enumerate() {
        let mut kills = 0;
        loop {
            let (host, node) = fake();
            for before in &every_kind()[..index] {
                node.settle(before);
            }
            let last = host.writes() + kills;
            host.set_faults(|faults| faults.killed_after = Some(last));
            let ended = node.converge(&desired);
            host.set_faults(|faults| faults.killed_after = None);
            node.settle(&desired);
            if ended.is_ok() {
                break;
            }
            kills += 1;
            assert!(kills < 20, "{desired:?} never ends");
        }
        let changes_the_host = !matches!(desired, DesiredState::Command(_));
        assert!(kills > 0 || !changes_the_host, "{desired:?} was never killed");
    }
}

#[test]
fn what_was_made_is_taken_away_and_nothing_else() {
    let (host, node) = fake();
    host.tamper("/etc/cron.d/php", "# not ours\n");
    host.tamper("/etc/logrotate.d/apt", "# not ours\n");
    let untouched = ["/etc/cron.d/php", "/etc/logrotate.d/apt"];
    let hosts = host.read(Path::new("/etc/hosts"), 1000).unwrap();
    for desired in every_kind() {
        node.settle(&desired);
    }
    let stays = ["hostname", "timezone", "command"];
    for desired in every_kind().into_iter().rev() {
        let gone = node.remove(&desired).unwrap();
        assert_eq!(gone.is_none(), stays.contains(&desired.kind()), "{desired:?}: {gone:?}");
        assert_eq!(node.remove(&desired).unwrap(), None, "{desired:?}");
    }
    let accounts = host.accounts().unwrap();
    let names: Vec<&str> = accounts.users.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["root", "www-data"]);
    assert!(host.stat(Path::new("/home/deploy")).unwrap().is_some(), "a home was deleted");
    for path in untouched {
        assert_eq!(host.read(Path::new(path), 1000).unwrap(), b"# not ours\n");
    }
    for path in [
        "/etc/systemd/system/shop.service",
        "/etc/systemd/system/nginx.service.d",
        "/etc/cron.d/muster-nightly",
    ] {
        assert_eq!(host.stat(Path::new(path)).unwrap(), None, "{path}");
    }
    let nginx = host.unit_now("nginx.service").unwrap();
    assert_eq!((nginx.enabled, nginx.active.as_str()), (false, "inactive"));
    // The name of the node stays, and so does that it resolves.
    let left = host.read(Path::new("/etc/hosts"), 1000).unwrap();
    assert!(left.starts_with(&hosts) && !String::from_utf8(left).unwrap().contains("begin hosts"));
}

#[test]
fn what_is_broken_by_hand_is_healed() {
    let (host, node) = fake();
    for desired in every_kind() {
        node.settle(&desired);
    }
    let uid = host.accounts().unwrap().user("deploy").unwrap().uid;
    // Deleted with what runs as it: it gets its number again, and with it its home and its processes.
    host.tamper_accounts(|accounts| accounts.users.retain(|user| user.name != "deploy"));
    host.tamper_accounts(|accounts| {
        accounts.users.push(muster_platform::UserEntry {
            name: "thief".into(),
            uid: 1777,
            ..Default::default()
        })
    });
    host.set_processes(uid, &["node (2)"]);
    host.tamper("/etc/hosts", "127.0.0.1 localhost\n");
    host.tamper("/home/deploy/.ssh/authorized_keys", format!("{OTHER_KEY}\n"));
    host.tamper("/etc/cron.d/muster-nightly", "* * * * * root rm -rf /\n");
    host.tamper("/etc/systemd/system/shop.service", "[Service]\nExecStart=/bin/evil\n");
    host.tamper_delete("/etc/sysctl.d");
    host.set_sysctl_now("net.ipv4.tcp_rmem", "1\t2\t3");
    host.set_unit("nginx.service", FakeUnit { masked: true, ..FakeUnit::default() });
    for desired in every_kind() {
        node.settle(&desired);
    }
    assert_eq!(host.accounts().unwrap().user("deploy").unwrap().uid, uid);
    let keys = host.read(Path::new("/home/deploy/.ssh/authorized_keys"), 1000).unwrap();
    assert_eq!(
        String::from_utf8(keys).unwrap(),
        format!("{OTHER_KEY}\n# muster: begin keys\n{KEY}\n# muster: end keys\n")
    );
    // It is not removed while something runs as it.
    let gone = declare::user(User { ensure: Ensure::Absent, ..declare::plain_user("deploy") });
    assert!(node.refusal(&gone).contains("node (2) runs as it"));
    host.set_processes(uid, &[]);
    node.settle(&gone);
    let group = DesiredState::Group(Group { ensure: Ensure::Absent, ..declare::plain_group("docker") });
    node.settle(&group);
}

#[test]
fn the_own_name_and_those_of_others_settle_in_one_run_whichever_comes_first() {
    let own = declare::hostname("app-1.example.com");
    let others = declare::hosts(&[("10.0.0.1", &["app-1.example.com", "app-1"]), ("10.0.0.2", &["db"])]);
    let without = declare::hosts(&[("10.0.0.2", &["db"])]);
    for own_first in [true, false] {
        let (_, node) = fake();
        let assigned = |hosts: &DesiredState| {
            let hosts = Resource::new(ResourceKey::new("hosts", "x"), vec![], hosts.clone());
            let own = Resource::new(ResourceKey::new("hostname", "x"), vec![], own.clone());
            if own_first { [own, hosts] } else { [hosts, own] }
        };
        // The name is one of the list, then it is not, then it is again.
        for hosts in [&others, &without, &others] {
            let assigned = assigned(hosts);
            let look = Look { assigned: &assigned, ..node.look() };
            for resource in &assigned {
                if let Verdict::Change { actions, .. } = node.verdict(&resource.desired) {
                    assert!(
                        resources::diff(look, &resource.desired, &node.observe(&resource.desired)).is_some()
                    );
                    for action in actions {
                        resources::apply(look, &resource.desired, action).unwrap();
                    }
                }
            }
            for resource in &assigned {
                assert_eq!(node.verdict(&resource.desired), Verdict::InPlace, "{:?}", resource.key);
            }
        }
        // Taken off the list as a whole, the node still knows its own name.
        let assigned = assigned(&without);
        let look = Look { assigned: &assigned[usize::from(!own_first)..][..1], ..node.look() };
        resources::remove(look, &others).unwrap().unwrap();
        assert_eq!(node.verdict(&own), Verdict::InPlace);
    }
}

#[test]
fn what_is_for_root_alone_is_not_handed_over_as_a_file_of_keys() {
    let (host, node) = fake();
    node.settle(&declare::user(declare::plain_user("deploy")));
    let keys = declare::keys("deploy", &[KEY], false);
    let path = Path::new("/home/deploy/.ssh/authorized_keys");
    // Renamed by the user, into whose home root had put it.
    host.tamper(path, "-- dump of all\nsecret\n");
    host.set_attributes(path, 0o600, muster_platform::Ownership::default()).unwrap();
    assert!(node.refusal(&keys).contains("holds more than keys"));
    assert_eq!(node.diff(&keys), None);
    assert!(node.remove(&keys).is_err());
    assert_eq!(host.read(path, 100).unwrap(), b"-- dump of all\nsecret\n");
    // Keys that somebody gave to root by mistake are put right.
    host.tamper(path, format!("# mine\n{OTHER_KEY}\n"));
    node.settle(&keys);
    assert!(String::from_utf8(host.read(path, 1000).unwrap()).unwrap().contains(OTHER_KEY));
}

#[test]
fn a_password_that_stands_in_the_file_of_a_job_is_not_shown() {
    let (host, node) = fake();
    let job = declare::cron("nightly", "root", "@daily", "backup");
    node.settle(&job);
    let path = Path::new("/etc/cron.d/muster-nightly");
    assert_eq!(host.stat(path).unwrap().unwrap().mode, 0o600);
    host.tamper(path, "RESTIC_PASSWORD='former'\nGREETING=\"hello\"\n@daily root backup\n");
    let shown = node.diff(&job).unwrap();
    assert!(shown.contains("-RESTIC_PASSWORD=[redacted]\n"), "{shown}");
    assert!(shown.contains("-GREETING=\"hello\"\n") && !shown.contains("former"), "{shown}");
}

#[test]
fn all_units_of_a_look_are_one_question() {
    let (host, node) = fake();
    let resource = |number| {
        let desired = declare::service(&format!("s{number}.service"), false, false);
        Resource::new(ResourceKey::new("service", number), vec![], desired)
    };
    let resources: Vec<Resource> = (0..20).map(resource).collect();
    for questions in 1..=3 {
        host.units_wanted(&units_of(&resources));
        for resource in &resources {
            let observed = node.observe_meanwhile(resource);
            assert_eq!(verdict(&resource.desired, &observed, Effort::default()), Verdict::InPlace);
        }
        assert_eq!(host.unit_questions(), questions);
    }
}

#[test]
fn a_service_that_does_not_stay_up_fails_with_the_words_of_its_journal() {
    let (host, node) = fake();
    let fails = Some("Error: Cannot find module 'express'".to_owned());
    host.set_unit("shop.service", FakeUnit { start_fails: fails.clone(), ..FakeUnit::default() });
    let wanted = declare::service("shop.service", None, true);
    let reason = node.converge(&wanted).unwrap_err();
    assert_eq!(
        reason,
        "it did not stay up after the start: its process ended with code 1; it wrote:\nError: Cannot find module 'express'"
    );
    host.set_unit("shop.service", FakeUnit::default());
    assert_eq!(node.settle(&wanted), [Action::Start]);
    let refuses = FakeUnit {
        reload_fails: Some("unknown directive".into()),
        active: "active".into(),
        ..FakeUnit::default()
    };
    host.set_unit("shop.service", refuses);
    let reason = node.act(&wanted, Action::Reload).unwrap_err();
    assert!(reason.contains("Job for shop.service failed: unknown directive"), "{reason}");
}

#[test]
fn what_cannot_reload_is_restarted_and_what_does_not_run_is_left_alone() {
    let (host, node) = fake();
    let wanted = declare::service("nginx.service", None, None);
    let note = node.act(&wanted, Action::Restart).unwrap().unwrap();
    assert!(note.contains("does not run"), "{note}");
    assert_eq!(host.unit_now("nginx.service").unwrap().starts, 0);
    for (can_reload, starts, reloads) in [(true, 0, 1), (false, 1, 0)] {
        host.set_unit(
            "nginx.service",
            FakeUnit { can_reload, active: "active".into(), ..FakeUnit::default() },
        );
        node.act(&wanted, Action::Reload).unwrap();
        let unit = host.unit_now("nginx.service").unwrap();
        assert_eq!((unit.starts, unit.reloads), (starts, reloads));
    }
}

#[test]
fn a_command_that_ran_and_changed_nothing_is_a_failure() {
    let (host, node) = fake();
    let wanted = |run: &str| {
        declare::command(Command { unless: Some("test -e /done".into()), ..declare::plain_command(run) })
    };
    let reason = node.converge(&wanted("fail")).unwrap_err();
    assert_eq!(reason, "it ended with code 3; it wrote:\nno luck");
    let reason = node.converge(&wanted("make /made")).unwrap_err();
    assert!(
        reason.contains("its guard still says that it is not done (its guard ended with code 1)"),
        "{reason}"
    );
    assert_eq!(host.scripts_run().iter().filter(|script| *script == "fail").count(), 1);
    let typo = declare::command(Command { unless: Some("tset".into()), ..declare::plain_command("work") });
    assert!(node.diff(&typo).unwrap().contains("tset: not found"));
}

#[test]
fn nothing_of_the_system_is_managed_without_root() {
    let node = Node::new(Arc::new(FakeHost::new("vps1").unprivileged()));
    for desired in every_kind() {
        match desired.kind() {
            "command" => continue,
            _ => assert!(node.refusal(&desired).contains("needs an agent that runs as root"), "{desired:?}"),
        }
    }
}

#[test]
fn a_kernel_setting_that_is_refused_or_out_of_reach_says_so() {
    let (host, node) = fake();
    host.set_sysctl_read_only("vm.swappiness");
    assert!(node.refusal(&declare::sysctl("vm.swappiness", "10")).contains("read-only here"));
    assert!(node.refusal(&declare::sysctl("vm.nonsense", "10")).contains("no setting vm.nonsense"));
    host.refuse_sysctl_value("-1");
    let reason = node.converge(&declare::sysctl("net.core.somaxconn", "-1")).unwrap_err();
    assert!(reason.contains("Invalid argument"), "{reason}");
    assert_eq!(host.stat(Path::new("/etc/sysctl.d/zz-muster-net.core.somaxconn.conf")).unwrap(), None);
}

fn drawn() -> impl Strategy<Value = DesiredState> {
    let name = prop_oneof![Just("a"), Just("b"), Just("deploy")];
    let ensure = prop_oneof![3 => Just(Ensure::Present), 1 => Just(Ensure::Absent)];
    prop_oneof![
        (name.clone(), ensure.clone(), prop::option::of(1001..1004_u32)).prop_map(|(name, ensure, gid)| {
            DesiredState::Group(Group { ensure, gid, ..declare::plain_group(name) })
        }),
        (
            name.clone(),
            ensure,
            prop::option::of(1001..1004_u32),
            prop::option::of(prop_oneof![Just("sudo"), Just("a"), Just("nobody-knows")]),
            prop::sample::subsequence(vec!["a".to_owned(), "sudo".to_owned()], 0..2),
            prop::option::of(prop_oneof![Just("/bin/sh"), Just("/bin/bash"), Just("/bin/fish")]),
            any::<bool>(),
        )
            .prop_map(|(name, ensure, uid, group, groups, shell, system)| {
                declare::user(User {
                    ensure,
                    uid,
                    group: group.map(str::to_owned),
                    groups,
                    shell: shell.map(str::to_owned),
                    system,
                    ..declare::plain_user(name)
                })
            }),
        (name, prop::sample::subsequence(vec![KEY, OTHER_KEY], 0..=2), any::<bool>())
            .prop_map(|(user, keys, exclusive)| declare::keys(user, &keys, exclusive)),
        ("[ab]", any::<Option<bool>>(), any::<Option<bool>>()).prop_map(|(name, enabled, running)| {
            declare::service(&format!("{name}.service"), enabled, running)
        }),
        ("[ab]", any::<bool>()).prop_map(|(name, install)| {
            let install = if install { "[Install]\nWantedBy=multi-user.target\n" } else { "" };
            declare::unit(&format!("{name}.service"), &format!("[Service]\nExecStart=/bin/true\n{install}"))
        }),
        ("[ab]", "[ab% \\\\]{1,5}")
            .prop_map(|(name, command)| declare::cron(&name, "root", "@daily", &command)),
        "[a-c]{1,3}".prop_map(|name| declare::hostname(&name)),
        prop::sample::subsequence(vec![("10.0.0.2", &["db"][..]), ("10.0.0.3", &["a", "vps1"][..])], 0..=2)
            .prop_map(|entries| declare::hosts(&entries)),
        "[1-3]( {1,2}[1-3]){0,2}".prop_map(|value| declare::sysctl("net.ipv4.tcp_rmem", &value)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_was_done_needs_not_be_done_again(resources in prop::collection::vec(drawn(), 1..12)) {
        let (host, node) = fake();
        for desired in &resources {
            let before = host.writes();
            if node.converge(desired).is_ok() {
                prop_assert_eq!(node.verdict(desired), Verdict::InPlace, "{:?}", desired);
                prop_assert_eq!(node.diff(desired), None, "{:?}", desired);
            } else {
                prop_assert_eq!(host.writes(), before, "{:?} failed and changed something", desired);
            }
            let accounts = host.accounts().unwrap();
            prop_assert!(accounts.user("root").is_some() && accounts.user("www-data").is_some());
            prop_assert!(accounts.group("sudo").is_some());
        }
    }
}
