//! pm2's daemon, held still for a moment: what it does not accept, our processes do, and what its workers have begun, they
//! end.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use super::sockets::{connections, pid_of};

/// Connections that the daemon has accepted are with it for about a millisecond each.
const HOLD_ATTEMPTS: u32 = 400;
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

/// Holds the daemon at a moment in which it has no accepted connection in its hands. Under a load that leaves no such
/// moment it is held anyway.
pub(super) async fn hold(daemon: u32, ports: &BTreeSet<u16>) -> Option<Held> {
    let pid = pid_of(daemon).ok()?;
    for attempt in 1.. {
        kill_process(pid, Signal::STOP).ok()?;
        let held = Held { pid };
        // The signal takes effect when the process next leaves the kernel.
        while !stopped(daemon) {
            tokio::time::sleep(MOMENT / 10).await;
        }
        if attempt == HOLD_ATTEMPTS || connections(&[daemon], ports) == 0 {
            return Some(held);
        }
        drop(held);
        tokio::time::sleep(MOMENT).await;
    }
    None
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
    use super::*;

    #[tokio::test]
    async fn a_process_is_held_and_goes_on() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let held = hold(child.id(), &BTreeSet::new()).await.unwrap();
        assert_eq!(state(child.id()), Some('T'));
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
