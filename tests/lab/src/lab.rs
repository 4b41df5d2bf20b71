//! A lab: its number on the machine, its owner, its hosts.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::base::{Base, short_digest};
use crate::command::{check_status, run};
use crate::daemon::Daemon;
use crate::host::{Host, HostBuilder};
use crate::owner::{Owner, ProcessId};
use crate::place::{self, SLOTS, Slot};
use crate::wait::wait_for;
use crate::{network, removal};

/// A watch writes down who it is before it does anything else.
const WATCH_BOUND: Duration = Duration::from_secs(30);
/// The program beside the tests and chores that power supplies and watches run in.
const PROGRAM: &str = "muster-lab";

/// What was saved of a host, for others to begin with.
#[derive(Clone, Debug)]
pub struct Image {
    pub(crate) layer: PathBuf,
}

/// An entry of the machine's list of labs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Registered {
    pub(crate) owner: Owner,
    pub(crate) dir: PathBuf,
}

impl Registered {
    pub(crate) fn of(slot: Slot) -> Result<Option<Self>> {
        place::read(&slot.record()?)
    }

    /// Every lab of the machine.
    pub(crate) fn all() -> Result<Vec<(Slot, Self)>> {
        let mut all = Vec::new();
        for slot in SLOTS.map(Slot) {
            if let Some(registered) = Self::of(slot)? {
                all.push((slot, registered));
            }
        }
        Ok(all)
    }
}

/// A lab of the machine, for people.
#[derive(Clone, Debug)]
pub struct LabSummary {
    /// Its number.
    pub number: u8,
    /// Whose it is.
    pub owner: String,
    /// Whether that one is still there.
    pub wanted: bool,
    /// The addresses of its hosts.
    pub subnet: String,
    /// Per host: its name, its address, whether it has power.
    pub hosts: Vec<(String, Ipv4Addr, bool)>,
}

/// Hosts that know each other and nobody else. Dropping the value destroys the lab, unless it is a kept one.
#[derive(Debug)]
pub struct Lab {
    slot: Slot,
    dir: PathBuf,
    base: Base,
    owned: bool,
}

impl Lab {
    /// A lab that ends with this value, and with this process in any case. Builds the base when there is none, and
    /// removes labs whose owners are gone.
    pub fn new() -> Result<Self> {
        let base = Base::ensure(false)?;
        removal::remove_abandoned()?;
        let lab = Self::register(Owner::this_process()?, base)?;
        lab.start_watch()?;
        Ok(lab)
    }

    /// The lab that is kept under this name, made when there is none.
    pub fn kept(name: &str) -> Result<Self> {
        if let Some(lab) = Self::open(name)? {
            return Ok(lab);
        }
        let base = Base::ensure(false)?;
        removal::remove_abandoned()?;
        Self::register(Owner::kept(name)?, base)
    }

    /// The lab that is kept under this name, if there is one.
    pub fn open(name: &str) -> Result<Option<Self>> {
        let mut all = Registered::all()?.into_iter();
        let found = all.find(|(_, lab)| lab.owner.name() == Some(name) && lab.owner.present());
        found
            .map(|(slot, lab)| Ok(Self { slot, dir: lab.dir, base: Base::ensure(false)?, owned: false }))
            .transpose()
    }

    /// Every lab of the machine.
    pub fn list() -> Result<Vec<LabSummary>> {
        let mut list = Vec::new();
        for (slot, registered) in Registered::all()? {
            let lab = |name: String| {
                let host = Host::at(slot, &registered.dir, &name)?;
                Ok((name, host.address(), host.running()?))
            };
            let names = place::names(&registered.dir.join("hosts")).into_iter();
            list.push(LabSummary {
                number: slot.0,
                owner: registered.owner.to_string(),
                wanted: registered.owner.present(),
                subnet: format!("{}.0/24", slot.subnet()),
                hosts: names.map(lab).collect::<Result<_>>()?,
            });
        }
        Ok(list)
    }

    /// Takes the first free number, and makes its network.
    fn register(owner: Owner, base: Base) -> Result<Self> {
        let _one = place::lock("machine")?;
        for slot in network::candidates() {
            // Somebody is removing what is left of a former lab with this number.
            let Some(_ours) = place::try_lock(&removal::lock_name(slot))? else { continue };
            let dir = slot.dir();
            if slot.record()?.exists() || dir.exists() {
                continue;
            }
            let owned = owner.name().is_none();
            place::write(&slot.record()?, &Registered { owner, dir: dir.clone() })?;
            std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
            network::create(slot)?;
            return Ok(Self { slot, dir, base, owned });
        }
        bail!("every number of a lab is taken; `cargo xtask lab list` shows by whom");
    }

