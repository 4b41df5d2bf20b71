//! Changes that can lock people out, or cut the node off, are put to the test: what was there before is kept on disk, a timer
//! of the init system is armed that brings it back whatever becomes of the agent, and only a *new* connection to the
//! controller disarms it. Connections that are open live on behind a firewall that lets no new one through, and prove nothing.
//!
//! Holds: [`SafeApply`] (begin, prove, remember what did not pass), [`revert`] (what the timer runs).
//! Must not: decide what is risky ([`muster_planning::convergence::lockout_risk`] does) or how anything is applied.
//! Start here: [`SafeApply::begin`].

mod former;
mod journal;
mod revert;

pub use journal::Reverted;
pub use revert::{Reversion, RevertError, revert};

use crate::config::{Clock, StateDir};
use futures_util::future::BoxFuture;
use journal::{Files, Journal, Turn};
use muster_domain::{
    Digest,
    resource::{Resource, ResourceKey},
};
use muster_platform::Host;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long changes may be unproven, unless the agent is told otherwise.
pub const WINDOW: Duration = Duration::from_secs(60);

/// The agent gives up by this part of it before the timer, which then finds nothing to do.
const MARGIN: u32 = 20;

/// The pause between two tries to reach the controller is this part of it.
const TRIES: u32 = 120;

/// How long somebody else may be in the middle of putting something back.
const PATIENCE: Duration = Duration::from_secs(120);

/// A way to the controller.
pub trait Reach: Send + Sync + 'static {
    /// Makes a new connection and waits for an answer on it. The error says why there is none.
    fn reach(&self) -> BoxFuture<'_, Result<(), String>>;
}

/// Puts changes to the test.
#[derive(Clone)]
pub struct SafeApply {
    host: Arc<dyn Host>,
    state: StateDir,
    reach: Arc<dyn Reach>,
    clock: Clock,
    window: Duration,
    program: PathBuf,
    /// A node that was cut off was tried to be healed, and the controller has not been reached since.
    tried_to_heal: Arc<AtomicBool>,
}

/// One of the changes that are put to the test.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// What it should be.
    pub resource: &'a Resource,
    /// The digest of that.
    pub digest: Digest,
    /// It drifted from what was proven before.
    pub corrective: bool,
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotBegun {
    /// It cannot be proven now.
    Waiting(String),
    /// It cannot be proven on this host at all.
    Unsupported(String),
    /// Something is in the way.
    Failed(String),
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The controller answered: the changes stay.
    Confirmed,
    /// It did not, and what was there before is back. The text is for a person.
    Reverted(String),
    /// The same for a node that was cut off before: it may be tried again.
    StillCutOff(String),
}

/// What a former life of the agent left under test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// What it had changed.
    pub resources: BTreeMap<ResourceKey, Digest>,
    /// What came of it.
    pub proof: Proof,
}

impl SafeApply {
    /// Tests by this way to the controller.
    pub fn new(host: Arc<dyn Host>, state: StateDir, reach: Arc<dyn Reach>, clock: Clock) -> Self {
        let program = this_program();
        Self { host, state, reach, clock, window: WINDOW, program, tried_to_heal: Arc::default() }
    }

    /// The same with another program to put things back, for tests.
    #[must_use]
    pub fn with_program(self, program: PathBuf) -> Self {
        Self { program, ..self }
    }

    /// The same with another bound.
    #[must_use]
    pub fn with_window(self, window: Duration) -> Self {
        Self { window, ..self }
    }

