//! Sources of packages: tried beside their place with their key, then put into place.

use super::Look;
use super::packages::{NEEDS_ROOT, locked_by, reason};
use muster_domain::resource::AptRepository;
use muster_planning::convergence::{Action, Observed, ObservedRepository, RepositoryFiles, repository_files};
use muster_platform::{Fault, FileKind, Host, HostError, Ownership, WriteFile};
use std::path::Path;

/// Files of sources and keys are small; a longer one is not ours.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// What somebody else put into their places is kept for the time of a change, up to this.
const MAX_FORMER_BYTES: u64 = 16 * 1024 * 1024;
/// What everybody may read, and root alone writes.
const MODE: u32 = 0o644;

pub(super) fn observe(look: Look<'_>, wanted: &AptRepository) -> Observed {
    if !look.host.privileged() {
        return Observed::Unsupported(NEEDS_ROOT.into());
    }
    // What is wrong with the declaration itself, the planner says.
    let Ok(files) = repository_files(wanted) else {
        let nothing = ObservedRepository {
            sources: None,
            key: None,
            other_key: false,
            attributes: vec![],
            locked_by: None,
        };
        return Observed::Repository(nothing);
    };
    let look_at = || -> Result<ObservedRepository, String> {
        let digest = |path: &str| digest(look.host, Path::new(path)).map_err(|error| error.to_string());
        let mut found = ObservedRepository {
            sources: digest(&files.sources_path)?,
            key: digest(&files.key_path)?,
            other_key: exists(look.host, &files.other_key_path)?,
            attributes: attributes(look.host, [&files.sources_path, &files.key_path])?,
            locked_by: None,
        };
        let same = found.sources == of(files.sources.as_bytes()) && found.key == of(&wanted.key);
        if !same || found.other_key || !found.attributes.is_empty() {
            found.locked_by = locked_by(look)?;
        }
        Ok(found)
    };
    look_at().map_or_else(Observed::Unreadable, Observed::Repository)
}

pub(super) fn digest(host: &dyn Host, path: &Path) -> Result<Option<muster_domain::Digest>, HostError> {
    match host.stat(path)? {
        Some(stat) if stat.kind == FileKind::File => {
            let never = muster_domain::Digest::from_bytes([0; 32]);
            Ok(Some(host.digest(path, MAX_FILE_BYTES)?.unwrap_or(never)))
        }
        // A link or a folder is not what should be there, and writing says what can be done about it.
        _ => Ok(None),
    }
}

pub(super) fn of(content: &[u8]) -> Option<muster_domain::Digest> {
    Some(muster_domain::Digest::from_bytes(*blake3::hash(content).as_bytes()))
}

/// How owners and modes of these files differ from those of files that root writes and everybody reads: apt gives up its
/// rights before it looks at keys, and who can write to any of them decides what is installed.
pub(super) fn attributes<'p>(
    host: &dyn Host,
    paths: impl IntoIterator<Item = &'p String>,
) -> Result<Vec<String>, String> {
    let mut differences = Vec::new();
    for path in paths {
        let found = host.stat(Path::new(path)).map_err(|error| error.to_string())?;
        let Some(found) = found.filter(|found| found.kind == FileKind::File) else { continue };
        if found.mode != MODE {
            differences.push(format!("mode of {path} is {:04o} instead of {MODE:04o}", found.mode));
        }
        for (what, id) in [("owner", found.uid), ("group", found.gid)] {
            if id != 0 {
                differences.push(format!("{what} of {path} is {id} instead of 0"));
            }
        }
    }
    Ok(differences)
}

fn exists(host: &dyn Host, path: &str) -> Result<bool, String> {
    Ok(host.stat(Path::new(path)).map_err(|error| error.to_string())?.is_some())
}

pub(super) fn apply(
    look: Look<'_>,
    wanted: &AptRepository,
    action: Action,
) -> Result<Option<String>, String> {
    if action != Action::WriteRepository {
        return Err(format!("{action:?} is not done for a source of packages"));
    }
    if let Some(holder) = locked_by(look)? {
        return Err(format!(
            "the lock of dpkg and apt is held by {holder}; it is tried again when that ends"
        ));
    }
    let files = repository_files(wanted).map_err(|error| error.to_string())?;
    let host = look.host;
    try_out(host, wanted, &files)?;
    let former = Former::keep(host, [&files.sources_path, &files.key_path])?;
    let placed = put(host, &files.key_path, &wanted.key)
        .and_then(|()| put(host, &files.sources_path, files.sources.as_bytes()))
        .and_then(|()| host.remove(Path::new(&files.other_key_path)).map_err(|error| error.to_string()));
    // Together with the other sources it may still be a contradiction, and apt would then refuse all work.
    let accepted = placed.and_then(|()| {
        let outcome = host.check_apt_configuration(None).map_err(|error| error.to_string())?;
        if outcome.success { Ok(()) } else { Err(format!("apt refuses it: {}", reason(&outcome.output))) }
    });
    if let Err(reason) = accepted {
        return Err(match former.put_back(host) {
            Ok(()) => format!("{reason}; the former files are back"),
            Err(error) => format!("{reason}; the former files could not be put back: {error}"),
        });
    }
    Ok(Some("its lists were fetched".into()))
}

