//! Builds the tree of a release on a node, completely or not at all.
//!
//! The tree grows in `<name>.partial-<random>`, a fresh directory that only this user can enter. Directories come
//! first, then files, each hashed while it is copied, symbolic links last: nothing is ever written through a link.
//! When all of it is durable and verified once more, one rename puts it into its place.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, RenameFlags};

use crate::digest::{Digest, HashingReader};
use crate::files::{open_regular, out_of_space, sync_directory, sync_file_system};
use crate::limits::FREE_SPACE_FLOOR_BYTES;
use crate::manifest::{EntryKind, Manifest};
use crate::object_store::ObjectStore;
use crate::releases::{PARTIAL_MARK, manifest_path, name_allowed};
use crate::verify::{Difference, verify_tree};

/// How to assemble.
#[derive(Debug, Clone, Copy)]
pub struct AssembleOptions {
    /// What must remain free on the disk.
    pub free_space_floor_bytes: u64,
}

impl Default for AssembleOptions {
    fn default() -> Self {
        Self { free_space_floor_bytes: FREE_SPACE_FLOOR_BYTES }
    }
}

/// A release that is in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// Its directory.
    pub path: PathBuf,
    /// It was there before and is intact; nothing was written.
    pub already_there: bool,
    /// Files that share their blocks with a source (reflinks).
    pub cloned_files: u64,
    /// Files that were copied.
    pub copied_files: u64,
}

/// Why a release could not be assembled. Nothing is left behind in any of these cases.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The name cannot be the name of a directory.
    #[error("\"{}\" cannot be the name of a release", name.escape_debug())]
    Name {
        /// The name.
        name: String,
    },
    /// No source has these contents, or what they have is damaged. Fetch them and try again.
    #[error("{} of the contents of the release are missing or damaged on this machine, first {}", digests.len(), first_of(digests))]
    Missing {
        /// Which ones.
        digests: BTreeSet<Digest>,
    },
    /// There is not enough room for the release, found before anything was written.
    #[error(
        "not enough disk space in \"{}\": the release needs {needed_bytes} bytes and {floor_bytes} must stay free, but {available_bytes} are available", path.display()
    )]
    NotEnoughSpace {
        /// The folder of the releases.
        path: PathBuf,
        /// What the release takes.
        needed_bytes: u64,
        /// What must remain.
        floor_bytes: u64,
        /// What there is.
        available_bytes: u64,
    },
    /// There are not enough inodes for the files of the release.
    #[error("not enough inodes in \"{}\": the release needs {needed}, but {available} are available", path.display())]
    NotEnoughInodes {
        /// The folder of the releases.
        path: PathBuf,
        /// What the release takes.
        needed: u64,
        /// What there is.
        available: u64,
    },
    /// The disk became full while writing.
    #[error("the disk became full while \"{}\" was written: the release needs {needed_bytes} bytes", path.display())]
    DiskFull {
        /// What was being written.
        path: PathBuf,
        /// What the release takes.
        needed_bytes: u64,
    },
    /// A release of this name is there and is not intact.
    #[error("the release in \"{}\" is damaged: {}", path.display(), summary(differences))]
    Damaged {
        /// Its directory.
        path: PathBuf,
        /// What is wrong with it.
        differences: Vec<Difference>,
    },
    /// Something else went wrong with a file.
    #[error("cannot {action} \"{}\"", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn first_of(digests: &BTreeSet<Digest>) -> String {
    digests.first().map_or_else(String::new, Digest::to_string)
}

fn summary(differences: &[Difference]) -> String {
    let mut text: Vec<String> = differences.iter().take(3).map(Difference::to_string).collect();
    if differences.len() > 3 {
        text.push(format!("and {} more", differences.len() - 3));
    }
    text.join(", ")
}

/// Where contents may come from: releases that are already on the machine, and objects that were fetched.
#[derive(Debug, Default)]
pub struct Sources<'a> {
    stores: Vec<&'a ObjectStore>,
    files: HashMap<Digest, Vec<PathBuf>>,
}

