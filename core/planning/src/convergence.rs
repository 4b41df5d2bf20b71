//! Convergence: desired x observed -> plan. What a node should be against what was found on it, resource by resource.
//!
//! Holds: [`plan`] and its reasons, [`decide`] (what a run may do about it), [`due`] (reloads that changes make necessary),
//! [`check`] (what no assignment may look like), [`Outcomes`] (who is skipped when something fails), [`paths_of`] and
//! [`claims`] (what a resource has for itself) and [`NodeRange`] (npm's grammar for versions of Node.js).
//! Must not: look at a host. An observation that could not be made is a value like any other.
//! Start here: [`plan`]. A converged node gives an empty plan; after a plan was applied the next one is empty.

mod accounts;
mod application;
mod blocks;
mod certificates;
mod check;
mod claims;
mod commands;
mod decision;
mod firewall;
mod keys;
mod lockout;
mod nodejs;
mod observed;
mod outcomes;
mod packages;
mod paths;
mod pending;
mod rendered;
mod repositories;
mod services;
mod sshd;
mod system;
mod updates;

pub use accounts::{
    FIRST_PERSON, FoundUser, ObservedGroup, ObservedKeys, ObservedUser, authorized_keys, missing_groups,
    user_differences,
};
pub use certificates::{FoundCertificate, ObservedCertificate};
pub use check::{AssignmentFault, check};
pub use claims::{claims, paths_of, watched_paths};
pub use commands::Guard;
pub use decision::{Decision, Memory, decide, disruptive, disruptive_removal, restarts_for_change};
pub use firewall::{
    Family, Live, ObservedFirewall, UfwRule, firewall_commands, firewall_diff, firewall_removal,
};
pub use keys::{only_keys, without_managed_keys};
pub use lockout::{Phases, lockout_risk, phases};
pub use nodejs::{InvalidRange, NodeRange, newest_satisfying};
pub use observed::{
    Observed, ObservedApplication, ObservedPath, ObservedProcesses, PathKind, PathState, Principal,
};
pub use outcomes::{Blocked, Outcomes};
pub use packages::{
    ObservedPackage, PackageState, differences as package_differences, pin_file, version_matches,
};
pub use pending::{Pending, Trigger, due, triggers};
pub use rendered::{
    ObservedRendered, cron_file, cron_path, cron_schedule, logrotate_file, sysctl_file, unit_file,
};
pub use repositories::{
    InvalidKey, InvalidRepository, ObservedRepository, RepositoryFiles, check_key, repository_files,
};
pub use services::{Activity, Enablement, ObservedService, UnitLoad};
pub use sshd::{Admin, ObservedSshd, Overruled, SignInChange, SshdSettings, shut_out};
pub use system::{
    ObservedHostname, ObservedSysctl, ObservedTimezone, hostname_hosts, hosts_file, sysctl_value,
};
pub use updates::{ObservedUpdates, UPDATES_FILE, UPDATES_PACKAGE, UPDATES_TIMERS, updates_file};

use muster_domain::resource::{DesiredState, Resource, ResourceKey};
use paths::change;
use std::collections::BTreeMap;

/// What to do, in the order of the assignment: one step for each resource.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
}

/// What becomes of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which resource.
    pub key: ResourceKey,
    /// What was decided about it.
    pub verdict: Verdict,
}

/// What was decided about a resource, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is as it should be.
    InPlace,
    /// It differs: do this, in this order.
    Change {
        /// What to do.
        actions: Vec<Action>,
        /// Why, for a person: `content differs, mode is 0600 instead of 0644`.
        reason: String,
    },
    /// It differs and has to wait: somebody else is already on it (the supervisor restarts a process), or holds a lock.
    Waiting {
        /// What is going on.
        reason: String,
    },
    /// It differs, and nothing that the agent may do would help.
    Impossible {
        /// What is in the way, and who can mend it.
        reason: String,
    },
    /// This agent cannot manage it here, and nothing is wrong.
    Unsupported {
        /// Why.
        reason: String,
    },
}

