//! Putting a build in its place, and taking it into use: whole or not at all, at every moment.

use super::layout::{COMMANDS, Layout, PROGRAMS};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Room that stays free when a build is placed.
const FLOOR_BYTES: u64 = 16 * 1024 * 1024;

/// Nothing is fetched for so long without a file being begun.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);

const READ_BYTES: usize = 256 * 1024;

/// A file that was not what it should be, or could not be made so.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The file system refused something.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The four do not lie beside each other.
    #[error("{} is missing: {} have to lie in one folder", path.display(), PROGRAMS.join(", "))]
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// There is no room.
    #[error("{needed_bytes} bytes are needed in {}, and {free_bytes} are free there", path.display())]
    Full {
        /// Where.
        path: PathBuf,
        /// How much.
        needed_bytes: u64,
        /// How much there is.
        free_bytes: u64,
    },
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PlaceError {
    let path = path.to_owned();
    move |source| PlaceError::Io { action, path, source }
}

/// The four programs of one build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    folder: PathBuf,
    /// In the order of [`PROGRAMS`].
    digests: Vec<String>,
    bytes: u64,
}

impl Build {
    /// Reads the programs in a folder.
    pub fn read(folder: &Path) -> Result<Self, PlaceError> {
        let mut digests = Vec::new();
        let mut bytes = 0;
        for name in PROGRAMS {
            let path = folder.join(name);
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(PlaceError::Missing { path });
                }
                Err(error) => return Err(failed("read", &path)(error)),
            };
            let (digest, length) = digest(file).map_err(failed("read", &path))?;
            digests.push(digest);
            bytes += length;
        }
        Ok(Self { folder: folder.to_owned(), digests, bytes })
    }

    /// SHA-256 of a program, in hexadecimal.
    pub fn digest_of(&self, program: &str) -> Option<&str> {
        let at = PROGRAMS.iter().position(|name| *name == program)?;
        Some(&self.digests[at])
    }

    /// What its folder is called: its version is not enough, because two builds may have the same.
    pub fn name(&self) -> String {
        let mut hasher = Sha256::new();
        for (name, digest) in PROGRAMS.iter().zip(&self.digests) {
            hasher.update(format!("{digest}  {name}\n"));
        }
        format!("{}-{}", crate::VERSION, &hex::encode(hasher.finalize())[..12])
    }

    /// How large it is.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Copies it into the library unless it is there.
    pub fn place(&self, layout: &Layout) -> Result<(), PlaceError> {
        let library = layout.library();
        let place = library.join(self.name());
        if Self::read(&place).is_ok_and(|there| there.digests == self.digests) {
            return Ok(());
        }
        fs::create_dir_all(&library).map_err(failed("create", &library))?;
        self.require_room(layout)?;
        let partial = library.join(format!(".placing-{}", std::process::id()));
        let placed = self.copy_to(&partial, self.lies_in(&library)).and_then(|()| {
            // Damaged, if there at all; processes that run from it have their files open.
            remove_folder(&place)?;
            fs::rename(&partial, &place).map_err(failed("create", &place))
        });
        if placed.is_err() {
            // The first error is the one to tell.
            fs::remove_dir_all(&partial).ok();
        }
        placed?;
        sync(&library)
    }

    /// Whether there is room for placing it.
    pub fn require_room(&self, layout: &Layout) -> Result<(), PlaceError> {
        let library = layout.library();
        // It may not be there yet; then its nearest ancestor tells.
        let there = library.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned();
        let stat = rustix::fs::statvfs(&there)
            .map_err(|errno| failed("look at the room of", &there)(errno.into()))?;
        let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
        let needed_bytes = FLOOR_BYTES + if self.lies_in(&library) { 0 } else { self.bytes };
        if free_bytes < needed_bytes {
            return Err(PlaceError::Full { path: library, needed_bytes, free_bytes });
        }
        Ok(())
    }

    /// It was fetched to there, so nobody else has its files, and they need no second copy.
    fn lies_in(&self, library: &Path) -> bool {
        self.folder.starts_with(library)
    }

    fn copy_to(&self, partial: &Path, same_files: bool) -> Result<(), PlaceError> {
        remove_folder(partial)?;
        fs::DirBuilder::new().mode(0o755).create(partial).map_err(failed("create", partial))?;
        // Whatever the umask said.
        fs::set_permissions(partial, fs::Permissions::from_mode(0o755)).map_err(failed("create", partial))?;
        for (name, expected) in PROGRAMS.iter().zip(&self.digests) {
            let (from, to) = (self.folder.join(name), partial.join(name));
            let copied = if same_files { fs::hard_link(&from, &to) } else { fs::copy(&from, &to).map(drop) };
            copied.map_err(failed("write", &to))?;
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).map_err(failed("write", &to))?;
            let written = File::open(&to).map_err(failed("read", &to))?;
            written.sync_all().map_err(failed("write", &to))?;
            let (found, _) = digest(written).map_err(failed("read", &to))?;
            if found != *expected {
                let changed = io::Error::new(io::ErrorKind::InvalidData, "it changed meanwhile");
                return Err(failed("copy", &from)(changed));
            }
        }
        sync(partial)
    }
}

fn digest(mut file: File) -> io::Result<(String, u64)> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; READ_BYTES];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok((hex::encode(hasher.finalize()), bytes));
        }
        hasher.update(&piece[..read]);
        bytes += read as u64;
    }
}

fn sync(folder: &Path) -> Result<(), PlaceError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("write", folder))
}

fn remove_folder(path: &Path) -> Result<(), PlaceError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Lets a link lead to something else, in one step.
pub(super) fn link(path: &Path, target: &Path) -> Result<(), PlaceError> {
    if fs::read_link(path).is_ok_and(|there| there == target) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed("create", folder))?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    crate::durable::remove(&new).map_err(failed("remove", &new))?;
    symlink(target, &new).map_err(failed("create", &new))?;
    fs::rename(&new, path).map_err(failed("create", path))
}

/// Takes a build into use. What people call are links by way of `current`, so they change with it.
pub(super) fn switch(layout: &Layout, name: &str) -> Result<(), PlaceError> {
    let former = Layout::target(&layout.current());
    if let Some(former) = former.filter(|former| former != name) {
        link(&layout.previous(), Path::new(&former))?;
    }
    link(&layout.current(), Path::new(name))?;
    for program in COMMANDS {
        link(&layout.command(program), &Path::new("../lib/muster/current").join(program))?;
    }
    sync(&layout.library())
}

/// Removes every build but the one in use and the one before, and what broken-off installations left.
pub(super) fn prune(layout: &Layout) -> io::Result<()> {
    let keep = [Layout::target(&layout.current()), Layout::target(&layout.previous())];
    for entry in fs::read_dir(layout.library())? {
        let entry = entry?;
        let name = entry.file_name();
        // The folder that this very installation came in is removed by whoever made it.
        let under_way = name.to_string_lossy().starts_with(".incoming")
            && entry.metadata()?.modified()?.elapsed().is_ok_and(|age| age < ABANDONED_AFTER);
        let kept = keep.iter().flatten().any(|kept| name == kept.as_str());
        if entry.file_type()?.is_dir() && !kept && !under_way {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
