//! The folder with the programs for hosts: what lies in it, and what is missing.
//!
//! Programs for the controller's own kind of processor lie in the folder itself, beside the controller as they were
//! installed; those for others in a folder below it that is called after the architecture (`aarch64/muster-agent`).

use super::elf;
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fmt,
    fs::{File, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// What an agent consists of. They lie beside each other on a host, and are of one build.
pub const PROGRAMS: [&str; 4] = ["muster-agent", "muster-supervisor", "muster-keeper", "muster-pm2"];

/// Far beyond the largest, with everything for debuggers in it: a bound for what a slip of the hand puts into the folder.
const MAX_PROGRAM_BYTES: u64 = 1024 * 1024 * 1024;

const READ_BYTES: usize = 256 * 1024;

/// A kind of processor that programs are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    /// Intel and AMD, 64 bits.
    X86_64,
    /// ARM, 64 bits.
    Aarch64,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// As `uname -m` says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One program, as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// What it is called.
    pub name: &'static str,
    /// Where it lies.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Of its content, in hexadecimal.
    pub sha256: String,
    stamp: Stamp,
}

impl Program {
    /// Whether an open file still is the one that was looked at.
    pub(super) fn is(&self, metadata: &Metadata) -> bool {
        self.stamp == Stamp::of(metadata)
    }
}

/// By this a file is known to be unchanged without reading it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    changed_s: i64,
    changed_ns: i64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            changed_s: metadata.ctime(),
            changed_ns: metadata.ctime_nsec(),
        }
    }
}

/// Everything that can be handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    sets: BTreeMap<Architecture, Vec<Program>>,
    /// What was found besides and cannot be handed out, in words.
    pub flaws: Vec<String>,
    manifest: String,
}

impl Catalogue {
    fn new(sets: BTreeMap<Architecture, Vec<Program>>, flaws: Vec<String>) -> Self {
        let mut manifest = format!("muster-programs 1\nversion {}\n", env!("CARGO_PKG_VERSION"));
        for (architecture, programs) in &sets {
            for Program { name, bytes, sha256, .. } in programs {
                manifest.push_str(&format!("program {architecture} {name} {bytes} {sha256}\n"));
            }
        }
        manifest.push_str("end\n");
        Self { sets, flaws, manifest }
    }

    /// For which processors.
    pub fn architectures(&self) -> Vec<Architecture> {
        self.sets.keys().copied().collect()
    }

    /// One program.
    pub fn program(&self, architecture: &str, name: &str) -> Option<&Program> {
        let (_, programs) = self.sets.iter().find(|(known, _)| known.as_str() == architecture)?;
        programs.iter().find(|program| program.name == name)
    }

    /// All of them with their digests: a line each, so that a shell can read it.
    pub fn manifest(&self) -> &str {
        &self.manifest
    }
}

/// Why nothing can be handed out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotServable {
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub mend: String,
}

impl NotServable {
    fn new(folder: &Path, reason: String) -> Self {
        let mend = format!(
            "put {} of one build into {} (those for another processor into a folder in it that is called after it, such as aarch64), or name another folder with --agent-dir",
            PROGRAMS.join(", "),
            folder.display()
        );
        Self { reason, mend }
    }

    pub(super) fn interrupted(programs: &Programs, error: &tokio::task::JoinError) -> Self {
        Self::new(&programs.folder, format!("the programs for hosts could not be looked at: {error}"))
    }
}

/// A folder, and what was last found in it.
#[derive(Debug)]
pub struct Programs {
    folder: PathBuf,
    known: Mutex<Option<Known>>,
}

/// What was found, and how every file that counts was at that time.
#[derive(Debug)]
struct Known {
    stamps: Vec<Option<Stamp>>,
    found: Result<Arc<Catalogue>, NotServable>,
}

