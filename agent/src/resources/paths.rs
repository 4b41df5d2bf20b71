//! Folders, files and links.

use super::{Look, look, text_diff, validate};
use muster_domain::resource::{DesiredState, Directory, File, Symlink};
use muster_planning::convergence::{Action, Observed, ObservedPath, PathKind, PathState, Principal};
use muster_platform::{Fault, FileKind, Host, Ownership, WriteFile};
use std::path::Path;

/// Stands for a difference that must not be shown.
const NOT_SHOWN: &str = "content differs (not shown)\n";

pub(super) fn observe(look: Look<'_>, desired: &DesiredState) -> Observed {
    let host = look.host;
    let found = match desired {
        DesiredState::Directory(Directory { path, owner, group, mode: _ }) => {
            look::path(host, path, 0, owner.as_deref(), group.as_deref())
        }
        DesiredState::File(file) | DesiredState::SecretFile(file) => {
            let File { path, content, owner, group, .. } = file;
            look::path(host, path, content.len() as u64, owner.as_deref(), group.as_deref())
        }
        DesiredState::Symlink(Symlink { path, target: _ }) => look::path(host, path, 0, None, None),
        other => return Observed::Unreadable(format!("a {} is not a path", other.kind())),
    };
    found.unwrap_or_else(|error| Observed::Unreadable(error.to_string()))
}