    /// Keeps what these changes would overwrite, and arms the timer. Nothing must be changed before this returns, and
    /// nothing that is not among the changes.
    pub async fn begin(&self, changes: &[Change<'_>]) -> Result<Armed, NotBegun> {
        if let Some(reason) = self.host.timers_unsupported() {
            return Err(NotBegun::Unsupported(format!(
                "what can lock somebody out is only changed where it returns by itself, and here it cannot: {reason}"
            )));
        }
        let was_cut_off = match self.reach.reach().await {
            Ok(()) => {
                self.tried_to_heal.store(false, Ordering::Relaxed);
                false
            }
            // Back to what was proven, because what somebody did since may be what cuts it off; once.
            Err(reason) => {
                let healing = changes.iter().all(|change| change.corrective);
                if !healing || self.tried_to_heal.swap(true, Ordering::Relaxed) {
                    return Err(NotBegun::Waiting(format!(
                        "the controller cannot be reached, so this cannot be proven safe: {reason}"
                    )));
                }
                true
            }
        };
        let wanted: Vec<(Resource, Digest)> =
            changes.iter().map(|change| (change.resource.clone(), change.digest)).collect();
        let this = self.clone();
        crate::blocking(move || this.arm(&wanted, was_cut_off)).await.map_err(NotBegun::Failed)
    }

    fn arm(&self, changes: &[(Resource, Digest)], was_cut_off: bool) -> Result<Armed, String> {
        let files = Files::new(&self.state);
        let unusable = |error: io::Error| format!("what was there before cannot be kept: {error}");
        let turn = files.turn(PATIENCE).map_err(unusable)?;
        if let Some(open) = files.journal().map_err(unusable)? {
            let keys: Vec<&str> = open.resources.keys().map(ResourceKey::as_str).collect();
            return Err(format!("an earlier change of {} is still under test", keys.join(", ")));
        }
        let id = uuid::Uuid::new_v4().simple().to_string();
        let timer = timer_of(&id);
        let mut journal = Journal {
            id,
            at_ms: self.clock.now().timestamp_millis(),
            resources: changes.iter().map(|(resource, digest)| (resource.key.clone(), *digest)).collect(),
            paths: Vec::new(),
            steps: Vec::new(),
            timers: vec![timer.clone()],
            reverting: None,
            was_cut_off,
            attempts: 0,
        };
        for (resource, _) in changes {
            let former = former::of(self.host.as_ref(), resource)?;
            journal.paths.extend(former.paths);
            for step in former.steps {
                if !journal.steps.contains(&step) {
                    journal.steps.push(step);
                }
            }
        }
        files.write_journal(&journal).map_err(unusable)?;
        let armed_at = Instant::now();
        if let Err(error) = self.arm_timer(&timer, &journal.id) {
            files.remove_journal().map_err(unusable)?;
            return Err(error);
        }
        Ok(Armed { safe: self.clone(), journal, armed_at, turn: Some(turn) })
    }

    fn arm_timer(&self, timer: &str, id: &str) -> Result<(), String> {
        let command = [
            self.program.display().to_string(),
            "revert".into(),
            id.to_owned(),
            "--state-dir".into(),
            self.state.root().display().to_string(),
        ];
        let seconds = u32::try_from(self.window.as_secs().max(1)).unwrap_or(u32::MAX);
        self.host.arm_timer(timer, seconds, &command).map_err(|error| error.to_string())
    }

    /// Takes up what a former life of the agent left under test: it was killed, or the host restarted, in between.
    pub async fn recover(&self) -> Option<Left> {
        let this = self.clone();
        let found = crate::blocking(move || {
            let files = Files::new(&this.state);
            let journal = files.turn(PATIENCE).and_then(|_turn| files.journal())?;
            let Some(mut journal) = journal else { return Ok(None) };
            if journal.reverting.is_none() {
                // The host may have been restarted, and the timer with it; and this life may end like the last one.
                let timer = format!("muster-revert-{}-{}", journal.id, journal.timers.len());
                journal.timers.push(timer.clone());
                files.write_journal(&journal)?;
                this.arm_timer(&timer, &journal.id).map_err(io::Error::other)?;
            }
            Ok::<_, io::Error>(Some(journal))
        });
        let journal = match found.await {
            Ok(journal) => journal?,
            Err(error) => {
                tracing::error!("changes that were under test cannot be taken up: {error}");
                return None;
            }
        };
        tracing::warn!(changes = ?journal.resources.keys(), "an earlier agent left changes under test");
        let resources = journal.resources.clone();
        let armed = Armed { safe: self.clone(), journal, armed_at: Instant::now(), turn: None };
        Some(Left { resources, proof: armed.finish().await })
    }

    /// Why a resource is not to be tried: it was, and did not pass. Holds until what was declared with it changes.
    /// `declared` answers the digest of a resource.
    pub fn held_back(
        &self,
        key: &ResourceKey,
        declared: impl Fn(&ResourceKey) -> Option<Digest>,
    ) -> Option<String> {
        let known = Files::new(&self.state).reverted().ok()?;
        let same = |reverted: &&Reverted| {
            !reverted.was_cut_off
                && reverted.resources.contains_key(key)
                && reverted.resources.iter().all(|(key, digest)| declared(key) == Some(*digest))
        };
        known.iter().rev().find(same).map(|reverted| reverted.reason.clone())
    }

    /// Tries everything again: a person asked for it.
    pub fn forgive(&self) -> io::Result<()> {
        let files = Files::new(&self.state);
        if files.reverted()?.iter().all(|reverted| !reverted.told) {
            return Ok(());
        }
        let _turn = files.turn(PATIENCE)?;
        let mut known = files.reverted()?;
        known.retain(|reverted| !reverted.told);
        files.write_reverted(known)
    }

    /// What was put back and has not been told of yet. Each is answered once.
    pub fn untold(&self) -> io::Result<Vec<Reverted>> {
        let files = Files::new(&self.state);
        if files.reverted()?.iter().all(|reverted| reverted.told) {
            return Ok(Vec::new());
        }
        let _turn = files.turn(PATIENCE)?;
        let mut known = files.reverted()?;
        let untold = known.iter().filter(|reverted| !reverted.told).cloned().collect();
        known.iter_mut().for_each(|reverted| reverted.told = true);
        files.write_reverted(known)?;
        Ok(untold)
    }
}

/// Changes may be made. Whoever drops this without [`Armed::finish`] leaves the rest to the timer.
pub struct Armed {
    safe: SafeApply,
    journal: Journal,
    armed_at: Instant,
    turn: Option<Turn>,
}

impl Armed {
    /// The changes are made: proves them, or puts back what was there before.
    pub async fn finish(mut self) -> Proof {
        let rest = (self.armed_at + self.safe.window).saturating_duration_since(Instant::now());
        if rest < self.safe.window / 2 {
            self.extend().await;
        }
        // The timer may put things back from here on.
        self.turn = None;
        let deadline = self.armed_at + self.safe.window - self.safe.window / MARGIN;
        let mut last = "there was no time to try".to_owned();
        if self.journal.reverting.is_none() {
            while let Some(rest) = deadline.checked_duration_since(Instant::now()) {
                match tokio::time::timeout(rest, self.safe.reach.reach()).await {
                    Ok(Ok(())) => return self.confirm().await,
                    Ok(Err(reason)) => last = reason,
                    Err(_) => {}
                }
                tokio::time::sleep(self.safe.window / TRIES).await;
            }
        }
        self.give_up(last).await
    }

