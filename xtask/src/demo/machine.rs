//! The processes of a run: started in groups of their own, with logs, killed and stopped by id.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::processes::{self, alive, processes_of};
use crate::shell::{Program, note};

/// A daemon that can be started again with the same command line.
pub(super) struct Daemon {
    name: String,
    program: PathBuf,
    args: Vec<String>,
    path: String,
    log: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    pub(super) fn new(name: &str, program: &Path, args: Vec<String>, path: &str, logs: &Path) -> Self {
        let log = logs.join(format!("{name}.log"));
        Self { name: name.into(), program: program.into(), args, path: path.into(), log, child: None }
    }

    pub(super) fn start(&mut self) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("cannot open {}", self.log.display()))?;
        let child = Command::new(&self.program)
            .args(&self.args)
            .env("PATH", &self.path)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for us: we stop what we started in its order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        self.child = Some(child);
        Ok(())
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Fails when it has ended, with the end of its log.
    pub(super) fn check(&mut self) -> Result<()> {
        let Some(child) = &mut self.child else { bail!("{} is not started", self.name) };
        if let Some(status) = child.try_wait()? {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(8)..].join("\n");
            bail!("{} ended ({status}); the end of {} says:\n{end}", self.name, self.log.display());
        }
        Ok(())
    }

    /// Ends it without a chance to react.
    pub(super) fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().with_context(|| format!("{} does not run", self.name))?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Asks it to stop, waits, and ends it by force when it does not.
    pub(super) fn stop(&mut self, patience: Duration) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        if child.try_wait()?.is_none() {
            Program::new("kill").args(["-TERM", &child.id().to_string()]).read()?;
            let deadline = Instant::now() + patience;
            while child.try_wait()?.is_none() {
                if Instant::now() > deadline {
                    note(&format!("{} did not stop within {} s: killing it", self.name, patience.as_secs()));
                    child.kill()?;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        child.wait()?;
        Ok(())
    }
}

/// Stops whatever of a run is left: supervisors and the applications they own outlive their agents by design.
pub(super) fn sweep(dir: &Path) -> Result<()> {
    for (signal, patience) in [("-TERM", Duration::from_secs(10)), ("-KILL", Duration::from_secs(5))] {
        let left = processes_of(dir);
        if left.is_empty() {
            return Ok(());
        }
        for process in &left {
            // One that ended in the meantime cannot be signalled, which is fine.
            Program::new("kill").args([signal, &process.pid.to_string()]).outcome()?;
        }
        let deadline = Instant::now() + patience;
        while processes_of(dir).iter().any(|process| alive(process.pid)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let left: Vec<processes::Process> =
        processes_of(dir).into_iter().filter(|process| alive(process.pid)).collect();
    if !left.is_empty() {
        bail!("these processes do not stop: {left:?}");
    }
    Ok(())
}

/// A free loopback address, at the wanted port when nobody has it.
pub(super) fn free_address(wanted: u16) -> Result<SocketAddr> {
    let bind = |port| TcpListener::bind(("127.0.0.1", port));
    let listener = bind(wanted).or_else(|_| bind(0)).context("there is no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?)
}
