//! Units in memory: those that packages brought, and those whose files lie in `/etc/systemd/system`.

use super::{FakeHost, World};
use crate::host::{Fault, HostError, ServiceHost, UnitState, UnitVerb};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const FOLDER: &str = "/etc/systemd/system";

/// A unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeUnit {
    /// It starts at boot.
    pub enabled: bool,
    /// It has an `[Install]` section.
    pub installable: bool,
    /// It is made unstartable.
    pub masked: bool,
    /// `active`, `inactive`, `failed`.
    pub active: String,
    /// It can read its configuration again.
    pub can_reload: bool,
    /// `simple`, `oneshot` and others.
    pub kind: String,
    /// Why it ends right after its start, in the words of its journal.
    pub start_fails: Option<String>,
    /// Why it does not take its configuration, in its own words.
    pub reload_fails: Option<String>,
    /// How often it was started, and how often it read its configuration.
    pub starts: u32,
    /// How often it read its configuration without being started.
    pub reloads: u32,
    /// It was brought by a package rather than by a file of ours.
    pub packaged: bool,
}

impl Default for FakeUnit {
    fn default() -> Self {
        Self {
            enabled: false,
            installable: true,
            masked: false,
            active: "inactive".into(),
            can_reload: true,
            kind: "simple".into(),
            start_fails: None,
            reload_fails: None,
            starts: 0,
            reloads: 0,
            packaged: true,
        }
    }
}

/// What systemd knows.
#[derive(Debug, Clone, Default)]
pub(super) struct Systemd {
    units: BTreeMap<String, FakeUnit>,
    /// The files as they were when it read them.
    read: BTreeMap<PathBuf, Vec<u8>>,
    questions: u32,
    memory: BTreeMap<String, UnitState>,
    wanted: Vec<String>,
}

impl FakeHost {
    /// Installs a unit, as a package does.
    pub fn set_unit(&self, name: &str, unit: FakeUnit) {
        let mut world = self.world();
        world.systemd.memory.clear();
        world.systemd.units.insert(name.to_owned(), unit);
    }

    /// A unit as it is now.
    pub fn unit_now(&self, name: &str) -> Option<FakeUnit> {
        self.world().known(name)
    }

    /// How often systemd was asked how its units are.
    pub fn unit_questions(&self) -> u32 {
        self.world().systemd.questions
    }
}

impl World {
    /// The files of a unit: its own, and its drop-ins.
    fn unit_files(&self, name: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let own = Path::new(FOLDER).join(name);
        let extended = Path::new(FOLDER).join(format!("{name}.d"));
        let files = self.tree.iter().filter(|(path, _)| **path == own || path.parent() == Some(&extended));
        files.map(|(path, entry)| (path.clone(), entry.content.clone())).collect()
    }

    fn known(&self, name: &str) -> Option<FakeUnit> {
        let file = self.tree.get(&Path::new(FOLDER).join(name));
        match (self.systemd.units.get(name), file) {
            (Some(unit), file) if unit.packaged || file.is_some() => Some(unit.clone()),
            (_, Some(file)) => {
                let installable = String::from_utf8_lossy(&file.content).contains("[Install]");
                Some(FakeUnit { installable, packaged: false, ..FakeUnit::default() })
            }
            (_, None) => None,
        }
    }

    fn unit_state(&self, name: &str) -> UnitState {
        let read: BTreeMap<_, _> = self.unit_files(name);
        let needs_reload = read.iter().any(|(path, content)| self.systemd.read.get(path) != Some(content))
            || self.systemd.read.keys().any(|path| {
                let ours = path == &Path::new(FOLDER).join(name)
                    || path.parent() == Some(&Path::new(FOLDER).join(format!("{name}.d")));
                ours && !read.contains_key(path)
            });
        let Some(unit) = self.known(name) else {
            return UnitState {
                load: "not-found".into(),
                active: "inactive".into(),
                needs_reload,
                ..UnitState::default()
            };
        };
        let file = match &unit {
            FakeUnit { masked: true, .. } => "masked",
            FakeUnit { installable: false, .. } => "static",
            FakeUnit { enabled: true, .. } => "enabled",
            FakeUnit { .. } => "disabled",
        };
        UnitState {
            load: if unit.masked { "masked" } else { "loaded" }.into(),
            active: unit.active.clone(),
            sub: if unit.active == "active" { "running" } else { "dead" }.into(),
            file: file.into(),
            can_reload: unit.can_reload,
            needs_reload,
            kind: unit.kind.clone(),
            result: if unit.active == "failed" { "exit-code" } else { "success" }.into(),
            exit_status: i32::from(unit.active == "failed"),
            conditions_met: true,
            ..UnitState::default()
        }
    }

