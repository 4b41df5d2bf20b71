//! The drain hook: a script preloaded into cluster workers.

use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The script.
pub(crate) const SOURCE: &str = include_str!("drain_hook.cjs");
const FILE_NAME: &str = "drain-hook.cjs";

/// Writes the script where workers can read it. Replaced by rename, so a worker never loads half of one.
pub(crate) fn install(dir: &Path) -> io::Result<PathBuf> {
    let path = dir.join(FILE_NAME);
    let partial = dir.join(format!(".{FILE_NAME}.{}", std::process::id()));
    {
        use std::io::Write as _;
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&partial)?;
        file.write_all(SOURCE.as_bytes())?;
        file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    std::fs::rename(&partial, &path)?;
    Ok(path)
}

/// Whether another user can reach the file: every folder above lets them pass.
pub(crate) fn readable_by_others(path: &Path) -> bool {
    path.ancestors().skip(1).all(|dir| std::fs::metadata(dir).is_ok_and(|meta| meta.mode() & 0o001 != 0))
}
