//! `cargo xtask demo --once`: every promise under a constant load of requests, each with a figure.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::load::{Load, Target};
use super::report::{self, Row};
use super::stage::{APPLICATION, ENVIRONMENT, Stage};
use super::{Options, dashboard, foreign};
use crate::processes;
use crate::shell::step;

/// How long something stays dead: longer than one missed beat, shorter than anybody's patience.
const OUTAGE: Duration = Duration::from_secs(4);
/// How long the load runs on after a step, so that what breaks late is seen too.
const AFTERMATH: Duration = Duration::from_secs(2);
const CONVERGE_BOUND: Duration = Duration::from_secs(60);

struct Proof<'a> {
    stage: &'a mut Stage,
    load: Load,
    rows: Vec<Row>,
}

pub(super) fn run(stage: &mut Stage, options: &Options) -> Result<()> {
    let targets = stage.targets().into_iter();
    let targets: Vec<Target> = targets
        .map(|address| Target { address, path: "/".to_owned(), slow_path: Some("/slow".to_owned()) })
        .collect();
    let load = Load::start(&targets);
    let mut proof = Proof { stage, load, rows: Vec::new() };
    proof.under_load("deploy version 2", deploy_good)?;
    proof.under_load("deploy version 3, which is broken", deploy_broken)?;
    proof.under_load("kill -9 and restart of the controller", controller_killed)?;
    proof.under_load("kill -9 and restart of an agent", agent_killed)?;
    proof.under_load("kill -9 of a supervisor", supervisor_killed)?;
    proof.under_load("apply with one file changed", one_file_changed)?;
    proof.under_load("roll back to version 1", roll_back)?;
    proof.load.stop();
    proof.whole_load();
    proof.memory();
    if options.browser {
        proof.rows.push(dashboard::row(proof.stage));
    }
    if options.foreign {
        proof.rows.extend(foreign::rows(proof.stage)?);
    }
    println!("\n{}", report::table(&proof.rows));
    for error in proof.load.errors() {
        println!("  failed request: {error}");
    }
    let failed: Vec<&str> = proof.rows.iter().filter(|row| !row.held).map(|row| row.step.as_str()).collect();
    if !failed.is_empty() {
        bail!("did not hold: {}", failed.join("; "));
    }
    Ok(())
}

impl Proof<'_> {
    /// Runs a step while the load goes on; it holds when the step succeeds and no request failed meanwhile. Only an
    /// interruption ends the proof early: one failure must not hide another.
    fn under_load(&mut self, name: &str, action: fn(&mut Stage) -> Result<String>) -> Result<()> {
        step(name);
        self.stage.interrupted.check()?;
        let before = self.load.counts();
        let outcome = action(self.stage);
        std::thread::sleep(AFTERMATH);
        let during = self.load.counts().since(&before);
        let requests = format!("{} requests, {} failed", during.requests, during.failed);
        let (held, figure) = match outcome {
            Ok(figure) => (during.failed == 0 && during.requests > 0, format!("{requests}; {figure}")),
            Err(error) => (false, format!("{requests}; {error:#}")),
        };
        self.rows.push(Row { step: name.to_owned(), held, figure });
        Ok(())
    }

    fn whole_load(&mut self) {
        let counts = self.load.counts();
        let versions: Vec<String> = self
            .load
            .versions()
            .into_iter()
            .map(|(version, count)| format!("{count} by version {version}"))
            .collect();
        let figure = format!(
            "{} requests at {}/s, {} failed, {} sent again on a new connection, slowest {} ms; answered: {}",
            counts.requests,
            self.load.requests_per_second(),
            counts.failed,
            counts.reopened,
            self.load.slowest().as_millis(),
            versions.join(", ")
        );
        self.rows.push(Row { step: "the load as a whole".to_owned(), held: counts.failed == 0, figure });
    }

    fn memory(&mut self) {
        let mut figures = Vec::new();
        let mut add = |name: String, pid: Option<u32>| {
            let shown =
                pid.and_then(processes::resident_kib).map_or_else(|| "unknown".to_owned(), processes::shown);
            figures.push(format!("{name} {shown}"));
        };
        add("controller".to_owned(), self.stage.controller.pid());
        for host in &self.stage.hosts {
            add(format!("agent of {}", host.name), host.agent.pid());
        }
        for process in processes::processes_of(&self.stage.dir) {
            let program = process.command.split(' ').next().unwrap_or_default();
            if program.ends_with("muster-keeper") {
                add("keeper".to_owned(), Some(process.pid));
            } else if program.ends_with("/muster-supervisor") {
                let owner = self
                    .stage
                    .hosts
                    .iter()
                    .find(|host| process.command.contains(host.state_dir.to_string_lossy().as_ref()));
                add(format!("supervisor of {}", owner.map_or("?", |host| host.name)), Some(process.pid));
            }
        }
        self.rows.push(Row { step: "memory (resident)".to_owned(), held: true, figure: figures.join(", ") });
    }
}