/// One thing to do for a resource. What it needs to know stands in the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Create the folder with its owner and mode.
    CreateDirectory,
    /// Put the file into place with its owner and mode.
    WriteFile,
    /// Set owner and mode, leave the content.
    SetAttributes,
    /// Put the link into place.
    MakeSymlink,
    /// Install the newest Node.js that satisfies the range.
    InstallNodejs,
    /// Fetch and assemble the release.
    FetchRelease,
    /// Have the supervisor run the release.
    RunRelease,
    /// End a crash loop with one more start.
    StartAgain,
    /// Flip the link `current` to the release.
    PointCurrent,
    /// Install, remove, mark the package: all that a run changes go in one transaction of apt.
    ChangePackage,
    /// Try the source of packages with its key, and put both into place.
    WriteRepository,
    /// Put the configuration of upgrades by themselves into place and enable their timers.
    WriteUpdates,
    /// Tell ufw what it should be.
    ConfigureFirewall,
    /// Have the controller issue a certificate, for the key that is there or for a new one.
    IssueCertificate,
    /// Put the settings of the SSH server into place, and have it read them.
    ConfigureSshd,
    /// Make the group.
    CreateGroup,
    /// Take the group away.
    RemoveGroup,
    /// Make the user.
    CreateUser,
    /// Set what differs about the user.
    ChangeUser,
    /// Take the user away, leave its home.
    RemoveUser,
    /// Put the keys of the user into place.
    WriteKeys,
    /// Set the node's own name, now and for the next boot.
    SetHostname,
    /// Put the names into `/etc/hosts`.
    WriteHosts,
    /// Set the time zone.
    SetTimezone,
    /// Set the kernel setting, now and for the next boot.
    SetSysctl,
    /// Have systemd read its files again.
    DaemonReload,
    /// Make the service startable again.
    Unmask,
    /// Have the service start at boot.
    Enable,
    /// Have it not start at boot.
    Disable,
    /// Start the service.
    Start,
    /// Stop it.
    Stop,
    /// Have it read its configuration again; restart it when it cannot do that.
    Reload,
    /// Stop and start it.
    Restart,
    /// Run the command.
    RunCommand,
}

/// What an action costs the node and those who use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Next to nothing: tried at each run until it works.
    Light,
    /// Time and work: one that failed is held back for a while.
    Heavy,
    /// The node may be unable to do its work for a moment: needs the node's turn, and is held back when it failed.
    Disruptive,
}

impl Action {
    /// What it costs, whatever it is done for.
    pub const fn weight(self) -> Weight {
        match self {
            Self::CreateDirectory
            | Self::WriteFile
            | Self::SetAttributes
            | Self::MakeSymlink
            | Self::FetchRelease
            | Self::WriteUpdates
            | Self::CreateGroup
            | Self::RemoveGroup
            | Self::CreateUser
            | Self::ChangeUser
            | Self::RemoveUser
            | Self::WriteKeys
            | Self::SetHostname
            | Self::WriteHosts
            | Self::SetTimezone
            | Self::SetSysctl
            | Self::DaemonReload
            | Self::Unmask
            | Self::Enable
            | Self::Disable
            | Self::PointCurrent => Weight::Light,
            Self::WriteRepository
            | Self::IssueCertificate
            | Self::InstallNodejs
            | Self::RunRelease
            | Self::StartAgain
            | Self::Start
            | Self::Reload
            | Self::RunCommand => Weight::Heavy,
            Self::Stop
            | Self::Restart
            | Self::ChangePackage
            | Self::ConfigureFirewall
            | Self::ConfigureSshd => Weight::Disruptive,
        }
    }

    /// Whether what runs afterwards has read everything that changed before: nothing is left to be reloaded.
    pub const fn reads_everything(self) -> bool {
        matches!(self, Self::Start | Self::Restart | Self::RunCommand)
    }
}

