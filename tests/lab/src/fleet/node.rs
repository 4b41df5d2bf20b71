//! Makes hosts nodes by hand: the programs copied in, the token used, the unit written.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{Cli, program};
use crate::base::short_digest;
use crate::host::Host;
use crate::lab::{Image, Lab};

/// What a node runs.
const PROGRAMS: [&str; 3] = ["muster-agent", "muster-supervisor", "muster-keeper"];
const UNIT: &str = "\
[Unit]
Description=Muster agent
After=network-online.target
Wants=network-online.target

[Service]
ExecStart=/usr/local/bin/muster-agent run
Restart=always
RestartSec=2
KillMode=process
UMask=0022

[Install]
WantedBy=multi-user.target
";

/// Hosts that have the programs. Made once per lab, so that five of them cost as much disk as one.
pub(super) fn image(lab: &Lab, programs: &Path) -> Result<Image> {
    let mut built = String::new();
    for name in PROGRAMS {
        let found = program(programs, name)?.metadata()?;
        built.push_str(&format!("{name} {} {} ", found.size(), found.mtime()));
    }
    let name = format!("n{}", &short_digest(&built)[..8]);
    if let Ok(image) = lab.image(&name) {
        return Ok(image);
    }
    let host = lab.host("prepare").up()?;
    install(&host, programs)?;
    host.stop()?;
    let image = host.save(&name)?;
    host.down()?;
    Ok(image)
}

/// Copies the programs in and writes the unit.
pub(super) fn install(host: &Host, programs: &Path) -> Result<()> {
    for name in PROGRAMS {
        host.copy_in(&program(programs, name)?, &format!("/usr/local/bin/{name}"), 0o755)?;
    }
    host.write_file("/etc/systemd/system/muster-agent.service", UNIT.as_bytes())
}

/// Joins a host that has the programs and starts its agent.
pub(super) fn join(cli: &Cli, host: &Host) -> Result<()> {
    let invitation = cli.json(&["node", "invite", host.name()])?;
    let field = |name: &str| {
        let value = invitation[name].as_str();
        value.with_context(|| format!("`muster node invite` answered without `{name}`"))
    };
    let (token, controller) = (field("token")?, field("controller_url")?);
    host.run(["muster-agent", "join", token, "--controller", controller])?;
    host.run(["systemctl", "enable", "--quiet", "--now", "muster-agent"]).map(drop)
}
