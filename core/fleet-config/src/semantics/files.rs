//! Files, folders and links: what they are, where they are, and that they do not stand in each other's way.

use super::{Checker, applications::account, values, variables::bad_name};
use crate::words::{did_you_mean, one_of, quoted};
use muster_domain::{fleet::FileEntry, host_path};
use std::collections::{BTreeMap, HashMap};

pub(super) fn check(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    for (name, entry) in &configuration.files {
        if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
            checker.key(
                &["files", name],
                format!("{} cannot name a file entry", quoted(name)),
                "choose a short name: motd, nginx-site",
            );
        }
        if host_path::normal(&entry.path).is_none() {
            checker.value(
                &["files", name, "path"],
                format!("{} is not a plain absolute path", quoted(&entry.path)),
                "begin with / and leave `.`, `..` and empty parts out: /etc/motd",
            );
        }
        if !checker.faulty(&["files", name]) {
            form(checker, name, entry);
        }
        values::source(checker, entry.source.as_deref(), &["files", name, "source"]);
        if let Some(secret) = &entry.secret
            && let Some(why) = bad_name(secret)
        {
            let at = ["files", name, "secret"];
            checker.value(&at, format!("{} is not the name of a secret", quoted(secret)), why);
        }
        if entry.validator().is_err() {
            let given = entry.validate.as_deref().unwrap_or_default();
            let guess = did_you_mean(given, FileEntry::VALIDATORS);
            checker.value(
                &["files", name, "validate"],
                format!("{} does not say who judges the content{guess}", quoted(given)),
                format!(
                    "write {}, or a command line in which {{}} stands for a file with the content",
                    one_of(&FileEntry::VALIDATORS)
                ),
            );
        }
        account(checker, entry.owner.as_deref(), &["files", name, "owner"]);
        account(checker, entry.group.as_deref(), &["files", name, "group"]);
    }
    neighbours(checker);
}

/// Exactly one of the four forms, with the settings that go with it.
fn form(checker: &mut Checker<'_>, name: &str, entry: &FileEntry) {
    let FileEntry { content, source, secret, link_to, directory, mode, owner, group, validate, .. } = entry;
    let forms = [
        ("content", content.is_some()),
        ("source", source.is_some()),
        ("secret", secret.is_some()),
        ("link_to", link_to.is_some()),
        ("directory", *directory),
    ];
    let given: Vec<_> = forms.iter().filter(|(_, given)| *given).map(|(form, _)| *form).collect();
    match given.as_slice() {
        [] => checker.key(
            &["files", name],
            format!("{} says where, but not what", quoted(name)),
            "add one of content, source, secret, link_to and directory: true",
        ),
        [_] => {}
        [first, rest @ ..] => {
            for more in rest {
                checker.key(
                    &["files", name, more],
                    format!("{} has `{first}` and `{more}`", quoted(name)),
                    "keep one of content, source, secret, link_to and directory: true",
                );
            }
        }
    }
    if validate.is_some() && (link_to.is_some() || *directory) {
        let what = if *directory { "folder" } else { "link" };
        let message = format!("a {what} has no content that somebody could judge");
        checker.key(&["files", name, "validate"], message, "take it out");
    }
    if let Some(target) = link_to {
        for (field, given) in
            [("mode", mode.is_some()), ("owner", owner.is_some()), ("group", group.is_some())]
        {
            if given {
                let message = format!("a link has no {field} of its own");
                checker.key(&["files", name, field], message, "take it out");
            }
        }
        if target.is_empty() || target.len() > 4095 || target.chars().any(char::is_control) {
            checker.value(
                &["files", name, "link_to"],
                format!("{} cannot be the target of a link", quoted(target)),
                "write the path that it points to",
            );
        }
    }
}

type Named<'a> = (&'a str, &'a FileEntry);

/// Entries for the same path that are compared with each other; a fleet has one per kind of node.
const ALTERNATIVES_AT_MOST: usize = 16;

