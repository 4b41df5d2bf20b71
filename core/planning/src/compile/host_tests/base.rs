//! The base role, and what gives way to entries.

use super::*;

#[test]
fn an_empty_base_section_gives_the_defaults_of_every_part() {
    let content = based(Base::default()).compile("lb-1").unwrap();
    assert_eq!(
        keys(&content),
        [
            "package:logrotate",
            "package:systemd-timesyncd",
            "package:ufw",
            "package:unattended-upgrades",
            "os_updates:node",
            "directory:/etc/systemd/journald.conf.d",
            "file:/etc/systemd/journald.conf.d/50-muster.conf",
            "firewall:node",
            "sshd:node",
            "service:logrotate.timer",
            "service:systemd-journald.service",
            "service:systemd-timesyncd.service",
        ]
    );
    assert_eq!(
        lines(firewall(&content)),
        ["allow 22/tcp # ssh", "allow 80/tcp # load_balancer", "allow 443/tcp # load_balancer"]
    );
    let DesiredState::Sshd(sshd) = &get(&content, "sshd:node").desired else { panic!("another kind") };
    let setting =
        |name: &str| sshd.settings.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!(setting("PermitRootLogin"), Some("prohibit-password"), "nobody else could become root");
    assert_eq!(setting("PasswordAuthentication"), Some("no"));
    assert_eq!(setting("Port"), None, "it is left as it is");
    let DesiredState::OsUpdates(updates) = &get(&content, "os_updates:node").desired else {
        panic!("another kind")
    };
    assert_eq!((updates.scope, &updates.reboot), (UpdateScope::Security, &None));
    assert_eq!(
        texts(&get(&content, "service:systemd-journald.service").restart_on),
        ["file:/etc/systemd/journald.conf.d/50-muster.conf"]
    );
}

#[test]
fn every_part_of_the_base_role_can_be_switched_off() {
    let off = Base {
        ssh: Some(Part::Switch(false)),
        firewall: Some(Part::Switch(false)),
        updates: Some(Part::Switch(false)),
        time_sync: Some(Part::Switch(false)),
        journal: Some(Part::Switch(false)),
        logrotate: Some(false),
        ..Base::default()
    };
    for node in NODES {
        assert_eq!(based(off.clone()).compile(node).unwrap().resources, []);
    }
    let elsewhere = Base { on: roles(Role::Datastore), ..Base::default() };
    assert_eq!(based(elsewhere).compile("lb-1").unwrap().resources, []);
}

#[test]
fn admins_have_keys_and_sudo_before_ssh_is_hardened() {
    let base = Base {
        admins: [("amara".to_owned(), admin(true)), ("bo".to_owned(), admin(false))].into(),
        ssh: Some(Part::Settings(BaseSsh {
            settings: [
                ("maxauthtries".to_owned(), EnvValue::Integer(2)),
                ("UseDNS".to_owned(), EnvValue::Bool(false)),
            ]
            .into(),
            ..BaseSsh::default()
        })),
        ..Base::default()
    };
    let content = based(base.clone()).compile("app-1").unwrap();
    let sshd = get(&content, "sshd:node");
    assert_eq!(
        texts(&sshd.depends_on),
        ["authorized_key:amara", "authorized_key:bo", "file:/etc/sudoers.d/90-muster-admins"]
    );
    let DesiredState::Sshd(desired) = &sshd.desired else { panic!("another kind") };
    let has = |keyword: &str, value: &str| desired.settings.contains(&(keyword.to_owned(), value.to_owned()));
    assert!(has("PermitRootLogin", "no") && has("maxauthtries", "2") && has("UseDNS", "no"));
    assert!(!desired.settings.iter().any(|(keyword, _)| keyword == "MaxAuthTries"), "what people say wins");
    let sudoers = get(&content, "file:/etc/sudoers.d/90-muster-admins");
    let DesiredState::File(file) = &sudoers.desired else { panic!("another kind") };
    assert_eq!((file.mode, &file.validate), (0o440, &Some(Validator::Sudoers)));
    let text = String::from_utf8(file.content.clone()).unwrap();
    assert!(text.ends_with("amara ALL=(ALL:ALL) NOPASSWD: ALL\n") && !text.contains("bo "), "{text}");
    assert_eq!(texts(&sudoers.depends_on), ["authorized_key:amara", "package:sudo", "user:amara"]);
    assert_eq!(
        (get(&content, "authorized_key:amara").on_removal, get(&content, "user:amara").on_removal),
        (OnRemoval::Remove, OnRemoval::Keep),
        "who is no longer an admin cannot sign in"
    );
    let root = Some(RootLogin::Yes);
    let open =
        Base { ssh: Some(Part::Settings(BaseSsh { permit_root_login: root, ..BaseSsh::default() })), ..base };
    let content = based(open).compile("app-1").unwrap();
    let DesiredState::Sshd(desired) = &get(&content, "sshd:node").desired else { panic!("another kind") };
    assert!(desired.settings.contains(&("PermitRootLogin".to_owned(), "yes".to_owned())));
}

