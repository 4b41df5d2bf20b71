//! What the agent does with each kind of resource: look at it, change it, show the difference, take it away.
//!
//! Holds: one module for each kind with these four functions (applications are brought up by the loop in
//! [`crate::converge`], because that takes time and the supervisor). Whether something is to be done, the planner decides.
//! Must not: keep state between runs; what has to survive is in the ledger.
//! Start here: [`observe`].

pub mod application;
mod authorized_keys;
mod certificates;
mod commands;
mod cron_jobs;
pub(crate) mod deploy;
mod firewall;
mod groups;
mod hostname;
mod hosts;
mod kinds;
mod logrotate;
mod look;
pub(crate) mod nodejs;
pub(crate) mod packages;
mod paths;
mod rendered;
mod repositories;
mod services;
mod sshd;
mod sysctls;
mod text_diff;
mod timezone;
mod units;
mod updates;
mod users;
pub(crate) mod validate;

pub(crate) use certificates::issue as issue_certificate;
pub use certificates::{CertificateRequest, CertificateSource};
pub(crate) use kinds::{Assessment, Builtin, Kinds};
pub use look::View;
pub(crate) use sshd::{FILE as SSHD_FILE, last_way_in, of_use_to_admins};

use crate::config::StateDir;
use muster_domain::resource::{DesiredState, Package, Resource};
use muster_planning::convergence::{Action, Observed};
use muster_platform::Host;
use std::collections::BTreeMap;

/// What every kind needs.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    /// The host.
    pub host: &'a dyn Host,
    /// Where the agent keeps its state.
    pub state: &'a StateDir,
    /// Everything that this node should be; empty where only one resource is looked at.
    pub assigned: &'a [Resource],
}

/// The units of systemd that a look at these will ask for: asked for together, they cost as much as one.
pub fn units_of(resources: &[Resource]) -> Vec<String> {
    let unit = |resource: &Resource| match &resource.desired {
        DesiredState::Service(service) => Some(service.name.clone()),
        DesiredState::SystemdUnit(unit) => units::unit_of(&unit.name).map(str::to_owned),
        _ => None,
    };
    resources.iter().filter_map(unit).collect()
}

/// Looks at one resource.
pub fn observe(host: &dyn Host, view: View<'_>, resource: &Resource) -> Observed {
    let look = Look { host, state: view.state, assigned: &[] };
    match &resource.desired {
        DesiredState::Directory(_)
        | DesiredState::File(_)
        | DesiredState::SecretFile(_)
        | DesiredState::Symlink(_) => paths::observe(look, &resource.desired),
        DesiredState::Nodejs(_) => look::runtimes(host, view),
        DesiredState::Application(wanted) => look::application(host, view, wanted),
        DesiredState::AptRepository(wanted) => repositories::observe(look, wanted),
        DesiredState::Package(wanted) => packages::observe(look, wanted),
        DesiredState::OsUpdates(wanted) => updates::observe(look, wanted),
        DesiredState::Group(wanted) => groups::observe(look, wanted),
        DesiredState::User(wanted) => users::observe(look, wanted),
        DesiredState::AuthorizedKey(wanted) => authorized_keys::observe(look, wanted),
        DesiredState::Hostname(wanted) => hostname::observe(look, wanted),
        DesiredState::Hosts(wanted) => hosts::observe(look, wanted),
        DesiredState::Timezone(wanted) => timezone::observe(look, wanted),
        DesiredState::Sysctl(wanted) => sysctls::observe(look, wanted),
        DesiredState::Certificate(wanted) => certificates::observe(look, wanted),
        DesiredState::SystemdUnit(wanted) => units::observe(look, wanted),
        DesiredState::Logrotate(wanted) => logrotate::observe(look, wanted),
        DesiredState::CronJob(wanted) => cron_jobs::observe(look, wanted),
        DesiredState::Sshd(wanted) => sshd::observe(look, wanted),
        DesiredState::Firewall(wanted) => firewall::observe(look, wanted),
        DesiredState::Service(wanted) => services::observe(look, wanted),
        DesiredState::Command(wanted) => commands::observe(look, wanted),
    }
}

/// Does one thing, and says what a person should know about it. Blocks.
pub fn apply(look: Look<'_>, desired: &DesiredState, action: Action) -> Result<Option<String>, String> {
    let done = apply_one(look, desired, action);
    // Whatever it was, it may have brought, changed or started a unit.
    look.host.forget_units();
    done
}

fn apply_one(look: Look<'_>, desired: &DesiredState, action: Action) -> Result<Option<String>, String> {
    match desired {
        DesiredState::Directory(_)
        | DesiredState::File(_)
        | DesiredState::SecretFile(_)
        | DesiredState::Symlink(_) => paths::apply(look, desired, action),
        DesiredState::Nodejs(_) | DesiredState::Application(_) => {
            Err(format!("{action:?} is not done for a {} here", desired.kind()))
        }
        DesiredState::AptRepository(wanted) => repositories::apply(look, wanted, action),
        DesiredState::Package(wanted) => packages::apply(look, wanted, action),
        DesiredState::OsUpdates(wanted) => updates::apply(look, wanted, action),
        DesiredState::Group(wanted) => groups::apply(look, wanted, action),
        DesiredState::User(wanted) => users::apply(look, wanted, action),
        DesiredState::AuthorizedKey(wanted) => authorized_keys::apply(look, wanted, action),
        DesiredState::Hostname(wanted) => hostname::apply(look, wanted, action),
        DesiredState::Hosts(wanted) => hosts::apply(look, wanted, action),
        DesiredState::Timezone(wanted) => timezone::apply(look, wanted, action),
        DesiredState::Sysctl(wanted) => sysctls::apply(look, wanted, action),
        DesiredState::Certificate(wanted) => certificates::apply(look, wanted, action),
        DesiredState::SystemdUnit(wanted) => units::apply(look, wanted, action),
        DesiredState::Logrotate(wanted) => logrotate::apply(look, wanted, action),
        DesiredState::CronJob(wanted) => cron_jobs::apply(look, wanted, action),
        DesiredState::Sshd(wanted) => sshd::apply(look, wanted, action),
        DesiredState::Firewall(wanted) => firewall::apply(look, wanted, action),
        DesiredState::Service(wanted) => services::apply(look, wanted, action),
        DesiredState::Command(wanted) => commands::apply(look, wanted, action),
    }
}

