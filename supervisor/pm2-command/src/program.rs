//! The programs this is made of.

use std::path::PathBuf;

use crate::Failure;

/// The supervisor beside this program; it understands `pm2` as its first word and calls this one again.
pub(crate) fn supervisor() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()
        .map_err(|error| Failure::new(format!("the path of this program cannot be found: {error}")))?;
    let supervisor = own.with_file_name("muster-supervisor");
    if supervisor.is_file() {
        return Ok(supervisor);
    }
    Err(Failure::new(format!("{} is missing", supervisor.display()))
        .hint("muster-supervisor and muster-pm2 belong together: install both in one folder"))
}
