//! Sections about hosts: whatever they say, their normal form says the same; what is most likely not meant is warned of; and
//! a change shows entry by entry.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use muster_domain::fleet::{
    Admin, Base, CommandEntry, CronJobEntry, EnvValue, FirewallDefaults, FirewallEntry, FleetConfiguration,
    HostsLine, MaxChanging, PackageEntry, PackagePresence, Selector, ServiceEntry, SysctlEntry, SysctlValue,
    UserEntry,
    base::{BaseFirewall, BaseJournal, BaseSsh, BaseUpdates, Names, Often, Part, RootLogin, TimeSync},
};
use muster_domain::resource::{Ensure, FirewallPolicy, Mode, OnRemoval};
use muster_fleet_config::{Contents, SourceFile, diff, parse, render, to_yaml};
use proptest::prelude::*;
use std::collections::BTreeMap;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBccjGatWnG3ESg05zIQbefygcpzgfuw36eOUnlg1hk6 amara";

fn read(text: &str) -> FleetConfiguration {
    parse(&[SourceFile { path: "fleet.yaml".to_owned(), content: text.as_bytes().to_vec() }])
        .unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"))
        .configuration
}

fn part<T: std::fmt::Debug>(settings: impl Strategy<Value = T>) -> impl Strategy<Value = Option<Part<T>>> {
    prop::option::of(prop_oneof![any::<bool>().prop_map(Part::Switch), settings.prop_map(Part::Settings)])
}

fn any_base() -> impl Strategy<Value = Base> {
    let policy = || prop::option::of(prop::sample::select(vec![FirewallPolicy::Deny, FirewallPolicy::Allow]));
    let texts = |text: &'static str| {
        any::<bool>().prop_map(move |on| if on { vec![text.to_owned()] } else { vec![] })
    };
    let ssh = (prop::option::of(1u16..), any::<bool>(), texts("10.0.0.0/8"), any::<bool>()).prop_map(
        |(port, password_authentication, from, more)| BaseSsh {
            port,
            password_authentication,
            permit_root_login: more.then_some(RootLogin::No),
            from,
            settings: if more {
                [("UseDNS".to_owned(), EnvValue::Bool(true))].into()
            } else {
                BTreeMap::new()
            },
        },
    );
    let firewall = (policy(), policy(), prop::option::of(any::<bool>()), texts("443/tcp")).prop_map(
        |(incoming, outgoing, exclusive, allow)| BaseFirewall { incoming, outgoing, exclusive, allow },
    );
    let updates = (any::<bool>(), any::<bool>()).prop_map(|(never, reboot)| BaseUpdates {
        security: never.then_some(Often::Never),
        other: None,
        reboot: reboot.then(|| "Sun 03:00-05:00".to_owned()),
    });
    let time = prop::sample::select(vec![TimeSync::Chrony, TimeSync::Timesyncd]);
    let journal = prop::option::of(1u32..99).prop_map(|max_days| BaseJournal { max_size: None, max_days });
    (
        (part(ssh), part(firewall), part(updates), part(time), part(journal)),
        (prop::option::of(any::<bool>()), any::<bool>(), any::<bool>(), any::<bool>(), texts("htop")),
    )
        .prop_map(
            |((ssh, firewall, updates, time_sync, journal), (logrotate, hostname, sudo, more, packages))| {
                Base {
                    admins: [(
                        "amara".to_owned(),
                        Admin { keys: vec![KEY.to_owned()], sudo, groups: vec![], shell: None },
                    )]
                    .into(),
                    ssh,
                    firewall,
                    updates,
                    time_sync,
                    journal,
                    logrotate,
                    hostname,
                    packages,
                    timezone: more.then(|| "Etc/UTC".to_owned()),
                    hosts: if more {
                        [("10.0.0.5".to_owned(), Names(vec!["db".to_owned()]))].into()
                    } else {
                        BTreeMap::new()
                    },
                    sysctl: [("vm.swappiness".to_owned(), SysctlValue(EnvValue::Integer(10)))].into(),
                    on: more.then(Selector::default),
                    enforcement: more.then_some(Mode::Report),
                    on_removal: more.then_some(OnRemoval::Remove),
                }
            },
        )
}

