//! What is on the disk of a fresh system.

use super::Entry;
use crate::host::FileKind;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The folders that every system has, and the files that are there on a fresh one.
pub(super) fn usual(hostname: &str) -> BTreeMap<PathBuf, Entry> {
    const FOLDERS: [&str; 22] = [
        "/",
        "/bin",
        "/etc",
        "/etc/cron.d",
        "/etc/logrotate.d",
        "/etc/sysctl.d",
        "/etc/systemd",
        "/etc/systemd/system",
        "/home",
        "/opt",
        "/root",
        "/srv",
        "/tmp",
        "/usr",
        "/usr/bin",
        "/usr/local",
        "/usr/sbin",
        "/usr/share",
        "/usr/share/zoneinfo",
        "/usr/share/zoneinfo/Etc",
        "/var",
        "/var/lib",
    ];
    let file =
        |content: &str| Entry { kind: FileKind::File, content: content.into(), ..Entry::directory(0o644) };
    let hosts = format!("127.0.0.1 localhost\n127.0.1.1 {hostname}\n");
    let files = [
        ("/bin/sh", ""),
        ("/bin/bash", ""),
        ("/usr/sbin/nologin", ""),
        ("/usr/sbin/cron", ""),
        ("/usr/sbin/logrotate", ""),
        ("/usr/share/zoneinfo/Etc/UTC", "TZif2"),
        ("/usr/share/zoneinfo/UTC", "TZif2"),
        ("/etc/timezone", "Etc/UTC\n"),
        ("/etc/hosts", &hosts),
        ("/etc/hostname", &format!("{hostname}\n")),
    ];
    let mut tree: BTreeMap<PathBuf, Entry> =
        FOLDERS.iter().map(|path| (PathBuf::from(path), Entry::directory(0o755))).collect();
    tree.extend(files.map(|(path, content)| (PathBuf::from(path), file(content))));
    let kind = FileKind::Symlink { target: "/usr/share/zoneinfo/Etc/UTC".into() };
    tree.insert("/etc/localtime".into(), Entry { kind, ..Entry::directory(0o777) });
    tree
}
