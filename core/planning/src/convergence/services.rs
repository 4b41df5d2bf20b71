//! Decides about services, and other units of systemd, from the look alone; what changes of others make necessary comes on
//! top of it.

use super::{Action, Observed, Verdict, mismatch};
use muster_domain::resource::Service;

/// What was found of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedService {
    /// Whether systemd could read it.
    pub loaded: UnitLoad,
    /// Whether it starts at boot.
    pub enablement: Enablement,
    /// What it does now.
    pub activity: Activity,
    /// It does its work and ends (`Type=oneshot`): there is nothing to keep running.
    pub ends_by_itself: bool,
    /// It can read its configuration again while it runs; one that cannot is restarted for it.
    pub reloads: bool,
}

impl ObservedService {
    /// Whether a reload of it would be a restart of something that runs.
    pub(super) const fn restarts_to_reload(&self) -> bool {
        !self.reloads && matches!(self.activity, Activity::Active | Activity::Starting)
    }
}

/// Whether systemd has a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitLoad {
    /// It has.
    Loaded,
    /// There is none of this name.
    NotFound,
    /// It is made unstartable (`systemctl mask`).
    Masked,
    /// Its file is wrong, in systemd's words.
    Broken(String),
}

/// Whether a unit starts at boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enablement {
    /// It does.
    Enabled,
    /// It does not.
    Disabled,
    /// Until the next boot, but not from then on.
    EnabledForNow,
    /// It cannot be told to: it has no `[Install]`, and starts when something else asks for it.
    Static,
    /// Somebody else decides: a generator, or the units that it names.
    Elsewhere,
}

/// What a unit does now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activity {
    /// It runs, or is in effect.
    Active,
    /// It is on its way there.
    Starting,
    /// It does not run.
    Inactive,
    /// It is on its way there.
    Stopping,
    /// It failed, in words.
    Failed(String),
    /// It ended, and systemd is about to start it once more; in words.
    Restarting(String),
}

pub(super) fn verdict(wanted: &Service, observed: &Observed) -> Verdict {
    let Observed::Service(observed) = observed else { return mismatch() };
    let Service { name, enabled, running } = wanted;
    let wants_up = *enabled == Some(true) || *running == Some(true);
    match &observed.loaded {
        UnitLoad::NotFound if wants_up => {
            return impossible(format!(
                "there is no unit {name} on this node; install the package that brings it ({}?), or declare its file",
                name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem)
            ));
        }
        UnitLoad::NotFound => return Verdict::InPlace,
        UnitLoad::Broken(why) if wants_up => {
            return impossible(format!("systemd cannot read the unit: {why}"));
        }
        UnitLoad::Loaded | UnitLoad::Masked | UnitLoad::Broken(_) => {}
    }
    let masked = observed.loaded == UnitLoad::Masked;
    let (mut actions, mut reasons) = (Vec::new(), Vec::new());
    if masked && wants_up {
        actions.push(Action::Unmask);
        reasons.push("is masked".to_owned());
    }
    match enablement(*enabled, observed, masked) {
        Ok(None) => {}
        Ok(Some((action, reason))) => {
            actions.push(action);
            reasons.push(reason.to_owned());
        }
        Err(reason) => return impossible(reason),
    }
    match activity(*running, observed) {
        Wish::Nothing => {}
        Wish::Do(action, reason) => {
            actions.push(action);
            reasons.push(reason);
        }
        Wish::Wait(reason) if actions.is_empty() => return Verdict::Waiting { reason },
        Wish::Wait(_) => {}
        Wish::Never(reason) => return impossible(reason),
    }
    if actions.is_empty() {
        Verdict::InPlace
    } else {
        Verdict::Change { actions, reason: reasons.join(", ") }
    }
}

fn impossible(reason: String) -> Verdict {
    Verdict::Impossible { reason }
}

/// What to do about the next boot.
fn enablement(
    wanted: Option<bool>,
    observed: &ObservedService,
    masked: bool,
) -> Result<Option<(Action, &'static str)>, String> {
    Ok(match (wanted, &observed.enablement) {
        (None, _) => None,
        (Some(true), Enablement::Disabled) => Some((Action::Enable, "is disabled")),
        (Some(true), Enablement::EnabledForNow) => {
            Some((Action::Enable, "is enabled until the next boot only"))
        }
        // What is under the mask shows when that is gone.
        (Some(true), _) if masked => Some((Action::Enable, "is not known to be enabled")),
        (Some(true), Enablement::Static) => {
            return Err("it has no [Install] section: it starts when another unit asks for it, and cannot be enabled; leave `enabled` out".into());
        }
        (Some(true), Enablement::Enabled | Enablement::Elsewhere) => None,
        (Some(false), Enablement::Enabled | Enablement::EnabledForNow) if !masked => {
            Some((Action::Disable, "is enabled"))
        }
        (Some(false), _) => None,
    })
}

enum Wish {
    Nothing,
    Do(Action, String),
    Wait(String),
    Never(String),
}

/// What to do now.
fn activity(wanted: Option<bool>, observed: &ObservedService) -> Wish {
    if wanted == Some(true) && observed.ends_by_itself {
        return Wish::Never(
            "it does its work and ends (Type=oneshot), so nothing can keep it running; leave `running` out, or declare the timer that starts it".into(),
        );
    }
    match (wanted, &observed.activity) {
        (Some(true), Activity::Inactive) => Wish::Do(Action::Start, "is stopped".into()),
        // systemd starts it once more as well; asked for, that happens at once, and what comes of it is known.
        (Some(true), Activity::Failed(why) | Activity::Restarting(why)) => {
            Wish::Do(Action::Start, why.clone())
        }
        (Some(true), Activity::Starting) => Wish::Wait("is starting".into()),
        (Some(true), Activity::Stopping) => Wish::Wait("is stopping".into()),
        (Some(true), Activity::Active) => Wish::Nothing,
        (Some(false), Activity::Active | Activity::Starting) => Wish::Do(Action::Stop, "is running".into()),
        (Some(false), Activity::Restarting(why)) => Wish::Do(Action::Stop, why.clone()),
        (Some(false), Activity::Stopping) => Wish::Wait("is stopping".into()),
        (Some(false), Activity::Failed(_) | Activity::Inactive) => Wish::Nothing,
        (None, _) => Wish::Nothing,
    }
}
