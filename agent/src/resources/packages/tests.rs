use super::*;
use crate::config::StateDir;
use muster_domain::resource::DesiredState;
use muster_planning::convergence::{Effort, Verdict, verdict};
use muster_platform::fake::{FakeAptCalls, FakeVersion};
use muster_platform::{FakeHost, Host, LockHolder, PackageRecord};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

fn package(name: &str, ensure: PackageEnsure) -> Package {
    Package { name: name.into(), ensure, hold: false }
}

fn present(name: &str) -> Package {
    package(name, PackageEnsure::Present)
}

fn version(name: &str, version: &str) -> Package {
    package(name, PackageEnsure::Version(version.into()))
}

fn offered(version: &str) -> FakeVersion {
    FakeVersion { version: version.into(), ..FakeVersion::default() }
}

fn record(version: &str) -> PackageRecord {
    PackageRecord {
        version: version.into(),
        status: PackageStatus::Installed,
        held: false,
        automatic: false,
        essential: false,
    }
}

/// A host with fresh lists, so that nothing is fetched that a test does not ask for.
fn host(change: impl FnOnce(&mut muster_platform::fake::FakePackages)) -> FakeHost {
    let host = FakeHost::default();
    host.set_packages(|packages| {
        packages.lists_age = Some(Duration::ZERO);
        change(packages);
    });
    host
}

type Results = BTreeMap<String, Result<Option<String>, String>>;

fn run(host: &FakeHost, wanted: &[Package]) -> Results {
    let state = StateDir::new("/nowhere");
    let wanted: Vec<&Package> = wanted.iter().collect();
    transaction(Look { host, state: &state, assigned: &[] }, &wanted)
}

fn decide(host: &FakeHost, wanted: &Package) -> Verdict {
    let state = StateDir::new("/nowhere");
    let observed = observe(Look { host, state: &state, assigned: &[] }, wanted);
    verdict(&DesiredState::Package(wanted.clone()), &observed, Effort::default())
}

fn error<'a>(results: &'a Results, name: &str) -> &'a str {
    results[name].as_ref().unwrap_err()
}

#[test]
fn all_packages_of_a_run_are_one_transaction() {
    let host = host(|_| {});
    let wanted =
        [present("nginx"), present("jq"), version("redis", "1.*"), package("vim", PackageEnsure::Absent)];
    let results = run(&host, &wanted);
    assert_eq!(results["nginx"], Ok(Some("installed 1.0-1".into())));
    assert_eq!(results["vim"], Ok(None));
    assert_eq!(host.apt_calls(), FakeAptCalls { updates: 0, simulations: 1, changes: 1 });
    for package in &wanted {
        assert_eq!(decide(&host, package), Verdict::InPlace, "{}", package.name);
    }
    let writes = host.writes();
    run(&host, &wanted);
    assert_eq!(host.apt_calls().changes, 1);
    assert_eq!(host.writes(), writes);
}

#[test]
fn a_package_that_does_not_exist_fails_alone() {
    let host = host(|packages| packages.lists_age = None);
    let wanted = [present("ngnix"), present("jq"), version("redis", "9.*")];
    let results = run(&host, &wanted);
    assert_eq!(
        error(&results, "ngnix"),
        "no repository of this node has a package ngnix; did you mean nginx?"
    );
    assert_eq!(
        error(&results, "redis"),
        "no repository of this node has version 9.* of redis; there is 1.0-1"
    );
    assert_eq!(results["jq"], Ok(Some("installed 1.0-1".into())));
    // Lists that were just fetched are not fetched again for it.
    assert_eq!(host.apt_calls().updates, 1);
    run(&host, &wanted);
    assert_eq!(host.apt_calls().updates, 1);
    host.set_packages(|packages| packages.lists_age = Some(Duration::from_secs(3600)));
    run(&host, &wanted);
    assert_eq!(host.apt_calls().updates, 2);
}

#[test]
fn a_lock_is_waited_for_and_named() {
    let holder = LockHolder { pid: Some(4711), command: "apt-get upgrade".into() };
    let host = host(|packages| packages.lock = Some(holder));
    let Verdict::Waiting { reason } = decide(&host, &present("jq")) else { panic!("it does not wait") };
    assert!(reason.contains("apt-get upgrade (process 4711) holds"), "{reason}");
    let results = run(&host, &[present("jq")]);
    assert!(error(&results, "jq").contains("apt-get upgrade (process 4711)"));
    assert_eq!(host.apt_calls(), FakeAptCalls::default());
    host.set_packages(|packages| packages.lock = None);
    assert!(matches!(decide(&host, &present("jq")), Verdict::Change { .. }));
}

