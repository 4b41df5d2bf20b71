//! The files that say how the server runs and whom it admits. Written anew at each start.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::fchown;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};

use crate::account::Account;
use crate::error::{FileContext, PostgresError};
use crate::layout::Layout;
use crate::{Config, Durability, ROLE};

/// An old log is set aside once, so that the log of a server that lives for years stays bounded.
const LOG_KEPT_BYTES: u64 = 16 * 1024 * 1024;

/// Writes all settings. `local.conf` belongs to the operator and is only created.
pub(crate) fn write(layout: &Layout, account: &Account, config: &Config) -> Result<(), PostgresError> {
    let file = |name: &str| layout.home.join(name);
    let home = folder(&layout.home)?;
    replace(&home, &file("muster.conf"), &server(layout, config), account)?;
    replace(&home, &file("pg_hba.conf"), "local all all peer map=muster\n", account)?;
    replace(&home, &file("pg_ident.conf"), &admitted(account), account)?;
    let local = file("local.conf");
    if !local.exists() {
        let hint = "# Settings of this file win over muster.conf and are never touched by muster.\n";
        replace(&home, &local, hint, account)?;
    }
    let size = layout.log_file.metadata().map_or(0, |metadata| metadata.len());
    if size > LOG_KEPT_BYTES {
        let old = file("server.log.1");
        std::fs::rename(&layout.log_file, &old).file("rotate to", &old)?;
    }
    Ok(())
}

fn server(layout: &Layout, config: &Config) -> String {
    let home = layout.home.display();
    let mut text = format!(
        "# Written by muster at each start; put your own settings into local.conf beside this file.\n\
         # Reached over a unix socket only.\n\
         listen_addresses = ''\n\
         unix_socket_directories = {socket}\n\
         hba_file = {hba}\n\
         ident_file = {ident}\n\
         max_connections = {connections}\n\
         # A controller's working set is tens of megabytes (nodes, releases, two days of metrics) and it shares a\n\
         # small host with applications; what does not fit here is in the page cache of the kernel anyway.\n\
         shared_buffers = 32MB\n\
         work_mem = 4MB\n\
         maintenance_work_mem = 32MB\n\
         effective_cache_size = 256MB\n\
         autovacuum_max_workers = 2\n\
         # Queries are short: starting workers or compiling them costs more than it saves.\n\
         max_parallel_workers_per_gather = 0\n\
         jit = off\n\
         max_wal_size = 512MB\n\
         min_wal_size = 80MB\n\
         # Nobody replicates from a private server.\n\
         max_wal_senders = 0\n\
         # The log is for trouble; it has no rotation of its own.\n\
         log_checkpoints = off\n\
         log_timezone = 'Etc/UTC'\n\
         timezone = 'Etc/UTC'\n",
        socket = quoted(&layout.socket_dir),
        hba = quoted(Path::new(&format!("{home}/pg_hba.conf"))),
        ident = quoted(Path::new(&format!("{home}/pg_ident.conf"))),
        connections = config.max_connections,
    );
    if config.durability == Durability::None {
        text.push_str(
            "# A database of tests, which nobody misses. Commits still wait for the write (not the flush), so that\n\
             # a killed server keeps what it acknowledged.\n\
             fsync = off\nfull_page_writes = off\n",
        );
    }
    text
}

/// The lines at the end of `postgresql.conf` that bring our files in.
pub(crate) fn include(layout: &Layout, account: &Account) -> Result<(), PostgresError> {
    let path = layout.data.join("postgresql.conf");
    let lines = format!(
        "include = {}\ninclude_if_exists = {}\n",
        quoted(&layout.home.join("muster.conf")),
        quoted(&layout.home.join("local.conf"))
    );
    let data = folder(&layout.data)?;
    let text = read(&data, &path)?;
    if text.ends_with(&lines) {
        return Ok(());
    }
    // The paths are absolute, so lines of a directory that was moved are replaced.
    let mut kept: String =
        text.lines().filter(|line| !is_ours(line)).fold(String::new(), |mut kept, line| {
            kept.push_str(line);
            kept.push('\n');
            kept
        });
    kept.push_str(&lines);
    replace(&data, &path, &kept, account)
}

fn is_ours(line: &str) -> bool {
    line.starts_with("include") && (line.ends_with("/muster.conf'") || line.ends_with("/local.conf'"))
}

fn admitted(account: &Account) -> String {
    account.admitted().into_iter().fold(String::new(), |mut text, user| {
        // Quoted, because account names may hold characters that mean something in this file.
        writeln!(text, "muster \"{user}\" {ROLE}").expect("writing to a string succeeds");
        text
    })
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\\', "\\\\").replace('\'', "''"))
}

/// A folder of the server's account. What lies in it may have been put there by whoever took over the server, and we may be
/// root: below it nothing is opened by way of a link, or we would read and write whatever the link names.
fn folder(path: &Path) -> Result<OwnedFd, PostgresError> {
    rustix::fs::open(path, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .map_err(Into::into)
        .file("open", path)
}

fn read(folder: &OwnedFd, path: &Path) -> Result<String, PostgresError> {
    // Without waiting: a pipe in the place of the file would hold up the start for ever.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(folder, name(path), flags, Mode::empty()).map_err(Into::into).file("read", path)?;
    let mut text = String::new();
    File::from(file).read_to_string(&mut text).file("read", path)?;
    Ok(text)
}

fn name(path: &Path) -> &std::ffi::OsStr {
    path.file_name().expect("every file of a layout has a name")
}

/// Writes beside and renames, so that a kill leaves the old or the new file.
fn replace(folder: &OwnedFd, path: &Path, text: &str, account: &Account) -> Result<(), PostgresError> {
    let beside = path.with_extension("new");
    match unlinkat(folder, name(&beside), AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(std::io::Error::from(error)).file("remove", &beside),
    }
    // Only as a new file, which is also how no link is followed.
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(folder, name(&beside), flags, Mode::RUSR | Mode::WUSR)
        .map_err(Into::into)
        .file("write", &beside)?;
    let mut file = File::from(file);
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).file("write", &beside)?;
    if account.hand_over {
        // The file that was written, whatever has its name by now.
        fchown(&file, Some(account.uid), Some(account.gid)).file("hand over", &beside)?;
    }
    renameat(folder, name(&beside), folder, name(path)).map_err(Into::into).file("write", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_moved_directory_are_recognised() {
        assert!(is_ours("include = '/old/place/postgres/muster.conf'"));
        assert!(is_ours("include_if_exists = '/old/place/postgres/local.conf'"));
        assert!(!is_ours("#include_dir = '...'"));
        assert!(!is_ours("include = '/etc/other.conf'"));
    }

    #[test]
    fn links_in_a_folder_of_the_server_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "of root").unwrap();
        let home = dir.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let path = home.join("muster.conf");
        std::os::unix::fs::symlink(&secret, home.join("muster.new")).unwrap();
        std::os::unix::fs::symlink(&secret, &path).unwrap();
        let account = Account { name: "x".into(), uid: 1, gid: 1, hand_over: false };
        let opened = folder(&home).unwrap();
        assert!(read(&opened, &path).is_err());
        replace(&opened, &path, "settings", &account).unwrap();
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), "of root");
        assert_eq!(read(&opened, &path).unwrap(), "settings");
        std::os::unix::fs::symlink(&home, dir.path().join("swapped")).unwrap();
        assert!(folder(&dir.path().join("swapped")).is_err());
    }

    #[test]
    fn quotes_in_paths_are_doubled() {
        assert_eq!(quoted(Path::new("/it's")), "'/it''s'");
    }
}