#[test]
fn updates_are_installed_as_they_are_asked_for() {
    let scope = |security, other| {
        let updates = BaseUpdates { security, other, reboot: Some("Sun 03:00-05:00".to_owned()) };
        let base = Base { updates: Some(Part::Settings(updates)), ..Base::default() };
        let content = based(base).compile("app-1").unwrap();
        let DesiredState::OsUpdates(updates) = &get(&content, "os_updates:node").desired else {
            panic!("another")
        };
        assert_eq!(updates.reboot.as_ref().map(ToString::to_string).as_deref(), Some("Sun 03:00-05:00"));
        updates.scope
    };
    assert_eq!(scope(None, None), UpdateScope::Security);
    assert_eq!(scope(Some(Often::Never), None), UpdateScope::None);
    assert_eq!(scope(None, Some(Often::Daily)), UpdateScope::All);
}

#[test]
fn what_the_base_role_only_needs_gives_way_to_an_entry() {
    let fleet = with(|fleet| {
        fleet.base = Some(Base::default());
        let version = Some("2.*".to_owned());
        fleet
            .packages
            .insert("unattended-upgrades".to_owned(), PackageEntry { version, ..PackageEntry::default() });
        fleet.services.insert(
            "systemd-timesyncd".to_owned(),
            ServiceEntry { running: Some(false), ..ServiceEntry::default() },
        );
    });
    let content = fleet.compile("app-1").unwrap();
    let DesiredState::Package(package) = &get(&content, "package:unattended-upgrades").desired else {
        panic!("another")
    };
    assert_eq!(package.ensure, PackageEnsure::Version("2.*".to_owned()));
    let service = get(&content, "service:systemd-timesyncd.service");
    assert!(matches!(
        &service.desired,
        DesiredState::Service(Service { enabled: None, running: Some(false), .. })
    ));
    assert_eq!(texts(&service.depends_on), ["package:systemd-timesyncd"]);
}

#[test]
fn names_and_addresses_of_all_sections_are_one_file() {
    let fleet = with(|fleet| {
        let names = |names: &[&str]| {
            muster_domain::fleet::base::Names(names.iter().map(|n| (*n).to_owned()).collect())
        };
        fleet.base = Some(Base {
            hosts: [("10.0.0.5".to_owned(), names(&["db"]))].into(),
            hostname: true,
            ..Base::default()
        });
        let line = |address: &str, names: &[&str]| HostsLine {
            address: address.to_owned(),
            names: names.iter().map(|n| (*n).to_owned()).collect(),
            ..HostsLine::default()
        };
        fleet.hosts.insert("cache".to_owned(), line("10.0.0.6", &[]));
        fleet.hosts.insert("db".to_owned(), line("10.0.0.5", &["db", "db.internal"]));
        fleet.nodes.get_mut(&node_name("app-2")).unwrap().hostname = Some("two.example.com".to_owned());
    });
    let names = |node| {
        let content = fleet.compile(node).unwrap();
        let DesiredState::Hosts(hosts) = &get(&content, "hosts:node").desired else { panic!("another kind") };
        let lines = hosts.entries.iter().map(|entry| format!("{} {}", entry.address, entry.names.join(" ")));
        let DesiredState::Hostname(hostname) = &get(&content, "hostname:node").desired else {
            panic!("another")
        };
        (hostname.name.clone(), lines.collect::<Vec<_>>())
    };
    assert_eq!(
        names("app-1"),
        (
            "app-1".to_owned(),
            vec!["10.0.0.5 db db.internal".into(), "10.0.0.6 cache".into(), "127.0.1.1 app-1".into()]
        )
    );
    assert_eq!(names("app-2").0, "two.example.com");
    assert_eq!(names("app-2").1[2], "127.0.1.1 two.example.com two");
}

