//! `muster-agent install`.

use super::{Place, REFUSED, fail, fail_whole, host, say};
use muster_agent::install::layout::{Layout, PROGRAMS};
use muster_agent::install::membership::{self, Membership, MembershipError};
use muster_agent::install::systemd::Systemctl;
use muster_agent::install::{InstallError, Installer};
use muster_agent::join::{JoinError, JoinRequest, JoinToken};
use muster_agent::link::dial::ControllerAddress;
use muster_agent::{AgentConfig, VERSION};
use muster_platform::Host as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How long an agent may take to reach its controller. Most need a second; a host that has just started takes longer.
const PATIENCE: Duration = Duration::from_secs(45);

#[derive(Debug, clap::Args)]
pub(super) struct Install {
    /// Where the controller answers agents, for a host that has yet to join: https://host:8444
    #[arg(long, env = "MUSTER_CONTROLLER")]
    controller: Option<String>,
    /// Read the join token from standard input; it is used only if the host has no identity that works.
    #[arg(long, requires = "controller")]
    token_stdin: bool,
    /// Give up the identity that this host already has.
    #[arg(long, requires = "token_stdin")]
    force: bool,
    /// Folder with the programs to install; that of this program unless given.
    #[arg(long)]
    from: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(arguments: Install) -> ExitCode {
    // Folders and files of the system: whatever the shell that this was called from wants for its own.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    if !rustix::process::geteuid().is_root() {
        return fail(1, &InstallError::NotRoot);
    }
    let state = arguments.place.state_dir(false);
    let folder = match arguments.from.clone().map_or_else(own_folder, Ok) {
        Ok(folder) => folder,
        Err(error) => return fail(1, &error),
    };
    let (layout, units) = (Layout::system(), Systemctl);
    let installer = Installer { layout: &layout, state: &state, units: &units, patience: PATIENCE };
    // Before joining, which spends the token.
    if let Err(error) = installer.require(&folder) {
        return fail(1, &error);
    }
    let config = AgentConfig::new(state.root());
    let membership = match invitation(&arguments, &config) {
        Ok(invitation) => membership::ensure(&config, invitation).await,
        Err(error) => Err(error.into()),
    };
    let (enrolment, joined) = match membership {
        Ok(Membership::Joined(enrolment)) => (enrolment, true),
        Ok(Membership::Kept(enrolment)) => (enrolment, false),
        Err(error) if error.refusal() => return fail_whole(REFUSED, &error),
        Err(error @ MembershipError::Join(_)) => return fail_whole(1, &error),
        Err(error) => return fail(1, &error),
    };
    let (name, controller) = (&enrolment.node_name, &enrolment.controller_url);
    if joined {
        say(&format!(
            "This host is now node {name} of the fleet at {controller}; its key was made here and stays here."
        ));
    } else {
        say(&format!("This host is node {name} of the fleet at {controller} already."));
    }
    match installer.install(&folder, joined).await {
        Err(error) => fail(1, &error),
        Ok(installed) => {
            let what = if installed.changed { "installed" } else { "in place already, nothing was changed" };
            say(&format!("{} {} ({what}).", PROGRAMS.join(", "), installed.build));
            say(if installed.connected {
                "The agent runs and is connected. `systemctl status muster-agent` shows it."
            } else {
                "The agent runs and has not reached its controller yet; it goes on trying. `systemctl status muster-agent` says why."
            });
            ExitCode::SUCCESS
        }
    }
}

fn own_folder() -> std::io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    own.parent().map(PathBuf::from).ok_or_else(|| std::io::ErrorKind::NotFound.into())
}

fn invitation(arguments: &Install, config: &AgentConfig) -> Result<Option<JoinRequest>, JoinError> {
    let Some(controller) = arguments.controller.as_ref().filter(|_| arguments.token_stdin) else {
        return Ok(None);
    };
    let Some(token) = super::token::from_stdin() else { return Ok(None) };
    Ok(Some(JoinRequest {
        token: JoinToken::parse(&token)?,
        controller: ControllerAddress::parse(controller)?,
        rootless: false,
        force: arguments.force,
        facts: host(&config.state_dir, false).facts(VERSION),
    }))
}
