//! `muster-agent revert`: what the timer runs, and a person who cannot wait for it. It needs neither the agent nor the
//! controller.

use super::{Place, fail, say};
use clap::Args;
use muster_agent::Clock;
use muster_agent::safe_apply::{Reversion, revert};
use muster_platform::LinuxHost;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Revert {
    /// Which changes, as the timer names them; whichever are under test unless given.
    id: Option<String>,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(arguments: &Revert) -> ExitCode {
    let state = arguments.place.state_dir(false);
    let host = LinuxHost::system(state.root());
    let reason = match arguments.id {
        Some(_) => {
            "reverted: the node did not reach the controller in time with it, and the agent was not there to say why; the former state is back"
        }
        None => "reverted: somebody asked for it on the node; the former state is back",
    };
    let now_ms = Clock::system().now().timestamp_millis();
    match revert(&host, &state, arguments.id.as_deref(), reason, now_ms) {
        Ok(Reversion::Nothing) => {
            say("nothing is under test");
            ExitCode::SUCCESS
        }
        Ok(Reversion::Done(reverted)) => {
            let keys: Vec<&str> = reverted.resources.keys().map(|key| key.as_str()).collect();
            say(&format!("put back what was there before {}", keys.join(", ")));
            ExitCode::SUCCESS
        }
        Err(error) => fail(1, &error),
    }
}
