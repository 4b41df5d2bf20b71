//! Makes hosts nodes with the line that an invitation prints.

use anyhow::{Context as _, Result};

use super::Cli;
use crate::host::Host;

/// Runs the line of an invitation on a host: it fetches the agent from the controller, installs it, and joins.
pub(super) fn join(cli: &Cli, host: &Host) -> Result<()> {
    let invitation = cli.json(&["node", "invite", host.name()])?;
    let command = invitation["command"].as_str();
    let command = command.with_context(|| format!("`muster node invite` answered {invitation}"))?;
    host.run(["sh", "-c", command]).map(drop)
}
