//! The server's processes as the operating system shows them: spawn, recognise, signal.
//!
//! A process is ours when it executes `postgres` and its working directory is the cluster folder: the server and each
//! of its children change into it. Process ids from files are never trusted by themselves, because ids are reused.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::account::Account;
use crate::binaries::Installation;
use crate::error::{FileContext, PostgresError};
use crate::layout::Layout;

const PID_FILE: &str = "postmaster.pid";
/// What is shown of a log.
const SHOWN_BYTES: u64 = 4096;
/// For `OpenOptions`: fail rather than follow a link, or wait for the other end of a pipe.
pub(crate) const NO_LINK: i32 =
    rustix::fs::OFlags::NOFOLLOW.union(rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
/// In the pid file: the line that tells how far the start has come.
const STATUS_LINE: usize = 7;
/// Short enough not to be felt in a start of 100 ms.
const POLL: Duration = Duration::from_millis(20);

/// Starts the server. Must be called on a thread that lives as long as the server (see `keeper`).
pub(crate) fn spawn(
    installation: &Installation,
    layout: &Layout,
    account: &Account,
) -> Result<Child, PostgresError> {
    // The folder is the server's, and we may be root: a link in the place of the log would let the server write anywhere.
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(NO_LINK)
        .open(&layout.log_file)
        .file("open", &layout.log_file)?;
    if account.hand_over {
        fchown(&log, Some(account.uid), Some(account.gid)).file("hand over", &layout.log_file)?;
    }
    let stdout = log.try_clone().file("open", &layout.log_file)?;
    let postgres = installation.program("postgres");
    let mut command = match setpriv() {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            // A fast shutdown when we die. Executed after the account has changed, which would clear it.
            command.args(["--pdeathsig", "INT", "--"]).arg(&postgres);
            command
        }
        None => {
            tracing::warn!(
                "`setpriv` (package util-linux) is missing: when this process is killed, the private database \
                 runs on until the next start"
            );
            Command::new(&postgres)
        }
    };
    command
        .arg("-D")
        .arg(&layout.data)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(log)
        // Ctrl-C in a terminal reaches the whole group; the controller needs its database to stop in order.
        .process_group(0);
    account.apply(&mut command);
    command.spawn().map_err(|source| PostgresError::Spawn { program: postgres.display().to_string(), source })
}

fn setpriv() -> Option<PathBuf> {
    ["/usr/bin/setpriv", "/bin/setpriv"].map(PathBuf::from).into_iter().find(|path| path.is_file())
}

/// Whether the server with this process id says that it accepts connections.
pub(crate) fn ready(layout: &Layout, pid: u32) -> bool {
    let Ok(text) = std::fs::read_to_string(layout.data.join(PID_FILE)) else { return false };
    let mut lines = text.lines();
    let same = lines.next().and_then(|line| line.trim().parse().ok()) == Some(pid);
    same && lines.nth(STATUS_LINE - 1).is_some_and(|status| status.trim() == "ready")
}

/// Ends whatever still runs in the cluster folder: the server of a killed controller, or the children of a killed
/// server. Afterwards the folder is free, and lock files that name a reused process id are gone.
pub(crate) fn clear_leftovers(layout: &Layout) -> Result<(), PostgresError> {
    let patience = [
        (Signal::INT, Duration::from_secs(30)),
        (Signal::QUIT, Duration::from_secs(10)),
        (Signal::KILL, Duration::from_secs(5)),
    ];
    for (signal, patience) in patience {
        // The server alone is asked: it ends its children. Children without a server go when they notice that.
        let ours = in_directory(&layout.data);
        if ours.is_empty() {
            break;
        }
        let asked: Vec<Pid> = match server_among(&ours, layout) {
            Some(server) if signal != Signal::KILL => vec![server],
            _ => ours.clone(),
        };
        tracing::info!(pids = ?asked, ?signal, "stopping what a former private database left running");
        for pid in asked {
            // Gone in the meantime is what we want.
            if let Err(error) = kill_process(pid, signal) {
                tracing::debug!(?pid, %error, "cannot signal");
            }
        }
        wait_until(patience, || in_directory(&layout.data).is_empty());
    }
    if let Some(pid) = in_directory(&layout.data).first() {
        return Err(PostgresError::StopTimedOut { pid: pid.as_raw_nonzero().get().unsigned_abs() });
    }
    // Nobody runs here, so these are stale. The server would refuse to start when the id in them is in use by an
    // unrelated process, which is common after a reboot and in containers.
    for stale in [layout.data.join(PID_FILE), layout.socket_dir.join(".s.PGSQL.5432.lock")] {
        match std::fs::remove_file(&stale) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).file("remove", &stale),
        }
    }
    Ok(())
}

fn server_among(ours: &[Pid], layout: &Layout) -> Option<Pid> {
    let text = std::fs::read_to_string(layout.data.join(PID_FILE)).ok()?;
    let pid = Pid::from_raw(text.lines().next()?.trim().parse().ok()?)?;
    ours.contains(&pid).then_some(pid)
}

/// Every server process whose working directory is `dir`.
fn in_directory(dir: &Path) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter(|pid| {
            let link = |name| std::fs::read_link(format!("/proc/{}/{name}", pid.as_raw_nonzero()));
            // After an upgrade of the package the executable reads `postgres (deleted)`.
            let postgres =
                |exe: PathBuf| exe.file_name().is_some_and(|f| f.as_encoded_bytes().starts_with(b"postgres"));
            link("cwd").is_ok_and(|cwd| cwd == dir) && link("exe").is_ok_and(postgres)
        })
        .collect()
}

/// Polls a condition until it holds or the time is over; answers whether it held.
pub(crate) fn wait_until(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    while !condition() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(POLL);
    }
    true
}

/// The end of the server's log, for error messages.
pub(crate) fn log_tail(layout: &Layout) -> String {
    const SHOWN_LINES: usize = 6;
    let text = end_of(&layout.log_file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    crate::cluster::one_line(&lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n"))
}

/// The last bytes of a file, however long it is.
fn end_of(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = OpenOptions::new().read(true).custom_flags(NO_LINK).open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(SHOWN_BYTES)))?;
    let mut end = Vec::new();
    file.take(SHOWN_BYTES).read_to_end(&mut end)?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_read_and_a_link_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (log, link) = (dir.path().join("server.log"), dir.path().join("link"));
        std::fs::write(&log, format!("{}the end", "x".repeat(10_000))).unwrap();
        assert!(end_of(&log).unwrap().ends_with(b"the end"));
        std::os::unix::fs::symlink(&log, &link).unwrap();
        assert!(end_of(&link).is_err());
    }
}
