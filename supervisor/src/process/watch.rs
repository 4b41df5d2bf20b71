//! The end of a process, whether or not it is our child.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use muster_planning::supervision::Exit;
use rustix::io::Errno;
use rustix::process::{PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::tree;

/// How often a process is looked at where the kernel cannot tell of its end (before Linux 5.3).
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Watches one process.
#[derive(Debug)]
pub(crate) struct Watch {
    pid: u32,
    start_ticks: u64,
    pidfd: Option<AsyncFd<OwnedFd>>,
    /// It had ended before we looked.
    found_dead: bool,
}

impl Watch {
    /// Of a process that runs.
    pub(crate) fn started(pid: u32) -> Self {
        Self::again(pid, tree::stat(pid).map_or(0, |stat| stat.start_ticks))
    }

    /// Of a process that an earlier supervisor (or we, before an upgrade) started. Its start time tells it from a
    /// stranger that got its number.
    pub(crate) fn again(pid: u32, start_ticks: u64) -> Self {
        let is_it = || tree::stat(pid).is_some_and(|stat| stat.start_ticks == start_ticks);
        let pidfd = tree::to_pid(pid)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
            // What the descriptor means is certain only when the number still means the same afterwards.
            .filter(|_| is_it())
            .and_then(follow);
        Self { pid, start_ticks, pidfd, found_dead: !tree::runs(pid, start_ticks) }
    }

    /// Start time of the process.
    pub(crate) fn start_ticks(&self) -> u64 {
        self.start_ticks
    }

    /// Waits for the end; to be called until it has answered once. Cancel-safe.
    pub(crate) async fn ended(&self) -> Exit {
        loop {
            if let Some(exit) = self.look() {
                return exit;
            }
            match &self.pidfd {
                Some(pidfd) => match pidfd.readable().await {
                    Ok(mut guard) => guard.clear_ready(),
                    Err(_) => tokio::time::sleep(LOOK_EVERY).await,
                },
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    fn look(&self) -> Option<Exit> {
        loop {
            let id = match &self.pidfd {
                Some(pidfd) => WaitId::PidFd(pidfd.get_ref().as_fd()),
                None => WaitId::Pid(tree::to_pid(self.pid)?),
            };
            return match waitid(id, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
                Ok(Some(status)) => Some(match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Exit::Code(code),
                    (None, signal) => Exit::Signal(signal.unwrap_or(0)),
                }),
                Ok(None) => None,
                Err(Errno::INTR) => continue,
                // Not our child: its end is all we can see.
                Err(_) if tree::runs(self.pid, self.start_ticks) => None,
                Err(_) => Some(Exit::Unknown { watched: !self.found_dead }),
            };
        }
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe, for the sake of types whose descriptor can change; that of an `OwnedFd` cannot"
)]
fn follow(pidfd: OwnedFd) -> Option<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(pidfd, Interest::READABLE).ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn a_child_tells_how_it_ended() {
        for (script, exit) in [("exit 7", Exit::Code(7)), ("kill -9 $$", Exit::Signal(9))] {
            let mut child = Command::new("sh").args(["-c", script]).spawn().unwrap();
            assert_eq!(Watch::started(child.id()).ended().await, exit);
            child.wait().unwrap_err();
        }
    }

    #[tokio::test]
    async fn of_a_process_that_is_not_ours_only_the_end_is_known() {
        // The shell prints the pid of a process that it leaves to the system.
        let output = Command::new("sh").args(["-c", "sleep 60 >/dev/null 2>&1 & echo $!"]).output().unwrap();
        let pid: u32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        let watch = Watch::started(pid);
        assert!(watch.look().is_none(), "it runs");
        tree::signal_one(pid, 9);
        assert_eq!(watch.ended().await, Exit::Unknown { watched: true });
        let late = Watch::again(pid, watch.start_ticks());
        assert_eq!(late.ended().await, Exit::Unknown { watched: false });
    }

    #[tokio::test]
    async fn a_stranger_with_the_same_number_is_not_taken_for_it() {
        let watch = Watch::again(std::process::id(), 1);
        assert_eq!(watch.ended().await, Exit::Unknown { watched: false });
    }
}
