//! A host of a lab: making it, running commands in it, its power and its cable.

mod builder;
mod files;
mod guest;

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::command::attempt;
use crate::disk::{self, Disk};
use crate::lab::{Image, Lab};
use crate::network::{self, Peer};
use crate::owner::ProcessId;
use crate::place::{self, Slot};
use crate::wait::wait_for;
use crate::{cgroups, removal};
pub use builder::HostBuilder;
pub(crate) use files::{Files, Record};

/// A boot takes less than a second on an idle machine; this is for one that is busy.
const BOOT_BOUND: Duration = Duration::from_secs(120);
/// Units stop within 90 s or are killed, as systemd does by default.
const STOP_BOUND: Duration = Duration::from_secs(100);
/// A power supply writes down who it is before it does anything else.
const POWER_BOUND: Duration = Duration::from_secs(30);
/// What systemd understands as `systemctl poweroff`: SIGRTMIN+4 of glibc.
const POWER_OFF: &str = "-38";

/// What systemd says at the end of a boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Boot {
    /// Everything started.
    Running,
    /// Some unit failed; [`Host::failed_units`] names them.
    Degraded,
}

/// How a command in a host ended, and what it said.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit code; 128 and the signal's number when a signal ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A host. The value is only a handle: the host lives until it is taken down or the lab ends.
#[derive(Clone, Debug)]
pub struct Host {
    slot: Slot,
    name: String,
    files: Files,
    record: Record,
}

impl Host {
    /// The host that is kept in the folder of a lab.
    pub(crate) fn at(slot: Slot, lab: &Path, name: &str) -> Result<Self> {
        place::check_name(name)?;
        let files = Files::new(lab, name);
        let record = place::read(&files.record())?.with_context(|| format!("there is no host `{name}`"))?;
        Ok(Self { slot, name: name.to_owned(), files, record })
    }

    /// Its name in the lab.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address, the same at each boot.
    pub fn address(&self) -> Ipv4Addr {
        self.record.address
    }

    /// Where the machine sees its files, while it is made.
    pub fn root(&self) -> PathBuf {
        self.files.root()
    }

    /// What it has written to its console, and what its power supply has said.
    pub fn console(&self) -> String {
        let text = std::fs::read(self.files.console()).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    fn disk(&self) -> Disk {
        Disk {
            dir: self.files.dir().to_owned(),
            layers: self.record.layers.clone(),
            size: self.record.size.clone(),
        }
    }

    /// Writes what no other host has the same.
    fn identify(&self, lab: &Lab) -> Result<()> {
        self.disk().mount()?;
        guest::identify(&self.root(), &self.record.hostname, &lab.public_key()?)
    }

    /// Whether it has power.
    pub fn running(&self) -> Result<bool> {
        Ok(place::read::<ProcessId>(&self.files.power())?.is_some_and(ProcessId::alive))
    }

    /// Switches it on and waits for the end of the boot.
    pub fn start(&self) -> Result<Boot> {
        if self.running()? {
            bail!("host `{}` is on already", self.name);
        }
        self.disk().mount()?;
        place::remove(&self.files.halt())?;
        place::remove(&self.files.power())?;
        let before = self.boots()?;
        let console = self.files.console();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&console)
            .with_context(|| format!("cannot open {}", console.display()))?;
        let mut command = Command::new("setsid");
        command.arg("--fork").arg(crate::lab::program()?).args(["power", &self.slot.to_string(), &self.name]);
        // With nothing of ours open: who waits for the end of our output must not wait for the host.
        command.current_dir("/").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        crate::command::check_status(command)?;
        wait_for(&format!("the power supply of `{}`", self.name), POWER_BOUND, || {
            Ok(self.running()?.then_some(()))
        })
        .with_context(|| format!("the console said: {}", self.console()))?;
        self.booted(before + 1)
    }

    /// How often it was switched on or rebooted.
    pub fn boots(&self) -> Result<u64> {
        self.files.count_of_boots()
    }

