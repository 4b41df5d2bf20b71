//! Small file-system steps shared by the other modules.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a regular file for reading: never through a symbolic link, and never waiting on a pipe.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).expect("the flags of open fit into an int"))
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

/// Makes everything written to the file system of this directory durable, in one call instead of one for each file.
pub(crate) fn sync_file_system(directory: &Path) -> io::Result<()> {
    let handle = File::open(directory)?;
    match rustix::fs::syncfs(&handle) {
        Ok(()) => Ok(()),
        // Sandboxes without syncfs: the older call covers every file system.
        Err(rustix::io::Errno::NOSYS) => {
            rustix::fs::sync();
            Ok(())
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Whether an error means that the disk, or the quota of the user, is full.
pub fn out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
