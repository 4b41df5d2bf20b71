//! One supervisor takes the place of another: the upgrade in place, and what both have to agree on.
//!
//! For an upgrade everything is parked with the keeper, and the process executes the new binary: it stays the same
//! process and so the parent of the applications. The lock and the listening socket of the supervisor itself go
//! through a socket that is standard input across the execution, so that nobody else can step in and no client is
//! refused.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

/// Format of everything the keeper holds and of how it is spoken to. To be raised when a supervisor could no longer
/// go on with what this one parked.
pub const STATE_FORMAT: u32 = 2;

/// How long the new binary may take to say whether it can take over.
const CHECK_LIMIT: Duration = Duration::from_secs(10);
/// Goes with the descriptors.
const GREETING: &[u8] = b"muster";

/// Whether this binary can go on with what a supervisor of that format parked: the answer of
/// `muster-supervisor check-takeover`.
pub fn check_takeover(format: u32) -> Result<(), String> {
    if format == STATE_FORMAT {
        return Ok(());
    }
    Err(format!(
        "muster-supervisor {} takes over state of format {STATE_FORMAT}, not {format}; restart the supervisor instead, \
         or upgrade by way of a version that knows both",
        env!("CARGO_PKG_VERSION")
    ))
}

/// The binary an upgrade executes unless another is named: the path we were started by (a link is followed anew), or
/// else the file we were started from.
pub(crate) fn own_binary() -> io::Result<PathBuf> {
    match std::env::args_os().next().map(PathBuf::from) {
        Some(path) if path.is_absolute() => Ok(path),
        _ => std::env::current_exe(),
    }
}

/// Asks a binary whether it can take over.
pub(crate) async fn ask(binary: &Path) -> Result<(), String> {
    let name = binary.display();
    if !binary.is_absolute() {
        return Err(format!("{name} is not an absolute path"));
    }
    let asked = tokio::process::Command::new(binary)
        .args(["check-takeover", "--format", &STATE_FORMAT.to_string()])
        .current_dir("/")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(CHECK_LIMIT, asked).await {
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("nothing");
            Err(format!("{name} cannot take over ({}); it said: {said}", output.status))
        }
        Ok(Err(error)) => Err(format!("{name} cannot be executed: {error}")),
        Err(_) => {
            Err(format!("{name} did not say within {} s whether it can take over", CHECK_LIMIT.as_secs()))
        }
    }
}

/// Executes the binary in place of this process. Only comes back when that failed, with the reason.
pub(crate) fn execute(binary: &Path, state_dir: &Path, lock: &File, listener: &UnixListener) -> String {
    let failed = match pass_on(lock, listener) {
        Ok(()) => {
            Command::new(binary).arg0(binary).args(["run", "--resume", "--state-dir"]).arg(state_dir).exec()
        }
        Err(error) => error,
    };
    if let Err(error) = close_stdin() {
        tracing::warn!(%error, "standard input stays open");
    }
    format!("{} cannot be executed: {failed}", binary.display())
}

/// Puts the descriptors into a socket that is standard input from now on.
fn pass_on(lock: &File, listener: &UnixListener) -> io::Result<()> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [lock.as_fd(), listener.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    rustix::net::sendmsg(&ours, &[IoSlice::new(GREETING)], &mut control, SendFlags::NOSIGNAL)?;
    rustix::stdio::dup2_stdin(&theirs)?;
    Ok(())
}

/// Takes what the process had before it executed this binary.
pub(crate) fn receive() -> io::Result<(File, UnixListener)> {
    let stream = io::stdin().as_fd().try_clone_to_owned()?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut greeting = [0; GREETING.len()];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    rustix::net::recvmsg(&stream, &mut [IoSliceMut::new(&mut greeting)], &mut control, flags)?;
    let descriptors: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    close_stdin()?;
    match <[OwnedFd; 2]>::try_from(descriptors) {
        Ok([lock, listener]) if greeting == GREETING => Ok((File::from(lock), UnixListener::from(listener))),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "standard input did not bring what it should")),
    }
}

fn close_stdin() -> io::Result<()> {
    let nothing = File::open("/dev/null")?;
    Ok(rustix::stdio::dup2_stdin(&nothing)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_format_can_be_taken_over() {
        check_takeover(STATE_FORMAT).unwrap();
        let refused = check_takeover(STATE_FORMAT + 1).unwrap_err();
        assert!(refused.contains(&format!("not {}", STATE_FORMAT + 1)), "{refused}");
    }
}
