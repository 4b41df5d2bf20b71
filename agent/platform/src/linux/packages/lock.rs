//! Who holds the locks of dpkg and apt. Asked of the kernel, without taking one.

use crate::host::{HostError, LockHolder};
use rustix::process::{Flock, FlockOffsetType, FlockType};
use std::fs::File;
use std::io;
use std::path::Path;

/// What of a command line is told: it may hold what is nobody's business.
const MAX_COMMAND_CHARS: usize = 60;

pub(super) fn holder(paths: &[&str]) -> Result<Option<LockHolder>, HostError> {
    for path in paths.iter().map(Path::new) {
        let fail = |error: io::Error| HostError::new("ask for the lock", path, error.into());
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(fail(error)),
        };
        let mut asked = Flock::from(FlockType::WriteLock);
        asked.offset_type = FlockOffsetType::Set;
        if let Some(held) = rustix::process::fcntl_getlk(&file, &asked).map_err(|errno| fail(errno.into()))? {
            let pid = held.pid.map(rustix::process::Pid::as_raw_nonzero).map(i32::from);
            let pid = pid.and_then(|pid| u32::try_from(pid).ok());
            return Ok(Some(LockHolder { pid, command: pid.map(command).unwrap_or_default() }));
        }
    }
    Ok(None)
}

/// The program and its first words. Not the rest: it may hold a secret.
fn command(pid: u32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    let words: Vec<&str> = line.split('\0').filter(|word| !word.is_empty()).take(3).collect();
    words.join(" ").chars().filter(|c| !c.is_control()).take(MAX_COMMAND_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_nobody_holds_is_free_and_one_that_is_not_there_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let text = path.to_str().unwrap();
        assert_eq!(holder(&[text]), Ok(None));
        std::fs::write(&path, "").unwrap();
        assert_eq!(holder(&[text]), Ok(None));
    }

    #[test]
    fn a_command_is_told_shortly() {
        let text = command(std::process::id());
        assert!(!text.is_empty() && text.chars().count() <= MAX_COMMAND_CHARS, "{text:?}");
        assert_eq!(command(u32::MAX), "");
    }
}
