//! What a resource has for itself: no other resource of the assignment may want it to be something else, and what is
//! removed must not take it away from another that came to have it.

use super::{UPDATES_FILE, cron_path, logrotate_file, sysctl_file, unit_file};
use muster_domain::resource::{AptRepository, Certificate, DesiredState, Directory, File, Symlink};

/// The paths that a resource makes or rewrites as a whole, known from its declaration alone. Not among them: what lies
/// in the home of a user, and what a package brings.
pub fn paths_of(desired: &DesiredState) -> Vec<String> {
    match desired {
        DesiredState::Directory(Directory { path, .. })
        | DesiredState::File(File { path, .. })
        | DesiredState::SecretFile(File { path, .. })
        | DesiredState::Symlink(Symlink { path, .. }) => vec![path.clone()],
        DesiredState::SystemdUnit(unit) => vec![unit_file(unit).path],
        DesiredState::CronJob(job) => vec![cron_path(job)],
        DesiredState::Logrotate(rules) => vec![logrotate_file(rules).path],
        DesiredState::Certificate(Certificate { key_path, certificate_path, ca_path, .. }) => {
            [Some(key_path), Some(certificate_path), ca_path.as_ref()]
                .into_iter()
                .flatten()
                .cloned()
                .collect()
        }
        DesiredState::AptRepository(AptRepository { name, .. }) => {
            vec![format!("/etc/apt/sources.list.d/{name}.sources")]
        }
        DesiredState::Sysctl(sysctl) => vec![sysctl_file(sysctl).path],
        DesiredState::Sshd(_) => vec!["/etc/ssh/sshd_config.d/00-muster.conf".to_owned()],
        DesiredState::OsUpdates(_) => vec![UPDATES_FILE.to_owned()],
        DesiredState::Hostname(_) => vec!["/etc/hostname".to_owned()],
        DesiredState::Hosts(_) => vec!["/etc/hosts".to_owned()],
        DesiredState::Timezone(_) => vec!["/etc/localtime".to_owned()],
        DesiredState::Package(_)
        | DesiredState::Group(_)
        | DesiredState::User(_)
        | DesiredState::AuthorizedKey(_)
        | DesiredState::Firewall(_)
        | DesiredState::Service(_)
        | DesiredState::Nodejs(_)
        | DesiredState::Command(_)
        | DesiredState::Application(_) => Vec::new(),
    }
}

/// Everything that it has for itself: its paths, and whatever of the node goes by a name. Two resources with a claim in
/// common are about the same thing.
pub fn claims(desired: &DesiredState) -> Vec<String> {
    let mut claims: Vec<String> = paths_of(desired).into_iter().map(|path| format!("path {path}")).collect();
    let kind = desired.kind();
    claims.extend(match desired {
        DesiredState::Package(wanted) => Some(format!("{kind} {}", wanted.name)),
        DesiredState::Group(wanted) => Some(format!("{kind} {}", wanted.name)),
        DesiredState::User(wanted) => Some(format!("{kind} {}", wanted.name)),
        // Several resources may give keys to one user: each is about its own keys.
        DesiredState::AuthorizedKey(wanted) if wanted.exclusive => Some(format!("{kind} {}", wanted.user)),
        DesiredState::AuthorizedKey(_) => None,
        DesiredState::Service(wanted) => Some(format!("{kind} {}", wanted.name)),
        DesiredState::Sysctl(wanted) => Some(format!("{kind} {}", wanted.name)),
        DesiredState::Application(wanted) => Some(format!("{kind} {}", wanted.name)),
        DesiredState::Firewall(_)
        | DesiredState::Sshd(_)
        | DesiredState::OsUpdates(_)
        | DesiredState::Hostname(_)
        | DesiredState::Hosts(_)
        | DesiredState::Timezone(_) => Some(kind.to_owned()),
        DesiredState::Directory(_)
        | DesiredState::File(_)
        | DesiredState::SecretFile(_)
        | DesiredState::Symlink(_)
        | DesiredState::SystemdUnit(_)
        | DesiredState::CronJob(_)
        | DesiredState::Logrotate(_)
        | DesiredState::Certificate(_)
        | DesiredState::AptRepository(_)
        | DesiredState::Nodejs(_)
        | DesiredState::Command(_) => None,
    });
    claims
}