fn any_hosts() -> impl Strategy<Value = FleetConfiguration> {
    (prop::option::of(any_base()), any::<[bool; 8]>(), prop::option::of(1u32..9)).prop_map(
        |(base, on, number)| {
            let mut fleet = FleetConfiguration { base, ..FleetConfiguration::default() };
            let production = fleet.environments.entry("production".parse().unwrap()).or_default();
            production.max_changing =
                number.map(MaxChanging::Nodes).or(on[0].then(|| MaxChanging::Share("50%".to_owned())));
            production.enforcement = on[1].then_some(Mode::Ignore);
            let text = |on: bool, text: &str| on.then(|| text.to_owned());
            let list = |on: bool, text: &str| if on { vec![text.to_owned()] } else { vec![] };
            fleet.packages.insert(
                "nginx".to_owned(),
                PackageEntry {
                    version: text(on[0], "1.10"),
                    ensure: on[1].then_some(PackagePresence::Present),
                    hold: on[2],
                    on: on[3].then(Selector::default),
                    ..PackageEntry::default()
                },
            );
            fleet.users.insert(
                "deploy".to_owned(),
                UserEntry {
                    ensure: on[4].then_some(Ensure::Present),
                    uid: number,
                    keys: list(on[5], KEY),
                    exclusive_keys: (on[5] && on[6]).then_some(false),
                    ..UserEntry::default()
                },
            );
            fleet.services.insert(
                "nginx".to_owned(),
                ServiceEntry {
                    enabled: on[6].then_some(on[7]),
                    running: on[7].then_some(on[6]),
                    restart_on: list(on[0], "package:nginx"),
                    ..ServiceEntry::default()
                },
            );
            fleet.cron_jobs.insert(
                "report".to_owned(),
                CronJobEntry {
                    schedule: "0 3 * * *".to_owned(),
                    command: "echo \"a\" # b: c".to_owned(),
                    env: [("A".to_owned(), EnvValue::Text("0755".to_owned()))].into(),
                    ..CronJobEntry::default()
                },
            );
            fleet.commands.insert(
                "once".to_owned(),
                CommandEntry {
                    run: "set -e\ntrue\n".to_owned(),
                    creates: Some("/x".to_owned()),
                    run_on: list(on[2], "user:deploy"),
                    ..CommandEntry::default()
                },
            );
            let value = if on[3] { EnvValue::Text("1024 65535".to_owned()) } else { EnvValue::Bool(on[4]) };
            fleet.sysctl.insert(
                "net.x".to_owned(),
                SysctlEntry { value: SysctlValue(value), ..SysctlEntry::default() },
            );
            fleet
                .hosts
                .insert("db".to_owned(), HostsLine { address: "::1".to_owned(), ..HostsLine::default() });
            fleet.firewall.insert(
                "web".to_owned(),
                FirewallEntry {
                    allow: vec!["443/tcp".to_owned(), "53".to_owned()],
                    from: list(on[5], "fd00::/8"),
                    policy: on[6].then(FirewallDefaults::default),
                    ..FirewallEntry::default()
                },
            );
            fleet.nodejs.mirror = text(on[7], "https://example.com/dist");
            fleet
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_declaration_of_hosts_survives_the_normal_form(fleet in any_hosts()) {
        let text = to_yaml(&fleet);
        let file = SourceFile { path: "fleet.yaml".to_owned(), content: text.clone().into_bytes() };
        match parse(&[file]) {
            Ok(parsed) => prop_assert_eq!(&parsed.configuration, &fleet, "{}", text),
            // Nothing may be lost or misread before that; a source of SSH without a firewall is nonsense, for example.
            Err(problems) => for problem in problems {
                prop_assert!(problem.message.contains("switched off"), "{problem}\n{text}");
            }
        }
        let stored = serde_json::to_value(&fleet).unwrap();
        prop_assert_eq!(serde_json::from_value::<FleetConfiguration>(stored).unwrap(), fleet);
    }
}

#[test]
fn an_empty_base_section_is_one_and_none_is_none() {
    assert_eq!(read("base:\n").base, Some(Base::default()));
    assert_eq!(read("base: {}\n").base, Some(Base::default()));
    assert_eq!(read("files: {}\n").base, None);
    let parts = read("base: {ssh: , firewall: true, time_sync: false, updates: {}}\n").base.unwrap();
    assert_eq!(
        (parts.ssh, parts.firewall),
        (Some(Part::Settings(BaseSsh::default())), Some(Part::Switch(true)))
    );
    assert_eq!(
        (parts.time_sync, parts.updates),
        (Some(Part::Switch(false)), Some(Part::Settings(BaseUpdates::default())))
    );
}

#[test]
fn what_stands_without_quotes_is_what_the_field_wants() {
    let fleet = read(
        "packages: {node: {version: 1.10}, nginx: }
sysctl: {a.b: {value: 007}, a.c: {value: 10}, a.d: {value: true}}
firewall: {web: {allow: 443}, more: {allow: [53, 80/tcp, 8000:8100/udp]}}
base: {ssh: {permit_root_login: no, settings: {UseDNS: no, MaxAuthTries: 3}, password_authentication: True}}
cron_jobs: {a: {schedule: 0 3 * * *, command: echo a}}
users: {deploy: {comment: 007, groups: adm}}
environments: {production: {max_changing: 25%}, staging: {max_changing: 2}}
",
    );
    assert_eq!(fleet.packages["node"].version.as_deref(), Some("1.10"));
    assert_eq!(fleet.packages["nginx"], PackageEntry::default());
    let values: Vec<_> = fleet.sysctl.values().map(|entry| entry.value.to_text()).collect();
    assert_eq!(values, ["007", "10", "1"]);
    assert_eq!(fleet.firewall["web"].allow, ["443"]);
    assert_eq!(fleet.firewall["more"].allow, ["53", "80/tcp", "8000:8100/udp"]);
    let Some(Part::Settings(ssh)) = fleet.base.unwrap().ssh else { panic!("it has settings") };
    assert_eq!((ssh.permit_root_login, ssh.password_authentication), (Some(RootLogin::No), true));
    assert_eq!(ssh.settings["UseDNS"], EnvValue::Text("no".to_owned()));
    assert_eq!(fleet.cron_jobs["a"].schedule, "0 3 * * *");
    assert_eq!(fleet.users["deploy"].groups, ["adm"]);
    let most: Vec<_> = fleet.environments.values().map(|e| e.changing_at_most(8)).collect();
    assert_eq!(most, [2, 2]);
}

#[test]
fn a_base_role_that_lets_nobody_in_is_warned_of() {
    let warnings = |text: &str| {
        let file = SourceFile { path: "fleet.yaml".to_owned(), content: text.as_bytes().to_vec() };
        parse(&[file]).unwrap().warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let nobody = "nobody is given a key, and nobody will be able to sign in over SSH with a password";
    assert_eq!(warnings("base: {}\n"), [format!("fleet.yaml:1:1: {nobody}")]);
    for text in [
        "base: {ssh: false}\n".to_owned(),
        "base: {ssh: {password_authentication: true}}\n".to_owned(),
        format!("base: {{admins: {{amara: {{keys: {KEY}}}}}}}\n"),
        format!("base: {{}}\nusers: {{root: {{keys: {KEY}}}}}\n"),
    ] {
        assert_eq!(warnings(&text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_reference_that_has_no_effect_anywhere_is_warned_of() {
    let text = "environments: {production: {}}
nodes: {lb-1: {environment: production, roles: [load_balancer]}}
packages: {nginx: {on: {roles: [load_balancer]}}}
services: {shop: {depends_on: package:nginx, on: {roles: [app_server]}}}
";
    let file = SourceFile { path: "fleet.yaml".to_owned(), content: text.as_bytes().to_vec() };
    let warnings: Vec<_> = parse(&[file]).unwrap().warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["fleet.yaml:4:19: `package:nginx` is on no declared node that has `services.shop`"]
    );
}

#[test]
fn one_place_for_each_node_is_no_clash() {
    let fleet = "environments: {production: {}, staging: {}}
nodes:
  app-1: {environment: production, hostname: one}
  stage-1: {environment: staging, hostname: two}
base: {hostname: true, ssh: {password_authentication: true}}
packages:
  nginx: {version: \"1.*\", on: {environments: [production]}}
  nginx-staging: {name: nginx, on: {environments: [staging]}}
  unattended-upgrades: {version: \"2.*\"}
services:
  nginx: {depends_on: [package:nginx, package:unattended-upgrades, service:systemd-timesyncd, sshd:node, firewall:node]}
";
    assert_eq!(read(fleet).packages.len(), 3);
}

#[test]
fn a_change_shows_entry_by_entry_and_part_by_part() {
    let old = read(&format!(
        "base:
  admins: {{amara: {{keys: {KEY}}}}}
  packages: [htop]
packages: {{nginx: {{}}, telnet: {{ensure: absent}}}}
firewall: {{web: {{allow: 443/tcp}}}}
"
    ));
    let new = read(
        "base:
  ssh: {password_authentication: true}
  packages: [htop, jq]
packages: {nginx: {version: \"1.28.*\"}}
firewall: {web: {allow: [443/tcp, 80/tcp]}}
nodejs: {mirror: https://nodejs.org/dist}
",
    );
    let none = BTreeMap::new();
    let contents = |configuration| Contents { configuration, attachments: &none };
    insta::assert_snapshot!("host_diff", render(&diff(&contents(&old), &contents(&new))));
}
