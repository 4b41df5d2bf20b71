//! Services and unit files.

use super::{eventually, machine, out, sh};
use crate::declare;
use muster_planning::convergence::{Action, Verdict};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// Whoever has systemd read its files does it for all: one test looks closely at that, and wants no other to do it.
static READING: RwLock<()> = RwLock::new(());

const MINUTE: Duration = Duration::from_secs(60);

fn fresh(units: &[&str]) {
    for unit in units {
        sh(&format!(
            "systemctl disable --now {unit}; systemctl unmask {unit}; rm -rf /etc/systemd/system/{unit} /etc/systemd/system/{unit}.d"
        ));
    }
    out("systemctl daemon-reload; systemctl reset-failed");
}

fn script(name: &str, body: &str) -> String {
    let path = format!("/usr/local/bin/{name}");
    out(&format!("printf '%s\\n' '#!/bin/sh' '{body}' > {path}; chmod 755 {path}"));
    path
}

fn unit(command: &str, more: &str) -> String {
    format!(
        "[Unit]\nDescription=A test\n[Service]\nExecStart={command}\n{more}\n[Install]\nWantedBy=multi-user.target\n"
    )
}

fn main_pid(name: &str) -> String {
    out(&format!("systemctl show -P MainPID {name}"))
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_service_of_our_own_is_installed_started_healed_reloaded_and_taken_away() {
    let node = machine();
    let _reading = READING.write().unwrap_or_else(PoisonError::into_inner);
    let name = "tshop.service";
    fresh(&[name]);
    sh("rm -f /run/tshop-*");
    let run = script("tshop", "exec sleep 77001");
    let file = declare::unit(name, &unit(&run, "ExecReload=/bin/touch /run/tshop-reloaded"));
    let service = declare::service(name, true, true);
    assert!(node.refusal(&service).contains("there is no unit tshop.service"));
    assert_eq!(node.settle(&file), [Action::WriteFile, Action::DaemonReload]);
    assert_eq!(node.settle(&service), [Action::Enable, Action::Start]);
    assert_eq!(out("systemctl is-active tshop; systemctl is-enabled tshop"), "active\nenabled");

    for broken in ["systemctl stop tshop", "systemctl kill -s KILL tshop"] {
        out(broken);
        eventually(broken, MINUTE, || !sh("systemctl is-active tshop").success());
        node.settle(&service);
    }
    out("systemctl disable tshop");
    assert_eq!(node.settle(&service), [Action::Enable]);

    let pid = main_pid(name);
    node.act(&service, Action::Reload).unwrap();
    assert_eq!((out("ls /run/tshop-reloaded"), main_pid(name)), ("/run/tshop-reloaded".into(), pid.clone()));
    // More often than systemd itself would start it within ten seconds.
    for _ in 0..7 {
        let pid = main_pid(name);
        node.act(&service, Action::Restart).unwrap();
        assert_ne!(main_pid(name), pid);
    }

    // Changed by hand, with and without systemd being told.
    out("echo '# by hand' >> /etc/systemd/system/tshop.service");
    node.settle(&file);
    out("touch -d '+1 min' /etc/systemd/system/tshop.service");
    eventually("systemd sees it", MINUTE, || out("systemctl show -P NeedDaemonReload tshop") == "yes");
    assert_eq!(node.settle(&file), [Action::DaemonReload]);

    assert!(node.remove(&file).unwrap().unwrap().contains("tshop.service was removed"));
    assert_eq!(out("systemctl show -P LoadState tshop"), "not-found");
    assert!(
        !sh("pgrep -f 'sleep 7700[1]'").success()
            && !sh("ls /etc/systemd/system/multi-user.target.wants/tshop.service").success()
    );
    assert_eq!(node.remove(&service).unwrap(), None);
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_mask_is_taken_off_for_good_or_for_now() {
    let node = machine();
    let _reading = READING.read().unwrap_or_else(PoisonError::into_inner);
    let wanted = declare::service("logrotate.timer", true, true);
    for mask in ["systemctl mask --now logrotate.timer", "systemctl mask --now --runtime logrotate.timer"] {
        out(mask);
        assert_eq!(node.settle(&wanted)[..2], [Action::Unmask, Action::Enable]);
        assert_eq!(
            out("systemctl is-active logrotate.timer; systemctl is-enabled logrotate.timer"),
            "active\nenabled"
        );
    }
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_bad_unit_file_never_takes_the_place_of_a_good_one() {
    let node = machine();
    let _reading = READING.read().unwrap_or_else(PoisonError::into_inner);
    let name = "tgood.service";
    fresh(&[name]);
    let good = declare::unit(name, &unit("/bin/sleep 1000", ""));
    node.settle(&good);
    for (bad, words) in [
        (unit("/usr/bin/no-such-program", ""), "no-such-program"),
        (unit("/bin/sleep 1000", "RestartSex=5"), "RestartSex"),
        ("[Service]\nExecStart=\n".to_owned(), "tgood.service"),
        (unit("relative/path", ""), "relative/path"),
    ] {
        let reason = node.converge(&declare::unit(name, &bad)).unwrap_err();
        assert!(reason.contains(words) && reason.contains("systemd-analyze verify says"), "{reason}");
        assert!(!reason.contains("/run/muster-verify"), "{reason}");
        assert_eq!(node.verdict(&good), Verdict::InPlace);
    }
    eventually("nothing is left of the trial", MINUTE, || !sh("ls /run/muster-verify").success());
    // A file put there is what it is, a link to elsewhere (a mask) is replaced.
    out("ln -sf /dev/null /etc/systemd/system/tgood.service; systemctl daemon-reload");
    node.settle(&good);
    assert_eq!(out("systemctl show -P LoadState tgood"), "loaded");
    node.remove(&good).unwrap().unwrap();
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_drop_in_is_judged_with_the_unit_that_it_extends() {
    let node = machine();
    let _reading = READING.read().unwrap_or_else(PoisonError::into_inner);
    sh("rm -rf /etc/systemd/system/cron.service.d; systemctl daemon-reload");
    let limits = |value: &str| {
        declare::unit("cron.service.d/limits.conf", &format!("[Service]\nLimitNOFILE={value}\n"))
    };
    let reason = node.converge(&limits("plenty")).unwrap_err();
    assert!(reason.contains("limits.conf") && reason.contains("plenty"), "{reason}");
    assert_eq!(node.settle(&limits("12345")), [Action::WriteFile, Action::DaemonReload]);
    assert_eq!(out("systemctl show -P LimitNOFILE cron.service"), "12345");
    node.remove(&limits("12345")).unwrap().unwrap();
    assert!(!sh("ls /etc/systemd/system/cron.service.d").success());
    assert_ne!(out("systemctl show -P LimitNOFILE cron.service"), "12345");
    // For a unit that is not there (yet) there is nothing wrong with it.
    let early = declare::unit("tnosuch.service.d/a.conf", "[Service]\nNice=5\n");
    node.settle(&early);
    node.remove(&early).unwrap().unwrap();
    let bad = declare::unit("tnosuch.service.d/a.conf", "[Service]\nNice=nice\n");
    assert!(node.converge(&bad).is_err());
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_service_that_never_starts_fails_with_what_it_wrote_and_starts_once_it_can() {
    let node = machine();
    let _reading = READING.read().unwrap_or_else(PoisonError::into_inner);
    let names = ["tfails.service", "tloops.service", "tnotify.service"];
    fresh(&names);
    let fails = script(
        "tfails",
        "[ -e /run/tfails-ok ] && exec sleep 1000; echo \"cannot find module express\" >&2; exit 7",
    );
    sh("rm -f /run/tfails-ok");
    for (name, more) in [
        ("tfails.service", ""),
        ("tloops.service", "Restart=always\nRestartSec=100ms\n[Unit]\nStartLimitIntervalSec=0"),
        ("tnotify.service", "Type=notify\nTimeoutStartSec=5"),
    ] {
        node.settle(&declare::unit(name, &unit(&fails, more)));
        let wanted = declare::service(name, None, true);
        let reason = node.converge(&wanted).unwrap_err();
        let again = name == "tloops.service" && reason.contains("ends again and again");
        assert!(again || reason.contains("ended with code 7"), "{name}: {reason}");
        assert!(
            reason.contains("it wrote:\n") && reason.contains("cannot find module express"),
            "{name}: {reason}"
        );
        assert!(reason.lines().count() <= 22, "{reason}");
    }
    // One that is restarted for ever is one that is stopped when it should not run.
    node.settle(&declare::service("tloops.service", None, false));
    // What it counts as depends on where in its round the stop met it.
    let stopped = out("systemctl show -P ActiveState tloops");
    assert!(["inactive", "failed"].contains(&stopped.as_str()), "{stopped}");
    out("touch /run/tfails-ok");
    node.settle(&declare::service("tfails.service", None, true));
    // Started too often: systemd would not try again by itself.
    out(
        "rm /run/tfails-ok; systemctl stop tfails; for i in 1 2 3 4 5 6 7 8; do systemctl start tfails; done; sleep 0.3; true",
    );
    out("touch /run/tfails-ok");
    node.settle(&declare::service("tfails.service", None, true));
    fresh(&names);
    sh("rm -f /run/tfails-ok");
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_failed_reload_is_told_and_the_service_lives_on() {
    let node = machine();
    let _reading = READING.read().unwrap_or_else(PoisonError::into_inner);
    let name = "treload.service";
    fresh(&[name]);
    let judge = script("tjudge", "echo \"unknown directive on line 3\" >&2; exit 1");
    node.settle(&declare::unit(name, &unit("/bin/sleep 1000", &format!("ExecReload={judge}"))));
    let wanted = declare::service(name, None, true);
    node.settle(&wanted);
    let reason = node.act(&wanted, Action::Reload).unwrap_err();
    assert!(reason.contains("unknown directive on line 3"), "{reason}");
    assert_eq!(node.verdict(&wanted), Verdict::InPlace);
    fresh(&[name]);
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn units_that_cannot_be_what_is_declared_say_why() {
    let node = machine();
    let _reading = READING.read().unwrap_or_else(PoisonError::into_inner);
    let names = ["tonce.service", "tstatic.service", "tcond.service"];
    fresh(&names);
    node.settle(&declare::unit("tonce.service", &unit("/bin/true", "Type=oneshot")));
    assert!(node.refusal(&declare::service("tonce.service", true, true)).contains("Type=oneshot"));
    node.settle(&declare::service("tonce.service", true, None));
    node.settle(&declare::unit("tstatic.service", "[Service]\nExecStart=/bin/sleep 1000\n"));
    assert!(node.refusal(&declare::service("tstatic.service", true, None)).contains("no [Install] section"));
    node.settle(&declare::service("tstatic.service", None, true));
    let condition = format!("[Unit]\nConditionPathExists=/no/such\n{}", unit("/bin/sleep 1000", ""));
    node.settle(&declare::unit("tcond.service", &condition));
    assert!(node.converge(&declare::service("tcond.service", None, true)).unwrap_err().contains("condition"));
    assert!(node.refusal(&declare::service("tnosuch@.service", None, true)).contains("template"));
    // An alias is the unit that it names.
    assert_eq!(node.verdict(&declare::service("sshd.service", None, true)), Verdict::InPlace);
    for name in names {
        node.remove(&declare::unit(name, "")).unwrap().unwrap();
    }
    fresh(&names);
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_template_is_installed_and_its_instances_are_managed() {
    let node = machine();
    let _reading = READING.read().unwrap_or_else(PoisonError::into_inner);
    let (file, one) = ("tmany@.service", declare::service("tmany@1.service", true, true));
    sh("systemctl disable --now tmany@1");
    let template = declare::unit(file, &unit("/bin/sleep %i000", ""));
    node.settle(&template);
    node.settle(&one);
    assert_eq!(out("systemctl is-active tmany@1"), "active");
    node.remove(&template).unwrap().unwrap();
    assert!(!sh("systemctl is-active tmany@1").success());
    assert!(!sh("ls /etc/systemd/system/multi-user.target.wants/tmany@1.service").success());
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn what_a_service_leaves_to_its_socket_is_said() {
    let node = machine();
    let _reading = READING.read().unwrap_or_else(PoisonError::into_inner);
    let names = ["tsock.service", "tsock.socket"];
    fresh(&names);
    node.settle(&declare::unit("tsock.service", &unit("/bin/sleep 1000", "")));
    node.settle(&declare::unit(
        "tsock.socket",
        "[Socket]\nListenStream=/run/tsock.sock\n[Install]\nWantedBy=sockets.target\n",
    ));
    node.settle(&declare::service("tsock.socket", true, true));
    let service = declare::service("tsock.service", None, true);
    node.settle(&service);
    let note = node.act(&service, Action::Stop).unwrap().unwrap();
    assert_eq!(note, "tsock.socket can start it again");
    fresh(&names);
}

/// The second look at a unit is a glance: it has to see what the first one would.
#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_glance_sees_every_change_that_somebody_made_by_hand() {
    let node = machine();
    let _reading = READING.read().unwrap_or_else(PoisonError::into_inner);
    let names = ["tglance.service", "tother.service"];
    fresh(&names);
    let file = declare::unit("tglance.service", &unit("/bin/sleep 1000", ""));
    node.settle(&file);
    let wanted = declare::service("tglance.service", true, true);
    node.settle(&wanted);
    for (change, undone) in [
        ("systemctl stop tglance", "systemctl start tglance"),
        ("systemctl disable tglance", "systemctl enable tglance"),
        ("systemctl kill -s KILL tglance", "systemctl reset-failed tglance; systemctl start tglance"),
        (
            "mv /etc/systemd/system/tglance.service /root; systemctl stop tglance; systemctl daemon-reload",
            "mv /root/tglance.service /etc/systemd/system; systemctl daemon-reload; systemctl enable --now tglance",
        ),
    ] {
        assert_eq!(node.verdict(&wanted), Verdict::InPlace, "before {change}");
        out(change);
        eventually(change, MINUTE, || node.verdict(&wanted) != Verdict::InPlace);
        out(undone);
        eventually(undone, MINUTE, || node.verdict(&wanted) == Verdict::InPlace);
    }
    // One that is not there, and one by its other name, are seen as well.
    for _ in 0..2 {
        assert_eq!(node.verdict(&declare::service("tother.service", false, false)), Verdict::InPlace);
        assert_eq!(node.verdict(&declare::service("sshd.service", None, true)), Verdict::InPlace);
    }
    fresh(&names);
}
