//! A host in memory, for tests of the whole fleet. Each behaviour mirrors [`crate::LinuxHost`]; `tests/contract.rs`
//! holds both to it.

mod downloads;
mod packages;
mod reboot;

pub use packages::{FakeAptCalls, FakePackages, FakeVersion};
pub use reboot::FakeBoot;
mod accounts;
mod files;
mod firewall;
mod services;
mod sshd;
mod system;
mod timers;
mod tree;
mod trial;

pub use services::FakeUnit;
pub use system::FakeScript;

use crate::host::{
    Account, Accounts, CommandLine, CommandOutput, DiskSpace, Fault, FileKind, FileStat, Host, HostError,
    NodeRuntime, Ownership, WriteFile,
};
use chrono::{DateTime, Utc};
use muster_domain::{Digest, metrics::NodeMetrics, node::HostFacts};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

const GIB: u64 = 1024 * 1024 * 1024;

/// A host in memory.
#[derive(Debug)]
pub struct FakeHost {
    world: Mutex<World>,
}

/// What goes wrong on purpose.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Every write fails as on a read-only file system.
    pub read_only: bool,
    /// Every write fails as on a full disk, and no space is reported.
    pub disk_full: bool,
    /// Writes to these paths, or to anything below them, are denied.
    pub denied: BTreeSet<PathBuf>,
    /// Nobody starts programs at their time.
    pub no_systemd: bool,
    /// After so many changes ([`FakeHost::writes`]) no further one is made: whoever made them was killed.
    pub killed_after: Option<u64>,
}

#[derive(Debug, Clone)]
struct Entry {
    kind: FileKind,
    content: Vec<u8>,
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Entry {
    fn directory(mode: u32) -> Self {
        Self { kind: FileKind::Directory, content: Vec::new(), mode, uid: 0, gid: 0 }
    }
}

#[derive(Debug)]
struct World {
    tree: BTreeMap<PathBuf, Entry>,
    accounts: Accounts,
    processes: BTreeMap<u32, Vec<String>>,
    systemd: services::Systemd,
    system: system::System,
    runtimes: Vec<NodeRuntime>,
    programs: BTreeMap<String, CommandOutput>,
    judges: BTreeMap<String, trial::Judge>,
    timers: BTreeMap<String, Vec<String>>,
    kernel: Option<firewall::Kernel>,
    commands: Vec<CommandLine>,
    faults: Faults,
    privileged: bool,
    writes: u64,
    hostname: String,
    packages: FakePackages,
    boot: FakeBoot,
    downloads: BTreeMap<String, Vec<u8>>,
    /// How many calls go well before whoever calls dies in the next.
    calls_left: Option<u64>,
}

impl Default for FakeHost {
    fn default() -> Self {
        Self::new("fake")
    }
}

impl FakeHost {
    /// A host with the usual folders, the users root and www-data, and one Node.js.
    pub fn new(hostname: &str) -> Self {
        let world = World {
            tree: tree::usual(hostname),
            accounts: accounts::usual(),
            processes: BTreeMap::new(),
            systemd: services::Systemd::default(),
            system: system::System::usual(),
            runtimes: vec![NodeRuntime { version: "20.20.2".into(), path: "/usr/bin/node".into() }],
            programs: BTreeMap::new(),
            judges: BTreeMap::new(),
            timers: BTreeMap::new(),
            kernel: None,
            commands: Vec::new(),
            faults: Faults::default(),
            privileged: true,
            writes: 0,
            hostname: hostname.to_owned(),
            packages: FakePackages::default(),
            boot: FakeBoot::default(),
            downloads: BTreeMap::new(),
            calls_left: None,
        };
        Self { world: Mutex::new(world) }
    }

    /// The same without the right to give files away.
    #[must_use]
    pub fn unprivileged(self) -> Self {
        self.world().privileged = false;
        self
    }

