//! Where things lie in the checkout.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// A folder for data of running servers: below the target folder, or in `/var/tmp` when we are root and the checkout
/// lies where other accounts cannot go. PostgreSQL never runs as root, so it would not reach its files there.
pub(crate) fn scratch(name: &str) -> Result<PathBuf> {
    let usual = target().join(name);
    std::fs::create_dir_all(&usual).with_context(|| format!("cannot create {}", usual.display()))?;
    if !is_root()? || open_to_others(&usual)? {
        return Ok(usual);
    }
    let mut tag: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in usual.as_os_str().as_encoded_bytes() {
        tag = (tag ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let elsewhere = PathBuf::from(format!("/var/tmp/muster-{tag:016x}/{name}"));
    std::fs::create_dir_all(&elsewhere).with_context(|| format!("cannot create {}", elsewhere.display()))?;
    crate::shell::note(&format!(
        "{} is closed to other accounts; using {}",
        usual.display(),
        elsewhere.display()
    ));
    Ok(elsewhere)
}

/// Whether we run as root.
pub(crate) fn is_root() -> Result<bool> {
    // The owner of our own process entry; the standard library has no other way to ask.
    Ok(std::fs::metadata("/proc/self").context("cannot inspect /proc/self")?.uid() == 0)
}

fn open_to_others(dir: &Path) -> Result<bool> {
    for dir in dir.ancestors() {
        let metadata = dir.metadata().with_context(|| format!("cannot inspect {}", dir.display()))?;
        if metadata.mode() & 0o001 == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes a file unless it holds these bytes already, so that time stamps stay when nothing changed.
pub(crate) fn write_if_changed(path: &Path, content: &[u8]) -> Result<bool> {
    if std::fs::read(path).is_ok_and(|old| old == content) {
        return Ok(false);
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

/// Every file git tracks or would track, relative to the root.
pub(crate) fn files() -> Result<Vec<PathBuf>> {
    let listed = crate::shell::Program::new("git")
        .dir(&root())
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .read()?;
    let mut files: Vec<PathBuf> =
        listed.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
    // Deleted but not yet committed files are still listed.
    files.retain(|file| root().join(file).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}
