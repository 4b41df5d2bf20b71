use super::{Throwaway, present, purged, sh};
use muster_domain::resource::{DesiredState, OsUpdates, UpdateScope};
use muster_planning::convergence::Verdict;
use muster_platform::RebootHost;

fn updates(scope: UpdateScope) -> DesiredState {
    DesiredState::OsUpdates(OsUpdates { scope, reboot: None })
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn upgrades_by_themselves_do_what_is_declared() {
    let on = Throwaway::get();
    sh("systemctl unmask apt-daily.timer apt-daily-upgrade.timer");
    on.bring(&[purged("unattended-upgrades")]);
    let reason = on.apply(&updates(UpdateScope::Security)).unwrap_err();
    assert!(reason.contains("the package unattended-upgrades is not installed"), "{reason}");
    on.bring(&[present("unattended-upgrades")]);
    on.apply(&updates(UpdateScope::Security)).unwrap();
    assert_eq!(on.decide(&updates(UpdateScope::Security)), Verdict::InPlace);
    let origins = || sh("unattended-upgrade --dry-run --verbose 2>&1 | grep -i 'allowed origins'");
    let security = origins();
    assert!(security.contains("label=Debian-Security") && !security.contains("origin=*"), "{security}");
    assert!(!security.contains("label=Debian,"), "{security}");
    assert_eq!(sh("apt-config shell on APT::Periodic::Unattended-Upgrade"), "on='1'");
    assert_eq!(sh("systemctl is-active apt-daily-upgrade.timer"), "active");
    on.apply(&updates(UpdateScope::All)).unwrap();
    assert!(origins().contains("origin=*"));
    on.apply(&updates(UpdateScope::None)).unwrap();
    assert_eq!(sh("apt-config shell on APT::Periodic::Unattended-Upgrade"), "on='0'");
    sh("systemctl disable --now apt-daily.timer");
    assert_eq!(on.decide(&updates(UpdateScope::None)), Verdict::InPlace);
    on.apply(&updates(UpdateScope::Security)).unwrap();
    assert_eq!(sh("systemctl is-enabled apt-daily.timer"), "enabled");
    crate::resources::remove(on.look(), &updates(UpdateScope::Security)).unwrap();
    sh("systemctl disable --now apt-daily.timer apt-daily-upgrade.timer");
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn what_asks_for_a_restart_is_read() {
    let on = Throwaway::get();
    sh("rm -f /run/reboot-required /run/reboot-required.pkgs");
    assert_eq!(on.host.reboot_requested(), None);
    sh("touch /run/reboot-required");
    assert_eq!(on.host.reboot_requested(), Some(vec![]));
    sh("printf 'libc6\\nlibc6\\ndbus\\n' > /run/reboot-required.pkgs");
    let reason = crate::reboot::required(on.look());
    assert_eq!(reason.as_deref(), Some("upgraded: dbus, libc6"));
    sh("rm -f /run/reboot-required /run/reboot-required.pkgs");
}

/// Run by itself, because the host is gone after it.
#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn last_the_host_restarts() {
    let on = Throwaway::get();
    on.host.reboot().unwrap();
}