impl<'a> Sources<'a> {
    /// No sources yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds fetched objects; they are preferred, because nobody but us writes there.
    #[must_use]
    pub fn with_objects(mut self, store: &'a ObjectStore) -> Self {
        self.stores.push(store);
        self
    }

    /// Adds a release on this machine. Its files are verified while they are copied.
    #[must_use]
    pub fn with_release(mut self, root: &Path, manifest: &Manifest) -> Self {
        for (path, digest, _, _) in manifest.files() {
            let paths = self.files.entry(digest).or_default();
            // Two candidates are enough to survive one damaged file; more would only cost memory.
            if paths.len() < 2 {
                paths.push(root.join(path));
            }
        }
        self
    }

    /// What must be fetched before the release can be assembled, with the lengths. Looks at lengths only; damage is
    /// found by [`assemble`], which then names what to fetch.
    pub fn missing(&self, manifest: &Manifest) -> BTreeMap<Digest, u64> {
        let mut missing = manifest.objects();
        missing.retain(|digest, size_bytes| {
            !self.candidates(*digest).any(|path| {
                fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() == *size_bytes)
            })
        });
        missing
    }

    fn candidates(&self, digest: Digest) -> impl Iterator<Item = PathBuf> {
        let stored = self.stores.iter().map(move |store| store.object_path(digest));
        stored.chain(self.files.get(&digest).into_iter().flatten().cloned())
    }
}

/// Assembles the release `name` in the folder `parent`, which is created if need be.
pub fn assemble(
    manifest: &Manifest,
    parent: &Path,
    name: &str,
    sources: &Sources<'_>,
    options: &AssembleOptions,
) -> Result<Assembled, AssembleError> {
    assemble_with(manifest, parent, name, sources, options, &free_space)
}

/// What `statvfs` says about a folder.
pub(crate) struct FreeSpace {
    bytes: u64,
    /// `None` where the file system has no fixed number of inodes.
    inodes: Option<u64>,
}

fn free_space(path: &Path) -> io::Result<FreeSpace> {
    let found = rustix::fs::statvfs(path)?;
    Ok(FreeSpace {
        bytes: found.f_bavail.saturating_mul(found.f_frsize),
        inodes: (found.f_files > 0).then_some(found.f_favail),
    })
}

fn assemble_with(
    manifest: &Manifest,
    parent: &Path,
    name: &str,
    sources: &Sources<'_>,
    options: &AssembleOptions,
    space: &dyn Fn(&Path) -> io::Result<FreeSpace>,
) -> Result<Assembled, AssembleError> {
    if !name_allowed(name) {
        return Err(AssembleError::Name { name: name.to_owned() });
    }
    let assembly = Assembly { manifest, parent, needed_bytes: needed_bytes(manifest) };
    let mut folder = fs::DirBuilder::new();
    folder.recursive(true).mode(0o755).create(parent).map_err(assembly.failed("create", parent))?;
    let _lock = assembly.lock()?;
    assembly.remove_leftovers()?;

    let target = parent.join(name);
    if fs::symlink_metadata(&target).is_ok() {
        return assembly.existing(target, name);
    }
    assembly.check_space(options, space)?;
    let partial = Partial::create(parent, name).map_err(assembly.failed("create a directory in", parent))?;
    let (cloned_files, copied_files) = assembly.fill(&partial.path, sources)?;
    sync_file_system(parent).map_err(assembly.failed("write to disk", &partial.path))?;
    let differences =
        verify_tree(&partial.path, manifest).map_err(assembly.failed("verify", &partial.path))?;
    if !differences.is_empty() {
        return Err(AssembleError::Damaged { path: partial.path.clone(), differences });
    }
    assembly.write_manifest(name)?;
    partial.rename_to(&target).map_err(assembly.failed("rename the assembled release to", &target))?;
    sync_directory(parent).map_err(assembly.failed("write to disk", parent))?;
    Ok(Assembled { path: target, already_there: false, cloned_files, copied_files })
}

