//! Files that only their owner may read, written so that a crash leaves the old one or the new one, never a half.

use crate::IdentityError;
use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};
use zeroize::Zeroizing;

/// No identity file is longer; a device or a wrong file does not fill the memory.
const MAX_BYTES: u64 = 1024 * 1024;

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> IdentityError + 'a {
    move |source| IdentityError::Io { action, path: path.to_owned(), source }
}

/// Who may read a file that holds a private key.
#[derive(Clone, Copy)]
pub(crate) enum Readers {
    /// Its owner: files of our own.
    Owner,
    /// Its owner and group: files that people bring, such as Debian's `ssl-cert` group.
    OwnerAndGroup,
    /// Anybody: certificates.
    Anybody,
}

impl Readers {
    const fn forbidden(self) -> u32 {
        match self {
            Self::Owner => 0o077,
            Self::OwnerAndGroup => 0o027,
            Self::Anybody => 0,
        }
    }

    const fn wanted(self) -> &'static str {
        match self {
            Self::Owner => "600",
            Self::OwnerAndGroup | Self::Anybody => "640",
        }
    }
}

/// Reads a whole file after checking who else may. The check is on the open file: the path cannot be exchanged between.
pub(crate) fn read(path: &Path, readers: Readers) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let file = File::open(path).map_err(failed("open", path))?;
    let metadata = file.metadata().map_err(failed("look at", path))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & readers.forbidden() != 0 {
        return Err(IdentityError::Exposed { path: path.to_owned(), mode, wanted: readers.wanted() });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len().min(MAX_BYTES) as usize + 1));
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed("read", path))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(IdentityError::damaged(path, "it is longer than any file that belongs here"));
    }
    Ok(bytes)
}

/// Refuses a folder that others may enter.
pub(crate) fn check_folder(path: &Path) -> Result<(), IdentityError> {
    let metadata = fs::metadata(path).map_err(failed("look at", path))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(IdentityError::Exposed { path: path.to_owned(), mode, wanted: "700" });
    }
    Ok(())
}

/// Makes a folder that only its owner may enter. The one above it must exist.
pub(crate) fn create_folder(path: &Path) -> Result<(), IdentityError> {
    fs::DirBuilder::new().mode(0o700).create(path).map_err(failed("create", path))
}

/// Writes a file that does not exist yet, readable by its owner, and waits until it is on the disk.
pub(crate) fn write_new(path: &Path, content: &[u8]) -> Result<(), IdentityError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed("create", path))?;
    file.write_all(content).map_err(failed("write", path))?;
    file.sync_all().map_err(failed("flush", path))
}

/// Puts a file in place of another in one step.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), IdentityError> {
    let partial = path.with_extension(format!("partial-{}", crate::random::alphanumeric(8)));
    write_new(&partial, content)?;
    rename(&partial, path)
}

/// Renames and waits until the name is on the disk.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), IdentityError> {
    fs::rename(from, to).map_err(failed("move into place", to))?;
    to.parent().map_or(Ok(()), sync_folder)
}

/// Waits until the names in a folder are on the disk.
pub(crate) fn sync_folder(path: &Path) -> Result<(), IdentityError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(failed("flush", path))
}

/// Removes what a creation that was interrupted left in `parent`: folders whose names begin with `prefix`.
pub(crate) fn remove_leftovers(parent: &Path, prefix: &str) -> Result<(), IdentityError> {
    for entry in fs::read_dir(parent).map_err(failed("list", parent))? {
        let entry = entry.map_err(failed("list", parent))?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            fs::remove_dir_all(entry.path()).map_err(failed("remove", &entry.path()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exposed_key_is_refused_with_the_command_that_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        write_new(&path, b"secret").unwrap();
        assert_eq!(read(&path, Readers::Owner).unwrap().as_slice(), b"secret");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let message = read(&path, Readers::Owner).unwrap_err().to_string();
        assert!(message.contains("chmod 600") && message.contains("mode 640"), "{message}");
        assert!(read(&path, Readers::OwnerAndGroup).is_ok());

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read(&path, Readers::OwnerAndGroup), Err(IdentityError::Exposed { .. })));
        assert!(read(&path, Readers::Anybody).is_ok());
    }

    #[test]
    fn an_existing_file_is_not_overwritten_but_can_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        write_new(&path, b"one").unwrap();
        assert!(matches!(write_new(&path, b"two"), Err(IdentityError::Io { .. })));
        replace(&path, b"three").unwrap();
        assert_eq!(read(&path, Readers::Owner).unwrap().as_slice(), b"three");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