#[test]
fn a_killed_apt_is_repaired_by_the_next_run_wherever_it_was_killed() {
    for after in 0..4 {
        let host = host(|packages| {
            packages.installed.insert("vim".into(), record("1"));
            packages.killed_after = Some(after);
        });
        let wanted = [present("nginx"), present("jq"), package("vim", PackageEnsure::Purged)];
        let results = run(&host, &wanted);
        let failed = results.values().filter(|result| result.is_err()).count();
        assert_eq!(failed, 3_usize.saturating_sub(after), "{results:?}");
        if after == 3 {
            continue;
        }
        assert!(matches!(decide(&host, &present("nginx")), Verdict::Change { .. }));
        let results = run(&host, &wanted);
        for package in &wanted {
            let told = results[&package.name].as_ref().unwrap().as_deref().unwrap_or_default();
            assert!(told.contains("dpkg had been interrupted and was repaired"), "{results:?}");
            assert_eq!(decide(&host, package), Verdict::InPlace);
        }
    }
}

#[test]
fn nothing_is_removed_that_is_not_declared_absent() {
    let host = host(|packages| {
        packages.installed.insert("apache2".into(), record("2"));
        let conflicts = vec!["apache2".to_owned()];
        packages.offered.insert("nginx".into(), vec![FakeVersion { conflicts, ..offered("1") }]);
        packages
            .offered
            .insert("apache2".into(), vec![FakeVersion { depends: vec!["ssl-cert".into()], ..offered("2") }]);
        packages.installed.insert("ssl-cert".into(), record("1"));
    });
    let results = run(&host, &[present("nginx"), present("jq")]);
    assert_eq!(
        error(&results, "nginx"),
        "apt would remove apache2 for it, which nobody declared absent; declare that too, or leave this out"
    );
    assert!(results["jq"].is_ok());
    let results = run(&host, &[package("ssl-cert", PackageEnsure::Absent)]);
    assert!(error(&results, "ssl-cert").contains("apt would remove apache2 for it"));
    assert!(host.installed_packages().contains_key("apache2"));
    let results = run(&host, &[present("nginx"), package("apache2", PackageEnsure::Purged)]);
    assert_eq!(results["apache2"], Ok(Some("removed 2".into())));
    assert!(!host.installed_packages().contains_key("apache2"));
    assert_eq!(decide(&host, &present("nginx")), Verdict::InPlace);
}

#[test]
fn what_the_host_does_not_work_without_is_not_removed() {
    let host = host(|_| {});
    let results = run(&host, &[package("libc6", PackageEnsure::Purged), present("jq")]);
    assert!(error(&results, "libc6").starts_with("it is essential"));
    assert!(results["jq"].is_ok() && host.installed_packages().contains_key("libc6"));
}

#[test]
fn a_pin_takes_the_version_that_is_meant_in_both_directions_and_tells_apt() {
    let host = host(|packages| {
        let versions = ["17.1-1", "16.4-1", "16.3-1"].map(offered).to_vec();
        packages.offered.insert("postgresql".into(), versions);
    });
    let sixteen = version("postgresql", "16.*");
    assert_eq!(run(&host, std::slice::from_ref(&sixteen))["postgresql"], Ok(Some("installed 16.4-1".into())));
    let pin = Path::new("/etc/apt/preferences.d/muster-postgresql.pref");
    let text = String::from_utf8(host.read(pin, 1000).unwrap()).unwrap();
    assert!(text.contains("\nPackage: postgresql\nPin: version 16.*\nPin-Priority: 990\n"), "{text}");
    host.tamper(pin, "Package: *\n");
    assert!(matches!(decide(&host, &sixteen), Verdict::Change { .. }));
    run(&host, std::slice::from_ref(&sixteen));
    assert_eq!(decide(&host, &sixteen), Verdict::InPlace);
    // Whoever can write to it decides which version is installed.
    host.set_attributes(pin, 0o666, muster_platform::Ownership::default()).unwrap();
    assert!(matches!(decide(&host, &sixteen), Verdict::Change { .. }));
    run(&host, std::slice::from_ref(&sixteen));
    assert_eq!(decide(&host, &sixteen), Verdict::InPlace);

    let back = version("postgresql", "16.3-1");
    assert_eq!(run(&host, &[back])["postgresql"], Ok(Some("installed 16.3-1 in the place of 16.4-1".into())));
    // Without a pin whatever is there is fine, and apt is not told anything any more.
    let any = present("postgresql");
    assert!(matches!(decide(&host, &any), Verdict::Change { .. }));
    run(&host, std::slice::from_ref(&any));
    assert_eq!(decide(&host, &any), Verdict::InPlace);
    assert_eq!(host.stat(pin), Ok(None));
    assert_eq!(host.installed_packages()["postgresql"].version, "16.3-1");
}

