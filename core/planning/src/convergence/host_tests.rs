//! What is decided about accounts, services, settings and rendered files, kind by kind.

use super::*;
use muster_domain::resource::{
    AuthorizedKey, Command, CronJob, Ensure, Group, Hostname, Hosts, HostsEntry, Logrotate, Service, Sysctl,
    SystemdUnit, Timezone, User,
};
use proptest::prelude::*;

pub(super) fn shown(desired: &DesiredState, observed: &Observed) -> String {
    match verdict(desired, observed, Effort::default()) {
        Verdict::InPlace => "in place".to_owned(),
        Verdict::Change { actions, reason } => format!("{actions:?}: {reason}"),
        Verdict::Waiting { reason } => format!("waiting: {reason}"),
        Verdict::Impossible { reason } => format!("impossible: {reason}"),
        Verdict::Unsupported { reason } => format!("unsupported: {reason}"),
    }
}

fn group(ensure: Ensure, gid: Option<u32>, system: bool, observed: ObservedGroup) -> String {
    let wanted = Group { name: "deploy".into(), ensure, gid, system };
    shown(&DesiredState::Group(wanted), &Observed::Group(observed))
}

#[test]
fn groups_are_made_and_removed_and_never_renumbered() {
    use Ensure::{Absent, Present};
    let there = |gid| ObservedGroup { gid: Some(gid), ..ObservedGroup::default() };
    let none = ObservedGroup::default;
    assert_eq!(group(Present, None, false, none()), "[CreateGroup]: is missing");
    assert_eq!(group(Present, Some(7), false, there(7)), "in place");
    assert!(group(Present, Some(7), false, there(8)).starts_with("impossible: it has the number 8"));
    let taken = ObservedGroup { gid_taken_by: Some("games".into()), ..none() };
    assert_eq!(
        group(Present, Some(60), false, taken),
        "impossible: the number 60 belongs to the group games"
    );
    let foreign = ObservedGroup { foreign: true, ..none() };
    assert!(group(Present, None, false, foreign).contains("comes from a directory service"));
    assert_eq!(group(Absent, None, false, none()), "in place");
    assert_eq!(group(Absent, None, false, there(1001)), "[RemoveGroup]: should not be there");
    assert_eq!(group(Absent, None, true, there(200)), "[RemoveGroup]: should not be there");
    assert!(group(Absent, None, false, there(200)).contains("belongs to the system"));
    assert!(group(Absent, None, true, there(0)).contains("never removed"));
    let primary = ObservedGroup { primary_of: vec!["ada".into(), "bo".into()], ..there(1001) };
    assert!(group(Absent, None, false, primary).contains("primary group of ada, bo"));
}

fn deploy() -> User {
    User {
        name: "deploy".into(),
        ensure: Ensure::Present,
        uid: None,
        group: None,
        groups: vec![],
        shell: None,
        home: None,
        comment: None,
        system: false,
    }
}

fn found() -> FoundUser {
    FoundUser {
        uid: 1001,
        group: "deploy".into(),
        groups: vec!["sudo".into()],
        shell: "/bin/sh".into(),
        home: "/home/deploy".into(),
        home_exists: true,
        comment: String::new(),
    }
}

fn user(wanted: User, observed: ObservedUser) -> String {
    shown(&DesiredState::User(wanted), &Observed::User(observed))
}