    fn start_watch(&self) -> Result<()> {
        let mut command = Command::new("setsid");
        command.arg("--fork").arg(program()?).args(["watch", &self.slot.to_string()]);
        let log = self.dir.join("watch.log");
        let log = std::fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command.current_dir("/").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        check_status(command)?;
        let file = removal::watch_file(&self.dir);
        wait_for("the watch of the lab", WATCH_BOUND, || Ok(place::read::<ProcessId>(&file)?.map(drop)))
    }

    pub(crate) fn slot(&self) -> Slot {
        self.slot
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn base(&self) -> &Base {
        &self.base
    }

    /// Its number on the machine.
    pub fn number(&self) -> u8 {
        self.slot.0
    }

    /// The machine's address in the lab: what listens on it is reachable from every host.
    pub fn gateway(&self) -> Ipv4Addr {
        network::address(self.slot, 1)
    }

    /// Describes a new host; [`HostBuilder::up`] makes it.
    pub fn host(&self, name: &str) -> HostBuilder<'_> {
        HostBuilder::new(self, name)
    }

    /// A host that was made before.
    pub fn get(&self, name: &str) -> Result<Host> {
        Host::at(self.slot, &self.dir, name)
    }

    /// Every host that was made.
    pub fn hosts(&self) -> Result<Vec<Host>> {
        let names = place::names(&self.dir.join("hosts")).into_iter();
        // A folder without a record is a host that is being removed.
        names
            .filter(|name| self.dir.join("hosts").join(name).join("host.json").exists())
            .map(|name| self.get(&name))
            .collect()
    }

    /// Makes several hosts at the same time, each from its description.
    pub fn up_all(&self, builders: Vec<HostBuilder<'_>>) -> Result<Vec<Host>> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = builders.into_iter().map(|builder| scope.spawn(|| builder.up())).collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined.map(|host| host.unwrap_or_else(|_| bail!("making a host panicked"))).collect()
        })
    }

    /// Starts a program on the machine that ends with the lab at the latest.
    pub fn daemon<I: IntoIterator<Item: AsRef<OsStr>>>(
        &self,
        program: &Path,
        args: I,
        log: &Path,
    ) -> Result<Daemon> {
        Daemon::start(self.slot, program, args, log)
    }

    /// A folder for files of tests and daemons, removed with the lab.
    pub fn scratch(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join("scratch").join(name);
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(dir)
    }

    /// An image that was saved in this lab.
    pub fn image(&self, name: &str) -> Result<Image> {
        let layer = self.dir.join("images").join(name);
        if !layer.is_dir() {
            bail!("there is no image `{name}` in this lab");
        }
        Ok(Image { layer })
    }

    /// A host on which these lines of shell were run, as an image. Kept beside the base for all labs: packages that many
    /// tests want are installed once per machine.
    pub fn prepared(&self, script: &str) -> Result<Image> {
        let name = short_digest(script);
        let layer = self.base.layer(&name);
        let _one = place::lock(&format!("layer-{name}"))?;
        if layer.is_dir() {
            return Ok(Image { layer });
        }
        let host = self.host("prepare").up()?;
        host.sh(script).context("cannot prepare an image")?;
        host.stop()?;
        let image = host.save_to(&layer)?;
        host.down()?;
        Ok(image)
    }

    /// What hosts let in by SSH as root.
    pub(crate) fn public_key(&self) -> Result<String> {
        let key = private_key();
        let _one = place::lock("key")?;
        let public = key.with_extension("pub");
        if !public.exists() {
            place::remove(&key)?;
            run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", &key.to_string_lossy()])?;
        }
        std::fs::read_to_string(&public).with_context(|| format!("cannot read {}", public.display()))
    }

    /// Ends every host and removes every trace.
    pub fn destroy(mut self) -> Result<()> {
        self.owned = false;
        removal::remove(self.slot)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !self.owned {
            return;
        }
        if let Err(error) = removal::remove(self.slot) {
            eprintln!("cannot remove lab {}: {error:#}", self.slot);
        }
    }
}

pub(crate) fn private_key() -> PathBuf {
    place::root().join("id_ed25519")
}

/// The folder of a registered lab.
pub(crate) fn dir_of(slot: Slot) -> Result<PathBuf> {
    Ok(Registered::of(slot)?.with_context(|| format!("there is no lab {slot}"))?.dir)
}

/// The program that runs beside us: ourselves, or the one that was built beside the tests.
pub fn program() -> Result<PathBuf> {
    let own = std::env::current_exe().context("this program has no path")?;
    if own.file_name().is_some_and(|name| name == PROGRAM) {
        return Ok(own);
    }
    let folder = own.ancestors().find(|folder| folder.join("deps").is_dir());
    let program = folder.context("this program is not in a folder of a build")?.join(PROGRAM);
    if !program.is_file() {
        bail!("{} is not built; `cargo build -p muster-lab` builds it", program.display());
    }
    Ok(program)
}
