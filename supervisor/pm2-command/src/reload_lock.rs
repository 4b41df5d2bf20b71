//! One reload at a time: `reload.lock`, as pm2 has it, but free again as soon as its holder is gone.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{Context, Failure};

/// pm2's `PM2_RELOAD_LOCK_TIMEOUT`.
const DEFAULT_TIMEOUT_MS: u64 = 30_000;

/// Held until it is dropped; `None` with `--force`.
pub(crate) fn take(context: &Context) -> Result<Option<File>, Failure> {
    if context.flags.force {
        return Ok(None);
    }
    let path = context.home.dir().join("reload.lock");
    let unusable =
        |error: std::io::Error| Failure::new(format!("{} cannot be used: {error}", path.display()));
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(unusable)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_millis());
    let now = u64::try_from(now).unwrap_or(u64::MAX);
    match file.try_lock() {
        Ok(()) => {
            let written = file.set_len(0).and_then(|()| write!(file, "{now}"));
            written.map_err(unusable)?;
            Ok(Some(file))
        }
        Err(TryLockError::WouldBlock) => {
            let mut since = String::new();
            file.rewind().and_then(|()| file.read_to_string(&mut since)).map_err(unusable)?;
            let age = now.saturating_sub(since.trim().parse().unwrap_or(now));
            let timeout = context.switch("PM2_RELOAD_LOCK_TIMEOUT").and_then(|ms| ms.parse().ok());
            let timeout = timeout.unwrap_or(DEFAULT_TIMEOUT_MS);
            if age >= timeout {
                return Ok(None);
            }
            Err(Failure::new(format!(
                "Reload already in progress, please try again in {} seconds or use --force",
                (timeout - age) / 1_000
            )))
        }
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}