pub(super) fn diff(look: Look<'_>, desired: &DesiredState, observed: &Observed) -> Option<String> {
    let Observed::Path(observed) = observed else { return None };
    let found = observed.found.as_ref();
    let text = match desired {
        DesiredState::Directory(Directory { path, mode, .. }) => match found {
            None => text_diff::unified("/dev/null", path, "", &format!("folder, mode {mode:04o}\n")),
            Some(found) => attributes(*mode, observed, found),
        },
        DesiredState::File(file) => {
            let shown = content(look.host, file, found, file.sensitive);
            with_attributes(shown, file.mode, observed)
        }
        DesiredState::SecretFile(file) => {
            let shown = content(look.host, file, found, true);
            with_attributes(shown, file.mode, observed)
        }
        DesiredState::Symlink(Symlink { path, target }) => {
            let target = format!("link to {target}\n");
            match found.map(|found| &found.kind) {
                None => text_diff::unified("/dev/null", path, "", &target),
                Some(PathKind::Symlink(former)) => {
                    text_diff::unified(path, path, &format!("link to {former}\n"), &target)
                }
                Some(_) => text_diff::unified(path, path, "a file\n", &target),
            }
        }
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// How the content differs; empty when it does not.
fn content(host: &dyn Host, file: &File, found: Option<&PathState>, secret: bool) -> String {
    let wanted = file.content.as_slice();
    match found.map(|found| &found.kind) {
        None if secret => "--- /dev/null\n(content not shown)\n".to_owned(),
        None => text_diff::contents(&file.path, None, wanted),
        Some(PathKind::File(digest)) if digest.as_bytes() == blake3::hash(wanted).as_bytes() => String::new(),
        Some(PathKind::File(_)) if secret => NOT_SHOWN.to_owned(),
        Some(PathKind::File(_)) => match host.read(Path::new(&file.path), text_diff::MAX_COMPARED_BYTES) {
            Ok(found) => text_diff::contents(&file.path, Some(&found), wanted),
            // Longer than anybody reads, or gone meanwhile.
            Err(error) => format!("content differs: {error}\n"),
        },
        Some(PathKind::Symlink(target)) => {
            format!("a link to {target} -> a file of {} bytes\n", wanted.len())
        }
        Some(PathKind::Directory | PathKind::Other) => String::new(),
    }
}

fn with_attributes(mut shown: String, mode: u32, observed: &ObservedPath) -> String {
    if let Some(found) = &observed.found
        && matches!(found.kind, PathKind::File(_))
    {
        shown.push_str(&attributes(mode, observed, found));
    }
    shown
}

fn attributes(mode: u32, observed: &ObservedPath, found: &PathState) -> String {
    let mut text = String::new();
    if found.mode != mode {
        text.push_str(&format!("mode: {:04o} -> {mode:04o}\n", found.mode));
    }
    for (kind, principal, id) in
        [("owner", &observed.owner, found.uid), ("group", &observed.group, found.gid)]
    {
        if let Principal::Id(wanted) = principal
            && *wanted != id
        {
            text.push_str(&format!("{kind}: {id} -> {wanted}\n"));
        }
    }
    text
}

pub(super) fn remove(look: Look<'_>, desired: &DesiredState) -> Result<Option<String>, String> {
    let (path, expected) = match desired {
        DesiredState::Directory(Directory { path, .. }) => (path, "a folder"),
        DesiredState::File(File { path, .. }) | DesiredState::SecretFile(File { path, .. }) => {
            (path, "a file")
        }
        DesiredState::Symlink(Symlink { path, .. }) => (path, "a symbolic link"),
        other => return Err(format!("a {} is not a path", other.kind())),
    };
    let at = Path::new(path);
    let found = match look.host.stat(at).map_err(|error| error.to_string())? {
        None => return Ok(None),
        Some(stat) => match stat.kind {
            FileKind::File => "a file",
            FileKind::Directory => "a folder",
            FileKind::Symlink { .. } => "a symbolic link",
            FileKind::Other => "a device, socket or pipe",
        },
    };
    if found != expected {
        return Ok(Some(format!("{found} is in its place now, and was left there")));
    }
    match look.host.remove(at) {
        Ok(()) => Ok(Some("was removed".to_owned())),
        // What else is in it was never ours.
        Err(error) if expected == "a folder" && error.fault == Fault::NotEmpty => {
            Ok(Some("was left, because other things are in it".to_owned()))
        }
        Err(error) => Err(error.to_string()),
    }
}

pub(super) fn apply(
    look: Look<'_>,
    desired: &DesiredState,
    action: Action,
) -> Result<Option<String>, String> {
    let host = look.host;
    let done = match (desired, action) {
        (DesiredState::Directory(Directory { path, mode, owner, group }), Action::CreateDirectory) => {
            let ownership = ownership(host, owner.as_deref(), group.as_deref())?;
            host.make_directory(Path::new(path), *mode, ownership)
        }
        (DesiredState::File(file) | DesiredState::SecretFile(file), Action::WriteFile) => {
            let File { path, content, mode, owner, group, .. } = file;
            let ownership = ownership(host, owner.as_deref(), group.as_deref())?;
            validate::check(look, file)?;
            host.write(&WriteFile { path: Path::new(path), content, mode: *mode, ownership })
        }
        (DesiredState::Directory(Directory { path, mode, owner, group }), Action::SetAttributes) => {
            let ownership = ownership(host, owner.as_deref(), group.as_deref())?;
            host.set_attributes(Path::new(path), *mode, ownership)
        }
        (DesiredState::File(file) | DesiredState::SecretFile(file), Action::SetAttributes) => {
            let File { path, content, mode, owner, group, .. } = file;
            let (path, ownership) = (Path::new(path), ownership(host, owner.as_deref(), group.as_deref())?);
            match host.set_attributes(path, *mode, ownership) {
                // Whose file that is under its other names nobody knows: this one gets a file of its own.
                Err(error) if error.fault == Fault::SeveralNames => {
                    host.write(&WriteFile { path, content, mode: *mode, ownership })
                }
                done => done,
            }
        }
        (DesiredState::Symlink(wanted), Action::MakeSymlink) => {
            host.make_symlink(Path::new(&wanted.path), &wanted.target)
        }
        (desired, action) => return Err(format!("{action:?} cannot be done for a {}", desired.kind())),
    };
    done.map(|()| None).map_err(|error| error.to_string())
}

pub(super) fn ownership(
    host: &dyn Host,
    owner: Option<&str>,
    group: Option<&str>,
) -> Result<Ownership, String> {
    let uid = match owner {
        None => None,
        Some(name) => {
            let account = host.user(name).map_err(|error| error.to_string())?;
            Some(account.ok_or_else(|| format!("the user {name:?} does not exist on this node"))?.uid)
        }
    };
    let gid = match group {
        None => None,
        Some(name) => {
            let id = host.group(name).map_err(|error| error.to_string())?;
            Some(id.ok_or_else(|| format!("the group {name:?} does not exist on this node"))?)
        }
    };
    Ok(Ownership { uid, gid })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StateDir;
    use muster_platform::LinuxHost;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn another_name_of_somebodys_file_is_replaced_and_that_file_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (state, host) = (StateDir::new(dir.path()), LinuxHost::system(dir.path()));
        let look = Look { host: &host, state: &state, assigned: &[] };
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "same").unwrap();
        std::fs::set_permissions(&victim, std::fs::Permissions::from_mode(0o600)).unwrap();
        let folder = dir.path().join("theirs");
        host.make_directory(&folder, 0o777, Ownership::default()).unwrap();
        let path = folder.join("file");
        std::fs::hard_link(&victim, &path).unwrap();
        let file = DesiredState::File(File {
            path: path.display().to_string(),
            content: b"same".to_vec(),
            mode: 0o644,
            owner: None,
            group: None,
            sensitive: false,
            validate: None,
        });
        apply(look, &file, Action::SetAttributes).unwrap();
        let mode = |path: &Path| host.stat(path).unwrap().unwrap().mode;
        assert_eq!((mode(&victim), mode(&path)), (0o600, 0o644));
    }
}
