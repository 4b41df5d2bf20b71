//! Decides about packages of apt.

use super::{Action, Observed, Verdict, mismatch};
use muster_domain::resource::{Package, PackageEnsure};

/// What was found of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedPackage {
    /// How far it is installed.
    pub state: PackageState,
    /// Upgrades leave it alone.
    pub held: bool,
    /// It came because another package needs it, and may go with that.
    pub automatic: bool,
    /// What apt prefers of it is written down as wanted: [`pin_file`].
    pub pinned: bool,
    /// dpkg was ended in the middle of its work, on whichever package.
    pub interrupted: bool,
    /// Who changes packages at this moment, in words.
    pub locked_by: Option<String>,
}

/// How far a package is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackageState {
    /// Not at all.
    Absent,
    /// Its configuration was left when it was removed.
    ConfigFiles,
    /// Completely, in this version.
    Installed(String),
    /// Its installation was interrupted or failed, and stands so in dpkg's word.
    Unfinished(String),
}

/// Whether a version is meant by a pin, by apt's rules: a `*` at the end stands for any rest, and an epoch that the pin
/// does not name does not count.
pub fn version_matches(pin: &str, version: &str) -> bool {
    let fits = |version: &str| match pin.strip_suffix('*') {
        Some(prefix) => version.starts_with(prefix),
        None => version == pin,
    };
    fits(version) || version.split_once(':').is_some_and(|(_, rest)| fits(rest))
}

/// The file that tells apt what is preferred of a package: its path, and its content when there should be one. Without it
/// upgrades by themselves would take a pinned package away from its version, and every run would bring it back.
pub fn pin_file(wanted: &Package) -> (String, Option<String>) {
    let Package { name, ensure, hold: _ } = wanted;
    // Only letters, digits, `-`, `_` and `.` are looked at there; packages have no `_`.
    let file = name.replace('+', "_p").replace(':', "_a").replace('.', "_d");
    let path = format!("/etc/apt/preferences.d/muster-{file}.pref");
    let content = match ensure {
        PackageEnsure::Version(version) => Some(format!(
            "# Kept by Muster for the package {name}; changes are put back.\nPackage: {name}\nPin: version {version}\nPin-Priority: 990\n"
        )),
        PackageEnsure::Present | PackageEnsure::Absent | PackageEnsure::Purged => None,
    };
    (path, content)
}

/// What of a package is not as it should be, in words.
pub fn differences(wanted: &Package, observed: &ObservedPackage) -> Vec<String> {
    let Package { name: _, ensure, hold } = wanted;
    let ObservedPackage { state, held, automatic, pinned, interrupted, locked_by: _ } = observed;
    let mut reasons = Vec::new();
    let there = match (ensure, state) {
        (
            PackageEnsure::Present | PackageEnsure::Version(_),
            PackageState::Absent | PackageState::ConfigFiles,
        ) => {
            reasons.push("is not installed".to_owned());
            false
        }
        (PackageEnsure::Present, PackageState::Installed(_)) => true,
        (PackageEnsure::Version(pin), PackageState::Installed(version)) => {
            if !version_matches(pin, version) {
                reasons.push(format!("version {version} is installed instead of {pin}"));
            }
            true
        }
        (PackageEnsure::Absent | PackageEnsure::Purged, PackageState::Installed(version)) => {
            reasons.push(format!("version {version} is installed and should not be"));
            false
        }
        (_, PackageState::Unfinished(status)) => {
            reasons.push(format!("its installation was interrupted or failed ({status})"));
            false
        }
        (PackageEnsure::Purged, PackageState::ConfigFiles) => {
            reasons.push("its configuration is still there".to_owned());
            false
        }
        (PackageEnsure::Absent, PackageState::Absent | PackageState::ConfigFiles)
        | (PackageEnsure::Purged, PackageState::Absent) => false,
    };
    if there && *hold != *held {
        let text = if *hold { "is not held" } else { "is held and should not be" };
        reasons.push(text.to_owned());
    }
    if there && *automatic {
        reasons.push("is marked as installed for others only, and would go with them".to_owned());
    }
    if !pinned {
        let text = match ensure {
            PackageEnsure::Version(pin) => format!("apt is not told to prefer {pin}"),
            _ => "apt is told to prefer a version that nobody wants any more".to_owned(),
        };
        reasons.push(text);
    }
    if *interrupted {
        reasons.push("dpkg was interrupted".to_owned());
    }
    reasons
}

