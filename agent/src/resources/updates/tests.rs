use super::*;
use crate::config::StateDir;
use muster_domain::resource::DesiredState;
use muster_domain::window::Window;
use muster_planning::convergence::{Effort, Verdict, verdict};
use muster_platform::{CommandOutput, FakeHost, Ownership, PackageRecord};

fn wanted(scope: UpdateScope) -> OsUpdates {
    OsUpdates { scope, reboot: None }
}

fn with<T>(host: &FakeHost, act: impl FnOnce(Look<'_>) -> T) -> T {
    let state = StateDir::new("/nowhere");
    act(Look { host, state: &state, assigned: &[] })
}

fn decide(host: &FakeHost, wanted: &OsUpdates) -> Verdict {
    let observed = with(host, |look| observe(look, wanted));
    verdict(&DesiredState::OsUpdates(wanted.clone()), &observed, Effort::default())
}

fn bring(host: &FakeHost, wanted: &OsUpdates) -> Result<Option<String>, String> {
    with(host, |look| apply(look, wanted, Action::WriteUpdates))
}

/// A host as the distribution leaves it with the package installed.
fn host() -> FakeHost {
    let host = FakeHost::default();
    host.set_packages(|packages| {
        let record = PackageRecord {
            version: "2.9".into(),
            status: PackageStatus::Installed,
            held: false,
            automatic: false,
            essential: false,
        };
        packages.installed.insert(UPDATES_PACKAGE.into(), record);
    });
    host.tamper("/etc/apt/apt.conf.d/50unattended-upgrades", "");
    for timer in UPDATES_TIMERS {
        host.tamper(format!("/etc/systemd/system/timers.target.wants/{timer}"), "a link");
    }
    host.set_program("systemctl", CommandOutput { code: Some(0), ..CommandOutput::default() });
    host
}

#[test]
fn upgrades_are_configured_and_put_back() {
    let host = host();
    let security = wanted(UpdateScope::Security);
    let shown = with(&host, |look| diff(look, &security, &observe(look, &security))).unwrap();
    assert!(shown.contains("+Unattended-Upgrade::Automatic-Reboot \"false\";\n"), "{shown}");
    bring(&host, &security).unwrap();
    assert_eq!(decide(&host, &security), Verdict::InPlace);
    assert_eq!(host.stat(Path::new(CANDIDATE)), Ok(None));
    host.tamper(UPDATES_FILE, "APT::Periodic::Enable \"0\";\n");
    assert!(matches!(decide(&host, &security), Verdict::Change { .. }));
    bring(&host, &security).unwrap();
    assert_eq!(decide(&host, &security), Verdict::InPlace);
    // Whoever can write to it decides what runs as root.
    let theirs = Ownership { uid: Some(1000), gid: Some(1000) };
    host.set_attributes(Path::new(UPDATES_FILE), 0o666, theirs).unwrap();
    let Verdict::Change { reason, .. } = decide(&host, &security) else { panic!("it is taken as good") };
    assert!(
        reason.contains("is 0666 instead of 0644") && reason.contains("is 1000 instead of 0"),
        "{reason}"
    );
    bring(&host, &security).unwrap();
    assert_eq!(decide(&host, &security), Verdict::InPlace);
    let removed = with(&host, |look| remove(look, &security)).unwrap();
    assert_eq!(removed.as_deref(), Some("removed /etc/apt/apt.conf.d/90muster-updates"));
    assert_eq!(with(&host, |look| remove(look, &security)), Ok(None));
}

#[test]
fn without_the_package_it_is_said_what_to_declare() {
    let host = host();
    host.set_packages(|packages| packages.installed.clear());
    let reason = bring(&host, &wanted(UpdateScope::All)).unwrap_err();
    assert!(reason.contains("the package unattended-upgrades is not installed; declare it"), "{reason}");
    assert!(bring(&host, &wanted(UpdateScope::None)).is_ok());
    assert_eq!(decide(&host, &wanted(UpdateScope::None)), Verdict::InPlace);
}

#[test]
fn timers_are_enabled_and_one_that_somebody_masked_is_not() {
    let host = host();
    host.tamper_delete("/etc/systemd/system/timers.target.wants/apt-daily.timer");
    let security = wanted(UpdateScope::Security);
    assert_eq!(bring(&host, &security), Ok(Some("enabled apt-daily.timer, apt-daily-upgrade.timer".into())));
    assert_eq!(
        host.commands().last().unwrap().args,
        ["enable", "--now", "apt-daily.timer", "apt-daily-upgrade.timer"]
    );
    host.make_symlink(Path::new("/etc/systemd/system/apt-daily.timer"), "/dev/null").unwrap();
    let reason = bring(&host, &security).unwrap_err();
    assert!(reason.starts_with("apt-daily.timer is masked"), "{reason}");
}

#[test]
fn a_window_whose_zone_nobody_knows_is_said() {
    let host = host();
    let window = |text: &str| Window::parse(text).ok();
    let mut updates = wanted(UpdateScope::Security);
    bring(&host, &updates).unwrap();
    updates.reboot = window("Sun 03:00-05:00 Mars/Olympus");
    let Verdict::Impossible { reason } = decide(&host, &updates) else { panic!("it is taken as good") };
    assert!(reason.contains("tzdata"), "{reason}");
    updates.reboot = window("Sun 03:00-05:00 Europe/Berlin");
    assert_eq!(decide(&host, &updates), Verdict::InPlace);
}
