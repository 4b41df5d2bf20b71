//! Which files a package brought, and which of those were changed since.

use super::source::Source;
use std::collections::{BTreeMap, BTreeSet};

/// Paths that are asked for in one go.
const BATCH: usize = 500;

/// The package of each of these paths that one brought. Files that moved with the merge of `/usr` are known under both
/// names.
pub(super) fn packages_of(source: &mut Source<'_>, paths: &[String]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for batch in paths.chunks(BATCH) {
        let mut asked: BTreeMap<String, &String> = BTreeMap::new();
        for path in batch {
            asked.insert(path.clone(), path);
            let other = match path.strip_prefix("/usr") {
                Some(rest) => rest.to_owned(),
                None => format!("/usr{path}"),
            };
            asked.insert(other, path);
        }
        let mut args = vec!["--search", "--"];
        args.extend(asked.keys().map(String::as_str));
        // It ends with 1 when it does not know one of them.
        let answer = source.run("dpkg-query", &args).unwrap_or_default();
        for (package, path) in answer.lines().filter_map(|line| line.split_once(": ")) {
            // Several packages share folders: `a, b: /etc/x`. A diversion is no package.
            let first = package.split(',').next().unwrap_or(package).trim();
            if let Some(asked) = asked.get(path.trim())
                && !first.starts_with("diversion")
            {
                let name = first.split_once(':').map_or(first, |(name, _)| name);
                found.insert((*asked).clone(), name.to_owned());
            }
        }
    }
    found
}

/// Files of these packages that are no longer what the package brought.
pub(super) fn changed(source: &mut Source<'_>, packages: &BTreeSet<String>) -> BTreeSet<String> {
    if packages.is_empty() {
        return BTreeSet::new();
    }
    let mut args = vec!["--verify", "--verify-format", "rpm", "--"];
    args.extend(packages.iter().map(String::as_str));
    let answer = source.run("dpkg", &args).unwrap_or_default();
    answer.lines().filter_map(changed_path).collect()
}

/// `??5?????? c /etc/nginx/nginx.conf` is a changed file; `missing` is none that could be declared.
fn changed_path(line: &str) -> Option<String> {
    let (flags, rest) = line.split_once(' ')?;
    let path = rest.trim_start().strip_prefix("c ").unwrap_or(rest).trim();
    (flags.contains('5') && path.starts_with('/')).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_files_are_told_from_missing_ones() {
        assert_eq!(
            changed_path("??5?????? c /etc/nginx/nginx.conf").as_deref(),
            Some("/etc/nginx/nginx.conf")
        );
        assert_eq!(changed_path("??5??????   /usr/bin/x").as_deref(), Some("/usr/bin/x"));
        assert_eq!(changed_path("missing   c /etc/nginx/koi-utf"), None);
        assert_eq!(changed_path(""), None);
    }
}