pub(super) fn verdict(wanted: &Package, observed: &Observed) -> Verdict {
    let Observed::Package(observed) = observed else { return mismatch() };
    let reasons = differences(wanted, observed);
    if reasons.is_empty() {
        return Verdict::InPlace;
    }
    let reason = reasons.join(", ");
    match &observed.locked_by {
        Some(holder) => Verdict::Waiting {
            reason: format!("{reason}; waits for the lock of dpkg and apt, which {holder} holds"),
        },
        None => Verdict::Change { actions: vec![Action::ChangePackage], reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn package(ensure: PackageEnsure, hold: bool) -> Package {
        Package { name: "nginx".into(), ensure, hold }
    }

    fn found(state: PackageState) -> ObservedPackage {
        ObservedPackage {
            state,
            held: false,
            automatic: false,
            pinned: true,
            interrupted: false,
            locked_by: None,
        }
    }

    fn version(text: &str) -> PackageEnsure {
        PackageEnsure::Version(text.into())
    }

    fn installed(version: &str) -> PackageState {
        PackageState::Installed(version.into())
    }

    #[test]
    fn pins_mean_what_apt_means() {
        for (pin, version, fits) in [
            ("16.*", "16.4-1.pgdg120+1", true),
            ("16.*", "1:16.4-1", true),
            ("16.*", "160.1", false),
            ("1:16.*", "1:16.4-1", true),
            ("1:16.*", "2:16.4-1", false),
            ("1.22.1-9", "1.22.1-9", true),
            ("1.22.1-9", "1.22.1-9+deb12u1", false),
            ("5:7.0.15-1", "7.0.15-1", false),
        ] {
            assert_eq!(version_matches(pin, version), fits, "{pin} {version}");
        }
    }

    #[test]
    fn reasons_tell_what_differs() {
        let check = |wanted: Package, observed: ObservedPackage, expected: &str| {
            let text = match verdict(&wanted, &Observed::Package(observed)) {
                Verdict::InPlace => "in place".to_owned(),
                Verdict::Change { actions, reason } => {
                    assert_eq!(actions, [Action::ChangePackage]);
                    reason
                }
                Verdict::Waiting { reason } => format!("waiting: {reason}"),
                other => panic!("{other:?}"),
            };
            assert_eq!(text, expected);
        };
        let present = || package(PackageEnsure::Present, false);
        check(present(), found(installed("1")), "in place");
        check(present(), found(PackageState::ConfigFiles), "is not installed");
        check(
            present(),
            found(PackageState::Unfinished("half-configured".into())),
            "its installation was interrupted or failed (half-configured)",
        );
        check(
            package(version("2.*"), true),
            found(installed("1.9")),
            "version 1.9 is installed instead of 2.*, is not held",
        );
        check(
            present(),
            ObservedPackage { held: true, ..found(installed("1")) },
            "is held and should not be",
        );
        check(
            present(),
            ObservedPackage { automatic: true, ..found(installed("1")) },
            "is marked as installed for others only, and would go with them",
        );
        check(
            package(version("1"), false),
            ObservedPackage { pinned: false, ..found(installed("1")) },
            "apt is not told to prefer 1",
        );
        check(package(PackageEnsure::Absent, false), found(PackageState::ConfigFiles), "in place");
        check(
            package(PackageEnsure::Purged, false),
            found(PackageState::ConfigFiles),
            "its configuration is still there",
        );
        check(package(PackageEnsure::Absent, true), found(PackageState::Absent), "in place");
        check(
            present(),
            ObservedPackage { interrupted: true, ..found(installed("1")) },
            "dpkg was interrupted",
        );
        let locked = || Some("apt-get install vim (process 4711)".to_owned());
        check(
            present(),
            ObservedPackage { locked_by: locked(), ..found(PackageState::Absent) },
            "waiting: is not installed; waits for the lock of dpkg and apt, which apt-get install vim (process 4711) holds",
        );
        check(present(), ObservedPackage { locked_by: locked(), ..found(installed("1")) }, "in place");
    }

    #[test]
    fn files_of_pins_have_names_that_apt_looks_at_and_that_no_two_packages_share() {
        let path = |name: &str| pin_file(&Package { name: name.into(), ensure: version("1"), hold: false }).0;
        assert_eq!(path("libstdc++6:i386"), "/etc/apt/preferences.d/muster-libstdc_p_p6_ai386.pref");
        let names = ["a+b", "a.b", "a:b", "a-b", "apb", "a+:b", "a:+b"];
        let paths: std::collections::BTreeSet<String> = names.iter().map(|name| path(name)).collect();
        assert_eq!(paths.len(), names.len());
    }

    fn any_package() -> impl Strategy<Value = (Package, ObservedPackage)> {
        let ensure = prop_oneof![
            Just(PackageEnsure::Present),
            "[12][.]?\\*?".prop_map(PackageEnsure::Version),
            Just(PackageEnsure::Absent),
            Just(PackageEnsure::Purged),
        ];
        let state = prop_oneof![
            Just(PackageState::Absent),
            Just(PackageState::ConfigFiles),
            "[12][.]?[12]?".prop_map(PackageState::Installed),
            Just(PackageState::Unfinished("unpacked".into())),
        ];
        (ensure, any::<bool>(), state, any::<[bool; 4]>()).prop_map(|(ensure, hold, state, flags)| {
            let [held, automatic, pinned, interrupted] = flags;
            let observed = ObservedPackage { state, held, automatic, pinned, interrupted, locked_by: None };
            (package(ensure, hold), observed)
        })
    }

    proptest! {
        #[test]
        fn what_was_done_leaves_nothing_to_do((wanted, observed) in any_package()) {
            let done = match &wanted.ensure {
                PackageEnsure::Present => match &observed.state {
                    PackageState::Installed(version) => installed(version),
                    _ => installed("9"),
                },
                PackageEnsure::Version(pin) => installed(pin.trim_end_matches('*')),
                PackageEnsure::Absent => PackageState::ConfigFiles,
                PackageEnsure::Purged => PackageState::Absent,
            };
            let after = ObservedPackage { held: wanted.hold, ..found(done) };
            prop_assert_eq!(verdict(&wanted, &Observed::Package(after)), Verdict::InPlace);
        }

        #[test]
        fn a_lock_holds_up_what_would_change_and_nothing_else((wanted, observed) in any_package()) {
            let locked = ObservedPackage { locked_by: Some("somebody".into()), ..observed.clone() };
            let free = verdict(&wanted, &Observed::Package(observed));
            let held_up = verdict(&wanted, &Observed::Package(locked));
            prop_assert_eq!(free == Verdict::InPlace, held_up == Verdict::InPlace);
            let waits = matches!(held_up, Verdict::Waiting { .. });
            prop_assert!(free == Verdict::InPlace || waits);
        }
    }
}
