//! `muster-lab`: throw-away VPS hosts by hand, and the processes that stand beside them. `cargo xtask lab` runs it.
//!
//! Start here: [`Verb`]. The library does the work.

use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};
use muster_lab::{Base, Host, Lab, Peer};

/// Throw-away VPS hosts on this machine
#[derive(Parser)]
#[command(name = "cargo xtask lab", bin_name = "cargo xtask lab")]
struct Arguments {
    /// The lab: one name, one lab, until it is destroyed or the machine boots
    #[arg(long, env = "MUSTER_LAB", default_value = "default", global = true)]
    lab: String,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Say whether this machine can host a lab; the reason when it cannot
    Check,
    /// Build what all hosts lie upon, once per machine
    Base {
        /// Build it anew
        #[arg(long)]
        force: bool,
    },
    /// Make a host and boot it
    Up(Up),
    /// Remove a host and its disk
    Down(Name),
    /// Run a command as root in a host; without one, a shell
    Exec {
        name: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Pull the network cable of a host
    Cut(Name),
    /// Plug the network cable of a host in again
    Heal(Name),
    /// Drop silently what a host and another (or `gateway`, or `all`) send each other
    Block { name: String, peer: String },
    /// Undo `block`
    Unblock { name: String, peer: String },
    /// Keep a host from everything outside of the lab
    Offline(Name),
    /// Undo `offline`
    Online(Name),
    /// Power a host off
    Stop {
        name: String,
        /// Pull the plug instead
        #[arg(long)]
        kill: bool,
    },
    /// Switch a host on that was stopped
    Start(Name),
    /// Reboot a host
    Reboot(Name),
    /// Keep the disk of a stopped host as an image for `up --image`
    Save { name: String, image: String },
    /// What a host has written to its console
    Console(Name),
    /// Every lab of this machine, with its hosts
    List,
    /// Remove the lab with all its hosts
    Destroy,
    /// What is left of labs whose owners are gone
    Leftovers {
        /// Remove it
        #[arg(long)]
        remove: bool,
    },
    /// The process that runs a host
    #[command(hide = true)]
    Power { number: u8, host: String },
    /// The process that removes a lab when its owner is gone
    #[command(hide = true)]
    Watch { number: u8 },
}

#[derive(Args)]
struct Name {
    name: String,
}

#[derive(Args)]
struct Up {
    name: String,
    /// Begin with what was saved under this name
    #[arg(long)]
    image: Option<String>,
    /// The size of its disk, like 500M
    #[arg(long)]
    disk: Option<String>,
    /// Show a folder or file of the machine in the host: FROM:TO
    #[arg(long, value_name = "FROM:TO")]
    bind: Vec<String>,
    /// cgroup v1 inside, so that limits of units are enforced
    #[arg(long)]
    v1: bool,
    /// Its hostname, when that is not its name
    #[arg(long)]
    hostname: Option<String>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let name = arguments.lab.as_str();
    let host = |host: &str| existing(name)?.get(host);
    match arguments.verb {
        Verb::Check => return Ok(check()),
        Verb::Base { force } => println!("{}", Base::ensure(force)?.root().display()),
        Verb::Up(up) => {
            let lab = Lab::kept(name)?;
            let host = up.host(&lab)?;
            println!("{} {}", host.name(), host.address());
        }
        Verb::Down(down) => host(&down.name)?.down()?,
        Verb::Exec { name, command } => return exec(&host(&name)?, command),
        Verb::Cut(cut) => host(&cut.name)?.cut()?,
        Verb::Heal(heal) => host(&heal.name)?.heal()?,
        Verb::Block { name, peer } => host(&name)?.block(peer_of(&peer))?,
        Verb::Unblock { name, peer } => host(&name)?.unblock(peer_of(&peer))?,
        Verb::Offline(offline) => host(&offline.name)?.offline()?,
        Verb::Online(online) => host(&online.name)?.online()?,
        Verb::Stop { name, kill: false } => host(&name)?.stop()?,
        Verb::Stop { name, kill: true } => host(&name)?.pull_plug()?,
        Verb::Start(start) => drop(host(&start.name)?.start()?),
        Verb::Reboot(reboot) => drop(host(&reboot.name)?.reboot()?),
        Verb::Save { name, image } => drop(host(&name)?.save(&image)?),
        Verb::Console(console) => print!("{}", host(&console.name)?.console()),
        Verb::List => list()?,
        Verb::Destroy => existing(name)?.destroy()?,
        Verb::Leftovers { remove } => return leftovers(remove),
        Verb::Power { number, host } => muster_lab::supply(number, &host)?,
        Verb::Watch { number } => muster_lab::watch(number)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn existing(name: &str) -> Result<Lab> {
    Lab::open(name)?.with_context(|| format!("there is no lab `{name}`; `cargo xtask lab up NAME` makes one"))
}

impl Up {
    fn host(self, lab: &Lab) -> Result<Host> {
        let mut builder = lab.host(&self.name);
        if let Some(image) = &self.image {
            builder = builder.image(&lab.image(image)?);
        }
        if let Some(size) = &self.disk {
            builder = builder.disk(size);
        }
        if let Some(hostname) = &self.hostname {
            builder = builder.hostname(hostname);
        }
        for bind in &self.bind {
            let (from, to) = bind.split_once(':').with_context(|| format!("`{bind}` is not FROM:TO"))?;
            let from = Path::new(from).canonicalize().with_context(|| format!("there is no `{from}`"))?;
            builder = builder.bind(&from, to);
        }
        if self.v1 {
            builder = builder.v1();
        }
        builder.up()
    }
}

fn peer_of(name: &str) -> Peer<'_> {
    match name {
        "all" => Peer::All,
        "gateway" => Peer::Gateway,
        name => Peer::Host(name),
    }
}

/// 0 when it can; the reason on standard output and 1 when not.
fn check() -> ExitCode {
    let Some(reason) = muster_lab::unsuitable() else { return ExitCode::SUCCESS };
    println!("{reason}");
    ExitCode::FAILURE
}

fn exec(host: &Host, command: Vec<String>) -> Result<ExitCode> {
    let command = if command.is_empty() { vec!["bash".to_owned(), "--login".to_owned()] } else { command };
    let status = host.command(command)?.stdin(Stdio::inherit()).status().context("cannot start `nsenter`")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn list() -> Result<()> {
    for lab in Lab::list()? {
        let gone = if lab.wanted { "" } else { ", which is gone" };
        println!("lab {} of {}{gone}: {}", lab.number, lab.owner, lab.subnet);
        for (name, address, on) in lab.hosts {
            println!("  {name:9} {address:15} {}", if on { "on" } else { "off" });
        }
    }
    Ok(())
}

fn leftovers(remove: bool) -> Result<ExitCode> {
    let found = muster_lab::leftovers()?;
    for leftover in &found {
        println!("lab {}: {}", leftover.lab, leftover.what);
    }
    if !remove {
        return Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    muster_lab::remove_abandoned()?;
    let left = muster_lab::leftovers()?;
    if let Some(first) = left.first() {
        bail!("{} things are still there, such as: {}", left.len(), first.what);
    }
    Ok(ExitCode::SUCCESS)
}