    /// Applying took long: what was applied gets its full time to be proven. Under another name, because the program of the
    /// first timer may wait for its turn already.
    async fn extend(&mut self) {
        let (safe, former) = (self.safe.clone(), self.journal.clone());
        let extended = crate::blocking(move || {
            let armed_at = Instant::now();
            let id = uuid::Uuid::new_v4().simple().to_string();
            let timer = timer_of(&id);
            // At no moment is there none for what the journal is called.
            safe.arm_timer(&timer, &id)?;
            let mut journal = Journal { id, ..former.clone() };
            journal.timers.push(timer);
            Files::new(&safe.state).write_journal(&journal).map_err(|error| error.to_string())?;
            for timer in &former.timers {
                if let Err(error) = safe.host.disarm_timer(timer) {
                    // It finds nothing of its name.
                    tracing::warn!("{error}");
                }
            }
            Ok::<_, String>((journal, armed_at))
        });
        match extended.await {
            Ok((journal, armed_at)) => (self.journal, self.armed_at) = (journal, armed_at),
            Err(error) => tracing::warn!("the timer could not be extended: {error}"),
        }
    }

    async fn confirm(self) -> Proof {
        let (safe, journal) = (self.safe.clone(), self.journal.clone());
        let confirmed = crate::blocking(move || {
            let files = Files::new(&safe.state);
            let _turn = files.turn(PATIENCE)?;
            let open = files.journal()?.is_some_and(|open| open.id == journal.id && open.reverting.is_none());
            if open {
                files.remove_journal()?;
            }
            for timer in &journal.timers {
                if let Err(error) = safe.host.disarm_timer(timer) {
                    // It finds nothing to put back.
                    tracing::warn!("{error}");
                }
            }
            Ok::<_, io::Error>(open)
        });
        match confirmed.await {
            Ok(true) => {
                self.safe.tried_to_heal.store(false, Ordering::Relaxed);
                Proof::Confirmed
            }
            Ok(false) => self.outcome("the timer ran out"),
            Err(error) => self.give_up(format!("it answered, but that cannot be kept: {error}")).await,
        }
    }

    async fn give_up(self, last: String) -> Proof {
        let seconds = self.safe.window.as_secs();
        let reason = format!(
            "reverted: the node could not reach the controller within {seconds} s with it ({last}); the former state is back"
        );
        let (safe, journal) = (self.safe.clone(), self.journal.clone());
        let reverted = crate::blocking(move || {
            let now_ms = safe.clock.now().timestamp_millis();
            let reverted = revert(safe.host.as_ref(), &safe.state, Some(&journal.id), &reason, now_ms);
            if reverted.is_ok() {
                for timer in &journal.timers {
                    if let Err(error) = safe.host.disarm_timer(timer) {
                        tracing::warn!("{error}");
                    }
                }
            }
            reverted
        });
        match reverted.await {
            Ok(Reversion::Done(reverted)) => self.proof(&reverted),
            Ok(Reversion::Nothing) => self.outcome("it was confirmed or put back by somebody else"),
            // The timer goes on with it.
            Err(error) => {
                let error = crate::chain(&error);
                tracing::error!("{error}; the timer tries again");
                Proof::Reverted(format!("the node could not reach the controller with it, and {error}"))
            }
        }
    }

    /// What somebody else made of it.
    fn outcome(&self, otherwise: &str) -> Proof {
        let known = Files::new(&self.safe.state).reverted().unwrap_or_default();
        match known.iter().find(|reverted| reverted.id == self.journal.id) {
            Some(reverted) => self.proof(reverted),
            None => Proof::Reverted(format!("it is not known whether the former state is back: {otherwise}")),
        }
    }

    fn proof(&self, reverted: &Reverted) -> Proof {
        let reason = reverted.reason.clone();
        if self.journal.was_cut_off { Proof::StillCutOff(reason) } else { Proof::Reverted(reason) }
    }
}

/// The timer that puts back the changes of this name.
fn timer_of(id: &str) -> String {
    format!("muster-revert-{id}")
}

/// Where this program lies, also when a newer one took its place since it was started.
fn this_program() -> PathBuf {
    let Ok(path) = std::env::current_exe() else { return "muster-agent".into() };
    match path.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(renewed) if !path.exists() => renewed.into(),
        _ => path,
    }
}

#[cfg(test)]
mod tests;
