//! Everything a demo runs: one controller with its private database, three agents, an application in three versions.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::Interrupted;
use super::cli::Cli;
use super::load;
use super::machine::{Daemon, free_address, sweep};
use super::nodes::{Beats, beats_of, list_nodes, settled};
use super::setup::{address_of, build, controller, copy, get};
use crate::deps::{self, Need};
use crate::node::Node;
use crate::shell::{Program, note, step};
use crate::{repo, web_ui};

pub(super) const APPLICATION: &str = "shop";
pub(super) const ENVIRONMENT: &str = "production";
/// The nodes of demo/fleet/fleet.yaml, and the port of the application where there is one.
const NODES: [(&str, Option<u16>); 3] = [("edge-1", None), ("app-1", Some(4101)), ("app-2", Some(4102))];
const START_BOUND: Duration = Duration::from_secs(90);

/// A node of the run.
pub(super) struct Host {
    pub(super) name: &'static str,
    pub(super) state_dir: PathBuf,
    pub(super) agent: Daemon,
    /// Where its application answers.
    pub(super) application: Option<SocketAddr>,
}

/// A running demo.
pub(super) struct Stage {
    pub(super) dir: PathBuf,
    pub(super) cli: Cli,
    pub(super) controller: Daemon,
    pub(super) hosts: Vec<Host>,
    pub(super) interrupted: Interrupted,
    pub(super) url: String,
    pub(super) password: String,
    running: bool,
}

impl Stage {
    /// Installs, builds, starts and joins everything, and deploys version 1.
    pub(super) fn set(release: bool, interrupted: Interrupted) -> Result<Self> {
        deps::ensure(&[Need::Postgres, Need::Node, Need::Compiler, Need::UtilLinux])?;
        let node = Node::ensure()?;
        web_ui::build(&node, false)?;
        let programs = build(release)?;
        let dir = repo::scratch(&format!("demo/{}", std::process::id()))?;
        let logs = dir.join("logs");
        std::fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
        let cli = Cli::new(programs.join("muster"), &dir.join("config"), node.path());
        let people = free_address(8080)?;
        let controller = controller(&programs, &dir, people, &node.path(), &logs)?;
        let mut stage = Self {
            cli,
            controller,
            hosts: Vec::new(),
            interrupted,
            url: format!("http://{people}"),
            password: String::new(),
            running: true,
            dir,
        };
        stage.start_controller()?;
        stage.password = stage.read_password()?;
        stage.cli.login(&stage.url, "admin", &stage.password)?;
        let applications = stage.apply_fleet()?;
        stage.join_nodes(&applications, &programs, &logs)?;
        for version in ["1", "2", "3"] {
            stage.create_release(version)?;
        }
        step("muster deploy: version 1 to both application servers");
        stage.deploy("1")?;
        stage.await_version("1")?;
        Ok(stage)
    }

    /// Starts the controller and waits until it serves.
    pub(super) fn start_controller(&mut self) -> Result<()> {
        step("starting the controller");
        self.controller.start()?;
        let addresses = self.dir.join("controller/run/addresses.json");
        let url = self.url.clone();
        let controller = &mut self.controller;
        self.interrupted.wait("the controller serves", START_BOUND, || {
            controller.check()?;
            std::fs::metadata(&addresses).context("no addresses yet")?;
            get(address_of(&url)?, "/readyz").map(drop)
        })
    }

    /// Where the controller wrote the administrator's password.
    pub(super) fn password_file(&self) -> PathBuf {
        self.dir.join("admin-password")
    }

    fn read_password(&self) -> Result<String> {
        let path = self.password_file();
        Ok(std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?
            .trim()
            .into())
    }

    /// Applies a copy of demo/fleet, with other ports where those in it are taken. Answers the application's address
    /// per node.
    fn apply_fleet(&self) -> Result<Vec<Option<SocketAddr>>> {
        step("muster apply");
        let fleet = self.fleet_dir();
        copy(&repo::root().join("demo/fleet"), &fleet)?;
        let file = fleet.join("fleet.yaml");
        let mut text = std::fs::read_to_string(&file)?;
        let mut addresses = Vec::new();
        for (_, port) in NODES {
            let address = port.map(free_address).transpose()?;
            if let (Some(wanted), Some(address)) = (port, address) {
                text = text.replace(&format!("port: {wanted}"), &format!("port: {}", address.port()));
            }
            addresses.push(address);
        }
        std::fs::write(&file, text)?;
        self.apply()?;
        Ok(addresses)
    }

    /// `muster apply` of the fleet files of this run.
    pub(super) fn apply(&self) -> Result<super::cli::Outcome> {
        self.cli.ok(&["apply", "-f", &self.fleet_dir().to_string_lossy(), "--yes"])
    }

    pub(super) fn fleet_dir(&self) -> PathBuf {
        self.dir.join("fleet")
    }

