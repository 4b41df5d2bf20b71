//! Whoever has to accept the new content of a file before it takes the place of the old.

use super::Look;
use muster_domain::resource::File;

/// Asks the validator of a file, if it names one.
pub(super) fn check(_look: Look<'_>, file: &File) -> Result<(), String> {
    match &file.validate {
        None => Ok(()),
        Some(_) => Err("this agent cannot ask the validator that it names; update the agent".into()),
    }
}