/// File contents in whole blocks, and a block for each directory and link.
fn needed_bytes(manifest: &Manifest) -> u64 {
    const BLOCK_BYTES: u64 = 4096;
    let blocks = |entry: &crate::manifest::Entry| match &entry.kind {
        EntryKind::File { size_bytes, .. } => size_bytes.div_ceil(BLOCK_BYTES),
        EntryKind::Directory | EntryKind::Symlink { .. } => 1,
    };
    manifest.entries().iter().map(blocks).sum::<u64>() * BLOCK_BYTES
}

struct Assembly<'a> {
    manifest: &'a Manifest,
    parent: &'a Path,
    needed_bytes: u64,
}

impl Assembly<'_> {
    fn failed(&self, action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AssembleError {
        let (path, needed_bytes) = (path.to_owned(), self.needed_bytes);
        move |source| {
            if out_of_space(&source) {
                AssembleError::DiskFull { path, needed_bytes }
            } else {
                AssembleError::Io { action, path, source }
            }
        }
    }

    /// One assembly at a time in a folder; released when the file is closed, also by a crash.
    fn lock(&self) -> Result<File, AssembleError> {
        let path = self.parent.join(".assemble.lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(self.failed("open", &path))?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .map_err(|errno| self.failed("lock", &path)(errno.into()))?;
        Ok(file)
    }

    /// What a crash left behind. Nobody else is assembling here, since we hold the lock.
    fn remove_leftovers(&self) -> Result<(), AssembleError> {
        for child in fs::read_dir(self.parent).map_err(self.failed("list", self.parent))? {
            let child = child.map_err(self.failed("list", self.parent))?;
            if child.file_name().to_string_lossy().contains(PARTIAL_MARK) {
                let path = child.path();
                remove_any(&path).map_err(self.failed("remove", &path))?;
            }
        }
        Ok(())
    }

    fn existing(&self, path: PathBuf, name: &str) -> Result<Assembled, AssembleError> {
        let is_directory = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
        let mut differences = if is_directory {
            verify_tree(&path, self.manifest).map_err(self.failed("verify", &path))?
        } else {
            vec![Difference::Changed(name.to_owned())]
        };
        differences.retain(Difference::damage);
        if !differences.is_empty() {
            return Err(AssembleError::Damaged { path, differences });
        }
        self.write_manifest(name)?;
        Ok(Assembled { path, already_there: true, cloned_files: 0, copied_files: 0 })
    }

    fn check_space(
        &self,
        options: &AssembleOptions,
        space: &dyn Fn(&Path) -> io::Result<FreeSpace>,
    ) -> Result<(), AssembleError> {
        let path = self.parent;
        let available = space(path).map_err(self.failed("read the free space of", path))?;
        if self.needed_bytes.saturating_add(options.free_space_floor_bytes) > available.bytes {
            return Err(AssembleError::NotEnoughSpace {
                path: path.to_owned(),
                needed_bytes: self.needed_bytes,
                floor_bytes: options.free_space_floor_bytes,
                available_bytes: available.bytes,
            });
        }
        // The tree itself, its root, its manifest.
        let needed = self.manifest.entries().len() as u64 + 2;
        if let Some(inodes) = available.inodes.filter(|inodes| *inodes < needed) {
            return Err(AssembleError::NotEnoughInodes { path: path.to_owned(), needed, available: inodes });
        }
        Ok(())
    }

    fn fill(&self, root: &Path, sources: &Sources<'_>) -> Result<(u64, u64), AssembleError> {
        let mut copier = Copier::default();
        let mut missing = BTreeSet::new();
        let mut links = Vec::new();
        for entry in self.manifest.entries() {
            let path = root.join(&entry.path);
            match &entry.kind {
                EntryKind::Directory => {
                    fs::DirBuilder::new().mode(0o755).create(&path).map_err(self.failed("create", &path))?;
                    set_mode(&path, 0o755).map_err(self.failed("set the mode of", &path))?;
                }
                EntryKind::Symlink { target } => links.push((path, target)),
                EntryKind::File { digest, size_bytes, executable } => {
                    let mode = if *executable { 0o755 } else { 0o644 };
                    let mut candidates = sources.candidates(*digest);
                    let copied = copier
                        .copy(&mut candidates, &path, mode, (*digest, *size_bytes))
                        .map_err(self.failed("write", &path))?;
                    if !copied {
                        // Goes on, so that everything that is lacking can be fetched in one go.
                        missing.insert(*digest);
                    }
                }
            }
        }
        if !missing.is_empty() {
            return Err(AssembleError::Missing { digests: missing });
        }
        for (path, target) in links {
            symlink(target, &path).map_err(self.failed("create the link", &path))?;
        }
        set_mode(root, 0o755).map_err(self.failed("set the mode of", root))?;
        Ok((copier.cloned_files, copier.copied_files))
    }

    fn write_manifest(&self, name: &str) -> Result<(), AssembleError> {
        let path = manifest_path(self.parent, name);
        let write = || -> io::Result<()> {
            let mut file =
                tempfile::Builder::new().prefix(&format!("{name}{PARTIAL_MARK}")).tempfile_in(self.parent)?;
            file.write_all(&self.manifest.encode())?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(self.failed("write", &path))
    }
}

/// The tree under construction; removed unless it is renamed to its place.
struct Partial {
    path: PathBuf,
    done: bool,
}

impl Partial {
    fn create(parent: &Path, name: &str) -> io::Result<Self> {
        // The mode is 0700 from the start: nobody else can put a link where we are going to write.
        let path =
            tempfile::Builder::new().prefix(&format!("{name}{PARTIAL_MARK}")).tempdir_in(parent)?.keep();
        Ok(Self { path, done: false })
    }

    fn rename_to(mut self, target: &Path) -> io::Result<()> {
        let renamed = rustix::fs::renameat_with(CWD, &self.path, CWD, target, RenameFlags::NOREPLACE);
        match renamed {
            // Some network and overlay file systems lack the flag; we hold the lock and saw that nothing is there.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => fs::rename(&self.path, target)?,
            other => other?,
        }
        self.done = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.done {
            // A failure here is not lost: the next assembly removes what is left, and reports it if it cannot.
            drop(fs::remove_dir_all(&self.path));
        }
    }
}

fn remove_any(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

#[derive(Default)]
struct Copier {
    no_clone: bool,
    cloned_files: u64,
    copied_files: u64,
}

impl Copier {
    /// Copies the first candidate that has the right content. `false`: none has. Errors are those of writing.
    fn copy(
        &mut self,
        candidates: &mut dyn Iterator<Item = PathBuf>,
        target: &Path,
        mode: u32,
        expected: (Digest, u64),
    ) -> io::Result<bool> {
        for candidate in candidates {
            let Ok(source) = open_regular(&candidate) else { continue };
            let mut file =
                OpenOptions::new().write(true).read(true).create_new(true).mode(0o600).open(target)?;
            let cloned = self.clone_blocks(&source, &file);
            // Cloned blocks are read back from the new file, so that the digest is that of what is kept.
            let found = if cloned { hash(&file) } else { copy_hashed(&source, &mut file, expected.1)? };
            if found == Some(expected) {
                file.set_permissions(Permissions::from_mode(mode))?;
                *(if cloned { &mut self.cloned_files } else { &mut self.copied_files }) += 1;
                return Ok(true);
            }
            fs::remove_file(target)?;
        }
        Ok(false)
    }

    fn clone_blocks(&mut self, source: &File, target: &File) -> bool {
        if self.no_clone {
            return false;
        }
        let cloned = rustix::fs::ioctl_ficlone(target, source);
        // Another file system (or one without the feature) stays so for the whole assembly.
        self.no_clone = cloned.is_err();
        cloned.is_ok()
    }
}

/// `None`: the file cannot be read.
fn hash(file: &File) -> Option<(Digest, u64)> {
    let mut reader = HashingReader::new(file);
    io::copy(&mut reader, &mut io::sink()).ok()?;
    Some(reader.result())
}

/// Copies at most one byte more than expected. A source that cannot be read gives `None`, so that another can be
/// tried; errors are those of writing.
fn copy_hashed(source: &File, target: &mut File, expected_bytes: u64) -> io::Result<Option<(Digest, u64)>> {
    let mut reader = HashingReader::new(source.take(expected_bytes + 1));
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(Some(reader.result())),
            Ok(count) => target.write_all(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