impl Programs {
    /// The folder with the programs.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, known: Mutex::new(None) }
    }

    /// Where the programs lie unless somebody says otherwise: beside this one.
    pub fn default_folder() -> io::Result<PathBuf> {
        let own = std::env::current_exe()?;
        Ok(own.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned))
    }

    /// What there is. Reads the programs when a file has changed since the last time, and blocks meanwhile.
    pub fn catalogue(&self) -> Result<Arc<Catalogue>, NotServable> {
        // Held while reading: whoever asks meanwhile wants the same answer.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Before reading: what changes meanwhile is seen the next time.
        let stamps = self.stamps();
        match known.as_ref() {
            Some(known) if known.stamps == stamps => known.found.clone(),
            _ => known.insert(Known { stamps, found: self.look().map(Arc::new) }).found.clone(),
        }
    }

    /// The folders that may hold programs.
    fn folders(&self) -> [PathBuf; 3] {
        let [one, other] = Architecture::ALL.map(|architecture| self.folder.join(architecture.as_str()));
        [self.folder.clone(), one, other]
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        let stamp = |path: PathBuf| std::fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata));
        self.folders().iter().flat_map(|folder| PROGRAMS.map(|name| stamp(folder.join(name)))).collect()
    }

    fn look(&self) -> Result<Catalogue, NotServable> {
        let mut sets = BTreeMap::new();
        let mut flaws = Vec::new();
        for architecture in Architecture::ALL {
            match look_for(&self.folder.join(architecture.as_str())) {
                Look::Whole(found, programs) if found == architecture => {
                    sets.insert(found, programs);
                }
                Look::Whole(found, _) => flaws.push(format!(
                    "the programs in {} are for {found}",
                    self.folder.join(architecture.as_str()).display()
                )),
                Look::Flawed(flaw) => flaws.push(flaw),
                Look::Empty => {}
            }
        }
        match look_for(&self.folder) {
            Look::Whole(found, programs) => {
                sets.entry(found).or_insert(programs);
            }
            Look::Flawed(flaw) => flaws.push(flaw),
            Look::Empty => {}
        }
        if sets.is_empty() {
            let reason = if flaws.is_empty() {
                format!("{} holds no programs for hosts", self.folder.display())
            } else {
                flaws.join("; ")
            };
            return Err(NotServable::new(&self.folder, reason));
        }
        Ok(Catalogue::new(sets, flaws))
    }
}

/// What one folder holds.
enum Look {
    /// All programs, for one architecture.
    Whole(Architecture, Vec<Program>),
    /// Not even one.
    Empty,
    /// Something that cannot be handed out.
    Flawed(String),
}

fn look_for(folder: &Path) -> Look {
    let mut missing = Vec::new();
    let mut found: Vec<(Architecture, Program)> = Vec::new();
    for name in PROGRAMS {
        let path = folder.join(name);
        match read(name, &path) {
            Ok(Some(program)) => found.push(program),
            Ok(None) => missing.push(name),
            Err(reason) => return Look::Flawed(format!("{}: {reason}", path.display())),
        }
    }
    let Some((architecture, _)) = found.first() else { return Look::Empty };
    let architecture = *architecture;
    if !missing.is_empty() {
        return Look::Flawed(format!("{} is missing in {}", missing.join(" and "), folder.display()));
    }
    if let Some((other, program)) = found.iter().find(|(other, _)| *other != architecture) {
        return Look::Flawed(format!(
            "{} is for {other}, the others beside it are for {architecture}",
            program.path.display()
        ));
    }
    Look::Whole(architecture, found.into_iter().map(|(_, program)| program).collect())
}

