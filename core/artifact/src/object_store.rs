//! A directory of objects by digest: `ab/cdef…`, where `ab` are the first two characters.
//!
//! An object is there completely or not at all: contents are written to `.incoming/`, made durable, then renamed.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::{NamedTempFile, TempPath};

use crate::bundle::{
    BundleError, BundleObject, BundleSummary, COMPRESSION_LEVEL, ObjectSink, Wanted, read_bundle,
    write_bundle,
};
use crate::digest::{Digest, HashingReader};
use crate::files::{open_regular, sync_directory, sync_file_system};

const INCOMING: &str = ".incoming";

/// A local directory of objects. Cheap to clone; several processes may use one directory.
#[derive(Debug, Clone)]
pub struct ObjectStore {
    root: PathBuf,
}

/// An object as the garbage collection sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredObject {
    /// Its content address.
    pub digest: Digest,
    /// Its length.
    pub size_bytes: u64,
    /// When it was stored or last reported as present by [`ObjectStore::missing`]. A collector leaves young objects
    /// alone: an upload relies on them although no manifest names them yet.
    pub used_at: SystemTime,
}

impl ObjectStore {
    /// Opens the directory and creates it if need be.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root.join(INCOMING))?;
        Ok(Self { root })
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where an object is, if it is there.
    pub fn object_path(&self, digest: Digest) -> PathBuf {
        let name = digest.to_string();
        self.root.join(&name[..2]).join(&name[2..])
    }

    /// Whether an object is there.
    pub fn has(&self, digest: Digest) -> bool {
        self.size_bytes(digest).is_some()
    }

    /// The length of an object, if it is there.
    pub fn size_bytes(&self, digest: Digest) -> Option<u64> {
        let metadata = fs::symlink_metadata(self.object_path(digest)).ok()?;
        metadata.is_file().then_some(metadata.len())
    }

    /// Which of these objects are not there, each once, in the given order. Those that are there count as used now.
    pub fn missing(&self, digests: &[Digest]) -> Vec<Digest> {
        let mut seen = std::collections::HashSet::new();
        digests.iter().copied().filter(|digest| seen.insert(*digest) && !self.touch(*digest)).collect()
    }

    fn touch(&self, digest: Digest) -> bool {
        use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        let touched = utimensat(CWD, self.object_path(digest), &times, AtFlags::SYMLINK_NOFOLLOW);
        // A store that may be read but not written still has its objects.
        touched.is_ok() || self.has(digest)
    }

    /// Opens an object. The content is not verified here: whoever sends or copies it does that on the way.
    pub fn open_object(&self, digest: Digest) -> io::Result<File> {
        open_regular(&self.object_path(digest))
    }

    /// Stores one object durably after verifying its content. Returns its length.
    pub fn put(&self, digest: Digest, reader: impl Read) -> Result<u64, BundleError> {
        let failed = |source| BundleError::Store { digest, source };
        let mut pending = self.incoming().map_err(failed)?;
        let mut reader = HashingReader::new(reader);
        io::copy(&mut reader, &mut pending).map_err(failed)?;
        let (found, size_bytes) = reader.result();
        if found != digest {
            return Err(BundleError::WrongContent { digest, found });
        }
        let stored = pending.as_file().sync_all().and_then(|()| self.place(digest, pending.into_temp_path()));
        let shard = stored.map_err(failed)?;
        sync_directory(&shard).and_then(|()| sync_directory(&self.root)).map_err(failed)?;
        Ok(size_bytes)
    }