    fn control(&mut self, name: &str, verb: UnitVerb) -> Result<(), Fault> {
        self.before_create(Path::new(FOLDER))?;
        let other = |text: String| Err(Fault::Other(text));
        if name.contains('*') {
            return Ok(());
        }
        let Some(mut unit) = self.known(name) else {
            return other(format!("Failed to {verb} {name}: Unit {name} not found."));
        };
        match verb {
            UnitVerb::Start | UnitVerb::Restart if unit.masked => {
                return other(format!("Failed to {verb} {name}: Unit {name} is masked."));
            }
            UnitVerb::Start | UnitVerb::Restart => {
                unit.starts += 1;
                unit.active = if unit.start_fails.is_some() { "failed" } else { "active" }.into();
            }
            UnitVerb::Stop => unit.active = "inactive".into(),
            UnitVerb::Reload => {
                unit.reloads += 1;
                if let Some(why) = &unit.reload_fails {
                    let why = why.clone();
                    self.systemd.units.insert(name.to_owned(), unit);
                    return other(format!("Job for {name} failed: {why}"));
                }
            }
            UnitVerb::Enable => unit.enabled = unit.installable,
            UnitVerb::Disable => unit.enabled = false,
            UnitVerb::Unmask => unit.masked = false,
            UnitVerb::ResetFailed if unit.active == "failed" => unit.active = "inactive".into(),
            UnitVerb::ResetFailed => {}
        }
        self.systemd.units.insert(name.to_owned(), unit);
        self.writes += 1;
        Ok(())
    }
}

impl ServiceHost for FakeHost {
    fn has_systemd(&self) -> bool {
        true
    }

    fn units_wanted(&self, names: &[String]) {
        let mut world = self.world();
        world.systemd.memory.clear();
        world.systemd.wanted = names.to_vec();
    }

    fn unit(&self, name: &str) -> Result<UnitState, HostError> {
        let mut world = self.world();
        if let Some(known) = world.systemd.memory.get(name) {
            return Ok(known.clone());
        }
        if !world.systemd.wanted.iter().any(|known| known == name) {
            world.systemd.wanted.push(name.to_owned());
        }
        world.systemd.questions += 1;
        let names = world.systemd.wanted.clone();
        let answers = names.into_iter().map(|name| (name.clone(), world.unit_state(&name))).collect();
        world.systemd.memory = answers;
        Ok(world.systemd.memory.get(name).cloned().unwrap_or_default())
    }

    fn forget_units(&self) {
        self.world().systemd.memory.clear();
    }

    fn control_unit(&self, name: &str, verb: UnitVerb) -> Result<(), HostError> {
        let mut world = self.world();
        world.systemd.memory.clear();
        let fail = |fault| HostError { action: verb.as_str(), subject: name.to_owned(), fault };
        world.control(name, verb).map_err(fail)
    }

    fn watch_unit(&self, _name: &str, _for_ms: u64) {
        self.world().systemd.memory.clear();
    }

    fn reload_units(&self) -> Result<(), HostError> {
        let mut world = self.world();
        let fail = |fault| HostError { action: "reload", subject: "systemd".into(), fault };
        world.before_write(Path::new(FOLDER)).map_err(fail)?;
        world.systemd.memory.clear();
        let below = world.tree.iter().filter(|(path, _)| path.starts_with(FOLDER));
        world.systemd.read = below.map(|(path, entry)| (path.clone(), entry.content.clone())).collect();
        world.writes += 1;
        Ok(())
    }

    fn unit_journal(&self, name: &str) -> Vec<String> {
        let unit = self.world().known(name);
        let said = unit.and_then(|unit| unit.start_fails.or(unit.reload_fails));
        said.unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn verify_unit(&self, name: &str, content: &str) -> Result<(), String> {
        if content.contains('[') {
            Ok(())
        } else {
            Err(format!("systemd-analyze verify says: {name} has no section"))
        }
    }
}