#[test]
fn implied_resources_are_marked_as_such() {
    let fleet = ExampleFleet::web_stack();
    let implied: BTreeSet<_> = fleet
        .configuration
        .declared()
        .into_iter()
        .filter(|declared| declared.sharing == Sharing::Implied)
        .map(|declared| declared.key.to_string())
        .collect();
    assert!(implied.contains("package:sudo") && implied.contains("directory:/etc/ssl/muster"));
    assert!(!implied.contains("package:htop"));
    assert_eq!(RuleAction::Allow, FirewallEntry::default().verbs()[3].1);
}

#[test]
fn what_carries_something_out_is_there_once() {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let fleet = with(|fleet| {
        fleet.base = Some(Base {
            admins: [("amara".to_owned(), admin(true))].into(),
            packages: list(&["sudo", "ufw", "cron", "logrotate"]),
            ..Base::default()
        });
        let job = CronJobEntry {
            schedule: "@daily".to_owned(),
            command: "true".to_owned(),
            ..CronJobEntry::default()
        };
        fleet.cron_jobs.insert("report".to_owned(), job);
        let rules = LogrotateEntry { logs: list(&["/var/log/x.log"]), ..LogrotateEntry::default() };
        fleet.logrotate.insert("shop".to_owned(), rules);
    });
    let content = fleet.compile("app-1").unwrap();
    let names: Vec<_> = keys(&content).into_iter().filter(|key| key.starts_with("package:")).collect();
    assert_eq!(
        names,
        [
            "package:cron",
            "package:logrotate",
            "package:sudo",
            "package:systemd-timesyncd",
            "package:ufw",
            "package:unattended-upgrades"
        ]
    );
    assert_eq!(texts(&get(&content, "firewall:node").depends_on), ["package:ufw"]);
    assert_eq!(texts(&get(&content, "cron_job:report").depends_on), ["package:cron"]);
}

#[test]
fn what_only_comes_with_others_is_as_strict_as_the_least_strict_of_them_and_stays() {
    let fleet = with(|fleet| {
        fleet.base = Some(Base {
            enforcement: Some(Mode::Report),
            on_removal: Some(OnRemoval::Remove),
            ..Base::default()
        });
        let rule = |enforcement, on| FirewallEntry {
            allow: vec!["443/tcp".to_owned()],
            enforcement,
            on,
            ..FirewallEntry::default()
        };
        fleet.firewall.insert("a".to_owned(), rule(Some(Mode::Report), None));
        fleet.firewall.insert("b".to_owned(), rule(None, roles(Role::LoadBalancer)));
    });
    let of = |node: &str, key: &str| {
        let content = fleet.compile(node).unwrap();
        let resource = get(&content, key);
        (resource.mode, resource.on_removal)
    };
    assert_eq!(of("app-1", "package:ufw"), (Mode::Report, OnRemoval::Keep));
    assert_eq!(of("lb-1", "package:ufw"), (Mode::Enforce, OnRemoval::Keep), "one that is enforced needs it");
    assert_eq!(of("lb-1", "firewall:node").0, Mode::Report, "the strictest holds");
    assert_eq!(of("app-1", "sshd:node"), (Mode::Report, OnRemoval::Remove));
}
