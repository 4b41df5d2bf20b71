//! Resources that are one file of root's each: how such a file is looked at, put into place, shown and taken away.

use super::{Look, look, paths, text_diff};
use muster_domain::resource::{DesiredState, File};
use muster_planning::convergence::{Action, Observed, ObservedPath, ObservedRendered, PathKind};
use std::path::Path;

/// What is shown of files is not longer than what is read of them.
const MAX_SHOWN_BYTES: u64 = 256 * 1024;

/// What managing this needs is not here.
pub(super) fn needs_root(look: Look<'_>, what: &str) -> Option<Observed> {
    let privileged = look.host.privileged();
    (!privileged).then(|| Observed::Unsupported(format!("managing {what} needs an agent that runs as root")))
}

/// The same for what systemd has to be there for.
pub(super) fn needs_systemd(look: Look<'_>, what: &str) -> Option<Observed> {
    needs_root(look, what).or_else(|| {
        let missing = !look.host.has_systemd();
        missing.then(|| Observed::Unsupported(format!("managing {what} needs a node that systemd started")))
    })
}

/// Looks at the file itself.
pub(super) fn observe_file(look: Look<'_>, file: &File) -> Result<ObservedPath, Box<Observed>> {
    let bytes = file.content.len() as u64;
    match look::path(look.host, &file.path, bytes, file.owner.as_deref(), file.group.as_deref()) {
        Ok(Observed::Path(path)) => Ok(path),
        Ok(other) => Err(Box::new(other)),
        Err(error) => Err(Box::new(Observed::Unreadable(error.to_string()))),
    }
}

/// Looks at a file that has nothing else to it.
pub(super) fn observe(look: Look<'_>, file: &File, trouble: Option<String>) -> Observed {
    match observe_file(look, file) {
        Ok(file) => Observed::Rendered(ObservedRendered { file, trouble, stale: false }),
        Err(unreadable) => *unreadable,
    }
}

/// Puts the file, or its owner and mode, into place. Its folder is made when it is missing.
pub(super) fn apply(look: Look<'_>, file: &File, action: Action) -> Result<Option<String>, String> {
    let folder = Path::new(&file.path).parent();
    if let Some(folder) = folder
        && look.host.stat(folder).map_err(|error| error.to_string())?.is_none()
    {
        let ownership = muster_platform::Ownership::default();
        look.host.make_directory(folder, 0o755, ownership).map_err(|error| error.to_string())?;
    }
    paths::apply(look, &DesiredState::File(file.clone()), action)
}

/// The difference between the file and what it should be.
pub(super) fn diff(look: Look<'_>, file: &File, found: &ObservedPath) -> Option<String> {
    let old = match found.found.as_ref().map(|found| &found.kind) {
        None => None,
        Some(PathKind::File(_)) => Some(look.host.read(Path::new(&file.path), MAX_SHOWN_BYTES).ok()?),
        Some(_) => return None,
    };
    let same = old.as_ref() == Some(&file.content);
    (!same).then(|| text_diff::contents(&file.path, old.as_deref(), &file.content))
}

/// Takes the file away; `None` when there was none.
pub(super) fn remove(look: Look<'_>, path: &str) -> Result<Option<String>, String> {
    let place = Path::new(path);
    if look.host.stat(place).map_err(|error| error.to_string())?.is_none() {
        return Ok(None);
    }
    look.host.remove(place).map_err(|error| error.to_string())?;
    Ok(Some(format!("{path} was removed")))
}

/// `what: old -> new` for each field that differs.
pub(super) fn fields(pairs: &[(&str, Option<String>, Option<String>)]) -> Option<String> {
    let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
    let differ = pairs.iter().filter(|(_, old, new)| new.is_some() && old != new);
    let text: String =
        differ.map(|(what, old, new)| format!("{what}: {} -> {}\n", word(old), word(new))).collect();
    (!text.is_empty()).then_some(text)
}

/// The end of what a program wrote, for a report: its last lines, none of them endless.
pub(super) fn tail(output: &str) -> String {
    const LINES: usize = 20;
    const CHARS: usize = 300;
    let lines: Vec<&str> = output.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    let cut = |line: &&str| line.chars().take(CHARS).collect::<String>();
    last.iter().map(cut).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_output_is_bounded() {
        let long = format!("{}\n", "x".repeat(10_000)).repeat(100);
        let shown = tail(&long);
        assert_eq!((shown.lines().count(), shown.len()), (20, 20 * 300 + 19));
        assert_eq!(tail("\n\none\n\n"), "one");
    }
}