#[test]
fn a_user_is_made_with_what_it_needs_and_changed_in_what_is_declared() {
    let there = |found| ObservedUser { found: Some(found), ..ObservedUser::default() };
    assert_eq!(user(deploy(), ObservedUser::default()), "[CreateUser]: is missing");
    assert_eq!(user(deploy(), there(found())), "in place");
    let wanted = User {
        shell: Some("/bin/bash".into()),
        groups: vec!["sudo".into(), "docker".into(), "deploy".into()],
        comment: Some("runs the shop".into()),
        ..deploy()
    };
    assert_eq!(
        user(wanted, there(found())),
        "[ChangeUser]: shell is \"/bin/sh\" instead of \"/bin/bash\", comment is \"\" instead of \"runs the shop\", is not in docker"
    );
    assert_eq!(
        user(deploy(), there(FoundUser { home_exists: false, ..found() })),
        "[ChangeUser]: its home /home/deploy is missing"
    );
    let service = User { system: true, ..deploy() };
    assert_eq!(user(service, there(FoundUser { home_exists: false, ..found() })), "in place");
    let missing = ObservedUser { missing_groups: vec!["docker".into()], ..ObservedUser::default() };
    assert_eq!(
        user(deploy(), missing),
        "impossible: the group docker does not exist on this node; declare it"
    );
    let shellless = ObservedUser { shell_missing: true, ..there(found()) };
    let wanted = User { shell: Some("/usr/bin/fish".into()), ..deploy() };
    assert!(user(wanted, shellless).contains("/usr/bin/fish is not on this node"));
    let moving = ObservedUser { processes: vec!["node (2)".into()], ..there(found()) };
    let wanted = User { home: Some("/srv/deploy".into()), ..deploy() };
    assert!(user(wanted, moving).contains("node (2) does"));
}

#[test]
fn what_would_orphan_files_or_cut_the_ground_from_under_processes_is_said_and_not_done() {
    let gone = |system| User { ensure: Ensure::Absent, system, ..deploy() };
    let there = |uid| ObservedUser { found: Some(FoundUser { uid, ..found() }), ..ObservedUser::default() };
    assert_eq!(user(gone(false), ObservedUser::default()), "in place");
    assert_eq!(user(gone(false), there(1001)), "[RemoveUser]: should not be there");
    assert!(user(gone(false), there(33)).contains("belongs to the system"));
    assert_eq!(user(gone(true), there(133)), "[RemoveUser]: should not be there");
    assert!(user(gone(true), there(0)).contains("never removed"));
    let busy = ObservedUser { processes: vec!["bash (1)".into(), "node (4)".into()], ..there(1001) };
    assert_eq!(
        user(gone(false), busy),
        "impossible: bash (1), node (4) runs as it; end that first, it is not killed"
    );
    let other = User { uid: Some(1500), ..deploy() };
    assert!(user(other, there(1001)).contains("would orphan its files"));
}

#[test]
fn keys_are_written_where_they_differ_and_nobody_without_a_home_fails_for_none() {
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA amara@laptop";
    let wanted = |keys: &[&str]| {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        DesiredState::AuthorizedKey(AuthorizedKey { user: "deploy".into(), keys, exclusive: false })
    };
    let holds = |content: Option<&str>| ObservedKeys {
        content: content.map(str::to_owned),
        ..ObservedKeys::default()
    };
    let shown = |keys: &[&str], observed: ObservedKeys| shown(&wanted(keys), &Observed::Keys(observed));
    assert_eq!(shown(&[KEY], holds(None)), "[WriteKeys]: is missing");
    assert_eq!(shown(&[], holds(None)), "in place");
    assert_eq!(shown(&[KEY], holds(Some("# mine\n"))), "[WriteKeys]: 1 of the keys are missing");
    let target = format!("# muster: begin keys\n{KEY}\n# muster: end keys\n");
    assert_eq!(shown(&[KEY], holds(Some(&target))), "in place");
    assert_eq!(shown(&[], holds(Some(&target))), "[WriteKeys]: 1 keys should not be there");
    let loose = ObservedKeys { attributes: vec!["~/.ssh has mode 0755".into()], ..holds(Some(&target)) };
    assert_eq!(shown(&[KEY], loose), "[WriteKeys]: ~/.ssh has mode 0755");
    let homeless = ObservedKeys { trouble: Some("no home".into()), ..holds(None) };
    assert_eq!(shown(&[KEY], homeless.clone()), "impossible: no home");
    assert_eq!(shown(&[], homeless), "in place");
    assert!(shown(&["rsa please"], holds(None)).starts_with("impossible: \"rsa please\" is no line"));
}

