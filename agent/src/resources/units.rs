//! How unit files are looked at, changed and taken away.

use super::{Look, rendered};
use muster_domain::resource::SystemdUnit;
use muster_planning::convergence::{Action, Observed, ObservedRendered, unit_file};
use muster_platform::UnitVerb;
use std::path::Path;

/// The unit that a file is about: itself, or the one that a drop-in extends. `None` for a template, of which systemd only
/// knows instances.
pub(super) fn unit_of(name: &str) -> Option<&str> {
    let unit = name.split_once('/').map_or(name, |(folder, _)| folder.strip_suffix(".d").unwrap_or(folder));
    (!unit.contains("@.")).then_some(unit)
}

pub(super) fn observe(look: Look<'_>, wanted: &SystemdUnit) -> Observed {
    if let Some(unsupported) = rendered::needs_systemd(look, "unit files") {
        return unsupported;
    }
    let file = match rendered::observe_file(look, &unit_file(wanted)) {
        Ok(file) => file,
        Err(unreadable) => return *unreadable,
    };
    let stale = match unit_of(&wanted.name).map(|unit| look.host.unit(unit)).transpose() {
        Ok(Some(unit)) => {
            let unseen = unit.load == "not-found" && !wanted.name.contains('/') && file.found.is_some();
            unit.needs_reload || unseen
        }
        Ok(None) => false,
        Err(error) => return Observed::Unreadable(error.to_string()),
    };
    Observed::Rendered(ObservedRendered { file, trouble: None, stale })
}

pub(super) fn apply(look: Look<'_>, wanted: &SystemdUnit, action: Action) -> Result<Option<String>, String> {
    match action {
        Action::DaemonReload => look.host.reload_units().map(|()| None).map_err(|error| error.to_string()),
        Action::WriteFile => {
            look.host.verify_unit(&wanted.name, &wanted.content)?;
            rendered::apply(look, &unit_file(wanted), action)
        }
        other => rendered::apply(look, &unit_file(wanted), other),
    }
}

pub(super) fn diff(look: Look<'_>, wanted: &SystemdUnit, observed: &Observed) -> Option<String> {
    let Observed::Rendered(ObservedRendered { file, .. }) = observed else { return None };
    rendered::diff(look, &unit_file(wanted), file)
}

pub(super) fn remove(look: Look<'_>, wanted: &SystemdUnit) -> Result<Option<String>, String> {
    let path = unit_file(wanted).path;
    let host = look.host;
    let text = |error: muster_platform::HostError| error.to_string();
    let drop_in = wanted.name.contains('/');
    if host.stat(Path::new(&path)).map_err(text)?.is_some() && !drop_in {
        // Nothing must run, or be started at boot, from a file that is gone.
        match wanted.name.split_once("@.") {
            Some((stem, kind)) => {
                host.control_unit(&format!("{stem}@*.{kind}"), UnitVerb::Stop).map_err(text)?
            }
            None => {
                let unit = host.unit(&wanted.name).map_err(text)?;
                if !matches!(unit.active.as_str(), "inactive" | "failed") {
                    host.control_unit(&wanted.name, UnitVerb::Stop).map_err(text)?;
                }
            }
        }
        host.control_unit(&wanted.name, UnitVerb::Disable).map_err(text)?;
    }
    let removed = rendered::remove(look, &path)?;
    if let Some(folder) = Path::new(&path).parent().filter(|_| drop_in && removed.is_some()) {
        // Others may have drop-ins of their own there: then it stays.
        host.remove(folder).ok();
    }
    // Also when the file was gone already: whoever took it may not have told systemd.
    let stale = unit_of(&wanted.name).is_some_and(|unit| host.unit(unit).is_ok_and(|unit| unit.needs_reload));
    if removed.is_some() || stale {
        host.reload_units().map_err(text)?;
    }
    Ok(removed)
}
