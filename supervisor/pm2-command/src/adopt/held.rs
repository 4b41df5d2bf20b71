//! pm2's daemon, held still for a moment: what it does not accept, our processes do, and what its workers have begun, they
//! end.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tokio::time::Instant;

use super::sockets::{connections, pid_of, queued};

/// How long the daemon may take to hand over what it has accepted.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(1);
/// How long the queue of the socket may take to be empty for a moment.
const QUEUE_LIMIT: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(1);
/// Other applications of the daemon have to wait for new connections as long as it is held.
const END_LIMIT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);

/// A stopped process; goes on when this is dropped, whatever happens.
#[derive(Debug)]
pub(super) struct Held {
    pid: Pid,
}

impl Drop for Held {
    fn drop(&mut self) {
        // It is gone: then nothing has to go on.
        kill_process(self.pid, Signal::CONT).ok();
    }
}

impl Held {
    /// Lets the daemon go on at a moment in which it finds no connection to accept.
    pub(super) fn release(self, daemon: u32, ports: &BTreeSet<u16>) {
        let deadline = std::time::Instant::now() + QUEUE_LIMIT;
        // No timer: the moment is short.
        while queued(daemon, ports) > 0 && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
    }
}

/// A process that can open no further descriptor, so that it accepts nothing, and loses nothing either: what it does not
/// accept stays in the queue of the socket, which is ours as well. It may again when this is dropped.
struct Full {
    pid: Pid,
    before: Rlimit,
}

impl Drop for Full {
    fn drop(&mut self) {
        // It is gone: then there is nothing to give back.
        prlimit(Some(self.pid), Resource::Nofile, self.before).ok();
    }
}

impl Full {
    fn make(daemon: u32, pid: Pid) -> Option<Self> {
        let limits = std::fs::read_to_string(format!("/proc/{daemon}/limits")).ok()?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        // `unlimited` is no number, and no limit.
        let maximum = line.split_whitespace().nth(1)?.parse().ok();
        let before = prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(0), maximum }).ok()?;
        Some(Self { pid, before })
    }
}

/// Holds the daemon when it has no accepted connection in its hands: first it accepts none any more, then it hands over
/// what it has.
pub(super) async fn hold(daemon: u32, ports: &BTreeSet<u16>) -> Option<Held> {
    let pid = pid_of(daemon).ok()?;
    let full = Full::make(daemon, pid);
    let deadline = Instant::now() + HAND_OVER_LIMIT;
    while connections(&[daemon], ports) > 0 && Instant::now() < deadline {
        tokio::time::sleep(MOMENT).await;
    }
    kill_process(pid, Signal::STOP).ok()?;
    let held = Held { pid };
    // The signal takes effect when the process next leaves the kernel.
    while !stopped(daemon) {
        tokio::time::sleep(MOMENT).await;
    }
    drop(full);
    Some(held)
}

/// Waits until the workers have answered what they were asked; gives how many connections are left.
pub(super) async fn answered(workers: &[u32], ports: &BTreeSet<u16>) -> usize {
    let deadline = Instant::now() + END_LIMIT;
    loop {
        let left = connections(workers, ports);
        if left == 0 || Instant::now() >= deadline {
            return left;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asks processes to end and, when they do not, ends them.
pub(super) async fn end(workers: &[u32], patience: Duration) {
    let signal = |signal: Signal| {
        for pid in workers.iter().filter_map(|pid| pid_of(*pid).ok()) {
            // It has ended already.
            kill_process(pid, signal).ok();
        }
    };
    signal(Signal::INT);
    let deadline = Instant::now() + patience;
    while workers.iter().any(|pid| runs(*pid)) {
        if Instant::now() >= deadline {
            signal(Signal::KILL);
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The state of a process: `R`, `S`, `T`, `Z`, ...
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Also true for a process that is gone: nothing has to be waited for.
fn stopped(pid: u32) -> bool {
    !matches!(state(pid), Some('R' | 'S' | 'D'))
}

/// One that has ended stays a zombie while its parent is held.
fn runs(pid: u32) -> bool {
    !matches!(state(pid), None | Some('Z' | 'X'))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::process::{Command, Stdio};

    use super::*;

    #[tokio::test]
    async fn a_process_is_held_and_goes_on() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // It answers when all its libraries are open; before, it would end because it can open nothing.
        let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        input.write_all(b"?").unwrap();
        output.read_exact(&mut [0]).unwrap();
        let limits = || std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
        let before = limits();
        let held = hold(child.id(), &BTreeSet::new()).await.unwrap();
        assert_eq!(state(child.id()), Some('T'));
        assert_eq!(limits(), before);
        drop(held);
        while state(child.id()) == Some('T') {
            tokio::time::sleep(MOMENT).await;
        }
        end(&[child.id()], Duration::from_secs(10)).await;
        assert!(!runs(child.id()));
        child.wait().unwrap();
        assert!(hold(child.id(), &BTreeSet::new()).await.is_none());
    }
}
