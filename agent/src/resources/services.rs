//! How services are looked at, changed and taken away.
//!
//! A job of systemd that ended well says little about a program that dies a moment later over its configuration: what was
//! started is watched for a while, through systemd itself, and what did not stay up is told with the last lines that it
//! wrote.

use super::{Look, rendered};
use muster_domain::resource::{DesiredState, Service};
use muster_planning::convergence::{
    Action, Activity, Effort, Enablement, Observed, ObservedService, UnitLoad, Verdict, verdict,
};
use muster_platform::{Host, HostError, UnitState, UnitVerb};

/// So long a program is watched that systemd takes for started as soon as there is a process. Long enough for an
/// interpreter to stumble over what it was given.
const WATCH_MS: u64 = 700;

pub(super) fn observe(look: Look<'_>, wanted: &Service) -> Observed {
    if let Some(unsupported) = rendered::needs_systemd(look, "services") {
        return unsupported;
    }
    match look.host.unit(&wanted.name) {
        Ok(unit) => Observed::Service(observed(&unit)),
        Err(error) => Observed::Unreadable(error.to_string()),
    }
}

fn observed(unit: &UnitState) -> ObservedService {
    let masked = unit.load == "masked" || unit.file.starts_with("masked");
    let loaded = match unit.load.as_str() {
        _ if masked => UnitLoad::Masked,
        "loaded" | "merged" => UnitLoad::Loaded,
        "not-found" => UnitLoad::NotFound,
        other if unit.load_error.is_empty() => UnitLoad::Broken(other.to_owned()),
        _ => UnitLoad::Broken(unit.load_error.clone()),
    };
    let enablement = match unit.file.as_str() {
        "enabled" | "alias" => Enablement::Enabled,
        "enabled-runtime" | "linked-runtime" => Enablement::EnabledForNow,
        "disabled" | "linked" => Enablement::Disabled,
        "static" => Enablement::Static,
        _ => Enablement::Elsewhere,
    };
    let activity = match (unit.active.as_str(), unit.sub.as_str()) {
        ("activating", sub) if sub.starts_with("auto-restart") => Activity::Restarting(end(unit)),
        ("activating", _) => Activity::Starting,
        ("deactivating", _) => Activity::Stopping,
        ("failed", _) => Activity::Failed(end(unit)),
        ("inactive", _) => Activity::Inactive,
        _ => Activity::Active,
    };
    let ends_by_itself = unit.kind == "oneshot" && !unit.remains;
    ObservedService { loaded, enablement, activity, ends_by_itself, reloads: unit.can_reload }
}

/// How a unit came to its end, in words that stay the same while it goes on failing.
fn end(unit: &UnitState) -> String {
    match unit.result.as_str() {
        // Not its own process: what is run before it, after it, or to reload it.
        "exit-code" if unit.exit_status == 0 => "a command that belongs to it failed".into(),
        "exit-code" => format!("its process ended with code {}", unit.exit_status),
        "signal" | "core-dump" => format!("its process was ended by signal {}", unit.exit_status),
        "timeout" => "it did not start, or stop, in the time that it has".into(),
        "watchdog" => "it stopped telling systemd that it is well".into(),
        "oom-kill" => "it ran out of memory".into(),
        "start-limit-hit" => "it was started too often, and ended each time".into(),
        "success" | "" => "its process ended by itself".into(),
        other => format!("systemd says {other}"),
    }
}

fn text(error: HostError) -> String {
    error.to_string()
}

pub(super) fn apply(look: Look<'_>, wanted: &Service, action: Action) -> Result<Option<String>, String> {
    let (host, name) = (look.host, wanted.name.as_str());
    let plain = |verb| host.control_unit(name, verb).map(|()| None).map_err(text);
    match action {
        Action::Unmask => plain(UnitVerb::Unmask),
        Action::Enable => {
            fresh(host, name)?;
            plain(UnitVerb::Enable)
        }
        Action::Disable => plain(UnitVerb::Disable),
        Action::Stop => stop(host, name),
        Action::Start => {
            if fresh(host, name)?.result == "start-limit-hit" {
                // That it may not be started so often holds for systemd; the agent waits longer with each failure.
                host.control_unit(name, UnitVerb::ResetFailed).map_err(text)?;
            }
            bring_up(host, name, UnitVerb::Start, 0)
        }
        Action::Reload | Action::Restart => {
            let unit = fresh(host, name)?;
            if !matches!(observed(&unit).activity, Activity::Active | Activity::Starting) {
                return Ok(Some("it does not run, so nothing of it has to be renewed".into()));
            }
            if action == Action::Reload && unit.can_reload {
                return bring_up(host, name, UnitVerb::Reload, unit.restarts);
            }
            // systemd counts this with its own starts, and would refuse the sixth within ten seconds: somebody who changes a
            // file that often means each of them.
            host.control_unit(name, UnitVerb::ResetFailed).map_err(text)?;
            bring_up(host, name, UnitVerb::Restart, 0)?;
            let replaced = action == Action::Reload;
            Ok(replaced.then(|| "it was restarted: it cannot read its configuration again".into()))
        }
        other => Err(format!("{other:?} cannot be done for a service")),
    }
}