    /// Waits for the end of its boot with this number, or of a later one.
    pub fn booted(&self, number: u64) -> Result<Boot> {
        wait_for(&format!("boot {number} of `{}`", self.name), BOOT_BOUND, || {
            if self.boots()? < number {
                return Ok(None);
            }
            let Some(leader) = self.leader()? else {
                bail!("it is off; the console said: {}", self.console())
            };
            if !Path::new(&format!("/proc/{leader}/root/run/systemd/private")).exists() {
                return Ok(None);
            }
            let said = self.exec(["systemctl", "is-system-running"])?.stdout;
            Ok(match said.trim() {
                "running" => Some(Boot::Running),
                "degraded" => Some(Boot::Degraded),
                _ => None,
            })
        })
    }

    /// The units that failed, as systemd lists them.
    pub fn failed_units(&self) -> Result<String> {
        self.run(["systemctl", "--failed", "--no-legend", "--plain", "--no-pager"])
    }

    /// The process that is PID 1 inside.
    fn leader(&self) -> Result<Option<u32>> {
        let nspawn = place::read::<ProcessId>(&self.files.nspawn())?.filter(|process| process.alive());
        let Some(ProcessId { pid, .. }) = nspawn else { return Ok(None) };
        Ok(guest::leader(pid))
    }

    /// A command that runs as root inside, with a clean environment, to be started by the caller.
    pub fn command<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> Result<Command> {
        let leader = self.leader()?.with_context(|| format!("host `{}` is off", self.name))?;
        Ok(guest::command(leader, &cgroups::of_guest(self.slot, &self.name), args))
    }

    /// Runs a command as root inside and waits for its end, whatever that is.
    pub fn exec<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> Result<Output> {
        let mut command = self.command(args)?;
        let output = command.stdin(Stdio::null()).output().context("cannot start `nsenter`")?;
        Ok(guest::output(output))
    }

    /// Runs a command as root inside; answers its standard output. Fails, with what it said, when the command does.
    pub fn run<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> Result<String> {
        let args: Vec<_> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        let output = self.exec(&args)?;
        if output.code != 0 {
            let shown: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
            let Output { code, stdout, stderr } = output;
            bail!("`{}` in `{}` ended with {code}: {stdout}{stderr}", shown.join(" "), self.name);
        }
        Ok(output.stdout)
    }

    /// Runs lines of shell as root inside; fails with the first that fails.
    pub fn sh(&self, script: &str) -> Result<String> {
        self.run(["bash", "-euo", "pipefail", "-c", script])
    }

    /// Starts a command inside and leaves it running, with its output readable.
    pub fn spawn<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> Result<Child> {
        let mut command = self.command(args)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().context("cannot start `nsenter`")
    }

    /// Writes a file inside, with the folders above it.
    pub fn write_file(&self, path: &str, content: &[u8]) -> Result<()> {
        guest::write(self.command(["install", "-D", "-m", "644", "/dev/stdin", path])?, content)
            .with_context(|| format!("cannot write {path} in `{}`", self.name))
    }

    /// Copies a file of the machine into the host.
    pub fn copy_in(&self, from: &Path, to: &str, mode: u32) -> Result<()> {
        let file = std::fs::File::open(from).with_context(|| format!("cannot open {}", from.display()))?;
        let mut command = self.command(["install", "-D", "-m", &format!("{mode:o}"), "/dev/stdin", to])?;
        command.stdin(file);
        crate::command::check(command).map(drop)
    }

    /// Reads a text file inside.
    pub fn read_file(&self, path: &str) -> Result<String> {
        self.run(["cat", path])
    }

    /// Powers it off cleanly; pulls the plug when that takes too long.
    pub fn stop(&self) -> Result<()> {
        self.halt()?;
        if let Some(leader) = self.leader()? {
            // It may be gone by itself.
            attempt("kill", [POWER_OFF, &leader.to_string()]);
            let off = || Ok((!self.running()?).then_some(()));
            wait_for(&format!("`{}` to power off", self.name), STOP_BOUND, off).ok();
        }
        self.pull_plug()
    }

