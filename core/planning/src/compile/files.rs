//! Declared files, folders and links.

use super::{CompileInput, CompileProblem};
use muster_domain::{
    fleet::FileEntry,
    host_path::{ancestors, normal},
    resource::{DesiredState, Directory, File, Resource, ResourceKey, Symlink, Validator},
    selection::Target,
};
use std::collections::BTreeMap;

/// Permissions of a file that declares none: readable by everybody, writable by its owner.
const FILE_MODE: u32 = 0o644;
/// Permissions of a folder that declares none.
const DIRECTORY_MODE: u32 = 0o755;
/// Permissions of a secret that declares none.
const SECRET_MODE: u32 = 0o600;
/// Permissions of a file that sudo reads, which refuses others.
const SUDOERS_MODE: u32 = 0o440;

/// Adds the files, folders and links that are meant for the node. Each depends on the nearest declared folder above it,
/// and a link also on what it points to when that is declared, so that it never dangles.
pub(super) fn compile(
    input: &CompileInput<'_>,
    target: &Target<'_>,
    resources: &mut Vec<Resource>,
    problems: &mut Vec<CompileProblem>,
) {
    let mut by_path: BTreeMap<String, (&str, ResourceKey)> = BTreeMap::new();
    let mut found = Vec::new();
    for (name, entry) in input.configuration.files.iter().filter(|(_, entry)| target.has(entry.on.as_ref())) {
        match desired(input, name, entry) {
            Ok((path, desired)) => {
                let key = ResourceKey::new(desired.kind(), &path);
                if let Some((first, _)) = by_path.get(&path) {
                    problems.push(CompileProblem::Duplicate { key, by: [(*first).to_owned(), name.clone()] });
                } else {
                    by_path.insert(path.clone(), (name, key.clone()));
                    found.push((path, key, desired));
                }
            }
            Err(problem) => problems.push(problem),
        }
    }
    for (path, key, desired) in found {
        let mut depends_on: Vec<_> = ancestors(&path)
            .find_map(|above| by_path.get(above))
            .map(|(_, key)| key.clone())
            .into_iter()
            .collect();
        if let DesiredState::Symlink(link) = &desired
            && let Some((_, key)) = by_path.get(link.target.trim_end_matches('/'))
        {
            depends_on.push(key.clone());
        }
        resources.push(Resource::new(key, depends_on, desired));
    }
}

fn desired(
    input: &CompileInput<'_>,
    name: &str,
    entry: &FileEntry,
) -> Result<(String, DesiredState), CompileProblem> {
    let invalid = |field: &str, reason: &str| CompileProblem::Invalid {
        place: format!("files.{name}.{field}"),
        reason: reason.to_owned(),
    };
    let FileEntry { path, content, source, secret, link_to, directory, mode, owner, group, .. } = entry;
    let validate = entry.validator().map_err(|error| invalid("validate", &error.to_string()))?;
    let path = normal(path).map(str::to_owned).ok_or_else(|| invalid("path", "use a plain absolute path"))?;
    let mode = mode
        .as_deref()
        .map(|text| {
            u32::from_str_radix(text, 8)
                .ok()
                .filter(|mode| *mode <= 0o7777)
                .ok_or_else(|| invalid("mode", "use three or four octal digits"))
        })
        .transpose()?;
    let (owner, group) = (owner.clone(), group.clone());
    let file = |content: Vec<u8>| {
        DesiredState::File(File {
            path: path.clone(),
            content,
            mode: mode.unwrap_or(match &validate {
                Some(Validator::Sudoers) => SUDOERS_MODE,
                _ => FILE_MODE,
            }),
            owner: owner.clone(),
            group: group.clone(),
            sensitive: false,
            validate: validate.clone(),
        })
    };
    let desired = match (content, source, secret, link_to, directory) {
        (Some(content), None, None, None, false) => file(content.clone().into_bytes()),
        (None, Some(source), None, None, false) => match input.attachments.get(source) {
            Some(content) => file(content.clone()),
            None => {
                return Err(CompileProblem::AttachmentMissing {
                    entry: name.to_owned(),
                    source_name: source.clone(),
                });
            }
        },
        (None, None, Some(secret), None, false) => match input.secrets.get(secret) {
            Some(value) => DesiredState::SecretFile(File {
                path: path.clone(),
                content: value.clone().into_bytes(),
                mode: mode.unwrap_or(SECRET_MODE),
                owner,
                group,
                sensitive: true,
                validate,
            }),
            None => {
                return Err(CompileProblem::FileSecretMissing {
                    secret: secret.clone(),
                    entry: name.to_owned(),
                    environment: input.environment.clone(),
                });
            }
        },
        (None, None, None, Some(target), false) => {
            DesiredState::Symlink(Symlink { path: path.clone(), target: target.clone() })
        }
        (None, None, None, None, true) => DesiredState::Directory(Directory {
            path: path.clone(),
            mode: mode.unwrap_or(DIRECTORY_MODE),
            owner,
            group,
        }),
        _ => return Err(invalid("path", "give one of content, source, secret, link_to and directory: true")),
    };
    Ok((path, desired))
}