fn deploy_good(stage: &mut Stage) -> Result<String> {
    let begun = Instant::now();
    stage.deploy("2")?;
    let took = begun.elapsed();
    stage.expect_version("2")?;
    Ok(format!("both nodes serve 2 after {}", seconds(took)))
}

fn deploy_broken(stage: &mut Stage) -> Result<String> {
    let begun = Instant::now();
    let outcome = stage.try_deploy(APPLICATION, "3")?;
    let took = begun.elapsed();
    if outcome.code != 1 {
        bail!("`muster deploy --wait` ended with {} instead of 1: {}", outcome.code, outcome.last_word());
    }
    stage.expect_version("2")?;
    Ok(format!("exit code 1 after {}, both nodes serve 2", seconds(took)))
}

fn controller_killed(stage: &mut Stage) -> Result<String> {
    let before = stage.beats()?;
    stage.controller.kill()?;
    std::thread::sleep(OUTAGE);
    stage.expect_version("2").context("while the controller was away")?;
    let begun = Instant::now();
    stage.start_controller()?;
    let started = begun.elapsed();
    stage.await_nodes_after(&before)?;
    Ok(format!("serves again after {}, all nodes back after {}", seconds(started), seconds(begun.elapsed())))
}

fn agent_killed(stage: &mut Stage) -> Result<String> {
    let mut beats = stage.beats()?;
    let host =
        stage.hosts.iter_mut().find(|host| host.application.is_some()).context("no application server")?;
    let before = applications_of(&host.state_dir);
    host.agent.kill()?;
    std::thread::sleep(OUTAGE);
    host.agent.start()?;
    let begun = Instant::now();
    let state_dir = host.state_dir.clone();
    let name = host.name;
    beats.retain(|node, _| node == name);
    stage.await_nodes_after(&beats)?;
    let back = begun.elapsed();
    let after = applications_of(&state_dir);
    if before.is_empty() || before != after {
        bail!("the application's processes changed from {before:?} to {after:?}");
    }
    Ok(format!("the same {} processes, re-attached after {}", after.len(), seconds(back)))
}

fn supervisor_killed(stage: &mut Stage) -> Result<String> {
    let host = stage.hosts.iter().find(|host| host.application.is_some()).context("no application server")?;
    let before = applications_of(&host.state_dir);
    let supervisor = supervisor_of(&host.state_dir).context("no supervisor")?;
    let status = std::process::Command::new("kill").args(["-9", &supervisor.to_string()]).status()?;
    if !status.success() {
        bail!("the supervisor, process {supervisor}, could not be killed");
    }
    let begun = Instant::now();
    stage.interrupted.wait("there is a new supervisor", CONVERGE_BOUND, || {
        supervisor_of(&host.state_dir).filter(|pid| *pid != supervisor).context("there is none")
    })?;
    let back = begun.elapsed();
    let after = applications_of(&host.state_dir);
    if before.is_empty() || before != after {
        bail!("the application's processes changed from {before:?} to {after:?}");
    }
    Ok(format!("the same {} processes, a new supervisor after {}", after.len(), seconds(back)))
}

fn supervisor_of(state_dir: &std::path::Path) -> Option<u32> {
    processes::processes_of(state_dir)
        .into_iter()
        .find(|process| {
            let program = process.command.split(' ').next().unwrap_or_default();
            program.ends_with("/muster-supervisor") && processes::alive(process.pid)
        })
        .map(|process| process.pid)
}

/// The Node.js processes that run out of a node's state directory.
fn applications_of(state_dir: &std::path::Path) -> Vec<u32> {
    let mut pids: Vec<u32> = processes::processes_of(&state_dir.join("applications"))
        .into_iter()
        .filter(|process| !process.command.contains("muster-"))
        .map(|process| process.pid)
        .collect();
    pids.sort_unstable();
    pids
}

fn one_file_changed(stage: &mut Stage) -> Result<String> {
    let words = format!("Changed by the proof in process {}.\n", std::process::id());
    std::fs::write(stage.fleet_dir().join("files/motd"), &words)?;
    let files: Vec<_> = stage.hosts.iter().map(|host| host.state_dir.join("host/etc/motd")).collect();
    let begun = Instant::now();
    stage.apply()?;
    let applied = begun.elapsed();
    stage.interrupted.wait("every node has the new file", CONVERGE_BOUND, || {
        for file in &files {
            let found =
                std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            if found != words {
                bail!("{} is still the old one", file.display());
            }
        }
        Ok(())
    })?;
    let written = begun.elapsed();
    stage.await_nodes()?;
    Ok(format!(
        "apply took {}, the file is on all nodes after {}, reported converged after {}",
        seconds(applied),
        seconds(written),
        seconds(begun.elapsed())
    ))
}

fn roll_back(stage: &mut Stage) -> Result<String> {
    let begun = Instant::now();
    stage.cli.ok(&["rollback", APPLICATION, "--environment", ENVIRONMENT, "--wait"])?;
    let took = begun.elapsed();
    stage.expect_version("1")?;
    Ok(format!("both nodes serve 1 after {}", seconds(took)))
}

pub(super) fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
