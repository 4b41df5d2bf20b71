//! A fleet in a lab: a controller on the machine, nodes on hosts, and the command line of an operator.
//!
//! Everything is done by the programs that were built beside this one, as people do it.

mod cli;
mod node;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;

use crate::daemon::Daemon;
use crate::host::Host;
use crate::lab::{self, Lab};
use crate::wait::wait_for;
pub use cli::{Cli, Said};

/// A first start makes a database.
const START_BOUND: Duration = Duration::from_secs(120);
/// Far more than converging takes on a busy machine, package installations included.
const CONVERGE_BOUND: Duration = Duration::from_secs(240);
/// The same for one resource.
const RESOURCE_BOUND: Duration = Duration::from_secs(60);
/// How long a node may say that it failed: it tries again by itself, and what it waits for may come.
const FAILURE_GRACE: Duration = Duration::from_secs(20);
const USER: &str = "admin";

/// A controller and its nodes. The lab ends with it.
#[derive(Debug)]
pub struct Fleet {
    // Before the lab, which then waits for the database of the controller.
    controller: Option<Daemon>,
    cli: Cli,
    people: SocketAddr,
    programs: PathBuf,
    /// Further options of the controller.
    options: Vec<String>,
    dir: PathBuf,
    lab: Lab,
}

impl Fleet {
    /// A lab with a running controller and an operator who is signed in, of the programs that were built beside this one.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// The same with further options of the controller, such as `--heartbeat-interval=2`.
    pub fn start_with(options: &[&str]) -> Result<Self> {
        let beside = lab::program()?;
        Self::start_as(beside.parent().unwrap_or(Path::new("/")), options)
    }

    /// The same with the programs of another folder.
    pub fn start_of(programs: &Path) -> Result<Self> {
        Self::start_as(programs, &[])
    }

    fn start_as(programs: &Path, options: &[&str]) -> Result<Self> {
        let lab = Lab::new()?;
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let programs = programs.to_owned();
        let dir = lab.scratch("fleet")?;
        let people = free_address()?;
        let cli = Cli::new(program(&programs, "muster")?, &dir.join("config"));
        let mut fleet = Self { controller: None, cli, people, programs, options, dir, lab };
        fleet.start_controller()?;
        let password = fleet.dir.join("admin-password");
        let password =
            fs::read_to_string(&password).with_context(|| format!("cannot read {}", password.display()))?;
        fleet.cli.login(&format!("http://{people}"), USER, password.trim())?;
        Ok(fleet)
    }

    /// Starts the controller that was stopped or killed, and waits until it serves.
    pub fn start_controller(&mut self) -> Result<()> {
        if self.controller.is_some() {
            bail!("the controller runs already");
        }
        let gateway = self.lab.gateway();
        let data = self.dir.join("controller");
        let ready = data.join("run/addresses.json");
        crate::place::remove(&ready)?;
        let agents = format!("{gateway}:8444");
        let options = [
            ("--data-dir", data.display().to_string()),
            ("--listen", format!("{gateway}:8443")),
            ("--http-listen", self.people.to_string()),
            ("--agent-listen", agents.clone()),
            ("--agent-url", format!("https://{agents}")),
            ("--admin-password-file", self.dir.join("admin-password").display().to_string()),
        ];
        let options = options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
        let args = std::iter::once("serve".to_owned()).chain(options).chain(self.options.clone());
        let log = self.dir.join("controller.log");
        let mut controller = self.lab.daemon(&program(&self.programs, "muster-controller")?, args, &log)?;
        wait_for("the controller to serve", START_BOUND, || {
            Ok((controller.check().is_err() || ready.exists()).then_some(()))
        })?;
        controller.check()?;
        self.controller = Some(controller);
        Ok(())
    }

    /// The controller, unless it was stopped.
    pub fn controller(&mut self) -> Result<Daemon> {
        self.controller.take().context("the controller does not run")
    }

    /// The lab.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The operator's command line.
    pub fn cli(&self) -> &Cli {
        &self.cli
    }

    /// Makes the host a node of the fleet with the line that an invitation prints. Its name is the host's.
    pub fn join(&self, host: &Host) -> Result<()> {
        node::join(&self.cli, host)
    }

    /// Puts a fleet file in force; does not wait for nodes.
    pub fn apply(&self, yaml: &str) -> Result<Said> {
        self.cli.ok(&["apply", "--yes", "--file", &self.write(yaml)?.to_string_lossy()])
    }

    /// Writes a fleet file, for commands of the operator.
    pub fn write(&self, yaml: &str) -> Result<PathBuf> {
        let file = self.dir.join("fleet.yaml");
        fs::write(&file, yaml).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }

    /// Waits until these nodes have everything as their newest assignments say. Gives up early on one that says what keeps
    /// it from that and does not get further.
    pub fn converged(&self, names: &[&str]) -> Result<()> {
        let mut failing_since = None;
        let done = wait_for(&format!("{} to converge", names.join(", ")), CONVERGE_BOUND, || {
            let nodes = self.nodes()?;
            let mut failing = false;
            let mut all = true;
            for name in names {
                let node = nodes.iter().find(|node| node["name"] == *name);
                let node = node.with_context(|| format!("there is no node `{name}`"))?;
                all &= settled(node);
                failing |= self.failed(node)?;
            }
            if all {
                return Ok(Some(Ok(())));
            }
            let since = failing_since.filter(|_| failing).or_else(|| failing.then(Instant::now));
            failing_since = since;
            let why = || names.iter().map(|name| self.problems(name)).collect::<Result<Vec<_>>>();
            if since.is_some_and(|since| since.elapsed() > FAILURE_GRACE) {
                return Ok(Some(Err(anyhow!("they do not converge: {}", why()?.join("; ")))));
            }
            Ok(None)
        });
        match done {
            Ok(answer) => answer,
            Err(error) => {
                let problems: Vec<_> =
                    names.iter().map(|name| self.problems(name).unwrap_or_default()).collect();
                Err(error.context(problems.join("; ")))
            }
        }
    }

    /// Whether a node tried its newest assignment and could not. One whose turn has not come only waits.
    fn failed(&self, node: &Value) -> Result<bool> {
        if node["converged"] != false || node["generation"] != node["reported_generation"] {
            return Ok(false);
        }
        let node = self.node(node["name"].as_str().context("a node has no name")?)?;
        let mut resources = node["resources"].as_array().into_iter().flatten();
        Ok(resources.any(|resource| resource["status"] == "failed"))
    }

    /// What is not as it should be on a node.
    fn problems(&self, name: &str) -> Result<String> {
        let node = self.node(name)?;
        let resources = node["resources"].as_array().cloned().unwrap_or_default();
        let wrong = resources.iter().filter(|resource| resource["status"] != "converged");
        let wrong: Vec<String> = wrong
            .map(|resource| format!("{} is {}: {}", resource["key"], resource["status"], resource["detail"]))
            .collect();
        let log = ["journalctl", "--unit", "muster-agent", "--lines", "12", "--no-pager", "--output", "cat"];
        // A host that is off has nothing to say.
        let said = self.lab.get(name).and_then(|host| host.run(log)).unwrap_or_default();
        Ok(format!(
            "{name} is {}, generation {} of {}, {}\nits agent said:\n{said}",
            node["liveness"],
            node["reported_generation"],
            node["generation"],
            wrong.join(", ")
        ))
    }

    /// Sets the value of a secret.
    pub fn set_secret(&self, name: &str, value: &str) -> Result<()> {
        self.cli.feed(&["secret", "set", name], value)
    }

    /// Every node, as `muster node list` tells.
    pub fn nodes(&self) -> Result<Vec<Value>> {
        let answer = self.cli.json(&["node", "list"])?;
        let nodes = answer.get("items").unwrap_or(&answer).as_array().cloned();
        nodes.with_context(|| format!("`muster node list` answered {answer}"))
    }

    /// One node, as `muster node show` tells.
    pub fn node(&self, name: &str) -> Result<Value> {
        self.cli.json(&["node", "show", name])
    }

    /// One resource of a node, as `muster node show` tells.
    pub fn resource(&self, node: &str, key: &str) -> Result<Value> {
        let node = self.node(node)?;
        let resources = node["resources"].as_array();
        let found = resources.and_then(|all| all.iter().find(|resource| resource["key"] == key));
        found.cloned().with_context(|| format!("it has no resource `{key}`: {}", node["resources"]))
    }

    /// Waits until a resource of a node is as it should be, in the eyes of the controller; answers it.
    pub fn until(&self, node: &str, key: &str, good: impl Fn(&Value) -> bool) -> Result<Value> {
        wait_for(&format!("{key} of {node}"), RESOURCE_BOUND, || {
            let resource = self.resource(node, key)?;
            if !good(&resource) {
                bail!("{resource}");
            }
            Ok(Some(resource))
        })
    }

    /// Who is changing, who waits for that and why, as `muster node turns` tells.
    pub fn turns(&self) -> Result<Vec<Value>> {
        let answer = self.cli.json(&["node", "turns"])?;
        answer.as_array().cloned().with_context(|| format!("`muster node turns` answered {answer}"))
    }

    /// Asks a node to look now.
    pub fn look(&self, node: &str) -> Result<()> {
        self.cli.ok(&["node", "converge", node]).map(drop)
    }
}

/// Whether a node is heard and has everything as its newest assignment says.
fn settled(node: &Value) -> bool {
    node["liveness"] == "up" && node["converged"] == true && node["generation"] == node["reported_generation"]
}

fn program(folder: &Path, name: &str) -> Result<PathBuf> {
    let program = folder.join(name);
    if !program.is_file() {
        bail!("{} is not built; `cargo build --workspace --bins` builds it", program.display());
    }
    Ok(program)
}

fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("there is no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?)
}
