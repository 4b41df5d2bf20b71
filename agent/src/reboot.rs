//! Restarts of the node: whether one is needed, and the planned ones, within their window and with the node's turn.
//!
//! What to do is decided by [`muster_planning::reboot`]; how it stands is on the disk before anything is done, so that the
//! agent knows when it is back, and gives back the turn that it still has.

mod wishes;

pub use wishes::{Wish, Wishes};

use crate::resources::Look;
use futures_util::future::BoxFuture;
use muster_domain::{
    event::Severity,
    resource::{DesiredState, Mode, Resource},
    turn::TurnOutcome,
    window::Window,
};
use muster_planning::reboot::{
    RebootEffect, RebootFacts, RebootNews, RebootState, RebootStep, Turn, Wanted, needed, step,
};
use muster_platform::Host;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// What a restart asks of the agent around it.
pub trait RebootShell: Send + Sync {
    /// Asks for the node's turn, which outlives the restart. The error says who is before it, or that nobody answers.
    fn take_turn(&self, reason: String) -> BoxFuture<'_, Result<(), String>>;
    /// Gives the turn back, and says how it went.
    fn give_turn_back(&self, outcome: TurnOutcome) -> BoxFuture<'_, ()>;
    /// Tells the fleet, durably.
    fn tell(&self, kind: &'static str, severity: Severity, message: String);
}

/// How a run left the node.
#[derive(Debug, Clone)]
pub struct AfterRun {
    /// The time.
    pub now: chrono::DateTime<chrono::Utc>,
    /// When a restart may happen: [`window`].
    pub window: Option<Window>,
    /// Everything is as it should be, applications are ready.
    pub converged: bool,
}

/// Why the node has to be restarted, when it has to.
pub(crate) fn required(look: Look<'_>) -> Option<String> {
    required_of(look.host)
}

fn required_of(host: &dyn Host) -> Option<String> {
    if !host.privileged() {
        // An agent without root sees a system that is not its own.
        return None;
    }
    needed(host.reboot_requested().as_deref(), &host.kernel_release(), &host.installed_kernels())
}

/// The window of an assignment, when it declares one and the agent may act on it.
pub fn window(resources: &[Resource]) -> Option<&Window> {
    let enforced = resources.iter().filter(|resource| resource.mode == Mode::Enforce);
    let mut windows = enforced.filter_map(|resource| match &resource.desired {
        DesiredState::OsUpdates(updates) => updates.reboot.as_ref(),
        _ => None,
    });
    windows.next()
}

/// The planned restarts of a node.
#[derive(Debug)]
pub struct Reboots {
    path: PathBuf,
    state: RebootState,
    wishes: Wishes,
}

impl Reboots {
    /// Goes on where the agent was. What cannot be read is told, and is as if no restart had been planned.
    pub fn load(state_dir: &crate::config::StateDir) -> Self {
        let path = state_dir.root().join("reboot.json");
        let read = crate::durable::read(&path).and_then(|content| match content {
            None => Ok(RebootState::default()),
            Some(content) => serde_json::from_slice(&content).map_err(io::Error::from),
        });
        let state = read.unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "how the last restart went cannot be read");
            RebootState::default()
        });
        Self { path, state, wishes: Wishes::of(state_dir) }
    }

    /// Whether the node's turn must not be given back by anybody else.
    pub const fn keeps_turn(&self) -> bool {
        self.state.keeps_turn()
    }

    /// Restarts the node when it is time for it, goes on after a restart. Says what a needed restart waits for.
    pub async fn after_run(
        &mut self,
        host: &Arc<dyn Host>,
        run: AfterRun,
        shell: &dyn RebootShell,
    ) -> Option<String> {
        if !host.privileged() {
            return None;
        }
        let seen = {
            let (host, run, wishes) = (host.clone(), run.clone(), self.wishes.clone());
            crate::blocking(move || Seen::of(host.as_ref(), &run, &wishes)).await
        };
        let seen = match seen {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!("whether the node has to be restarted cannot be told: {error}");
                return None;
            }
        };
        let mut decided = step(&self.state, &seen.facts(&run, Turn::NotAsked));
        if let [RebootEffect::AskTurn { reason }] = decided.effects.as_slice() {
            let answer = shell.take_turn(reason.clone()).await;
            let turn = match &answer {
                Ok(()) => Turn::Granted,
                Err(reason) => Turn::Waits(reason),
            };
            decided = step(&decided.state, &seen.facts(&run, turn));
        }
        let RebootStep { state, effects, waits_for } = decided;
        if let Err(error) = self.keep(state) {
            let path = self.path.display();
            if effects.contains(&RebootEffect::Reboot) {
                // What cannot be remembered is not done: it would be done again and again.
                shell.give_turn_back(TurnOutcome::Done).await;
            }
            tracing::warn!(%path, %error, "how a restart stands cannot be written");
            return Some(format!("its own notes, which cannot be written: {error}"));
        }
        for effect in effects {
            self.carry_out(effect, host, &seen.boot_id, shell).await;
        }
        waits_for
    }

    fn keep(&mut self, state: RebootState) -> io::Result<()> {
        if state != self.state {
            crate::durable::write(&self.path, &serde_json::to_vec(&state)?)?;
            self.state = state;
        }
        Ok(())
    }

    async fn carry_out(
        &self,
        effect: RebootEffect,
        host: &Arc<dyn Host>,
        boot_id: &str,
        shell: &dyn RebootShell,
    ) {
        match effect {
            // It was asked, and this is what came of it.
            RebootEffect::AskTurn { .. } => {}
            RebootEffect::ReleaseTurn => shell.give_turn_back(TurnOutcome::Done).await,
            RebootEffect::FailTurn { detail } => {
                tracing::error!("{detail}");
                shell.give_turn_back(TurnOutcome::Failed { detail }).await;
            }
            RebootEffect::Tell(news) => {
                let (kind, severity, message) = words(news);
                shell.tell(kind, severity, message);
            }
            RebootEffect::Reboot => {
                if let Err(error) = self.wishes.carried_out(boot_id) {
                    // A wish that cannot be noted as carried out would be carried out again and again.
                    return tracing::warn!("the node is not restarted: {error}");
                }
                let host = host.clone();
                if let Err(error) = crate::blocking(move || host.reboot()).await {
                    // It is given up like one that never comes; until then the host may still follow.
                    tracing::warn!("the node cannot be restarted: {error}");
                }
            }
        }
    }
}