fn read(name: &'static str, path: &Path) -> Result<Option<(Architecture, Program)>, String> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("it cannot be read: {error}")),
    };
    let metadata = file.metadata().map_err(|error| format!("it cannot be looked at: {error}"))?;
    if !metadata.is_file() {
        return Err("it is not a file".to_owned());
    }
    if metadata.len() > MAX_PROGRAM_BYTES {
        return Err(format!("it has {} bytes, more than a program can have", metadata.len()));
    }
    let unreadable = |error: io::Error| format!("it cannot be read: {error}");
    let mut head = Vec::new();
    (&mut file).take(elf::HEAD_BYTES as u64).read_to_end(&mut head).map_err(unreadable)?;
    let architecture = elf::architecture(&head)
        .ok_or_else(|| "it is not a program for Linux on x86_64 or aarch64".to_owned())?;
    let mut hasher = Sha256::new();
    hasher.update(&head);
    let mut bytes = head.len() as u64;
    let mut piece = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut piece).map_err(unreadable)?;
        if read == 0 {
            break;
        }
        hasher.update(&piece[..read]);
        bytes += read as u64;
    }
    let stamp = Stamp::of(&metadata);
    if bytes != stamp.bytes {
        return Err("it is being written at this moment".to_owned());
    }
    let sha256 = hex::encode(hasher.finalize());
    Ok(Some((architecture, Program { name, path: path.to_owned(), bytes, sha256, stamp })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::elf::tests::head;

    const X86_64: u16 = 62;
    const AARCH64: u16 = 183;

    fn put(folder: &Path, machine: u16, names: &[&str]) {
        std::fs::create_dir_all(folder).unwrap();
        for name in names {
            let mut content = head(machine);
            content.extend(name.as_bytes());
            std::fs::write(folder.join(name), content).unwrap();
        }
    }

    #[test]
    fn programs_for_several_processors_are_handed_out() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), X86_64, &PROGRAMS);
        put(&dir.path().join("aarch64"), AARCH64, &PROGRAMS);
        let catalogue = Programs::new(dir.path().to_owned()).catalogue().unwrap();
        assert_eq!(catalogue.architectures(), Architecture::ALL);
        assert_eq!(catalogue.flaws, Vec::<String>::new());
        let agent = catalogue.program("x86_64", "muster-agent").unwrap();
        assert_eq!(agent.bytes, 32);
        let mut content = head(X86_64);
        content.extend(b"muster-agent");
        assert_eq!(agent.sha256, hex::encode(Sha256::digest(&content)));
        let lines: Vec<&str> = catalogue.manifest().lines().collect();
        assert_eq!(lines[..2], ["muster-programs 1", concat!("version ", env!("CARGO_PKG_VERSION"))]);
        assert_eq!(lines[2], format!("program x86_64 muster-agent 32 {}", agent.sha256));
        assert_eq!((lines.len(), lines[10]), (11, "end"));
        for (architecture, name) in
            [("x86_64", "muster"), ("i686", "muster-agent"), ("x86_64", "../muster-agent")]
        {
            assert!(catalogue.program(architecture, name).is_none());
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_said_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let problem = |folder: &Path| Programs::new(folder.to_owned()).catalogue().unwrap_err();
        let nothing = problem(dir.path());
        assert!(nothing.reason.contains("holds no programs"), "{nothing}");
        assert!(nothing.mend.contains("--agent-dir") && nothing.mend.contains("muster-keeper"));
        assert!(problem(&dir.path().join("not/there")).reason.contains("holds no programs"));

        put(dir.path(), X86_64, &PROGRAMS[..2]);
        let cut = problem(dir.path()).reason;
        assert!(cut.contains("muster-keeper and muster-pm2 is missing"), "{cut}");
        put(dir.path(), AARCH64, &PROGRAMS[2..]);
        assert!(problem(dir.path()).reason.contains("muster-keeper is for aarch64"));
        std::fs::write(dir.path().join("muster-agent"), "#!/bin/sh\n").unwrap();
        assert!(problem(dir.path()).reason.contains("not a program for Linux"));
        std::fs::remove_file(dir.path().join("muster-agent")).unwrap();
        std::fs::create_dir(dir.path().join("muster-agent")).unwrap();
        assert!(problem(dir.path()).reason.contains("muster-agent: it"), "{:?}", problem(dir.path()));
    }

    #[test]
    fn one_flawed_set_does_not_keep_the_other_from_being_handed_out() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), X86_64, &PROGRAMS);
        put(&dir.path().join("aarch64"), X86_64, &PROGRAMS);
        let catalogue = Programs::new(dir.path().to_owned()).catalogue().unwrap();
        assert_eq!(catalogue.architectures(), [Architecture::X86_64]);
        assert!(catalogue.flaws[0].contains("aarch64 are for x86_64"), "{:?}", catalogue.flaws);
    }

    #[test]
    fn programs_are_read_again_when_they_were_replaced_and_only_then() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), X86_64, &PROGRAMS);
        let programs = Programs::new(dir.path().to_owned());
        let first = programs.catalogue().unwrap();
        assert!(Arc::ptr_eq(&first, &programs.catalogue().unwrap()));
        let mut newer = head(X86_64);
        newer.extend(b"muster-agenT");
        std::fs::write(dir.path().join("new"), newer).unwrap();
        std::fs::rename(dir.path().join("new"), dir.path().join("muster-agent")).unwrap();
        let second = programs.catalogue().unwrap();
        assert_ne!(first.manifest(), second.manifest());
        std::fs::remove_file(dir.path().join("muster-pm2")).unwrap();
        assert!(programs.catalogue().unwrap_err().reason.contains("muster-pm2 is missing"));
        put(dir.path(), X86_64, &PROGRAMS);
        put(&dir.path().join("aarch64"), AARCH64, &PROGRAMS);
        assert_eq!(programs.catalogue().unwrap().architectures(), Architecture::ALL);
    }
}
