//! Files in memory: where a path leads, and what may be written there.

use super::{Entry, World};
use crate::host::{Fault, FileKind, Ownership, WriteFile};
use std::path::{Component, Path, PathBuf};

impl World {
    pub(super) fn put_file(&mut self, path: &Path) {
        let entry = Entry { kind: FileKind::File, ..Entry::directory(0o644) };
        self.tree.insert(path.to_owned(), entry);
    }

    fn check_path(path: &Path) -> Result<(), Fault> {
        let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if path.is_absolute() && plain { Ok(()) } else { Err(Fault::Other("the path is not plain".into())) }
    }

    /// Where a path leads when the links before its last name are followed.
    pub(super) fn resolve(&self, path: &Path) -> Result<PathBuf, Fault> {
        Self::check_path(path)?;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(path.to_owned());
        };
        let mut folder = PathBuf::from("/");
        let mut left: Vec<_> = parent.components().rev().map(|part| part.as_os_str().to_owned()).collect();
        let mut hops = 0;
        while let Some(part) = left.pop() {
            if part == "/" {
                folder = PathBuf::from("/");
                continue;
            }
            if part == ".." {
                folder.pop();
                continue;
            }
            let next = folder.join(&part);
            match self.tree.get(&next).map(|entry| (&entry.kind, entry.uid)) {
                None => return Err(Fault::NotFound),
                Some((FileKind::Directory, _)) => folder = next,
                Some((FileKind::Symlink { target }, owner)) => {
                    if owner != 0 {
                        return Err(Fault::UnsafeLink { link: next.display().to_string(), owner });
                    }
                    hops += 1;
                    if hops > 40 {
                        return Err(Fault::Other("too many symbolic links".into()));
                    }
                    left.extend(Path::new(target).components().rev().map(|part| part.as_os_str().to_owned()));
                }
                Some((FileKind::File | FileKind::Other, _)) => return Err(Fault::NotADirectory),
            }
        }
        Ok(folder.join(name))
    }

    pub(super) fn before_write(&self, path: &Path) -> Result<(), Fault> {
        if self.faults.read_only {
            return Err(Fault::ReadOnly);
        }
        if self.faults.killed_after.is_some_and(|last| self.writes >= last) {
            return Err(Fault::Other("killed".into()));
        }
        if self.faults.denied.iter().any(|denied| path.starts_with(denied)) {
            return Err(Fault::PermissionDenied);
        }
        Ok(())
    }

    /// A write that takes space.
    pub(super) fn before_create(&self, path: &Path) -> Result<(), Fault> {
        self.before_write(path)?;
        if self.faults.disk_full { Err(Fault::DiskFull) } else { Ok(()) }
    }

    pub(super) fn check_owner(&self, ownership: Ownership) -> Result<(), Fault> {
        let foreign = ownership.uid.is_some_and(|uid| uid != 0) || ownership.gid.is_some_and(|gid| gid != 0);
        if foreign && !self.privileged { Err(Fault::PermissionDenied) } else { Ok(()) }
    }

    pub(super) fn write(&mut self, file: &WriteFile<'_>) -> Result<(), Fault> {
        let path = self.resolve(file.path)?;
        self.before_create(&path)?;
        self.check_owner(file.ownership)?;
        let former = self.tree.get(&path);
        if former.is_some_and(|entry| entry.kind == FileKind::Directory) {
            return Err(Fault::IsADirectory);
        }
        let folder = path.parent().and_then(|parent| self.tree.get(parent));
        let own_folder = folder.is_some_and(|folder| folder.uid == 0 && folder.mode & 0o022 == 0);
        let kept = former
            .filter(|entry| own_folder && entry.kind == FileKind::File)
            .map_or((0, 0), |entry| (entry.uid, entry.gid));
        let entry = Entry {
            kind: FileKind::File,
            content: file.content.to_vec(),
            mode: file.mode,
            uid: file.ownership.uid.unwrap_or(kept.0),
            gid: file.ownership.gid.unwrap_or(kept.1),
        };
        self.put(path, entry);
        Ok(())
    }

    pub(super) fn put(&mut self, path: PathBuf, entry: Entry) {
        self.tree.insert(path, entry);
        self.writes += 1;
    }

    pub(super) fn file(&self, path: &Path) -> Result<&Entry, Fault> {
        let path = self.resolve(path)?;
        match self.tree.get(&path) {
            None => Err(Fault::NotFound),
            Some(entry) if entry.kind == FileKind::File => Ok(entry),
            Some(_) => Err(Fault::NotAFile),
        }
    }
}