    /// Takes the power away, as a crash of the hypervisor does.
    pub fn pull_plug(&self) -> Result<()> {
        self.halt()?;
        cgroups::kill(self.slot, &self.name)?;
        network::unplug(self.slot, &self.name)?;
        cgroups::remove(self.slot, &self.name)?;
        removal::forget_container(self.slot, &self.name, &self.root())?;
        place::remove(&self.files.nspawn())?;
        place::remove(&self.files.power())
    }

    /// Nothing boots it again from here on.
    fn halt(&self) -> Result<()> {
        let halt = self.files.halt();
        std::fs::write(&halt, "").with_context(|| format!("cannot write {}", halt.display()))
    }

    /// Has it reboot itself, and waits for the end of the boot.
    pub fn reboot(&self) -> Result<Boot> {
        let before = self.boots()?;
        // Its connection to systemd may break before the answer.
        self.exec(["systemctl", "reboot"])?;
        self.booted(before + 1)
    }

    /// Pulls its network cable: the interface has no carrier.
    pub fn cut(&self) -> Result<()> {
        let cut = self.files.cut();
        std::fs::write(&cut, "").with_context(|| format!("cannot write {}", cut.display()))?;
        network::set_cable(self.slot, &self.name, true)
    }

    /// Plugs its network cable in again.
    pub fn heal(&self) -> Result<()> {
        place::remove(&self.files.cut())?;
        network::set_cable(self.slot, &self.name, false)
    }

    /// Drops what it and a peer send each other, silently.
    pub fn block(&self, peer: Peer<'_>) -> Result<()> {
        network::set_blocked(self.slot, &self.name, peer, true)
    }

    /// Lets it and a peer reach each other again.
    pub fn unblock(&self, peer: Peer<'_>) -> Result<()> {
        network::set_blocked(self.slot, &self.name, peer, false)
    }

    /// Keeps it from everything outside of the lab: no names, no archives.
    pub fn offline(&self) -> Result<()> {
        network::set_offline(self.slot, self.record.address, true)
    }

    /// Lets it reach the outside again.
    pub fn online(&self) -> Result<()> {
        network::set_offline(self.slot, self.record.address, false)
    }

    /// Keeps the disk of the host, which is off, as an image of the lab.
    pub fn save(&self, name: &str) -> Result<Image> {
        place::check_name(name)?;
        let layer = self.files.images().join(name);
        if layer.exists() {
            bail!("there is an image `{name}` already");
        }
        self.save_to(&layer)
    }

    pub(crate) fn save_to(&self, layer: &Path) -> Result<Image> {
        if self.running()? {
            bail!("host `{}` is on; stop it before you save it", self.name);
        }
        if self.record.layers.len() > 1 {
            bail!("host `{}` was made from an image itself; save one that was not", self.name);
        }
        self.disk().save(layer)?;
        Ok(Image { layer: layer.to_owned() })
    }

    /// Removes the host and its disk.
    pub fn down(&self) -> Result<()> {
        self.pull_plug()?;
        disk::unmount_below(self.files.dir())?;
        self.online()?;
        self.unblock(Peer::All)?;
        self.unblock(Peer::Gateway)?;
        for other in place::names(self.files.dir().parent().unwrap_or(Path::new("/"))) {
            self.unblock(Peer::Host(&other))?;
        }
        disk::remove_tree(self.files.dir())
    }

    /// Logs in by SSH with the lab's key; answers how the command ended.
    pub fn ssh(&self, user: &str, command: &str) -> Result<Output> {
        let key = crate::lab::private_key();
        let options =
            ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"];
        let mut ssh = Command::new("ssh");
        ssh.arg("-i").arg(key).args(["-o", "ConnectTimeout=10", "-o", "IdentitiesOnly=yes"]);
        ssh.args(options.iter().flat_map(|option| ["-o", option]));
        ssh.arg(format!("{user}@{}", self.record.address)).arg(command).stdin(Stdio::null());
        Ok(guest::output(ssh.output().context("cannot start `ssh` (package openssh-client)")?))
    }
}