#[test]
fn marks_follow_what_is_declared() {
    let host = host(|packages| {
        packages.installed.insert("jq".into(), PackageRecord { automatic: true, ..record("1") });
        packages.installed.insert("vim".into(), PackageRecord { held: true, ..record("1") });
    });
    let wanted =
        [Package { hold: true, ..present("nginx") }, Package { hold: true, ..present("jq") }, present("vim")];
    run(&host, &wanted);
    let installed = host.installed_packages();
    assert!(installed["nginx"].held && installed["jq"].held && !installed["jq"].automatic);
    assert!(!installed["vim"].held);
    for package in &wanted {
        assert_eq!(decide(&host, package), Verdict::InPlace, "{}", package.name);
    }
    // One that is held is brought to another version when that is declared, and stays held.
    host.set_packages(|packages| {
        packages.offered.insert("nginx".into(), vec![offered("2")]);
    });
    run(&host, &[Package { hold: true, ..version("nginx", "2") }]);
    let nginx = &host.installed_packages()["nginx"];
    assert!(nginx.held && nginx.version == "2");
}

#[test]
fn a_package_whose_configuring_fails_fails_alone_and_is_tried_again() {
    let host = host(|packages| {
        packages.broken.insert("nginx".into());
    });
    let wanted = [present("nginx"), present("jq")];
    let results = run(&host, &wanted);
    let reason = error(&results, "nginx");
    assert!(reason.contains("post-installation script subprocess returned error exit status 1"), "{reason}");
    assert!(results["jq"].is_ok());
    // Somebody else's trouble is told, and holds nobody up.
    let results = run(&host, &[present("vim")]);
    let told = results["vim"].as_ref().unwrap().as_deref().unwrap_or_default();
    assert!(told.contains("nginx could not be completed"), "{told}");
    host.set_packages(|packages| packages.broken.clear());
    assert!(run(&host, &wanted)["nginx"].is_ok());
}

#[test]
fn a_full_disk_is_told_and_mended_when_there_is_space() {
    let host = host(|_| {});
    host.set_faults(|faults| faults.disk_full = true);
    let results = run(&host, &[present("jq")]);
    assert!(error(&results, "jq").contains("the disk is full; make space"), "{results:?}");
    host.set_faults(|faults| faults.disk_full = false);
    assert!(run(&host, &[present("jq")])["jq"].is_ok());
}

#[test]
fn what_is_no_longer_declared_is_taken_away() {
    let host = host(|_| {});
    let wanted = version("nginx", "1.*");
    run(&host, std::slice::from_ref(&wanted));
    let state = StateDir::new("/nowhere");
    let look = Look { host: &host, state: &state, assigned: &[] };
    assert_eq!(remove(look, &wanted), Ok(Some("removed 1.0-1".into())));
    assert_eq!(remove(look, &wanted), Ok(None));
    assert_eq!(host.stat(Path::new("/etc/apt/preferences.d/muster-nginx.pref")), Ok(None));
    // One that was to be away has nothing to take away.
    run(&host, &[present("jq")]);
    assert_eq!(remove(look, &package("jq", PackageEnsure::Absent)), Ok(None));
}