/// The difference between what is wanted and what was found, for a person; never holds a secret.
pub fn diff(look: Look<'_>, desired: &DesiredState, observed: &Observed) -> Option<String> {
    match desired {
        DesiredState::Directory(_)
        | DesiredState::File(_)
        | DesiredState::SecretFile(_)
        | DesiredState::Symlink(_) => paths::diff(look, desired, observed),
        DesiredState::Nodejs(_) | DesiredState::Application(_) => None,
        DesiredState::AptRepository(wanted) => repositories::diff(look, wanted, observed),
        DesiredState::Package(wanted) => packages::diff(look, wanted, observed),
        DesiredState::OsUpdates(wanted) => updates::diff(look, wanted, observed),
        DesiredState::Group(wanted) => groups::diff(look, wanted, observed),
        DesiredState::User(wanted) => users::diff(look, wanted, observed),
        DesiredState::AuthorizedKey(wanted) => authorized_keys::diff(look, wanted, observed),
        DesiredState::Hostname(wanted) => hostname::diff(look, wanted, observed),
        DesiredState::Hosts(wanted) => hosts::diff(look, wanted, observed),
        DesiredState::Timezone(wanted) => timezone::diff(look, wanted, observed),
        DesiredState::Sysctl(wanted) => sysctls::diff(look, wanted, observed),
        DesiredState::Certificate(wanted) => certificates::diff(look, wanted, observed),
        DesiredState::SystemdUnit(wanted) => units::diff(look, wanted, observed),
        DesiredState::Logrotate(wanted) => logrotate::diff(look, wanted, observed),
        DesiredState::CronJob(wanted) => cron_jobs::diff(look, wanted, observed),
        DesiredState::Sshd(wanted) => sshd::diff(look, wanted, observed),
        DesiredState::Firewall(wanted) => firewall::diff(look, wanted, observed),
        DesiredState::Service(wanted) => services::diff(look, wanted, observed),
        DesiredState::Command(wanted) => commands::diff(look, wanted, observed),
    }
}

/// Brings all of these packages to what they should be in one transaction, and says by name what became of each. Blocks.
pub(crate) fn install_packages(
    look: Look<'_>,
    wanted: &[&Package],
) -> BTreeMap<String, Result<Option<String>, String>> {
    packages::transaction(look, wanted)
}

/// Takes away what is no longer declared, and says what that was; `None` when there was nothing. Blocks.
pub fn remove(look: Look<'_>, desired: &DesiredState) -> Result<Option<String>, String> {
    let done = remove_one(look, desired);
    look.host.forget_units();
    done
}

fn remove_one(look: Look<'_>, desired: &DesiredState) -> Result<Option<String>, String> {
    match desired {
        DesiredState::Directory(_)
        | DesiredState::File(_)
        | DesiredState::SecretFile(_)
        | DesiredState::Symlink(_) => paths::remove(look, desired),
        // A runtime may be in use by something else, and applications are stopped by the loop.
        DesiredState::Nodejs(_) | DesiredState::Application(_) => Ok(None),
        DesiredState::AptRepository(wanted) => repositories::remove(look, wanted),
        DesiredState::Package(wanted) => packages::remove(look, wanted),
        DesiredState::OsUpdates(wanted) => updates::remove(look, wanted),
        DesiredState::Group(wanted) => groups::remove(look, wanted),
        DesiredState::User(wanted) => users::remove(look, wanted),
        DesiredState::AuthorizedKey(wanted) => authorized_keys::remove(look, wanted),
        DesiredState::Hostname(wanted) => hostname::remove(look, wanted),
        DesiredState::Hosts(wanted) => hosts::remove(look, wanted),
        DesiredState::Timezone(wanted) => timezone::remove(look, wanted),
        DesiredState::Sysctl(wanted) => sysctls::remove(look, wanted),
        DesiredState::Certificate(wanted) => certificates::remove(look, wanted),
        DesiredState::SystemdUnit(wanted) => units::remove(look, wanted),
        DesiredState::Logrotate(wanted) => logrotate::remove(look, wanted),
        DesiredState::CronJob(wanted) => cron_jobs::remove(look, wanted),
        DesiredState::Sshd(wanted) => sshd::remove(look, wanted),
        DesiredState::Firewall(wanted) => firewall::remove(look, wanted),
        DesiredState::Service(wanted) => services::remove(look, wanted),
        DesiredState::Command(wanted) => commands::remove(look, wanted),
    }
}