fn service(enabled: Option<bool>, running: Option<bool>, observed: ObservedService) -> String {
    let wanted = Service { name: "nginx.service".into(), enabled, running };
    shown(&DesiredState::Service(wanted), &Observed::Service(observed))
}

fn unit(enablement: Enablement, activity: Activity) -> ObservedService {
    ObservedService { loaded: UnitLoad::Loaded, enablement, activity, ends_by_itself: false, reloads: true }
}

#[test]
fn a_service_is_brought_to_what_is_declared_and_left_alone_in_the_rest() {
    use Activity::{Active, Failed, Inactive, Restarting, Starting, Stopping};
    use Enablement::{Disabled, Elsewhere, Enabled, EnabledForNow, Static};
    let (yes, no) = (Some(true), Some(false));
    assert_eq!(service(yes, yes, unit(Enabled, Active)), "in place");
    assert_eq!(service(None, None, unit(Disabled, Failed("x".into()))), "in place");
    assert_eq!(service(yes, yes, unit(Disabled, Inactive)), "[Enable, Start]: is disabled, is stopped");
    assert_eq!(service(no, no, unit(Enabled, Active)), "[Disable, Stop]: is enabled, is running");
    assert_eq!(
        service(yes, None, unit(EnabledForNow, Inactive)),
        "[Enable]: is enabled until the next boot only"
    );
    assert_eq!(service(yes, yes, unit(Elsewhere, Active)), "in place");
    assert!(service(yes, None, unit(Static, Active)).contains("leave `enabled` out"));
    let dead = || Failed("its process ended with code 1".into());
    assert_eq!(service(None, yes, unit(Enabled, dead())), "[Start]: its process ended with code 1");
    assert_eq!(service(None, no, unit(Enabled, dead())), "in place");
    let loop_ = || Restarting("its process ended with code 1".into());
    assert_eq!(service(None, yes, unit(Enabled, loop_())), "[Start]: its process ended with code 1");
    assert_eq!(service(None, no, unit(Enabled, loop_())), "[Stop]: its process ended with code 1");
    assert_eq!(service(None, yes, unit(Enabled, Starting)), "waiting: is starting");
    assert_eq!(service(None, no, unit(Enabled, Stopping)), "waiting: is stopping");
    assert_eq!(service(yes, yes, unit(Disabled, Starting)), "[Enable]: is disabled");
    let oneshot = ObservedService { ends_by_itself: true, ..unit(Enabled, Inactive) };
    assert!(service(None, yes, oneshot.clone()).contains("Type=oneshot"));
    assert_eq!(service(yes, None, oneshot), "in place");
}

#[test]
fn a_unit_that_cannot_be_started_says_what_is_in_the_way() {
    let (yes, no) = (Some(true), Some(false));
    let load = |loaded| ObservedService { loaded, ..unit(Enablement::Elsewhere, Activity::Inactive) };
    assert_eq!(
        service(yes, yes, load(UnitLoad::NotFound)),
        "impossible: there is no unit nginx.service on this node; install the package that brings it (nginx?), or declare its file"
    );
    assert_eq!(service(no, no, load(UnitLoad::NotFound)), "in place");
    assert_eq!(
        service(yes, yes, load(UnitLoad::Masked)),
        "[Unmask, Enable, Start]: is masked, is not known to be enabled, is stopped"
    );
    assert_eq!(service(no, no, load(UnitLoad::Masked)), "in place");
    let broken = load(UnitLoad::Broken("bad setting".into()));
    assert_eq!(service(None, yes, broken), "impossible: systemd cannot read the unit: bad setting");
}

fn root_file(content: Option<&str>) -> ObservedPath {
    let kind = |content: &str| {
        PathKind::File(muster_domain::Digest::from_bytes(*blake3::hash(content.as_bytes()).as_bytes()))
    };
    ObservedPath {
        found: content.map(|content| PathState { kind: kind(content), mode: 0o644, uid: 0, gid: 0 }),
        owner: Principal::Id(0),
        group: Principal::Id(0),
        privileged: true,
        own: (0, 0),
    }
}

