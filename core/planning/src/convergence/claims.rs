//! What a resource has for itself: no other resource of the assignment may want it to be something else, and what is
//! removed must not take it away from another that came to have it.

use super::{
    UPDATES_FILE, UPDATES_TIMERS, cron_path, logrotate_file, pin_file, repository_files, sysctl_file,
    unit_file,
};
use muster_domain::resource::{Certificate, DesiredState, Directory, File, Symlink};

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
        DesiredState::AptRepository(wanted) => match repository_files(wanted) {
            Ok(files) => vec![files.sources_path, files.key_path, files.other_key_path],
            // What is wrong with it the verdict says.
            Err(_) => vec![format!("/etc/apt/sources.list.d/{}.sources", wanted.name)],
        },
        DesiredState::Sysctl(sysctl) => vec![sysctl_file(sysctl).path],
        DesiredState::Sshd(_) => vec!["/etc/ssh/sshd_config.d/00-muster.conf".to_owned()],
        DesiredState::OsUpdates(_) => vec![UPDATES_FILE.to_owned()],
        DesiredState::Hostname(_) => vec!["/etc/hostname".to_owned()],
        DesiredState::Hosts(_) => vec!["/etc/hosts".to_owned()],
        DesiredState::Timezone(_) => vec!["/etc/localtime".to_owned(), "/etc/timezone".to_owned()],
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

/// The paths where a change shows that somebody touched a resource: its own, and what it shares with others. The files of keys
/// are not among them, because only the node knows where the home of a user is.
pub fn watched_paths(desired: &DesiredState) -> Vec<String> {
    let mut paths = paths_of(desired);
    let shared: &[&str] = match desired {
        DesiredState::Firewall(_) => {
            &["/etc/ufw/user.rules", "/etc/ufw/user6.rules", "/etc/ufw/ufw.conf", "/etc/default/ufw"]
        }
        DesiredState::Hostname(_) => &["/etc/hosts"],
        DesiredState::Sshd(_) => &["/etc/ssh/sshd_config"],
        DesiredState::User(_) | DesiredState::AuthorizedKey(_) => &["/etc/passwd", "/etc/group"],
        DesiredState::Group(_) => &["/etc/group"],
        _ => &[],
    };
    paths.extend(shared.iter().map(|path| (*path).to_owned()));
    match desired {
        DesiredState::OsUpdates(_) => paths
            .extend(UPDATES_TIMERS.map(|timer| format!("/etc/systemd/system/timers.target.wants/{timer}"))),
        DesiredState::Package(wanted) => paths.push(pin_file(wanted).0),
        _ => {}
    }
    paths
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
        // What a user's file holds of ours is one block: two that fill it would take each other's keys out again.
        DesiredState::AuthorizedKey(wanted) => Some(format!("{kind} {}", wanted.user)),
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