/// Has apt fetch the lists with the new key, beside what is in place: a source that does not answer, or that another key
/// signed, never gets into the way of the others.
fn try_out(host: &dyn Host, wanted: &AptRepository, files: &RepositoryFiles) -> Result<(), String> {
    let extension = files.key_path.rsplit('.').next().unwrap_or("asc");
    let key = format!("/etc/apt/keyrings/.{}.candidate.{extension}", wanted.name);
    // Beside the folder that apt reads; its name makes apt take it for what it is.
    let sources = format!("/etc/apt/.{}.candidate.sources", wanted.name);
    let content = files.sources.replace(&files.key_path, &key);
    let tried =
        put(host, &key, &wanted.key).and_then(|()| put(host, &sources, content.as_bytes())).and_then(|()| {
            let outcome =
                host.update_package_lists(Some(Path::new(&sources))).map_err(|error| error.to_string())?;
            if outcome.success {
                Ok(())
            } else {
                Err(format!("its lists cannot be fetched: {}", reason(&outcome.output)))
            }
        });
    let cleared = [&sources, &key].map(|path| host.remove(Path::new(path)));
    tried?;
    for result in cleared {
        result.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Puts a file into place that everybody may read, and the folders that it needs.
pub(super) fn put(host: &dyn Host, path: &str, content: &[u8]) -> Result<(), String> {
    let path = Path::new(path);
    let write = || -> Result<(), HostError> {
        let mut folders: Vec<&Path> =
            path.ancestors().skip(1).filter(|path| path.parent().is_some()).collect();
        folders.reverse();
        for folder in folders {
            if host.stat(folder)?.is_none() {
                host.make_directory(folder, 0o755, Ownership::default())?;
            }
        }
        let ownership = Ownership { uid: Some(0), gid: Some(0) };
        host.write(&WriteFile { path, content, mode: MODE, ownership })
    };
    write().map_err(|error| error.to_string())
}

/// Files as they were.
struct Former(Vec<(String, Option<Vec<u8>>)>);

impl Former {
    /// What cannot be kept could not be put back, and would be taken away in its place.
    fn keep(host: &dyn Host, paths: [&String; 2]) -> Result<Self, String> {
        let mut kept = Vec::new();
        for path in paths {
            let content = match host.read(Path::new(path), MAX_FORMER_BYTES) {
                Ok(content) => Some(content),
                Err(HostError { fault: Fault::NotFound, .. }) => None,
                // A link is replaced, and what it points to stays.
                Err(HostError { fault: Fault::NotAFile, .. }) => None,
                Err(error) => return Err(error.to_string()),
            };
            kept.push((path.clone(), content));
        }
        Ok(Self(kept))
    }

    fn put_back(self, host: &dyn Host) -> Result<(), String> {
        for (path, content) in self.0 {
            match content {
                Some(content) => put(host, &path, &content)?,
                None => host.remove(Path::new(&path)).map_err(|error| error.to_string())?,
            }
        }
        Ok(())
    }
}

pub(super) fn diff(look: Look<'_>, wanted: &AptRepository, observed: &Observed) -> Option<String> {
    let Observed::Repository(observed) = observed else { return None };
    let files = repository_files(wanted).ok()?;
    let mut text = String::new();
    if observed.sources != of(files.sources.as_bytes()) {
        let path = &files.sources_path;
        let found = look.host.read(Path::new(path), MAX_FILE_BYTES).unwrap_or_default();
        text.push_str(&lines(path, &String::from_utf8_lossy(&found), &files.sources));
    }
    if observed.key != of(&wanted.key) {
        let was = if observed.key.is_some() { "another key" } else { "no key" };
        text.push_str(&format!("--- {0}\n+++ {0}\n-{was}\n+the declared key\n", files.key_path));
    }
    if observed.other_key {
        text.push_str(&format!("--- {}\n-a former key\n", files.other_key_path));
    }
    text.extend(observed.attributes.iter().map(|difference| format!("{difference}\n")));
    (!text.is_empty()).then_some(text)
}

/// The lines that go and those that come. Files of sources are a few lines of which each stands for itself.
pub(super) fn lines(path: &str, was: &str, becomes: &str) -> String {
    let mut text = format!("--- {path}\n+++ {path}\n");
    for (sign, of, other) in [('-', was, becomes), ('+', becomes, was)] {
        for line in of.lines().filter(|line| !other.lines().any(|known| known == *line)) {
            text.push(sign);
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

pub(super) fn remove(look: Look<'_>, wanted: &AptRepository) -> Result<Option<String>, String> {
    let files = repository_files(wanted).map_err(|error| error.to_string())?;
    let mut removed = Vec::new();
    for path in [files.sources_path, files.key_path, files.other_key_path] {
        if exists(look.host, &path)? {
            look.host.remove(Path::new(&path)).map_err(|error| error.to_string())?;
            removed.push(path);
        }
    }
    Ok((!removed.is_empty()).then(|| format!("removed {}", removed.join(", "))))
}

#[cfg(test)]
mod tests;
