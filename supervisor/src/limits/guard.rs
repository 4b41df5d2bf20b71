//! Watches over the limits of one process, from its launcher to its end.

use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use muster_planning::supervision::{Exit, OutOfMemory};
use muster_supervisor_protocol::{AppSpec, Limits};
use tokio::net::UnixStream;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::decide::{Held, describe};
use super::launcher::LAUNCHER_NAME;
use super::wire::Answer;
use super::{Enclosure, kernel_log, memory};
use crate::process::tree;

/// How often memory is looked at that the kernel does not limit.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// How often one looks whether the kernel ended a child.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// How often one looks whether a launcher has become the application, when its answer cannot be heard.
const LAUNCHED_EVERY: Duration = Duration::from_millis(50);
/// A process that ends within this time after the kernel ended something in its group was itself what was ended.
const SAME_EVENT: Duration = Duration::from_secs(2);

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// What enforces the limits, once that is known.
pub(crate) type LimitsBy = Arc<OnceLock<String>>;

/// What is to be told or done while the process runs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The kernel ended something the process had started.
    ChildOutOfMemory(String),
    /// It uses more memory than it may, and must be killed.
    AboveLimit,
}

/// How it was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The program never ran.
    NotStarted(String),
    /// It ended.
    Exited(Exit),
}

#[derive(Debug)]
pub(crate) struct Guard {
    pid: u32,
    start_ticks: u64,
    limits: Limits,
    treekill: bool,
    /// Above it the limit of a user is not ours.
    pids_of_user: Option<u64>,
    answers: Option<UnixStream>,
    heard: Vec<u8>,
    failure: Option<String>,
    enclosure: Option<Enclosure>,
    held: Held,
    by: LimitsBy,
    look: Option<Interval>,
    settled: bool,
    oom_kills: u64,
    oom_seen_at: Option<Instant>,
    above: Option<u64>,
}

impl Guard {
    /// Of a process that was just started, by way of a launcher when there is one that answers.
    pub(crate) fn started(
        spec: &AppSpec,
        pid: u32,
        start_ticks: u64,
        launcher: Option<StdUnixStream>,
    ) -> Self {
        let mut guard = Self::new(spec, pid, start_ticks);
        guard.answers = launcher.and_then(|stream| {
            stream
                .set_nonblocking(true)
                .and_then(|()| UnixStream::from_std(stream))
                .inspect_err(|error| tracing::warn!(pid, %error, "the answers of a launcher cannot be heard"))
                .ok()
        });
        if guard.answers.is_none() {
            guard.settle_when_launched();
        }
        guard
    }

    /// Of a process that an earlier supervisor started.
    pub(crate) fn attached(spec: &AppSpec, pid: u32, start_ticks: u64) -> Self {
        let mut guard = Self::new(spec, pid, start_ticks);
        guard.settle_when_launched();
        guard
    }

    fn new(spec: &AppSpec, pid: u32, start_ticks: u64) -> Self {
        let pids_of_user = spec.user.as_ref().and(spec.limits.pids);
        Self {
            pid,
            start_ticks,
            limits: spec.limits.clone(),
            treekill: spec.treekill,
            pids_of_user: pids_of_user.map(|pids| u64::from(pids) * u64::from(spec.instances) * 2),
            answers: None,
            heard: Vec::new(),
            failure: None,
            enclosure: None,
            held: Held::default(),
            by: LimitsBy::default(),
            look: None,
            settled: false,
            oom_kills: 0,
            oom_seen_at: None,
            above: None,
        }
    }

    /// What enforces the limits.
    pub(crate) fn by(&self) -> LimitsBy {
        Arc::clone(&self.by)
    }

    /// Waits for something to tell or do. Cancel-safe; without limits it waits for ever.
    pub(crate) async fn next(&mut self) -> Notice {
        loop {
            tokio::select! {
                () = readable(self.answers.as_ref()) => self.hear(),
                () = tick(&mut self.look) => if let Some(notice) = self.look() {
                    return notice;
                },
            }
        }
    }

    /// Kills everything that is or was a part of the process, whatever group or parent it has now.
    pub(crate) fn kill(&self) {
        if !self.treekill {
            return;
        }
        match &self.enclosure {
            Some(enclosure) => enclosure.kill(),
            // Perhaps it is just being put there.
            None if !self.limits.is_empty() => {
                if let Some(enclosure) = Enclosure::of(self.pid) {
                    enclosure.kill();
                }
            }
            None => {}
        }
    }

    /// What an exit means. `killed`: we did it. To be called at once: a scope is soon gone.
    pub(crate) fn ended(&mut self, exit: Exit, killed: bool) -> (Ended, Option<Notice>) {
        let seen_before = self.oom_seen_at.is_some_and(|at| at.elapsed() < SAME_EVENT);
        let child = self.count_oom_kills();
        self.hear();
        if let Some(reason) = self.failure.take() {
            return (Ended::NotStarted(reason), None);
        }
        if let (Some(used_bytes), Some(limit_bytes)) = (self.above, self.limits.memory_bytes) {
            return (Ended::Exited(Exit::OutOfMemory(OutOfMemory::Polled { used_bytes, limit_bytes })), None);
        }
        let by_signal = match exit {
            Exit::Signal(SIGKILL) | Exit::Unknown { .. } => true,
            // systemd before 253 ends the whole scope when the kernel ended something in it.
            Exit::Signal(SIGTERM) => self.enclosure.as_ref().is_some_and(|group| group.unit().is_some()),
            Exit::Signal(_) | Exit::Code(_) | Exit::OutOfMemory(_) => false,
        };
        let limit_bytes = self.limits.memory_bytes.filter(|_| self.held.memory.is_some());
        let out_of_memory = !killed
            && ((by_signal && (child || seen_before))
                || (exit == Exit::Signal(SIGKILL) && self.in_kernel_log()));
        if out_of_memory {
            return (Ended::Exited(Exit::OutOfMemory(OutOfMemory::Kernel { limit_bytes })), None);
        }
        (Ended::Exited(exit), child.then(|| self.child_out_of_memory()))
    }

