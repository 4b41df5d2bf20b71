//! How kernel settings are looked at, changed and taken away.

use super::{Look, rendered};
use muster_domain::resource::Sysctl;
use muster_planning::convergence::{Action, Observed, ObservedSysctl, sysctl_file, sysctl_value};

pub(super) fn observe(look: Look<'_>, wanted: &Sysctl) -> Observed {
    if let Some(unsupported) = rendered::needs_root(look, "kernel settings") {
        return unsupported;
    }
    let live = match look.host.sysctl(&wanted.name) {
        Ok(live) => live,
        Err(error) => return Observed::Unreadable(error.to_string()),
    };
    let writable = look.host.sysctl_writable(&wanted.name);
    match rendered::observe_file(look, &sysctl_file(wanted)) {
        Ok(file) => Observed::Sysctl(ObservedSysctl { live, writable, file }),
        Err(unreadable) => *unreadable,
    }
}

pub(super) fn apply(look: Look<'_>, wanted: &Sysctl, action: Action) -> Result<Option<String>, String> {
    if action != Action::SetSysctl {
        return Err(format!("{action:?} cannot be done for a kernel setting"));
    }
    let value = sysctl_value(&wanted.value);
    let live = || {
        let live = look.host.sysctl(&wanted.name).map_err(|error| error.to_string())?;
        Ok::<_, String>(live.map(|live| sysctl_value(&live)))
    };
    // The kernel first: what it refuses must not wait for the next boot.
    if live()?.as_ref() != Some(&value) {
        look.host.set_sysctl(&wanted.name, &value).map_err(|error| error.to_string())?;
        let now = live()?.unwrap_or_default();
        if now != value {
            return Err(format!("the kernel was given {value:?} and made {now:?} of it; declare that"));
        }
    }
    rendered::apply(look, &sysctl_file(wanted), Action::WriteFile)
}

pub(super) fn diff(look: Look<'_>, wanted: &Sysctl, observed: &Observed) -> Option<String> {
    let Observed::Sysctl(ObservedSysctl { live, file, .. }) = observed else { return None };
    let live = live.as_ref().map(|live| sysctl_value(live));
    let value = rendered::fields(&[(&wanted.name, live, Some(sysctl_value(&wanted.value)))]);
    let file = rendered::diff(look, &sysctl_file(wanted), file);
    match (value, file) {
        (None, None) => None,
        (value, file) => Some(value.unwrap_or_default() + &file.unwrap_or_default()),
    }
}

pub(super) fn remove(look: Look<'_>, wanted: &Sysctl) -> Result<Option<String>, String> {
    let removed = rendered::remove(look, &sysctl_file(wanted).path)?;
    Ok(removed.map(|what| format!("{what}; the value stays until the next boot")))
}
