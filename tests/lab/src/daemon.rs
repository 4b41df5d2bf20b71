//! A program on the machine that belongs to a lab: a controller that its hosts talk to. It is in a control group of the
//! lab, so that it and what it started end with the lab, however that ends.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::place::Slot;
use crate::wait::wait_for;
use crate::{cgroups, place};

/// Where a host would have its name. No host can have this one.
pub(crate) const GROUP: &str = "@machine";
/// How long one may take to stop when it is asked to.
const STOP_BOUND: Duration = Duration::from_secs(30);
/// The same when the lab is removed and nobody waits for what it writes.
const REMOVAL_BOUND: Duration = Duration::from_secs(10);
/// How much of its log is quoted.
const QUOTED_LINES: usize = 12;

/// A running program. It is killed when the value is dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    shown: String,
    log: PathBuf,
}

impl Daemon {
    /// Starts a program; what it says goes to the end of the log.
    pub(crate) fn start<I>(slot: Slot, program: &Path, args: I, log: &Path) -> Result<Self>
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        let group = cgroups::of_machine(slot, GROUP)?;
        let said = File::options().create(true).append(true).open(log);
        let said = said.with_context(|| format!("cannot open {}", log.display()))?;
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(group.join("cgroup.procs")).arg(program);
        command.args(args).env("NO_COLOR", "1").stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        // An interrupted test ends it in its order.
        let child = command.process_group(0).spawn();
        let child = child.with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child, shown: program.display().to_string(), log: log.to_owned() })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails when it has ended, with the end of its log.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended ({status}): {}", self.shown, self.last_words());
        }
        Ok(())
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(QUOTED_LINES)..].join("\n")
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(mut self) -> Result<()> {
        terminate(self.child.id())?;
        wait_for(&format!("{} to stop", self.shown), STOP_BOUND, || Ok(self.child.try_wait()?.map(drop)))
    }

    /// Ends it without a chance to react.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended, which is what is wanted.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn terminate(pid: u32) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("a process has an id")?;
    match kill_process(pid, Signal::TERM) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).context("cannot signal a process"),
    }
}

/// Ends the programs of a lab. Those that were started from here are asked first: a database that is killed leaves
/// shared memory behind.
pub(crate) fn end_all(slot: Slot) -> Result<()> {
    let Some(group) = cgroups::existing(slot, GROUP) else { return Ok(()) };
    let listed = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let pids: Vec<u32> = listed.lines().filter_map(|line| line.parse().ok()).collect();
    for pid in pids.iter().filter(|pid| !parent(**pid).is_some_and(|parent| pids.contains(&parent))) {
        terminate(*pid)?;
    }
    // What does not stop is killed with the rest of the lab.
    wait_for("programs of the lab to stop", REMOVAL_BOUND, || {
        Ok(place::read_text(&group.join("cgroup.events"))?.contains("populated 0").then_some(()))
    })
    .ok();
    Ok(())
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}
