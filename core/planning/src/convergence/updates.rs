//! Decides about upgrades that are installed by themselves, and renders their configuration.

use super::{Action, Observed, Verdict, mismatch};
use muster_domain::{
    Digest,
    resource::{OsUpdates, UpdateScope},
};

/// The file of our own among apt's. Its name makes it come after those of the distribution, which it overrules.
pub const UPDATES_FILE: &str = "/etc/apt/apt.conf.d/90muster-updates";

/// The package that installs upgrades by itself.
pub const UPDATES_PACKAGE: &str = "unattended-upgrades";

/// The timers that make it work: the first fetches lists, the second installs.
pub const UPDATES_TIMERS: [&str; 2] = ["apt-daily.timer", "apt-daily-upgrade.timer"];

/// What was found of upgrades by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedUpdates {
    /// What our file holds; absent when there is none.
    pub file: Option<Digest>,
    /// How its owner and mode differ from those of a file that root writes and everybody reads.
    pub attributes: Vec<String>,
    /// The package that installs them is there.
    pub installed: bool,
    /// Timers that are not enabled.
    pub timers_off: Vec<String>,
    /// Why the time of the reboot window cannot be told here.
    pub clock: Option<String>,
}

/// The configuration of upgrades by themselves.
pub fn updates_file(wanted: &OsUpdates) -> String {
    let OsUpdates { scope, reboot: _ } = wanted;
    let mut text = String::from(
        "// Kept by Muster as os_updates; changes are put back.\n\
         APT::Periodic::Enable \"1\";\n\
         APT::Periodic::Update-Package-Lists \"1\";\n\
         APT::Periodic::AutocleanInterval \"7\";\n",
    );
    let origins: &[&str] = match scope {
        UpdateScope::None => {
            text.push_str("APT::Periodic::Unattended-Upgrade \"0\";\n");
            return text;
        }
        UpdateScope::Security => &[
            "origin=Debian,codename=${distro_codename}-security,label=Debian-Security",
            "origin=Debian,codename=${distro_codename},label=Debian-Security",
            "origin=Ubuntu,archive=${distro_codename}-security",
            "origin=UbuntuESM,archive=${distro_codename}-infra-security",
            "origin=UbuntuESMApps,archive=${distro_codename}-apps-security",
        ],
        UpdateScope::All => &["origin=*"],
    };
    text.push_str(
        "APT::Periodic::Unattended-Upgrade \"1\";\n\
         #clear Unattended-Upgrade::Allowed-Origins;\n\
         #clear Unattended-Upgrade::Origins-Pattern;\n\
         Unattended-Upgrade::Origins-Pattern {\n",
    );
    for origin in origins {
        text.push_str("    \"");
        text.push_str(origin);
        text.push_str("\";\n");
    }
    // What restarts the machine, and when, is decided with the rest of the fleet in view.
    text.push_str(
        "};\n\
         Unattended-Upgrade::Automatic-Reboot \"false\";\n\
         Unattended-Upgrade::MinimalSteps \"true\";\n\
         Unattended-Upgrade::AutoFixInterruptedDpkg \"true\";\n",
    );
    text
}

pub(super) fn verdict(wanted: &OsUpdates, observed: &Observed) -> Verdict {
    let Observed::OsUpdates(observed) = observed else { return mismatch() };
    let ObservedUpdates { file, attributes, installed, timers_off, clock } = observed;
    let content = updates_file(wanted);
    let digest = Digest::from_bytes(*blake3::hash(content.as_bytes()).as_bytes());
    let mut reasons = Vec::new();
    match file {
        None => reasons.push("its configuration is missing".to_owned()),
        Some(found) if *found != digest => reasons.push("its configuration differs".to_owned()),
        Some(_) => {}
    }
    reasons.extend(attributes.iter().cloned());
    if wanted.scope != UpdateScope::None {
        if !installed {
            // Not impossible: the package may be on its way in this very run.
            reasons.push(format!("the package {UPDATES_PACKAGE} is not installed"));
        }
        if !timers_off.is_empty() {
            reasons.push(format!("not enabled: {}", timers_off.join(", ")));
        }
    }
    match clock {
        _ if !reasons.is_empty() => {
            Verdict::Change { actions: vec![Action::WriteUpdates], reason: reasons.join(", ") }
        }
        Some(reason) => {
            Verdict::Impossible { reason: format!("when the reboot window is open cannot be told: {reason}") }
        }
        None => Verdict::InPlace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(scope: UpdateScope) -> OsUpdates {
        OsUpdates { scope, reboot: None }
    }

    fn good(scope: UpdateScope) -> ObservedUpdates {
        let content = updates_file(&wanted(scope));
        ObservedUpdates {
            file: Some(Digest::from_bytes(*blake3::hash(content.as_bytes()).as_bytes())),
            attributes: vec![],
            installed: true,
            timers_off: vec![],
            clock: None,
        }
    }

    #[test]
    fn scopes_name_the_origins_of_both_distributions() {
        let security = updates_file(&wanted(UpdateScope::Security));
        for origin in ["label=Debian-Security", "origin=Ubuntu,archive=${distro_codename}-security"] {
            assert!(security.contains(origin), "{security}");
        }
        assert!(!security.contains("origin=*"));
        assert!(security.contains("#clear Unattended-Upgrade::Allowed-Origins;"));
        assert!(updates_file(&wanted(UpdateScope::All)).contains("\"origin=*\";"));
        let none = updates_file(&wanted(UpdateScope::None));
        assert!(none.contains("Unattended-Upgrade \"0\"") && !none.contains("Origins"));
        for text in [security, none] {
            assert!(!text.contains("Automatic-Reboot \"true\""));
        }
    }

    #[test]
    fn reasons_tell_what_differs() {
        let check = |scope, observed: ObservedUpdates, expected: &str| {
            let text = match verdict(&wanted(scope), &Observed::OsUpdates(observed)) {
                Verdict::InPlace => "in place".to_owned(),
                Verdict::Change { reason, .. } => reason,
                Verdict::Impossible { reason } => format!("impossible: {reason}"),
                other => panic!("{other:?}"),
            };
            assert_eq!(text, expected);
        };
        let security = || good(UpdateScope::Security);
        check(UpdateScope::Security, security(), "in place");
        check(UpdateScope::All, security(), "its configuration differs");
        let off = || vec!["apt-daily.timer".to_owned()];
        check(
            UpdateScope::Security,
            ObservedUpdates {
                file: None,
                attributes: vec![],
                installed: false,
                timers_off: off(),
                clock: None,
            },
            "its configuration is missing, the package unattended-upgrades is not installed, not enabled: apt-daily.timer",
        );
        check(
            UpdateScope::Security,
            ObservedUpdates { attributes: vec!["mode of /x is 0666 instead of 0644".into()], ..security() },
            "mode of /x is 0666 instead of 0644",
        );
        // Nothing is installed by itself, so nothing is needed for it.
        check(
            UpdateScope::None,
            ObservedUpdates { installed: false, timers_off: off(), ..good(UpdateScope::None) },
            "in place",
        );
        check(
            UpdateScope::Security,
            ObservedUpdates { clock: Some("no such zone".into()), ..security() },
            "impossible: when the reboot window is open cannot be told: no such zone",
        );
    }
}
