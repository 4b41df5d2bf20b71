//! Name, names, zone, kernel settings and commands.

use super::{accounts_alone, eventually, machine, out, sh};
use crate::declare;
use muster_domain::resource::Command;
use muster_planning::convergence::{Action, Verdict};
use std::sync::Mutex;
use std::time::Duration;

/// Both write to `/etc/hosts`.
static HOSTS: Mutex<()> = Mutex::new(());

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_name_is_set_for_good_and_resolves() {
    let node = machine();
    let _alone = HOSTS.lock().unwrap();
    let before = out("hostname");
    let wanted = declare::hostname("tname-1.example.com");
    assert_eq!(node.settle(&wanted), [Action::SetHostname]);
    assert_eq!(out("uname -n; cat /etc/hostname"), "tname-1.example.com\ntname-1.example.com");
    assert_eq!(
        out("getent hosts tname-1 | xargs; hostname -f"),
        "127.0.1.1 tname-1.example.com tname-1\ntname-1.example.com"
    );
    out("hostname stolen");
    node.settle(&wanted);
    node.settle(&declare::hostname(&before));
    assert!(!out("cat /etc/hosts").contains("tname-1"));
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn names_are_resolved_and_the_rest_of_the_file_is_left_alone() {
    let node = machine();
    let _alone = HOSTS.lock().unwrap();
    out(
        "chmod 644 /etc/hosts; echo '10.9.9.9 somebody-elses' >> /etc/hosts; cp /etc/hosts /root/hosts.before",
    );
    let wanted = declare::hosts(&[("10.1.2.3", &["tdb", "tdb.lan"]), ("fd00::7", &["tdb6"])]);
    node.settle(&wanted);
    assert_eq!(
        out("getent ahostsv4 tdb.lan | head -1 | cut -d' ' -f1; getent hosts somebody-elses | cut -d' ' -f1"),
        "10.1.2.3\n10.9.9.9"
    );
    out("sed -i s/10.1.2.3/6.6.6.6/ /etc/hosts");
    node.settle(&wanted);
    node.remove(&wanted).unwrap().unwrap();
    out("cmp /etc/hosts /root/hosts.before; sed -i /somebody-elses/d /etc/hosts; rm /root/hosts.before");
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_time_zone_is_set_and_an_unknown_one_is_not() {
    let node = machine();
    let wanted = declare::timezone("Europe/Berlin");
    assert!(node.refusal(&declare::timezone("Europe/Atlantis")).contains("no zone \"Europe/Atlantis\""));
    assert!(node.refusal(&declare::timezone("Europe")).contains("no zone"));
    node.settle(&wanted);
    assert_eq!(out("date -d @1700000000 +%Z; timedatectl show -p Timezone --value"), "CET\nEurope/Berlin");
    node.settle(&declare::timezone("Etc/UTC"));
    assert_eq!(out("date +%Z; cat /etc/timezone"), "UTC\nEtc/UTC");
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_kernel_setting_holds_now_and_after_a_boot_and_a_bad_value_does_neither() {
    let node = machine();
    let name = "net.ipv4.ip_local_port_range";
    let before = out("cat /proc/sys/net/ipv4/ip_local_port_range");
    let wanted = declare::sysctl(name, "20000  50000");
    node.settle(&wanted);
    assert_eq!(out("cat /proc/sys/net/ipv4/ip_local_port_range"), "20000\t50000");
    // As at boot, with somebody else's idea of it in the usual last place.
    out(
        "echo 'net.ipv4.ip_local_port_range = 30000 40000' > /etc/sysctl.d/99-sysctl-t.conf; /lib/systemd/systemd-sysctl; rm /etc/sysctl.d/99-sysctl-t.conf",
    );
    assert_eq!(node.verdict(&wanted), Verdict::InPlace);
    out("sysctl -qw net.ipv4.ip_local_port_range='1024 2048'");
    assert_eq!(node.settle(&wanted), [Action::SetSysctl]);
    assert!(node.remove(&wanted).unwrap().unwrap().contains("until the next boot"));
    out(&format!("sysctl -qw {name}='{before}'"));

    let reason = node.converge(&declare::sysctl(name, "50000 20000")).unwrap_err();
    assert!(reason.contains("Invalid argument"), "{reason}");
    assert!(!sh("ls /etc/sysctl.d/ | grep muster").success());
    assert!(node.refusal(&declare::sysctl("net.ipv4.tnosuch", "1")).contains("no setting net.ipv4.tnosuch"));
    if !sh("test -w /proc/sys/vm/swappiness").success() {
        assert!(node.refusal(&declare::sysctl("vm.swappiness", "1")).contains("read-only here"));
    }
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_command_runs_as_its_user_with_nothing_of_the_agents_environment() {
    let node = machine();
    let _alone = accounts_alone();
    sh(
        "rm -rf /var/tmp/tcommand; userdel -f trunner; groupdel trunner; groupadd -f tmore; useradd -m -G tmore trunner",
    );
    out("install -d -m 1777 /var/tmp/tcommand");
    let wanted = Command {
        run: "env | cut -d= -f1 | sort | xargs > env; id -un > who; id -nG >> who; pwd >> who".into(),
        creates: Some("/var/tmp/tcommand/who".into()),
        user: Some("trunner".into()),
        cwd: Some("/var/tmp/tcommand".into()),
        ..declare::plain_command("")
    };
    assert_eq!(node.settle(&declare::command(wanted.clone())), [Action::RunCommand]);
    assert_eq!(out("cat /var/tmp/tcommand/who"), "trunner\ntrunner tmore\n/var/tmp/tcommand");
    assert_eq!(out("cat /var/tmp/tcommand/env"), "HOME LANG LOGNAME PATH PWD SHELL USER");
    let nobody = Command { user: Some("tnosuch".into()), ..wanted.clone() };
    assert!(node.refusal(&declare::command(nobody)).contains("the user tnosuch"));
    let nowhere = Command { cwd: Some("/no/such".into()), creates: Some("/x".into()), ..wanted };
    assert!(node.converge(&declare::command(nowhere)).unwrap_err().contains("no folder /no/such"));
    sh("rm -rf /var/tmp/tcommand; userdel -f trunner; rm -rf /home/trunner; groupdel tmore");
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_command_that_takes_too_long_is_killed_with_all_that_it_started() {
    let node = machine();
    let slow = Command {
        creates: Some("/never".into()),
        timeout_ms: 1000,
        ..declare::plain_command("echo begun; sleep 54321 & sleep 54321")
    };
    let reason = node.converge(&declare::command(slow)).unwrap_err();
    assert!(reason.contains("did not end within 1 s and was killed; it wrote:\nbegun"), "{reason}");
    eventually("all of it ended", Duration::from_secs(10), || !sh("pgrep -f 'sleep 5432[1]'").success());
    let slow =
        Command { unless: Some("sleep 12345".into()), timeout_ms: 1000, ..declare::plain_command("true") };
    assert!(node.refusal(&declare::command(slow)).contains("its guard did not end within 1 s"));
    let wordy = Command {
        creates: Some("/never".into()),
        ..declare::plain_command("seq 1 100000; echo the end; exit 4")
    };
    let reason = node.converge(&declare::command(wordy)).unwrap_err();
    assert!(reason.starts_with("it ended with code 4") && reason.ends_with("100000\nthe end"), "{reason}");
    assert!(reason.len() < 1000, "{reason}");
}