/// How hard a run tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effort {
    /// Start applications again that the supervisor has given up. Only when a person asked for the run.
    pub start_crash_looping: bool,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        !self.steps.iter().any(|step| matches!(step.verdict, Verdict::Change { .. }))
    }
}

/// Decides for each resource what to do. `observed` holds what was found under each key.
pub fn plan(resources: &[Resource], observed: &BTreeMap<ResourceKey, Observed>, effort: Effort) -> Plan {
    let steps = resources
        .iter()
        .map(|resource| {
            let verdict = match observed.get(&resource.key) {
                Some(observed) => verdict(&resource.desired, observed, effort),
                None => Verdict::Impossible { reason: "it was not looked at".into() },
            };
            Step { key: resource.key.clone(), verdict }
        })
        .collect();
    Plan { steps }
}

/// Decides about one resource.
pub fn verdict(desired: &DesiredState, observed: &Observed, effort: Effort) -> Verdict {
    match observed {
        Observed::Unreadable(reason) => return Verdict::Impossible { reason: reason.clone() },
        Observed::Unsupported(reason) => return Verdict::Unsupported { reason: reason.clone() },
        _ => {}
    }
    match desired {
        DesiredState::Directory(directory) => match observed {
            Observed::Path(path) => paths::directory(directory, path),
            _ => mismatch(),
        },
        DesiredState::File(file) | DesiredState::SecretFile(file) => match observed {
            Observed::Path(path) => paths::file(file, path),
            _ => mismatch(),
        },
        DesiredState::Symlink(symlink) => match observed {
            Observed::Path(path) => paths::symlink(symlink, path),
            _ => mismatch(),
        },
        DesiredState::Nodejs(wanted) => match observed {
            Observed::Nodejs { versions } => nodejs::verdict(wanted, versions),
            _ => mismatch(),
        },
        DesiredState::Application(wanted) => match observed {
            Observed::Application(found) => application::verdict(wanted, found, effort),
            _ => mismatch(),
        },
        DesiredState::AptRepository(wanted) => repositories::verdict(wanted, observed),
        DesiredState::Package(wanted) => packages::verdict(wanted, observed),
        DesiredState::OsUpdates(wanted) => updates::verdict(wanted, observed),
        DesiredState::Group(wanted) => accounts::group(wanted, observed),
        DesiredState::User(wanted) => accounts::user(wanted, observed),
        DesiredState::AuthorizedKey(wanted) => accounts::authorized_key(wanted, observed),
        DesiredState::Hostname(wanted) => system::hostname(wanted, observed),
        DesiredState::Hosts(wanted) => system::hosts(wanted, observed),
        DesiredState::Timezone(wanted) => system::timezone(wanted, observed),
        DesiredState::Sysctl(wanted) => system::sysctl(wanted, observed),
        DesiredState::Certificate(wanted) => certificates::verdict(wanted, observed),
        DesiredState::SystemdUnit(wanted) => rendered::systemd_unit(wanted, observed),
        DesiredState::Logrotate(wanted) => rendered::logrotate(wanted, observed),
        DesiredState::CronJob(wanted) => rendered::cron_job(wanted, observed),
        DesiredState::Sshd(wanted) => sshd::verdict(wanted, observed),
        DesiredState::Firewall(wanted) => firewall::verdict(wanted, observed),
        DesiredState::Service(wanted) => services::verdict(wanted, observed),
        DesiredState::Command(wanted) => commands::verdict(wanted, observed),
    }
}

/// What was found is of another kind than what is wanted: a mistake of the agent's own.
fn mismatch() -> Verdict {
    Verdict::Impossible { reason: "it was looked at as something of another kind".into() }
}

#[cfg(test)]
mod decision_tests;
#[cfg(test)]
mod host_tests;
#[cfg(test)]
mod tests;