/// What is found on the host.
struct Seen {
    boot_id: String,
    needed: Option<String>,
    window_open: Option<bool>,
    busy: Option<String>,
    wish: Option<Wish>,
}

impl Seen {
    fn of(host: &dyn Host, run: &AfterRun, wishes: &Wishes) -> Result<Self, String> {
        let boot_id = host.boot_id().map_err(|error| error.to_string())?;
        let needed = required_of(host);
        let open = |window: &Window| {
            // That the zone is not known, the resource itself says.
            let time = host.local_time(window.timezone(), run.now).ok()?;
            Some(window.open_at(time.weekday, time.minute))
        };
        let wish = wishes.pending();
        let busy = match (&needed, &wish) {
            (None, None) => None,
            (Some(_), _) | (_, Some(_)) => host.package_lock_holder().map_err(|error| error.to_string())?,
        };
        Ok(Self {
            boot_id,
            needed,
            window_open: run.window.as_ref().and_then(open),
            busy: busy.map(|holder| holder.to_string()),
            wish,
        })
    }

    fn facts<'a>(&'a self, run: &AfterRun, turn: Turn<'a>) -> RebootFacts<'a> {
        RebootFacts {
            now: run.now,
            boot_id: &self.boot_id,
            needed: self.needed.as_deref(),
            wanted: self.wish.as_ref().map(|wish| Wanted { reason: &wish.reason, at_once: wish.at_once }),
            window_open: self.window_open,
            busy: self.busy.as_deref(),
            converged: run.converged,
            turn,
        }
    }
}

fn words(news: RebootNews) -> (&'static str, Severity, String) {
    match news {
        RebootNews::Rebooting { reason } => {
            ("node.rebooting", Severity::Info, format!("the node restarts: {reason}"))
        }
        RebootNews::Rebooted { reason, still_needed: None } => {
            ("node.rebooted", Severity::Info, format!("the node is back from its restart ({reason})"))
        }
        RebootNews::Rebooted { reason, still_needed: Some(still) } => (
            "node.rebooted",
            Severity::Warning,
            format!(
                "the node is back from its restart ({reason}), and still has to be restarted: {still}; it is not before the next window"
            ),
        ),
        RebootNews::Failed { reason } => (
            "node.reboot_failed",
            Severity::Error,
            format!("the node was told to restart ({reason}) and did not; see the journal of systemd-logind"),
        ),
    }
}

#[cfg(test)]
mod tests;