    /// Changes what goes wrong.
    pub fn set_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.world().faults);
    }

    /// Replaces the installed Node.js runtimes.
    pub fn set_runtimes(&self, runtimes: Vec<NodeRuntime>) {
        self.world().runtimes = runtimes;
    }

    /// Installs a program that always answers this.
    pub fn set_program(&self, name: &str, output: CommandOutput) {
        self.world().programs.insert(name.to_owned(), output);
    }

    /// What was run, in order.
    pub fn commands(&self) -> Vec<CommandLine> {
        self.world().commands.clone()
    }

    /// How many changes were made since the host was made: a converged host stays at its number.
    pub fn writes(&self) -> u64 {
        self.world().writes
    }

    /// Changes a file behind the agent's back, faults or not; its folder is made when it is missing.
    pub fn tamper(&self, path: impl AsRef<Path>, content: impl Into<Vec<u8>>) {
        let mut world = self.world();
        let path = path.as_ref();
        for parent in path.ancestors().skip(1) {
            world.tree.entry(parent.to_owned()).or_insert_with(|| Entry::directory(0o755));
        }
        let entry = world.tree.entry(path.to_owned()).or_insert(Entry {
            kind: FileKind::File,
            content: Vec::new(),
            mode: 0o644,
            uid: 0,
            gid: 0,
        });
        entry.kind = FileKind::File;
        entry.content = content.into();
    }

    /// Deletes whatever is at a path and below it, behind the agent's back.
    pub fn tamper_delete(&self, path: impl AsRef<Path>) {
        self.world().tree.retain(|known, _| !known.starts_with(path.as_ref()));
    }

    /// Lets so many calls go well; whoever makes the next one dies in it, before anything happens. As a kill would, at
    /// whatever point a test wants.
    pub fn die_after_calls(&self, calls: Option<u64>) {
        self.at_rest().calls_left = calls;
    }

    /// How many calls were not needed, or `None` when nobody is to die any more.
    pub fn calls_left(&self) -> Option<u64> {
        self.at_rest().calls_left
    }

    /// Every regular file with its content, in the order of the paths.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let world = self.at_rest();
        let files = world.tree.iter().filter(|(_, entry)| entry.kind == FileKind::File);
        files.map(|(path, entry)| (path.clone(), entry.content.clone())).collect()
    }

    /// The world, for a call of the agent.
    fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.at_rest();
        match world.calls_left.as_mut() {
            Some(0) => std::panic::resume_unwind(Box::new("killed at a call of the host")),
            Some(left) => *left -= 1,
            None => {}
        }
        world
    }

    fn at_rest(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host for FakeHost {
    fn real_path(&self, _path: &Path) -> Option<PathBuf> {
        None
    }

    fn stat(&self, path: &Path) -> Result<Option<FileStat>, HostError> {
        let world = self.world();
        let path = match world.resolve(path) {
            Ok(path) => path,
            Err(Fault::NotFound | Fault::NotADirectory) => return Ok(None),
            Err(fault) => return Err(HostError::new("look at", path, fault)),
        };
        Ok(world.tree.get(&path).map(|entry| FileStat {
            kind: entry.kind.clone(),
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            size_bytes: entry.content.len() as u64,
        }))
    }

    fn digest(&self, path: &Path, max_bytes: u64) -> Result<Option<Digest>, HostError> {
        let world = self.world();
        let entry = world.file(path).map_err(|fault| HostError::new("read", path, fault))?;
        let fits = entry.content.len() as u64 <= max_bytes;
        Ok(fits.then(|| Digest::from_bytes(*blake3::hash(&entry.content).as_bytes())))
    }

    fn read(&self, path: &Path, max_bytes: u64) -> Result<Vec<u8>, HostError> {
        let world = self.world();
        let entry = world.file(path).map_err(|fault| HostError::new("read", path, fault))?;
        if entry.content.len() as u64 > max_bytes {
            return Err(HostError::new("read", path, Fault::TooLarge { max_bytes }));
        }
        Ok(entry.content.clone())
    }

    fn write(&self, file: &WriteFile<'_>) -> Result<(), HostError> {
        self.world().write(file).map_err(|fault| HostError::new("write", file.path, fault))
    }

    fn make_directory(&self, path: &Path, mode: u32, ownership: Ownership) -> Result<(), HostError> {
        let mut world = self.world();
        let made = world.resolve(path).and_then(|path| {
            world.before_create(&path)?;
            world.check_owner(ownership)?;
            if world.tree.contains_key(&path) { Err(Fault::AlreadyExists) } else { Ok(path) }
        });
        let path = made.map_err(|fault| HostError::new("create", path, fault))?;
        let (uid, gid) = (ownership.uid.unwrap_or(0), ownership.gid.unwrap_or(0));
        world.put(path, Entry { uid, gid, ..Entry::directory(mode) });
        Ok(())
    }

    fn set_attributes(&self, path: &Path, mode: u32, ownership: Ownership) -> Result<(), HostError> {
        let mut world = self.world();
        let fail = |fault| HostError::new("set owner and mode of", path, fault);
        let resolved = world.resolve(path).map_err(fail)?;
        world.before_write(&resolved).map_err(fail)?;
        world.check_owner(ownership).map_err(fail)?;
        let entry = world.tree.get_mut(&resolved).ok_or_else(|| fail(Fault::NotFound))?;
        if matches!(entry.kind, FileKind::Symlink { .. }) {
            return Err(fail(Fault::UnsafeLink { link: path.display().to_string(), owner: entry.uid }));
        }
        entry.mode = mode;
        entry.uid = ownership.uid.unwrap_or(entry.uid);
        entry.gid = ownership.gid.unwrap_or(entry.gid);
        world.writes += 1;
        Ok(())
    }

    fn make_symlink(&self, path: &Path, target: &str) -> Result<(), HostError> {
        let mut world = self.world();
        let fail = |fault| HostError::new("link", path, fault);
        let resolved = world.resolve(path).map_err(fail)?;
        world.before_create(&resolved).map_err(fail)?;
        if world.tree.get(&resolved).is_some_and(|entry| entry.kind == FileKind::Directory) {
            return Err(fail(Fault::IsADirectory));
        }
        let kind = FileKind::Symlink { target: target.to_owned() };
        world.put(resolved, Entry { kind, content: Vec::new(), mode: 0o777, uid: 0, gid: 0 });
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), HostError> {
        let mut world = self.world();
        let fail = |fault| HostError::new("remove", path, fault);
        let resolved = match world.resolve(path) {
            Err(Fault::NotFound) => return Ok(()),
            other => other.map_err(fail)?,
        };
        if !world.tree.contains_key(&resolved) {
            return Ok(());
        }
        world.before_write(&resolved).map_err(fail)?;
        if world.tree.keys().any(|known| known != &resolved && known.starts_with(&resolved)) {
            return Err(fail(Fault::from(std::io::Error::from(std::io::ErrorKind::DirectoryNotEmpty))));
        }
        world.tree.remove(&resolved);
        world.writes += 1;
        Ok(())
    }

    fn user(&self, name: &str) -> Result<Option<Account>, HostError> {
        let world = self.world();
        Ok(world.accounts.user(name).map(|user| Account { uid: user.uid, gid: user.gid }))
    }

    fn group(&self, name: &str) -> Result<Option<u32>, HostError> {
        Ok(self.world().accounts.group(name).map(|group| group.gid))
    }

    fn own_account(&self) -> Account {
        Account { uid: 0, gid: 0 }
    }

    fn privileged(&self) -> bool {
        self.world().privileged
    }

    fn node_runtimes(&self, _side_by_side: &Path) -> Vec<NodeRuntime> {
        self.world().runtimes.clone()
    }

    fn find_program(&self, name: &str) -> Option<PathBuf> {
        let world = self.world();
        let installed = world.programs.contains_key(name) || world.judges.contains_key(name);
        installed.then(|| Path::new("/usr/bin").join(name))
    }

    fn run(&self, command: &CommandLine) -> Result<CommandOutput, HostError> {
        let mut world = self.world();
        world.commands.push(command.clone());
        let name =
            command.program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let output = firewall::run(&mut world, &name, command);
        let output = output.or_else(|| sshd::run(&world, &name, command));
        let output = output.or_else(|| trial::run(&world, &name, command));
        let output = output.or_else(|| world.programs.get(&name).cloned());
        output.ok_or_else(|| HostError::new("run", &command.program, Fault::NotFound))
    }

    fn facts(&self, agent_version: &str) -> HostFacts {
        let world = self.world();
        HostFacts {
            hostname: world.hostname.clone(),
            os: "Fake Linux 1".into(),
            kernel: "6.0.0-fake".into(),
            architecture: "x86_64".into(),
            cpus: 2,
            memory_bytes: 2 * GIB,
            agent_version: agent_version.to_owned(),
            rootless: !world.privileged,
        }
    }

    fn metrics(&self, now: DateTime<Utc>) -> NodeMetrics {
        NodeMetrics {
            at: now,
            cpu_percent: 3.0,
            memory_used_bytes: GIB,
            memory_total_bytes: 2 * GIB,
            swap_used_bytes: 0,
            disk_used_bytes: 10 * GIB,
            disk_total_bytes: 40 * GIB,
            load_1: 0.1,
            load_5: 0.1,
            load_15: 0.1,
            network_rx_bytes_per_s: 0,
            network_tx_bytes_per_s: 0,
        }
    }

    fn disk_space(&self, _path: &Path) -> Result<DiskSpace, HostError> {
        let available_bytes = if self.world().faults.disk_full { 0 } else { 30 * GIB };
        Ok(DiskSpace { total_bytes: 40 * GIB, available_bytes })
    }
}
