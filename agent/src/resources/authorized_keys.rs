//! How authorized keys are looked at, changed and taken away.

use super::{Look, rendered, text_diff};
use muster_domain::resource::AuthorizedKey;
use muster_planning::convergence::{
    Action, Observed, ObservedKeys, authorized_keys, only_keys, without_managed_keys,
};
use muster_platform::{KeyFile, UserEntry};
use std::path::Path;

/// The user, when it is there and can have keys; else why not.
fn user(look: Look<'_>, wanted: &AuthorizedKey) -> Result<Result<UserEntry, String>, String> {
    let accounts = look.host.accounts().map_err(|error| error.to_string())?;
    let Some(user) = accounts.user(&wanted.user) else {
        let name = &wanted.user;
        return Ok(Err(format!("the user {name} is not in this node's own list (/etc/passwd); declare it")));
    };
    let home = look.host.stat(Path::new(&user.home)).map_err(|error| error.to_string())?;
    Ok(match home {
        Some(_) => Ok(user.clone()),
        None => Err(format!("{} has no home to keep keys in: {} is missing", user.name, user.home)),
    })
}

/// The file of the user. What belongs to root, and may have been given that name by the user, is not handed over by being
/// written anew for them, nor shown.
fn file(look: Look<'_>, user: &UserEntry) -> Result<KeyFile, String> {
    let file = look.host.key_file(user).map_err(|error| error.to_string())?;
    if file.roots_own && !file.content.as_deref().is_none_or(only_keys) {
        return Err(format!(
            "~{}/.ssh/authorized_keys belongs to root, is for root alone to read, and holds more than keys; move it away",
            user.name
        ));
    }
    Ok(file)
}

pub(super) fn observe(look: Look<'_>, wanted: &AuthorizedKey) -> Observed {
    if let Some(unsupported) = rendered::needs_root(look, "authorized keys") {
        return unsupported;
    }
    let user = match user(look, wanted) {
        Ok(Ok(user)) => user,
        Ok(Err(trouble)) => {
            return Observed::Keys(ObservedKeys { trouble: Some(trouble), ..ObservedKeys::default() });
        }
        Err(error) => return Observed::Unreadable(error),
    };
    match file(look, &user) {
        Ok(KeyFile { content, attributes, roots_own: _ }) => {
            Observed::Keys(ObservedKeys { trouble: None, content, attributes })
        }
        Err(reason) => Observed::Unreadable(reason),
    }
}

pub(super) fn apply(
    look: Look<'_>,
    wanted: &AuthorizedKey,
    action: Action,
) -> Result<Option<String>, String> {
    if action != Action::WriteKeys {
        return Err(format!("{action:?} cannot be done for authorized keys"));
    }
    let user = user(look, wanted)??;
    // Read again: the user may have added a key since it was looked at.
    let found = file(look, &user)?.content.unwrap_or_default();
    look.host
        .write_key_file(&user, &authorized_keys(wanted, &found))
        .map(|()| None)
        .map_err(|error| error.to_string())
}

pub(super) fn diff(_look: Look<'_>, wanted: &AuthorizedKey, observed: &Observed) -> Option<String> {
    let Observed::Keys(ObservedKeys { trouble: None, content, attributes }) = observed else { return None };
    let target = authorized_keys(wanted, content.as_deref().unwrap_or_default());
    let path = format!("~{}/.ssh/authorized_keys", wanted.user);
    let same = content.as_deref().unwrap_or_default() == target && (content.is_some() || !wanted.exclusive);
    let text =
        (!same).then(|| text_diff::contents(&path, content.as_deref().map(str::as_bytes), target.as_bytes()));
    let rest: String = attributes.iter().map(|difference| format!("{difference}\n")).collect();
    let text = text.unwrap_or_default() + &rest;
    (!text.is_empty()).then_some(text)
}

pub(super) fn remove(look: Look<'_>, wanted: &AuthorizedKey) -> Result<Option<String>, String> {
    let Ok(user) = user(look, wanted)? else { return Ok(None) };
    let found = file(look, &user)?.content;
    let Some(found) = found else { return Ok(None) };
    let rest = without_managed_keys(&found);
    if rest == found {
        return Ok(None);
    }
    look.host.write_key_file(&user, &rest).map_err(|error| error.to_string())?;
    Ok(Some(format!("the keys that were given to {} were taken away", wanted.user)))
}