fn rendered(content: Option<&str>) -> ObservedRendered {
    ObservedRendered { file: root_file(content), trouble: None, stale: false }
}

#[test]
fn systemd_reads_a_unit_file_again_after_it_changed_also_when_the_change_was_cut_short() {
    let wanted = SystemdUnit { name: "shop.service".into(), content: "[Service]\n".into() };
    let wanted = DesiredState::SystemdUnit(wanted);
    let shown = |observed| shown(&wanted, &Observed::Rendered(observed));
    assert_eq!(shown(rendered(None)), "[WriteFile, DaemonReload]: is missing");
    assert_eq!(shown(rendered(Some("[Service]\n"))), "in place");
    let stale = ObservedRendered { stale: true, ..rendered(Some("[Service]\n")) };
    assert_eq!(shown(stale), "[DaemonReload]: systemd has not read the file since it changed");
    let rules = DesiredState::Logrotate(Logrotate { name: "shop".into(), content: "x {}\n".into() });
    let trouble = ObservedRendered { trouble: Some("no logrotate".into()), ..rendered(None) };
    assert_eq!(super::host_tests::shown(&rules, &Observed::Rendered(trouble)), "impossible: no logrotate");
}

fn job(schedule: &str, command: &str, env: &[(&str, &str)]) -> CronJob {
    CronJob {
        name: "nightly".into(),
        user: "deploy".into(),
        schedule: schedule.into(),
        command: command.into(),
        env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

#[test]
fn a_job_of_cron_says_to_cron_what_was_declared() {
    let file = cron_file(&job("30  4 * * mon-fri", r"date +%F \d", &[("PATH", "/x"), ("A", "it's \"ok")]));
    let file = file.unwrap();
    assert_eq!((file.path.as_str(), file.mode), ("/etc/cron.d/muster-nightly", 0o600));
    assert_eq!(cron_file(&job("@daily", "x", &[])).unwrap().mode, 0o644);
    assert_eq!(
        String::from_utf8(file.content).unwrap(),
        "# Managed by Muster (cron_job nightly); changes are undone.\nSHELL=/bin/sh\nPATH=\"/x\"\nA=it's \"ok\n30 4 * * mon-fri deploy date +\\%F \\\\d\n"
    );
    let quotes = cron_file(&job("@daily", "x", &[("A", "'\"")])).unwrap_err();
    assert!(quotes.contains("the value of A cannot be written"), "{quotes}");
}

#[test]
fn schedules_are_those_of_cron_and_of_nobody_else() {
    for good in ["* * * * *", "*/5 0-6,12 1 jan,MAR *", "0 0 * * 7", "@hourly", "@reboot", " 5 4 * * sun "] {
        assert_eq!(cron_schedule(good), Ok(()), "{good:?}");
    }
    for (bad, words) in [
        ("* * * *", "has 4 fields"),
        ("0 * * * * *", "has 6 fields"),
        ("61 * * * *", "the minute of the schedule"),
        ("0 25 * * *", "the hour of the schedule"),
        ("0 0 L * *", "does not know \"L\""),
        ("0 0 * * 5#2", "does not know '#'"),
        ("0 0 ? * *", "does not know '?'"),
        ("0 0 * janvier *", "does not know \"janvier\""),
        ("@fortnightly", "its words are @reboot"),
        ("", "has 0 fields"),
    ] {
        let error = cron_schedule(bad).unwrap_err();
        assert!(error.contains(words), "{bad:?}: {error}");
    }
}

#[test]
fn a_name_is_set_now_and_for_the_next_boot_and_resolves() {
    let wanted = DesiredState::Hostname(Hostname { name: "app-1.example.com".into() });
    let shown = |live: &str, stored: Option<&str>, hosts: Option<&str>| {
        let (stored, hosts) = (stored.map(str::to_owned), hosts.map(str::to_owned));
        let observed = ObservedHostname { live: live.into(), stored, hosts };
        super::host_tests::shown(&wanted, &Observed::Hostname(observed))
    };
    let name = "app-1.example.com";
    let resolves = "127.0.0.1 localhost\n10.0.0.4 APP-1.example.com app-1 # here\n";
    assert_eq!(shown(name, Some(name), Some(resolves)), "in place");
    assert_eq!(
        shown("vps1", None, Some("127.0.0.1 localhost # app-1.example.com\n")),
        "[SetHostname]: is \"vps1\" instead of \"app-1.example.com\", is not set for the next boot, the node does not resolve it as its own"
    );
    let wanted = Hostname { name: name.into() };
    let made = hostname_hosts(&wanted, Some("127.0.0.1 localhost\n127.0.1.1 vps1\n"));
    assert!(
        made.contains("\n127.0.1.1 app-1.example.com app-1\n") && made.contains("127.0.1.1 vps1"),
        "{made}"
    );
    assert_eq!(shown(name, Some(name), Some(&made)), "in place");
    // Once another line names it, ours is not needed any more.
    let named = format!("{made}10.0.0.4 app-1.example.com\n");
    assert!(!hostname_hosts(&wanted, Some(&named)).contains("127.0.1.1 app-1"));
}

#[test]
fn time_zones_have_to_be_in_the_database_of_the_node() {
    let wanted = DesiredState::Timezone(Timezone { name: "Europe/Berlin".into() });
    let shown = |observed| shown(&wanted, &Observed::Timezone(observed));
    let utc = || Some("Etc/UTC".to_owned());
    let there = ObservedTimezone { zone: utc(), stored: utc(), database: true, known: true };
    assert_eq!(
        shown(there.clone()),
        "[SetTimezone]: is Etc/UTC instead of Europe/Berlin, /etc/timezone says Etc/UTC"
    );
    let berlin = || Some("Europe/Berlin".to_owned());
    assert_eq!(shown(ObservedTimezone { zone: berlin(), stored: berlin(), ..there.clone() }), "in place");
    assert!(shown(ObservedTimezone { known: false, ..there.clone() }).contains("tzdata-legacy"));
    let none = ObservedTimezone { known: false, database: false, ..there };
    assert!(shown(none).contains("install the package tzdata"));
}

#[test]
fn kernel_settings_are_compared_as_the_kernel_writes_them() {
    let wanted = Sysctl { name: "net.ipv4.tcp_rmem".into(), value: "4096 87380  6291456".into() };
    let content = String::from_utf8(sysctl_file(&wanted).content).unwrap();
    let shown = |live: Option<&str>, writable: bool, file: Option<&str>| {
        let observed = ObservedSysctl { live: live.map(str::to_owned), writable, file: root_file(file) };
        super::host_tests::shown(&DesiredState::Sysctl(wanted.clone()), &Observed::Sysctl(observed))
    };
    let same = Some("4096\t87380\t6291456");
    assert_eq!(shown(same, true, Some(&content)), "in place");
    assert_eq!(shown(same, false, None), "[SetSysctl]: is not set for the next boot");
    assert!(shown(Some("1 2 3"), true, None).starts_with("[SetSysctl]: is \"1 2 3\" instead of"));
    assert!(shown(Some("1 2 3"), false, None).starts_with("unsupported: is \"1 2 3\""));
    assert!(shown(None, true, None).starts_with("impossible: this kernel has no setting"));
    let vlan = Sysctl { name: "net.ipv4.conf.eth0/1.rp_filter".into(), value: "1".into() };
    assert_eq!(sysctl_file(&vlan).path, "/etc/sysctl.d/zz-muster-net.ipv4.conf.eth0+1.rp_filter.conf");
}

#[test]
fn a_command_runs_until_its_guard_says_that_it_is_done() {
    let command = |only_on_change| {
        DesiredState::Command(Command {
            name: "migrate".into(),
            run: "true".into(),
            unless: None,
            creates: None,
            only_on_change,
            user: None,
            cwd: None,
            timeout_ms: 1000,
        })
    };
    let shown = |only_on_change, guard| shown(&command(only_on_change), &Observed::Command(guard));
    assert_eq!(shown(false, Guard::Done), "in place");
    assert_eq!(shown(false, Guard::NotDone("/x is missing".into())), "[RunCommand]: /x is missing");
    assert!(shown(false, Guard::None).contains("give it `unless`"));
    assert_eq!(shown(true, Guard::None), "[RunCommand]: ");
}

#[test]
fn names_are_put_into_a_block_and_nothing_else_is_touched() {
    let entry = |address: &str, names: &[&str]| HostsEntry {
        address: address.parse().unwrap(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    let wanted = Hosts { entries: vec![entry("10.0.0.2", &["db", "db.lan"]), entry("fd00::2", &["db"])] };
    let made = hosts_file(&wanted, Some("127.0.0.1 localhost\n# mine\n"));
    assert_eq!(
        made,
        "127.0.0.1 localhost\n# mine\n# muster: begin hosts\n10.0.0.2 db db.lan\nfd00::2 db\n# muster: end hosts\n"
    );
    assert!(hosts_file(&wanted, None).starts_with("127.0.0.1 localhost\n"));
    let shown =
        |content: Option<String>| shown(&DesiredState::Hosts(wanted.clone()), &Observed::Hosts { content });
    assert_eq!(shown(Some(made)), "in place");
    assert_eq!(shown(Some(String::new())), "[WriteHosts]: its block in /etc/hosts differs");
    assert_eq!(shown(None), "[WriteHosts]: /etc/hosts is missing");
}

proptest! {
    #[test]
    fn no_schedule_makes_the_reader_panic(text in ".{0,40}", fields in "[-0-9a-z*,/@ ]{0,24}") {
        cron_schedule(&text).ok();
        cron_schedule(&fields).ok();
    }

    /// What cron itself does with a line before the shell sees it.
    #[test]
    fn cron_reads_a_command_back_as_it_was_declared(command in r"[a-b\\%'$ ]{1,16}") {
        let file = cron_file(&job("@daily", &command, &[])).unwrap();
        let content = String::from_utf8(file.content).unwrap();
        let line = content.lines().last().unwrap().strip_prefix("@daily deploy ").unwrap();
        let (mut read, mut chars) = (String::new(), line.chars().peekable());
        while let Some(c) = chars.next() {
            match (c, chars.peek().copied()) {
                ('%', _) => break,
                ('\\', Some(next @ ('\\' | '%'))) => {
                    read.push(next);
                    chars.next();
                }
                _ => read.push(c),
            }
        }
        prop_assert_eq!(read, command);
    }

    /// Every service in every state is decided about, and what is decided leads to what is declared.
    #[test]
    fn a_service_that_was_brought_about_is_in_place(
        enabled in any::<Option<bool>>(), running in any::<Option<bool>>(),
        masked in any::<bool>(), boot in 0..2_usize, now in 0..4_usize,
    ) {
        let wanted = DesiredState::Service(Service { name: "x.service".into(), enabled, running });
        let mut unit = ObservedService {
            loaded: if masked { UnitLoad::Masked } else { UnitLoad::Loaded },
            enablement: if masked { Enablement::Elsewhere } else { [Enablement::Enabled, Enablement::Disabled][boot].clone() },
            activity: [Activity::Active, Activity::Inactive, Activity::Failed("x".into()), Activity::Restarting("x".into())][now].clone(),
            ends_by_itself: false,
            reloads: true,
        };
        if let Verdict::Change { actions, .. } = verdict(&wanted, &Observed::Service(unit.clone()), Effort::default()) {
            for action in actions {
                match action {
                    Action::Unmask => (unit.loaded, unit.enablement) = (UnitLoad::Loaded, Enablement::Disabled),
                    Action::Enable => unit.enablement = Enablement::Enabled,
                    Action::Disable => unit.enablement = Enablement::Disabled,
                    Action::Start => unit.activity = Activity::Active,
                    Action::Stop => unit.activity = Activity::Inactive,
                    other => panic!("{other:?} is not for services"),
                }
            }
        }
        prop_assert_eq!(verdict(&wanted, &Observed::Service(unit), Effort::default()), Verdict::InPlace);
    }
}