/// The unit as systemd should know it by now.
fn fresh(host: &dyn Host, name: &str) -> Result<UnitState, String> {
    let unit = host.unit(name).map_err(text)?;
    if !unit.needs_reload {
        return Ok(unit);
    }
    host.reload_units().map_err(text)?;
    host.unit(name).map_err(text)
}

fn stop(host: &dyn Host, name: &str) -> Result<Option<String>, String> {
    host.control_unit(name, UnitVerb::Stop).map_err(text)?;
    let mut starters = Vec::new();
    for starter in host.unit(name).map_err(text)?.triggered_by {
        if host.unit(&starter).is_ok_and(|unit| unit.active == "active") {
            starters.push(starter);
        }
    }
    let again = !starters.is_empty();
    Ok(again.then(|| format!("{} can start it again", starters.join(", "))))
}

/// Does it, and sees to it that the unit is up afterwards. `restarts`: how often systemd had started it again before.
fn bring_up(host: &dyn Host, name: &str, verb: UnitVerb, restarts: u32) -> Result<Option<String>, String> {
    let done = host.control_unit(name, verb);
    let watched = name.ends_with(".service") && done.is_ok() && {
        let kind = host.unit(name).map_err(text)?.kind;
        matches!(kind.as_str(), "" | "simple" | "exec" | "idle")
    };
    if watched {
        host.watch_unit(name, WATCH_MS);
    }
    let unit = host.unit(name).map_err(text)?;
    let up = observed(&unit).activity == Activity::Active;
    if let Err(error) = done {
        // The end of the unit says more than that of the job; but where it lives on, it is the job that counts.
        let reason = if up { text(error) } else { format!("{}: {}", text(error), end(&unit)) };
        return Err(with_journal(host, name, reason));
    }
    if up && unit.restarts <= restarts {
        return Ok(None);
    }
    if unit.active == "inactive" && !unit.conditions_met {
        return Err("systemd did not start it: a condition in its file is not met on this node".into());
    }
    let verb = match verb {
        UnitVerb::Reload => "reload",
        UnitVerb::Restart => "restart",
        _ => "start",
    };
    // Caught while systemd has started it again, it has not ended yet this time.
    let why = if up { "its process ends again and again".to_owned() } else { end(&unit) };
    Err(with_journal(host, name, format!("it did not stay up after the {verb}: {why}")))
}

fn with_journal(host: &dyn Host, name: &str, reason: String) -> String {
    let journal = rendered::tail(&host.unit_journal(name).join("\n"));
    if journal.is_empty() { reason } else { format!("{reason}; it wrote:\n{journal}") }
}

pub(super) fn diff(_look: Look<'_>, wanted: &Service, seen: &Observed) -> Option<String> {
    let Observed::Service(found) = seen else { return None };
    let desired = DesiredState::Service(wanted.clone());
    let Verdict::Change { actions, .. } = verdict(&desired, seen, Effort::default()) else { return None };
    let enabled = |enabled| if enabled { "enabled" } else { "disabled" }.to_owned();
    let running = |running| if running { "running" } else { "stopped" }.to_owned();
    let boot = match found.enablement {
        Enablement::Enabled => enabled(true),
        Enablement::Disabled => enabled(false),
        Enablement::EnabledForNow => "enabled until the next boot".to_owned(),
        Enablement::Static => "static".to_owned(),
        Enablement::Elsewhere => "masked".to_owned(),
    };
    let now = match &found.activity {
        Activity::Active => running(true),
        Activity::Inactive => running(false),
        Activity::Starting => "starting".to_owned(),
        Activity::Stopping => "stopping".to_owned(),
        Activity::Failed(why) | Activity::Restarting(why) => format!("failed ({why})"),
    };
    // What is not touched is not different: a unit that cannot be enabled is none that has to be disabled.
    let when = |touched: [Action; 2]| actions.iter().any(|action| touched.contains(action));
    let boot_wanted = wanted.enabled.filter(|_| when([Action::Enable, Action::Disable])).map(enabled);
    let now_wanted = wanted.running.filter(|_| when([Action::Start, Action::Stop])).map(running);
    rendered::fields(&[("at boot", Some(boot), boot_wanted), ("now", Some(now), now_wanted)])
}

pub(super) fn remove(look: Look<'_>, wanted: &Service) -> Result<Option<String>, String> {
    if look.host.unit(&wanted.name).map_err(text)?.load == "not-found" {
        return Ok(None);
    }
    let mut done = Vec::new();
    let unit = look.host.unit(&wanted.name).map_err(text)?;
    if wanted.running == Some(true) && !matches!(unit.active.as_str(), "inactive" | "failed") {
        stop(look.host, &wanted.name)?;
        done.push("stopped");
    }
    if wanted.enabled == Some(true) && observed(&unit).enablement != Enablement::Disabled {
        look.host.control_unit(&wanted.name, UnitVerb::Disable).map_err(text)?;
        done.push("disabled");
    }
    let did = !done.is_empty();
    Ok(did.then(|| format!("{} was {}", wanted.name, done.join(" and "))))
}
