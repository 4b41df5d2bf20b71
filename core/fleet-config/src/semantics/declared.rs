//! What resources mean for each other: none is declared twice for a node, references lead somewhere, and nothing waits for
//! itself.

use super::{Checker, Kind};
use crate::words::{closest, quoted};
use muster_domain::{
    fleet::declared::{Declared, KINDS, Reference, Sharing},
    resource::ResourceKey,
};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Entries for one resource that are compared with each other; a fleet has one per kind of node.
const ALTERNATIVES_AT_MOST: usize = 16;
/// What references lead to in all, folders counted by what is below them: assignments grow with it.
const REFERENCES_AT_MOST: usize = 20_000;
/// Wrong references that are given a guess at what was meant.
const GUESS_AT_MOST: usize = 200;

pub(super) fn check(checker: &mut Checker<'_>) {
    let kinds = checker.kinds_of_nodes();
    twice(checker, &kinds);
    let edges = references(checker, &kinds);
    rings(checker, &edges, &kinds);
}

fn path<'a>(declared: &'a Declared<'_>) -> Vec<&'a str> {
    declared.at.iter().map(AsRef::as_ref).collect()
}

/// Whether there is a node that has both; entries without `on` meet on every node, also on those that are not declared.
fn meet(kinds: &[Kind<'_>], entries: &[&Declared<'_>]) -> bool {
    entries.iter().all(|entry| entry.everywhere())
        || kinds.iter().any(|kind| entries.iter().all(|entry| entry.is_on(&kind.target)))
}

fn twice(checker: &mut Checker<'_>, kinds: &[Kind<'_>]) {
    let mut claims: BTreeMap<Cow<'_, str>, Vec<&Declared<'_>>> = BTreeMap::new();
    // A setting of one node stands once by its nature.
    let stands = |declared: &&Declared<'_>| declared.sharing != Sharing::Implied && declared.node.is_none();
    for declared in checker.declared.iter().filter(stands) {
        let mut claimed = declared.paths();
        // A path of its own says as much as the key.
        if claimed.is_empty() || !declared.writes.is_empty() {
            claimed.push(Cow::Borrowed(declared.key.as_str()));
        }
        for claim in claimed {
            let others = claims.entry(claim.clone()).or_default();
            // Entries of `files` are compared with each other where their paths are, and so are the files of one entry. Lines
            // of one file add to each other.
            let elsewhere = |other: &Declared<'_>| {
                (other.at[0] == "files" && declared.at[0] == "files")
                    || other.at == declared.at
                    || (other.sharing == Sharing::Shared && declared.sharing == Sharing::Shared)
            };
            let first = others.iter().find(|other| !elsewhere(other) && meet(kinds, &[other, declared]));
            if let Some(first) = first {
                let at = path(declared);
                let there = path(first);
                let (place, name) = (checker.place(&there), there.join("."));
                checker.key(
                    &at,
                    format!("{} is declared by {} already ({place})", quoted(&claim), quoted(&name)),
                    "keep one of the two, or choose different nodes with `on:`",
                );
            } else if others.len() < ALTERNATIVES_AT_MOST {
                others.push(declared);
            }
        }
    }
}

/// From an entry to another that comes first, and the field that says so.
type Edges = BTreeMap<usize, Vec<(usize, Rc<[String]>)>>;

/// Checks every reference, and gives the edges that they make.
fn references(checker: &mut Checker<'_>, kinds: &[Kind<'_>]) -> Edges {
    let declared = checker.declared;
    let mut by_key: BTreeMap<&ResourceKey, Vec<usize>> = BTreeMap::new();
    for (index, entry) in declared.iter().enumerate() {
        by_key.entry(&entry.key).or_default().push(index);
    }
    let mut by_path: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (key, indexes) in &by_key {
        if matches!(key.kind(), "directory" | "file" | "secret_file" | "symlink") {
            by_path.entry(key.name()).or_default().extend(indexes);
        }
    }
    let mut edges = Edges::new();
    let mut count = 0;
    let unsaid: Rc<[String]> = Rc::new([]);
    for (index, entry) in declared.iter().enumerate() {
        for (field, position, text) in entry.common.references() {
            let field = if entry.at[0] == "commands" && field == "reload_on" { "run_on" } else { field };
            let position = position.to_string();
            let at: Vec<&str> = path(entry).into_iter().chain([field, position.as_str()]).collect();
            let Some(reference) = Reference::parse(text) else {
                unreadable(checker, text, &at);
                continue;
            };
            let found: Vec<usize> = match &reference {
                Reference::One(key) if key.kind() == "application" => {
                    if !checker.names.applications.contains(key.name()) {
                        missing(checker, &reference, text, &at, &by_key);
                    }
                    continue;
                }
                Reference::One(key) => by_key.get(key).cloned().unwrap_or_default(),
                Reference::Below(folder) => {
                    let start = format!("{folder}/");
                    let below = by_path.range(start.as_str()..);
                    below
                        .take_while(|(path, _)| path.starts_with(&start))
                        .flat_map(|(_, all)| all)
                        .copied()
                        .collect()
                }
            };
            let others: Vec<usize> = found.iter().copied().filter(|other| *other != index).collect();
            if found.is_empty() {
                missing(checker, &reference, text, &at, &by_key);
            } else if others.is_empty() {
                let message = format!("{} stands for this entry itself", quoted(text));
                checker.value(&at, message, "take it out");
            } else if !kinds.is_empty()
                && !others.iter().any(|other| meet(kinds, &[entry, &declared[*other]]))
            {
                // A node may be enrolled without being declared, so this is not wrong for certain.
                let entry = path(entry).join(".");
                checker.warn(
                    &at,
                    format!("{} is on no declared node that has {}", quoted(text), quoted(&entry)),
                    "compare `on:` of the two",
                );
            }
            let said: Rc<[String]> = at.iter().map(|part| (*part).to_owned()).collect();
            count += others.len();
            if count > REFERENCES_AT_MOST {
                let message =
                    format!("all references together lead to more than {REFERENCES_AT_MOST} resources");
                checker.value(&at, message, "refer to a smaller folder, or to single resources");
                return edges;
            }
            edges.entry(index).or_default().extend(others.into_iter().map(|other| (other, Rc::clone(&said))));
        }
        // What comes first without being said; the opposite that somebody says wins.
        for key in entry.after.iter().chain(&entry.restarts_after) {
            let opposite = |other: &usize| {
                declared[*other]
                    .common
                    .references()
                    .any(|(_, _, text)| Reference::parse(text).is_some_and(|r| r.means(&entry.key)))
            };
            let others = by_key.get(key).into_iter().flatten().copied().filter(|other| !opposite(other));
            edges.entry(index).or_default().extend(others.map(|other| (other, Rc::clone(&unsaid))));
        }
    }
    edges
}

