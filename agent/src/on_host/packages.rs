use super::archive::{Archive, Deb};
use super::{AS_AGENT, Throwaway, package, present, purged, repository, sh, version, wait_for};
use muster_domain::resource::{Package, PackageEnsure};
use muster_planning::convergence::Verdict;
use muster_platform::PackageHost;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Waits in its script until it may go on.
const SLOW: Deb<'_> = Deb {
    name: "muster-slow",
    version: "1.0",
    fields: "",
    postinst: "touch /run/muster-slow-began; for i in $(seq 600); do [ -e /run/muster-slow-go ] && exit 0; sleep 0.1; done",
    files: &[],
};

fn wait_until_slow_is_at_it() {
    wait_for("the slow package", || Path::new("/run/muster-slow-began").exists().then_some(()));
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn what_is_read_is_what_dpkg_says() {
    let on = Throwaway::get();
    let states = on.host.packages().unwrap();
    assert_eq!(states.architecture, sh("dpkg --print-architecture"));
    let said = sh("dpkg-query -W -f '${binary:Package} ${Version} ${db:Status-Status} ${Essential}\n'");
    let mut count = 0;
    for line in said.lines() {
        let mut words = line.split(' ');
        let (name, version, status) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        let record = states.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!((record.version.as_str(), record.status.as_str()), (version, status), "{name}");
        assert!(record.essential || words.next() != Some("yes"), "{name}");
        count += 1;
    }
    assert_eq!(states.packages.len(), count);
    let automatic = sh("apt-mark showauto");
    for name in automatic.lines() {
        assert!(states.get(name).is_some_and(|record| record.automatic), "{name}");
    }
    let marked = states.packages.values().filter(|record| record.automatic).count();
    assert_eq!(marked, automatic.lines().count());
    // Until something changes nothing is read again.
    let began = Instant::now();
    for _ in 0..1_000 {
        assert!(std::sync::Arc::ptr_eq(&states, &on.host.packages().unwrap()));
    }
    println!("{count} packages, read from memory in {:?}", began.elapsed() / 1_000);
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn packages_are_installed_pinned_held_and_removed() {
    let on = Throwaway::get();
    let of = |version| Deb {
        name: "muster-one",
        version,
        files: &[("/etc/muster-one.conf", 10)],
        ..Deb::default()
    };
    let _archive = Archive::declared(&on, "pins", &[of("1.0"), of("1.1"), of("2.0")]);
    let installed = || sh("dpkg-query -W -f '${Version} ${db:Status-Want}' muster-one");
    let one = version("muster-one", "1.*");
    on.bring(&[one.clone(), present("jq")]);
    assert_eq!(installed(), "1.1 install");
    // Upgrades by themselves leave a pinned package at its version.
    assert!(!sh("apt-get -s upgrade").contains("Inst muster-one"));
    on.bring(&[Package { hold: true, ..version("muster-one", "1.0") }]);
    assert_eq!(installed(), "1.0 hold");
    on.bring(&[Package { hold: true, ..version("muster-one", "2.0") }]);
    assert_eq!(installed(), "2.0 hold");
    on.bring(&[present("muster-one")]);
    assert_eq!(installed(), "2.0 install");
    sh("apt-mark auto muster-one");
    assert!(matches!(on.decide_package(&present("muster-one")), Verdict::Change { .. }));
    on.bring(&[present("muster-one")]);
    // Removed with its configuration left, then without.
    on.bring(&[package("muster-one", PackageEnsure::Absent), package("jq", PackageEnsure::Absent)]);
    assert!(Path::new("/etc/muster-one.conf").exists());
    on.bring(&[purged("muster-one"), purged("jq")]);
    assert!(!Path::new("/etc/muster-one.conf").exists());
    // One purged and one removed in one transaction.
    on.bring(&[present("muster-one"), present("jq")]);
    on.bring(&[purged("muster-one"), package("jq", PackageEnsure::Absent)]);
    assert!(!Path::new("/etc/muster-one.conf").exists());
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn what_people_changed_in_configuration_stays() {
    let on = Throwaway::get();
    let of = |version| Deb {
        name: "muster-one",
        version,
        files: &[("/etc/muster-one.conf", 10)],
        ..Deb::default()
    };
    let _archive = Archive::declared(&on, "conf", &[of("1.0"), of("2.0")]);
    on.bring(&[version("muster-one", "1.0")]);
    sh("echo mine > /etc/muster-one.conf");
    on.bring(&[version("muster-one", "2.0")]);
    assert_eq!(sh("cat /etc/muster-one.conf"), "mine");
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn packages_that_cannot_be_had_fail_alone() {
    let on = Throwaway::get();
    let debs = [
        Deb { name: "muster-one", ..Deb::default() },
        Deb { name: "muster-clash", fields: "Conflicts: muster-one\n", ..Deb::default() },
        Deb { name: "muster-needs", fields: "Depends: muster-nowhere\n", ..Deb::default() },
        Deb { name: "muster-broken", postinst: "echo it is broken >&2; exit 7", ..Deb::default() },
    ];
    let _archive = Archive::declared(&on, "alone", &debs);
    on.bring(&[present("muster-one")]);
    let wanted = [
        present("muster-clash"),
        present("muster-needs"),
        present("muster-broken"),
        present("muster-onee"),
        present("mail-transport-agent"),
        purged("dash"),
        purged("libc6"),
        present("jq"),
    ];
    let results = on.packages(&wanted);
    let check = |name: &str, expected: &str| {
        let reason = results[name].as_ref().expect_err(name);
        assert!(reason.contains(expected), "{name}: {reason}");
        println!("{name}: {reason}");
    };
    check("muster-clash", "apt would remove muster-one for it, which nobody declared absent");
    check("muster-needs", "Depends: muster-nowhere but it is not installable");
    check("muster-broken", "post-installation script subprocess returned error exit status 7");
    check("muster-onee", "no repository of this node has a package muster-onee; did you mean muster-one?");
    check("mail-transport-agent", "declare one of");
    assert!(results["jq"].is_ok(), "{results:?}");
    check("dash", "it is essential");
    check("libc6", "apt sees no way");
    assert_eq!(sh("dpkg-query -W -f '${db:Status-Status}' muster-one"), "installed");
    // What is broken is told with what others change, and does not hold it up.
    on.packages(&[purged("muster-broken")]);
    on.bring(&[present("jq")]);
    on.bring(&[purged("jq")]);
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_version_that_nobody_offers_is_told_with_those_that_are() {
    let on = Throwaway::get();
    let results = on.packages(&[version("jq", "0.1")]);
    let reason = results["jq"].as_ref().unwrap_err();
    assert!(reason.starts_with("no repository of this node has version 0.1 of jq; there is 1."), "{reason}");
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_lock_is_named_and_not_waited_for() {
    let on = Throwaway::get();
    let archive = Archive::declared(&on, "lock", &[SLOW]);
    let mut apt = Command::new("apt-get").args(["-qq", "-y", "install", "muster-slow"]).spawn().unwrap();
    wait_until_slow_is_at_it();
    let Verdict::Waiting { reason } = on.decide_package(&present("jq")) else { panic!("it does not wait") };
    let holder = format!("apt-get -qq -y (process {})", apt.id());
    assert!(reason.contains(&holder), "{reason}");
    let began = Instant::now();
    let results = on.packages(&[present("jq")]);
    assert!(results["jq"].as_ref().unwrap_err().contains(&holder), "{results:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "the run was held up");
    assert!(matches!(on.decide(&repository(&archive.declared)), Verdict::InPlace));
    sh("touch /run/muster-slow-go");
    assert!(apt.wait().unwrap().success());
    on.bring(&[present("jq")]);
    on.bring(&[purged("jq")]);
}

/// Processes by the name of their program.
fn processes(name: &str) -> Vec<u32> {
    let found = Command::new("pidof").arg(name).output().unwrap();
    String::from_utf8_lossy(&found.stdout).split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn an_apt_that_was_killed_half_way_is_repaired() {
    let on = Throwaway::get();
    let plain = Deb { name: "muster-one", fields: "Depends: muster-slow\n", ..Deb::default() };
    let _archive = Archive::declared(&on, "killed", &[SLOW, plain]);
    let wanted = [present("muster-one"), present("muster-slow")];
    let results = std::thread::scope(|scope| {
        let transaction = scope.spawn(|| on.packages(&wanted));
        wait_until_slow_is_at_it();
        for pid in ["apt-get", "dpkg"].iter().flat_map(|name| processes(name)) {
            sh(&format!("kill -9 {pid} 2>/dev/null || true"));
        }
        transaction.join().unwrap()
    });
    let reason = results["muster-one"].as_ref().unwrap_err();
    assert!(
        reason.contains("killed") && reason.contains("the next run completes what was begun"),
        "{reason}"
    );
    sh("touch /run/muster-slow-go");
    wait_for("the end of the script", || {
        sh("pgrep -f '[m]uster-slow.postinst' || true").is_empty().then_some(())
    });
    let states = on.host.packages().unwrap();
    let unfinished: Vec<&str> = states.unfinished().collect();
    assert!(unfinished.contains(&"muster-slow"), "{unfinished:?}");
    let Verdict::Change { reason, .. } = on.decide_package(&wanted[1]) else { panic!("it is taken as good") };
    assert!(reason.contains("interrupted or failed") && reason.contains("dpkg was interrupted"), "{reason}");
    let results = on.packages(&wanted);
    let told = results["muster-one"].as_ref().unwrap().as_deref().unwrap_or_default();
    assert!(told.contains("dpkg had been interrupted and was repaired"), "{results:?}");
    on.bring(&wanted);
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn apt_outlives_an_agent_that_is_killed() {
    let on = Throwaway::get();
    if std::env::var_os(AS_AGENT).is_some() {
        on.packages(&[present("muster-slow")]);
        return;
    }
    let _archive = Archive::declared(&on, "outlive", &[SLOW]);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["on_host::packages::apt_outlives_an_agent_that_is_killed", "--exact", "--ignored"])
        .env(AS_AGENT, "1")
        .spawn()
        .unwrap();
    wait_until_slow_is_at_it();
    child.kill().unwrap();
    child.wait().unwrap();
    // The next run sees who is at it, and waits.
    let Verdict::Waiting { reason } = on.decide_package(&present("muster-slow")) else {
        panic!("it does not wait")
    };
    assert!(reason.contains("apt-get install"), "{reason}");
    let apt = processes("apt-get");
    let group = sh(&format!("cat /proc/{}/cgroup", apt[0]));
    assert!(group.contains(".scope"), "{group}");
    sh("touch /run/muster-slow-go");
    wait_for("the end of apt", || on.host.package_lock_holder().unwrap().is_none().then_some(()));
    assert_eq!(on.decide_package(&present("muster-slow")), Verdict::InPlace);
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_disk_that_fills_up_in_the_middle_is_told_and_made_good() {
    let on = Throwaway::get();
    let big = Deb { name: "muster-big", files: &[("/opt/muster-full/data", 3_000_000)], ..Deb::default() };
    let _archive = Archive::declared(&on, "full", &[big, Deb { name: "muster-one", ..Deb::default() }]);
    sh("mkdir -p /opt/muster-full; mount -t tmpfs -o size=1m tmpfs /opt/muster-full");
    let wanted = [present("muster-big"), present("muster-one")];
    let results = on.packages(&wanted);
    let reason = results["muster-big"].as_ref().unwrap_err();
    assert!(reason.contains("the disk is full; make space"), "{reason}");
    sh("umount /opt/muster-full");
    on.bring(&wanted);
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn lists_that_are_behind_are_fetched_again() {
    let on = Throwaway::get();
    let of = |version| Deb { name: "muster-one", version, ..Deb::default() };
    let archive = Archive::declared(&on, "behind", &[of("1.0")]);
    archive.lose("muster-one_1.0_all.deb");
    let results = on.packages(&[present("muster-one")]);
    let reason = results["muster-one"].as_ref().unwrap_err();
    assert!(reason.contains("404"), "{reason}");
}
