//! Configuration that somebody wrote: of nginx, cron, logrotate, the kernel and sudo.

use super::{owned, source::Source};
use muster_domain::inventory::InstalledFile;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

const FOLDERS: [&str; 12] = [
    "/etc/nginx",
    "/etc/nginx/conf.d",
    "/etc/nginx/sites-available",
    "/etc/nginx/sites-enabled",
    "/etc/nginx/snippets",
    "/etc/nginx/streams-available",
    "/etc/nginx/streams-enabled",
    "/etc/nginx/modules-enabled",
    "/etc/cron.d",
    "/etc/logrotate.d",
    "/etc/sysctl.d",
    SUDOERS,
];

/// Its files are for root alone, and hold no secrets.
const SUDOERS: &str = "/etc/sudoers.d";

/// Readable by everybody.
pub(super) const FOR_EVERYBODY: u32 = 0o004;

/// Files and links that no package brought, or that are no longer what it brought.
pub(super) fn read(source: &mut Source<'_>) -> Vec<InstalledFile> {
    let mut paths = Vec::new();
    for folder in FOLDERS {
        paths.extend(source.names(folder).into_iter().map(|name| format!("{folder}/{name}")));
    }
    let owners = owned::packages_of(source, &paths);
    let packages: BTreeSet<String> = owners.values().cloned().collect();
    let changed = owned::changed(source, &packages);
    let passwd = source.text("/etc/passwd").unwrap_or_default();
    let group = source.text("/etc/group").unwrap_or_default();
    let mut found = Vec::new();
    for path in paths {
        let unchanged = owners.contains_key(&path) && !changed.contains(&path);
        if unchanged || ours(&path) {
            continue;
        }
        let real = source.real(&path);
        let Ok(stat) = fs::symlink_metadata(&real) else { continue };
        let (owner, group) = (name_of(&passwd, stat.uid()), name_of(&group, stat.gid()));
        let mode = format!("{:04o}", stat.permissions().mode() & 0o7777);
        let file =
            |content, link_to| InstalledFile { path: path.clone(), content, link_to, mode, owner, group };
        if stat.is_symlink() {
            // Modules are enabled by links of their packages' own making.
            if let Ok(target) = fs::read_link(&real)
                && !path.starts_with("/etc/nginx/modules-enabled/")
            {
                found.push(file(None, Some(target.display().to_string())));
            }
        } else if stat.is_file() {
            if stat.permissions().mode() & FOR_EVERYBODY == 0 && !path.starts_with(SUDOERS) {
                source
                    .note(format!("{path} was left out: not everybody may read it, so it may hold a secret"));
                continue;
            }
            let Some(text) = source.text(&path) else { continue };
            if text.contains("PRIVATE KEY-----") {
                source.note(format!("{path} was left out: it is a private key"));
            } else {
                found.push(file(Some(text), None));
            }
        }
    }
    found
}

/// Whether Muster itself wrote it.
fn ours(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.contains("muster"))
}

/// The name of a number in a file such as `/etc/passwd`; the number itself when it has none.
fn name_of(table: &str, id: u32) -> String {
    let id = id.to_string();
    let named = table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    });
    named.unwrap_or(id)
}