fn unreadable(checker: &mut Checker<'_>, text: &str, at: &[&str]) {
    let kind = text.split_once(':').map_or(text, |(kind, _)| kind);
    let guess = match closest(kind, KINDS) {
        Some(meant) if meant != kind => format!("; did you mean {}?", quoted(meant)),
        _ => String::new(),
    };
    checker.value(
        at,
        format!("{} is not a resource{guess}", quoted(text)),
        "write kind:name, as the dashboard shows it: package:nginx, file:/etc/nginx/nginx.conf, service:nginx, or \
         file:/etc/nginx/ for everything below a folder",
    );
}

fn missing(
    checker: &mut Checker<'_>,
    reference: &Reference,
    text: &str,
    at: &[&str],
    by_key: &BTreeMap<&ResourceKey, Vec<usize>>,
) {
    let kind = text.split_once(':').map_or(text, |(kind, _)| kind);
    // What is wrong there is said there.
    let section = match kind {
        "directory" | "file" | "secret_file" | "symlink" => "files",
        "authorized_key" => "users",
        "firewall" | "hosts" | "logrotate" | "sysctl" => kind,
        "apt_repository" => "apt_repositories",
        kind => &format!("{kind}s"),
    };
    if checker.faulty(&[section]) || checker.faulty(&["base"]) {
        return;
    }
    if let Reference::Below(folder) = reference {
        let message = format!("nothing is declared below {}", quoted(&format!("{folder}/")));
        checker.value(at, message, "declare files there under `files:`, or take this out");
        return;
    }
    let guess = match checker.found.len() {
        0..GUESS_AT_MOST => {
            let of_kind = by_key.keys().filter(|key| key.kind() == kind).map(|key| key.name());
            let name = text.split_once(':').map_or(text, |(_, name)| name);
            let other_kind = by_key.keys().find(|key| key.name() == name).map(|key| key.to_string());
            let meant = other_kind.or_else(|| closest(name, of_kind).map(|name| format!("{kind}:{name}")));
            meant.map_or_else(String::new, |meant| format!("; did you mean {}?", quoted(&meant)))
        }
        _ => String::new(),
    };
    checker.value(
        at,
        format!("{} is declared nowhere{guess}", quoted(text)),
        format!("declare it under `{section}:`, or take this out"),
    );
}

/// Entries that wait for each other on a node that has them all.
fn rings(checker: &mut Checker<'_>, edges: &Edges, kinds: &[Kind<'_>]) {
    let mut done: BTreeSet<usize> = BTreeSet::new();
    for start in edges.keys() {
        // (entry, how many of its edges were walked)
        let mut walk: Vec<(usize, usize)> = vec![(*start, 0)];
        while let Some((at, next)) = walk.last_mut() {
            let at = *at;
            let edge = edges.get(&at).and_then(|edges| edges.get(*next));
            let Some((target, _)) = edge else {
                done.insert(at);
                walk.pop();
                continue;
            };
            *next += 1;
            if let Some(from) = walk.iter().position(|(entry, _)| entry == target) {
                let ring: Vec<usize> = walk[from..].iter().map(|(entry, _)| *entry).collect();
                let members: Vec<&Declared<'_>> =
                    ring.iter().map(|entry| &checker.declared[*entry]).collect();
                if meet(kinds, &members) {
                    ring_found(checker, &ring, edges);
                    // One ring is mended at a time.
                    return;
                }
            } else if !done.contains(target) {
                walk.push((*target, 0));
            }
        }
    }
}

fn ring_found(checker: &mut Checker<'_>, ring: &[usize], edges: &Edges) {
    let said = |at: usize, entry: usize| {
        let next = ring[(at + 1) % ring.len()];
        let found = edges.get(&entry)?.iter().find(|(target, said)| *target == next && !said.is_empty());
        found.map(|(_, said)| said.clone())
    };
    let steps: Vec<String> = ring
        .iter()
        .map(|entry| {
            let declared = &checker.declared[*entry];
            format!("{} ({})", declared.key, checker.place(&path(declared)))
        })
        .collect();
    let message = format!("these wait for each other: {}", steps.join(", "));
    let at = ring.iter().enumerate().find_map(|(at, entry)| said(at, *entry));
    match at {
        Some(at) => {
            let at: Vec<&str> = at.iter().map(String::as_str).collect();
            checker.value(&at, message, "take one of the references out");
        }
        None => {
            let at = path(&checker.declared[ring[0]]).into_iter().map(str::to_owned).collect::<Vec<_>>();
            let at: Vec<&str> = at.iter().map(String::as_str).collect();
            checker.key(&at, message, "take one of them out");
        }
    }
}