/// What entries mean for each other on nodes that have both.
fn neighbours(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    let kinds = checker.kinds_of_nodes();
    // Entries without `on` meet on every node, also on those that are not declared.
    let meet = |entries: &[&FileEntry]| {
        entries.iter().all(|entry| entry.on.is_none())
            || kinds.iter().any(|kind| entries.iter().all(|entry| kind.target.has(entry.on.as_ref())))
    };
    let mut by_path: BTreeMap<&str, Vec<Named<'_>>> = BTreeMap::new();
    for (name, entry) in &configuration.files {
        let Some(path) = host_path::normal(&entry.path) else { continue };
        let others = by_path.entry(path).or_default();
        let at = ["files", name, "path"];
        if let Some((first, _)) = others.iter().find(|(_, other)| meet(&[other, entry])) {
            checker.value(
                &at,
                format!("{} is declared by {} already", quoted(path), quoted(first)),
                "keep one of the two, or choose different nodes with `on:`",
            );
        } else if others.len() < ALTERNATIVES_AT_MOST {
            others.push((name, entry));
        } else {
            let message = format!("{} has more than {ALTERNATIVES_AT_MOST} declarations", quoted(path));
            checker.value(
                &at,
                message,
                "use one entry with a longer `on:` for nodes that have the same content",
            );
        }
    }
    for (path, entries) in &by_path {
        let above = host_path::ancestors(path).filter_map(|above| by_path.get(above)).flatten();
        let blocking: Vec<_> = above.filter(|(_, above)| !above.directory).collect();
        for (name, entry) in entries {
            let Some((other, above)) = blocking.iter().find(|(_, above)| meet(&[above, entry])) else {
                continue;
            };
            let what = if above.link_to.is_some() { "link" } else { "file" };
            checker.value(
                &["files", name, "path"],
                format!("{} lies below the {what} {}", quoted(path), quoted(other)),
                "declare a folder there (directory: true), or choose another path",
            );
        }
    }
    for ring in rings(&by_path) {
        let entries: Vec<_> = ring.iter().map(|(_, entry)| *entry).collect();
        if meet(&entries) {
            for (name, _) in ring {
                checker.value(
                    &["files", name, "link_to"],
                    format!("the link {} leads back to itself", quoted(name)),
                    "let it point to something that is not a link to it",
                );
            }
        }
    }
}

/// Links that lead back to themselves. A path leads to one place, so every walk ends in a ring or outside.
fn rings<'a>(by_path: &BTreeMap<&str, Vec<Named<'a>>>) -> Vec<Vec<Named<'a>>> {
    let mut rings = Vec::new();
    let mut walked: HashMap<String, usize> = HashMap::new();
    for (round, path) in by_path.keys().enumerate() {
        let mut at = (*path).to_owned();
        let mut steps: Vec<(String, Named<'a>)> = Vec::new();
        loop {
            match walked.get(&at) {
                Some(earlier) if *earlier < round => break,
                Some(_) => {
                    let ring = steps.into_iter().skip_while(|(path, _)| *path != at);
                    rings.push(ring.map(|(_, link)| link).collect());
                    break;
                }
                None => {}
            }
            let links = by_path.get(at.as_str()).into_iter().flatten();
            let Some((link, target)) =
                links.filter_map(|link| Some((*link, link.1.link_to.as_deref()?))).next()
            else {
                break;
            };
            walked.insert(at.clone(), round);
            let next = resolve(&at, target);
            steps.push((std::mem::replace(&mut at, next), link));
        }
    }
    rings
}

/// Where a link points to, without a look at the disk.
fn resolve(link: &str, target: &str) -> String {
    let folder = link.rsplit_once('/').map_or("", |(folder, _)| folder);
    let joined = if target.starts_with('/') { target.to_owned() } else { format!("{folder}/{target}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.iter().fold(String::new(), |path, part| format!("{path}/{part}"))
}