    /// A sink for [`read_bundle`]; nothing is stored before [`StoreSink::finish`].
    pub fn sink(&self) -> StoreSink<'_> {
        StoreSink { store: self, staged: Vec::new() }
    }

    /// Stores the objects of a bundle. All of them, or after an error none.
    pub fn put_bundle(&self, reader: impl Read, wanted: &Wanted) -> Result<BundleSummary, BundleError> {
        let mut sink = self.sink();
        let summary = read_bundle(reader, wanted, &mut sink)?;
        sink.finish()?;
        Ok(summary)
    }

    /// Writes a bundle of objects of this store, verifying each.
    pub fn write_bundle<W: Write>(
        &self,
        writer: W,
        digests: impl IntoIterator<Item = Digest>,
    ) -> Result<(W, BundleSummary), BundleError> {
        let objects = digests.into_iter().map(|digest| {
            let failed = |source| BundleError::Add { digest, source };
            let reader = self.open_object(digest).map_err(failed)?;
            let size_bytes = reader.metadata().map_err(failed)?.len();
            Ok(BundleObject { digest, size_bytes, reader })
        });
        write_bundle(writer, COMPRESSION_LEVEL, objects)
    }

    /// Whether the content of an object still is what its name says.
    pub fn verify(&self, digest: Digest) -> io::Result<bool> {
        let mut reader = HashingReader::new(self.open_object(digest)?);
        io::copy(&mut reader, &mut io::sink())?;
        Ok(reader.result().0 == digest)
    }

    /// All objects, sorted by digest.
    pub fn list(&self) -> io::Result<Vec<StoredObject>> {
        let mut objects = Vec::new();
        for shard in fs::read_dir(&self.root)? {
            let shard = shard?;
            let prefix = shard.file_name();
            let Some(prefix) = prefix.to_str().filter(|name| name.len() == 2) else { continue };
            for object in fs::read_dir(shard.path())? {
                let object = object?;
                let name = object.file_name();
                let Some(digest) = name.to_str().and_then(|name| format!("{prefix}{name}").parse().ok())
                else {
                    continue;
                };
                let metadata = match object.metadata() {
                    Ok(metadata) => metadata,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                objects.push(StoredObject {
                    digest,
                    size_bytes: metadata.len(),
                    used_at: metadata.modified()?,
                });
            }
        }
        objects.sort_unstable_by_key(|object| object.digest);
        Ok(objects)
    }

    /// Removes an object. Whether it was there.
    pub fn remove(&self, digest: Digest) -> io::Result<bool> {
        match fs::remove_file(self.object_path(digest)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes contents that a crash left half written, if they are older than this. Returns how many.
    pub fn remove_abandoned(&self, older_than: Duration) -> io::Result<usize> {
        let mut removed = 0;
        for file in fs::read_dir(self.root.join(INCOMING))? {
            let file = file?;
            let Ok(modified) = file.metadata().and_then(|metadata| metadata.modified()) else { continue };
            // A time in the future (the clock was set back) counts as young.
            if modified.elapsed().is_ok_and(|age| age >= older_than) {
                fs::remove_file(file.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn incoming(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(self.root.join(INCOMING))
    }

    /// Renames a content that is durable to its place, and returns the directory it is in.
    fn place(&self, digest: Digest, content: TempPath) -> io::Result<PathBuf> {
        let path = self.object_path(digest);
        let shard = path.parent().expect("an object lies in a directory").to_owned();
        match fs::DirBuilder::new().mode(0o700).create(&shard) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        content.persist(path).map_err(|error| error.error)?;
        Ok(shard)
    }
}

/// Collects verified objects and stores them together: two flushes of the file system instead of one for each file.
#[derive(Debug)]
pub struct StoreSink<'a> {
    store: &'a ObjectStore,
    staged: Vec<(Digest, TempPath)>,
}

impl StoreSink<'_> {
    /// Makes all committed objects durable and visible. Returns their digests.
    pub fn finish(self) -> Result<Vec<Digest>, BundleError> {
        let Some(&(first, _)) = self.staged.first() else { return Ok(Vec::new()) };
        let failed = |digest| move |source| BundleError::Store { digest, source };
        sync_file_system(&self.store.root).map_err(failed(first))?;
        let mut stored = Vec::with_capacity(self.staged.len());
        for (digest, content) in self.staged {
            self.store.place(digest, content).map_err(failed(digest))?;
            stored.push(digest);
        }
        sync_file_system(&self.store.root).map_err(failed(first))?;
        Ok(stored)
    }
}

impl ObjectSink for StoreSink<'_> {
    type Pending = NamedTempFile;

    fn begin(&mut self, _digest: Digest, _size_bytes: u64) -> io::Result<Self::Pending> {
        self.store.incoming()
    }

    fn commit(&mut self, digest: Digest, pending: Self::Pending) -> io::Result<()> {
        // The file is closed: a bundle may hold more objects than a process may have open.
        self.staged.push((digest, pending.into_temp_path()));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
