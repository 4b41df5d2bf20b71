//! Candidates: files that are judged before they are put into place, in a folder of root's own that is gone afterwards.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Only root can put anything there, and it is empty after each boot.
const FOLDER: &str = "/run/muster-verify";

/// One at a time: they share the folder.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A folder with candidates.
pub(super) struct Candidate {
    _turn: MutexGuard<'static, ()>,
}

impl Candidate {
    /// Begins with nothing, also where a killed run left something behind.
    pub(super) fn begin() -> io::Result<Self> {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        match fs::remove_dir_all(FOLDER) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::DirBuilder::new().mode(0o700).create(FOLDER)?;
        Ok(Self { _turn: turn })
    }

    /// Puts a candidate there; its name may begin with a folder.
    pub(super) fn file(&self, name: &str, content: &str) -> io::Result<PathBuf> {
        let path = Path::new(FOLDER).join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, content)?;
        // Judges look at modes as well, and a umask could have made it anything.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
        Ok(path)
    }

    /// What a judge said, without where the candidate was.
    pub(super) fn without_place(&self, said: &str) -> String {
        said.replace(&format!("{FOLDER}/"), "")
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        // What stays is removed when the next one begins.
        fs::remove_dir_all(FOLDER).ok();
    }
}