#[test]
fn a_difference_is_shown_as_lines() {
    let host = host(|packages| {
        packages.installed.insert("nginx".into(), PackageRecord { held: true, ..record("1.18") });
    });
    let state = StateDir::new("/nowhere");
    let look = Look { host: &host, state: &state, assigned: &[] };
    let show = |wanted: &Package| diff(look, wanted, &observe(look, wanted));
    assert_eq!(show(&version("nginx", "1.22.*")).unwrap(), "-nginx 1.18 (held)\n+nginx 1.22.*\n");
    assert_eq!(show(&present("jq")).unwrap(), "-jq absent\n+jq present\n");
    assert_eq!(show(&Package { hold: true, ..present("nginx") }), None);
}

#[test]
fn an_agent_without_root_says_so() {
    let host = FakeHost::default().unprivileged();
    assert!(matches!(decide(&host, &present("jq")), Verdict::Unsupported { .. }));
}

fn any_host() -> impl Strategy<Value = (Vec<Package>, FakeHost)> {
    let names = ["nginx", "jq", "vim", "nosuch", "libc6"];
    let ensure = prop_oneof![
        4 => Just(PackageEnsure::Present),
        2 => prop_oneof![Just("1.*"), Just("1.0-1"), Just("2")].prop_map(|v| PackageEnsure::Version(v.into())),
        1 => Just(PackageEnsure::Absent),
        1 => Just(PackageEnsure::Purged),
    ];
    let wanted = prop::collection::vec(prop::option::weighted(0.7, (ensure, any::<bool>())), names.len());
    let status = prop_oneof![
        3 => Just(PackageStatus::Installed),
        1 => Just(PackageStatus::ConfigFiles),
        1 => Just(PackageStatus::Unpacked),
        1 => Just(PackageStatus::HalfInstalled),
    ];
    let known = prop::option::of((status, any::<[bool; 2]>()));
    let found = prop::collection::vec(known, 3);
    (wanted, found, prop::option::of(0..5_usize), any::<[bool; 3]>()).prop_map(
        move |(wanted, found, killed_after, [broken, conflict, interrupted])| {
            let wanted = wanted.into_iter().zip(names).filter_map(|(wanted, name)| {
                wanted.map(|(ensure, hold)| Package { name: name.into(), ensure, hold })
            });
            let host = host(|packages| {
                for (found, name) in found.into_iter().zip(names) {
                    if let Some((status, [held, automatic])) = found {
                        let record = PackageRecord { status, held, automatic, ..record("1.0-1") };
                        packages.installed.insert(name.into(), record);
                    }
                }
                packages.killed_after = killed_after;
                packages.interrupted = interrupted;
                if broken {
                    packages.broken.insert("jq".into());
                }
                if conflict {
                    let conflicts = vec!["vim".to_owned()];
                    packages
                        .offered
                        .insert("nginx".into(), vec![FakeVersion { conflicts, ..offered("1.0-1") }]);
                }
            });
            (wanted.collect(), host)
        },
    )
}

proptest! {
    #[test]
    fn what_a_transaction_says_it_did_is_done_and_a_kill_is_made_good((wanted, host) in any_host()) {
        let first = run(&host, &wanted);
        prop_assert_eq!(first.len(), wanted.len());
        for package in wanted.iter().filter(|package| first[&package.name].is_ok()) {
            // One that has what it should may still have to see a killed dpkg repaired.
            let repair = Verdict::Change {
                actions: vec![Action::ChangePackage],
                reason: "dpkg was interrupted".into(),
            };
            let verdict = decide(&host, package);
            prop_assert!([Verdict::InPlace, repair].contains(&verdict), "{}: {:?}", package.name, verdict);
        }
        let second = run(&host, &wanted);
        for (name, result) in &first {
            prop_assert!(result.is_err() || second[name].is_ok(), "{}: {:?}", name, second[name]);
        }
        // What failed twice failed for a reason of its own, and fails the same way for good.
        let kinds = |results: &Results| results.iter().map(|(name, r)| (name.clone(), r.is_ok())).collect::<Vec<_>>();
        prop_assert_eq!(kinds(&second), kinds(&run(&host, &wanted)));
        for (name, result) in &second {
            let impossible = ["nosuch", "libc6"].contains(&name.as_str());
            let reason = result.as_ref().err().cloned().unwrap_or_default();
            let known = impossible || name == "jq" || reason.contains("no repository") || reason.contains("apt would remove");
            prop_assert!(result.is_ok() || known, "{}: {}", name, reason);
        }
    }
}