    /// Ends what is left, and removes the group.
    pub(crate) fn clear(&mut self) {
        let Some(enclosure) = self.enclosure.take() else { return };
        if self.treekill {
            enclosure.kill();
        }
        enclosure.remove();
    }

    fn hear(&mut self) {
        let Some(stream) = &self.answers else { return };
        let mut part = [0; 1_024];
        let mut closed = false;
        loop {
            match stream.try_read(&mut part) {
                // It executed the program, or has ended.
                Ok(0) => {
                    closed = true;
                    break;
                }
                Ok(length) => self.heard.extend_from_slice(&part[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::warn!(pid = self.pid, %error, "a launcher was not understood");
                    closed = true;
                    break;
                }
            }
        }
        let whole = self.heard.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = self.heard.drain(..whole).collect();
        for answer in serde_json::Deserializer::from_slice(&lines).into_iter::<Answer>() {
            match answer {
                Ok(Answer::Entered { notes }) => {
                    for note in &notes {
                        tracing::warn!(pid = self.pid, note, "a limit cannot be enforced as wanted");
                    }
                    self.settle(&notes);
                }
                Ok(Answer::Failed { reason }) => self.failure = Some(reason),
                Err(error) => tracing::warn!(pid = self.pid, %error, "a launcher was not understood"),
            }
        }
        if closed {
            self.answers = None;
            if !self.settled {
                self.settle(&[]);
            }
        }
    }

    fn settle_when_launched(&mut self) {
        if self.limits.is_empty() {
            self.settled = true;
        } else if launching(self.pid) {
            self.look = Some(every(LAUNCHED_EVERY));
        } else {
            self.settle(&[]);
        }
    }

    /// Finds out what the kernel holds.
    fn settle(&mut self, notes: &[String]) {
        self.settled = true;
        if self.limits.is_empty() {
            return;
        }
        self.enclosure = Enclosure::of(self.pid);
        self.held = self.enclosure.as_ref().map(|group| group.held(&self.limits)).unwrap_or_default();
        self.held.pids_of_user = self.held.pids.is_none()
            && self.pids_of_user.is_some_and(|limit| user_limit(self.pid).is_some_and(|set| set <= limit));
        // What an earlier supervisor saw was told by it; what ended the process itself is still to be told.
        if self.answers.is_none() && tree::runs(self.pid, self.start_ticks) {
            self.oom_kills = self.enclosure.as_ref().and_then(Enclosure::oom_kills).unwrap_or(0);
        }
        self.look = match (self.limits.memory_bytes, self.held.memory) {
            (None, _) => None,
            (Some(_), None) => Some(every(POLL_EVERY)),
            (Some(_), Some(_)) => Some(every(COUNT_EVERY)),
        };
        let mut by = describe(&self.limits, &self.held);
        if !notes.is_empty() {
            by = format!("{by} ({})", notes.join("; "));
        }
        // It is said once per process.
        drop(self.by.set(by));
    }

    fn look(&mut self) -> Option<Notice> {
        if !self.settled {
            self.settle_when_launched();
            return None;
        }
        if self.held.memory.is_none() {
            let limit = self.limits.memory_bytes?;
            self.above = memory::above(limit, self.pid, self.enclosure.as_ref());
            return self.above.map(|_| Notice::AboveLimit);
        }
        self.count_oom_kills().then(|| self.child_out_of_memory())
    }

    /// Whether there are more than before.
    fn count_oom_kills(&mut self) -> bool {
        let Some(kills) = self.enclosure.as_ref().and_then(Enclosure::oom_kills) else { return false };
        let more = kills > self.oom_kills;
        self.oom_kills = kills;
        if more {
            self.oom_seen_at = Some(Instant::now());
        }
        more
    }

    fn child_out_of_memory(&self) -> Notice {
        let limit_bytes = self.limits.memory_bytes.filter(|_| self.held.memory.is_some());
        let what = OutOfMemory::Kernel { limit_bytes };
        Notice::ChildOutOfMemory(format!("a process it had started {what}"))
    }

    fn in_kernel_log(&self) -> bool {
        let began = self.start_ticks / rustix::param::clock_ticks_per_second().max(1);
        // The two clocks may differ by a suspended machine, never the other way.
        kernel_log::ended_for_memory(self.pid, began.saturating_sub(1))
    }
}

/// Whether the process is still its launcher.
fn launching(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(LAUNCHER_NAME.as_bytes()))
        && tree::stat(pid).is_some_and(|stat| !stat.zombie)
}

/// The hard limit of the number of processes of the user.
fn user_limit(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max processes"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn readable(stream: Option<&UnixStream>) {
    match stream {
        // An error shows when it is read.
        Some(stream) => drop(stream.readable().await),
        None => std::future::pending().await,
    }
}

async fn tick(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}
