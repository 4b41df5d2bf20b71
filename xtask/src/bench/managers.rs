//! The two that are compared, both driven by the same commands of pm2.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::processes;
use crate::shell::{Program, note, step};
use crate::{node, repo};

/// The release of pm2 that is compared with.
const PM2: &str = "pm2@7";

/// One process manager with a home of its own.
pub(super) struct Manager {
    pub(super) name: &'static str,
    program: PathBuf,
    leading: Vec<PathBuf>,
    home: PathBuf,
    /// The folder of the `node` that runs the applications (and pm2 itself).
    node_dir: PathBuf,
}

impl Manager {
    /// Ours: the release build, as a link called `pm2` would call it.
    pub(super) fn ours(dir: &Path, node: &Path) -> Result<Self> {
        let program = repo::target().join("release/muster-pm2");
        Self::new("ours", program, Vec::new(), dir, node)
    }

    /// The peer, from npm, run by the same Node.js as its applications: its cluster mode knows no other.
    pub(super) fn pm2(dir: &Path, node: &Path) -> Result<Self> {
        let prefix = repo::target().join("bench/pm2");
        let script = prefix.join("node_modules/pm2/bin/pm2");
        if !script.is_file() {
            step(&format!("fetching {PM2}"));
            std::fs::create_dir_all(&prefix)
                .with_context(|| format!("cannot create {}", prefix.display()))?;
            Program::new("npm")
                .args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
                .arg(&prefix)
                .arg(PM2)
                .run()?;
        }
        Self::new("pm2", node.to_owned(), vec![script], dir, node)
    }

    fn new(
        name: &'static str,
        program: PathBuf,
        leading: Vec<PathBuf>,
        dir: &Path,
        node: &Path,
    ) -> Result<Self> {
        let home = dir.join(format!("home-{name}"));
        std::fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
        let node_dir = node.parent().context("node lies in no folder")?.to_owned();
        Ok(Self { name, program, leading, home, node_dir })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        let path = format!("{}:{}", self.node_dir.display(), std::env::var("PATH").unwrap_or_default());
        command
            .args(&self.leading)
            .args(args)
            .env("PM2_HOME", &self.home)
            .env("PATH", path)
            .env("PM2_NO_INTERACTION", "true")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command of pm2; fails when it does.
    pub(super) fn run(&self, args: &[&str]) -> Result<String> {
        self.run_with(&[], args)
    }

    /// The same with further variables in the environment, which applications inherit.
    pub(super) fn run_with(&self, env: &[(&str, &Path)], args: &[&str]) -> Result<String> {
        let output = self
            .command(args)
            .envs(env.iter().copied())
            .output()
            .with_context(|| format!("cannot start {}", self.name))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`{} {}` failed ({}): {text}{said}", self.name, args.join(" "), output.status);
        }
        Ok(text)
    }

    /// The same, and how long it took.
    pub(super) fn timed(&self, args: &[&str]) -> Result<Duration> {
        let begun = Instant::now();
        self.run(args)?;
        Ok(begun.elapsed())
    }

    /// What `jlist` answers.
    pub(super) fn list(&self) -> Result<Vec<Value>> {
        let text = self.run(&["jlist"])?;
        // pm2 may print notices before it.
        let line = text.lines().rev().find(|line| line.starts_with('[')).unwrap_or_default();
        serde_json::from_str(line).with_context(|| format!("{} jlist printed no JSON: {text}", self.name))
    }

    /// Waits until so many processes are `online`.
    pub(super) fn online(&self, count: usize) -> Result<()> {
        let online = |process: &Value| process["pm2_env"]["status"] == "online" && process["pid"] != 0;
        until(&format!("{count} processes of {} are online", self.name), || {
            Ok(self.list()?.iter().filter(|process| online(process)).count() >= count)
        })
    }

    /// The process ids of all that has to run besides the applications.
    pub(super) fn daemons(&self) -> Result<Vec<u32>> {
        let path = self.home.join("pm2.pid");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let pid: u32 = text.trim().parse().with_context(|| format!("{} holds no number", path.display()))?;
        let mut pids = vec![pid];
        // Ours keeps a second one; pm2's only child processes are applications.
        let keeper = processes::processes_of(&self.home.join("muster"))
            .into_iter()
            .filter(|process| process.pid != pid && process.command.contains("muster-keeper"));
        pids.extend(keeper.map(|process| process.pid));
        Ok(pids)
    }

    /// Their resident memory in MB.
    pub(super) fn resident_mb(&self) -> Result<f64> {
        let mut kib = 0;
        for pid in self.daemons()? {
            kib += processes::resident_kib(pid).with_context(|| format!("process {pid} has gone"))?;
        }
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let mb = kib as f64 / 1024.0;
        Ok(mb)
    }

    /// Removes every application.
    pub(super) fn clear(&self) -> Result<()> {
        self.run(&["delete", "all"]).map(|_| ())
    }

    /// Where it writes logs.
    pub(super) fn logs(&self) -> PathBuf {
        self.home.join("logs")
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        if let Err(error) = self.run(&["kill"]) {
            note(&format!("{} may still run: {error:#}", self.name));
        }
    }
}

/// Polls a condition for a minute.
pub(super) fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if holds()? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("gave up after a minute: {what}")
}

/// The Node.js of a major version.
pub(super) fn node_of(major: u32) -> Result<PathBuf> {
    Ok(node::tested()?.join(major.to_string()).join("bin/node"))
}
