//! Where the parts of a private server lie, and who may reach them.
//!
//! ```text
//! <data-dir>/postgres/           owned by the server's account, 0700
//!   data/                        the cluster
//!   run/                         the unix socket
//!   muster.conf local.conf       our settings; an operator's, read last
//!   pg_hba.conf pg_ident.conf    who is admitted
//!   server.log  lock
//! ```

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::error::{FileContext, PostgresError};

/// A unix socket's address holds 107 bytes; the server appends its file name to the folder.
const LONGEST_SOCKET_PATH: usize = 107;
const SOCKET_FILE: &str = "/.s.PGSQL.5432";

/// The paths of one private server.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) home: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) socket_dir: PathBuf,
    pub(crate) log_file: PathBuf,
    pub(crate) lock_file: PathBuf,
}

impl Layout {
    /// Makes the folders (not the cluster) and checks that the server's account can reach them.
    pub(crate) fn prepare(data_dir: &Path, account: &Account) -> Result<Self, PostgresError> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir).file("create", data_dir)?;
        let data_dir = data_dir.canonicalize().file("resolve", data_dir)?;
        if account.hand_over {
            admit(&data_dir, account)?;
        }
        let home = data_dir.join("postgres");
        own_directory(&home, account)?;
        let socket_dir = socket_dir(&home);
        own_directory(&socket_dir, account)?;
        Ok(Self {
            data: home.join("data"),
            log_file: home.join("server.log"),
            lock_file: home.join("lock"),
            socket_dir,
            home,
        })
    }
}

/// Makes a folder that belongs to the server's account alone, or checks that it does.
fn own_directory(dir: &Path, account: &Account) -> Result<(), PostgresError> {
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) if account.hand_over => {
            std::os::unix::fs::lchown(dir, Some(account.uid), Some(account.gid)).file("hand over", dir)?;
        }
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).file("create", dir),
    }
    // Not followed: below a shared folder somebody else could have put a link there.
    let metadata = dir.symlink_metadata().file("inspect", dir)?;
    if !metadata.is_dir() || metadata.uid() != account.uid {
        return Err(PostgresError::ForeignDirectory(dir.to_owned()));
    }
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).file("protect", dir)
}

/// Lets the server's account pass through the data directory, and checks every folder above it.
fn admit(data_dir: &Path, account: &Account) -> Result<(), PostgresError> {
    let metadata = data_dir.metadata().file("inspect", data_dir)?;
    if !may_enter(&metadata, account) && metadata.uid() == 0 {
        // The group may pass, not list. The folder is the controller's own, so this touches nobody else's.
        std::os::unix::fs::chown(data_dir, None, Some(account.gid)).file("hand over", data_dir)?;
        let mode = std::fs::Permissions::from_mode((metadata.mode() & 0o7707) | 0o010);
        std::fs::set_permissions(data_dir, mode).file("protect", data_dir)?;
    }
    for dir in data_dir.ancestors() {
        if !may_enter(&dir.metadata().file("inspect", dir)?, account) {
            return Err(PostgresError::Unreachable { account: account.name.clone(), dir: dir.to_owned() });
        }
    }
    Ok(())
}

fn may_enter(metadata: &std::fs::Metadata, account: &Account) -> bool {
    let bit = if metadata.uid() == account.uid {
        0o100
    } else if metadata.gid() == account.gid {
        0o010
    } else {
        0o001
    };
    metadata.mode() & bit != 0
}

/// `run` below the home, or a short folder for the same home when the path would not fit into a socket address.
fn socket_dir(home: &Path) -> PathBuf {
    let usual = home.join("run");
    if fits(&usual) {
        return usual;
    }
    let name = format!("muster-pg-{:016x}", fnv1a(home.as_os_str().as_bytes()));
    let runtime =
        if rustix::process::geteuid().is_root() { None } else { std::env::var_os("XDG_RUNTIME_DIR") };
    runtime
        .map(|dir| PathBuf::from(dir).join(&name))
        .filter(|dir| dir.parent().is_some_and(Path::is_dir) && fits(dir))
        .unwrap_or_else(|| Path::new("/tmp").join(&name))
}

fn fits(dir: &Path) -> bool {
    dir.as_os_str().len() + SOCKET_FILE.len() <= LONGEST_SOCKET_PATH
}

/// A name that stays the same from start to start; nothing secret hangs on it.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_lies_below_the_home_until_the_path_is_too_long() {
        assert_eq!(
            socket_dir(Path::new("/var/lib/muster/postgres")),
            Path::new("/var/lib/muster/postgres/run")
        );
        let deep = PathBuf::from(format!("/{}/postgres", "d".repeat(120)));
        let short = socket_dir(&deep);
        assert!(fits(&short), "{}", short.display());
        assert_eq!(short, socket_dir(&deep), "the same home finds the same socket again");
    }

    #[test]
    fn longest_socket_path_is_taken_exactly() {
        let fitting = PathBuf::from(format!("/{}", "d".repeat(107 - SOCKET_FILE.len() - 1)));
        assert!(fits(&fitting));
        assert!(!fits(&fitting.with_file_name("d".repeat(107 - SOCKET_FILE.len()))));
    }
}