    fn join_nodes(
        &mut self,
        applications: &[Option<SocketAddr>],
        programs: &Path,
        logs: &Path,
    ) -> Result<()> {
        step("three agents join");
        let program = programs.join("muster-agent");
        for ((name, _), &application) in NODES.into_iter().zip(applications) {
            let invitation = self.cli.json(&["node", "invite", name])?;
            let field = |field: &str| {
                let value = invitation[field].as_str();
                value
                    .with_context(|| format!("`muster node invite` answered without `{field}`: {invitation}"))
            };
            let state_dir = self.dir.join("nodes").join(name);
            let state = state_dir.to_string_lossy().into_owned();
            Program::new(&program)
                .args(["join", field("token")?, "--controller", field("controller_url")?])
                .args(["--state-dir", &state, "--rootless"])
                .read()?;
            let args = vec!["run".to_owned(), "--state-dir".to_owned(), state];
            let mut agent = Daemon::new(name, &program, args, self.cli.path(), logs);
            agent.start()?;
            self.hosts.push(Host { name, state_dir, agent, application });
        }
        self.await_nodes()
    }

    /// Waits until every node beats and is as it should be.
    pub(super) fn await_nodes(&mut self) -> Result<()> {
        self.await_nodes_after(&Beats::new())
    }

    /// The same, and each of these nodes has beaten again: what the controller remembers is not enough.
    pub(super) fn await_nodes_after(&mut self, before: &Beats) -> Result<()> {
        let (cli, hosts) = (&self.cli, &mut self.hosts);
        self.interrupted.wait("every node is up and converged", START_BOUND, || {
            for host in hosts.iter_mut() {
                host.agent.check()?;
            }
            let nodes = list_nodes(cli)?;
            if nodes.len() != hosts.len() || !nodes.iter().all(|node| settled(node, before)) {
                bail!("`muster node list` says {}", serde_json::Value::from(nodes));
            }
            Ok(())
        })
    }

    /// The last beat of each node that the controller knows of.
    pub(super) fn beats(&self) -> Result<Beats> {
        Ok(beats_of(&list_nodes(&self.cli)?))
    }

    /// Builds a version of the application out of demo/app and makes a release of it.
    fn create_release(&self, version: &str) -> Result<()> {
        step(&format!("muster release create: version {version}"));
        let app = self.dir.join("app");
        copy(&repo::root().join("demo/app"), &app)?;
        std::fs::write(app.join("version.json"), format!("{{ \"version\": \"{version}\" }}\n"))?;
        if version == "3" {
            // The classic: works on the laptop, because the file was never committed.
            let server = app.join("server.js");
            let text = std::fs::read_to_string(&server)?;
            std::fs::write(
                &server,
                text.replacen("'use strict';", "'use strict';\n\nrequire('./prices');", 1),
            )?;
        }
        let (directory, build) = (app.to_string_lossy(), "npm ci --omit=dev");
        let create =
            ["release", "create", APPLICATION, "--dir", &directory, "--version", version, "--build", build];
        self.cli.ok(&create)?;
        Ok(())
    }

    pub(super) fn deploy(&self, version: &str) -> Result<()> {
        self.deploy_application(APPLICATION, version)
    }

    /// Deploys a release of any application, and wants success.
    pub(super) fn deploy_application(&self, application: &str, version: &str) -> Result<()> {
        let outcome = self.try_deploy(application, version)?;
        if outcome.code != 0 {
            bail!(
                "deploying version {version} of {application} ended with {}: {}",
                outcome.code,
                outcome.last_word()
            );
        }
        Ok(())
    }

    pub(super) fn try_deploy(&self, application: &str, version: &str) -> Result<super::cli::Outcome> {
        self.cli.run(&["deploy", application, "--release", version, "--environment", ENVIRONMENT, "--wait"])
    }

    /// The addresses of the application.
    pub(super) fn targets(&self) -> Vec<SocketAddr> {
        self.hosts.iter().filter_map(|host| host.application).collect()
    }

    /// Fails unless both application servers answer with this version, every time.
    pub(super) fn expect_version(&self, version: &str) -> Result<()> {
        for target in self.targets() {
            // More often than there are instances, so that each is asked.
            for _ in 0..8 {
                let found = load::version(&get(target, "/")?).map_err(anyhow::Error::msg)?;
                if found != version {
                    bail!("{target} answers with version {found} instead of {version}");
                }
            }
        }
        Ok(())
    }

    fn await_version(&self, version: &str) -> Result<()> {
        self.interrupted.wait("the application answers", START_BOUND, || self.expect_version(version))
    }

    /// Stops everything; removes the files unless they are to be kept.
    pub(super) fn finish(mut self, keep: bool) -> Result<()> {
        self.stop_all()?;
        if keep {
            note(&format!("the files and logs of this run are in {}", self.dir.display()));
            return Ok(());
        }
        std::fs::remove_dir_all(&self.dir).with_context(|| format!("cannot remove {}", self.dir.display()))
    }

    fn stop_all(&mut self) -> Result<()> {
        self.running = false;
        for host in &mut self.hosts {
            host.agent.stop(Duration::from_secs(15))?;
        }
        // The private database needs its time after the controller was asked.
        self.controller.stop(Duration::from_secs(45))?;
        sweep(&self.dir)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.running {
            return;
        }
        if let Err(error) = self.stop_all() {
            eprintln!("error: {error:#}");
        }
        note(&format!("the files and logs of this run are in {}", self.dir.display()));
    }
}
