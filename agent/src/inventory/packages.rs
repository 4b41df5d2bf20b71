//! Packages that somebody asked for.

use super::source::Source;
use muster_domain::inventory::InstalledPackage;
use std::collections::BTreeSet;

/// Names of the packages that every system of this distribution has: what nobody declares.
#[derive(Debug, Default)]
pub(super) struct Base(BTreeSet<String>);

impl Base {
    pub(super) fn has(&self, package: &str) -> bool {
        self.0.contains(package)
    }
}

const FORMAT: &str =
    "${db:Status-Abbrev}\t${Package}\t${Architecture}\t${Version}\t${Priority}\t${Essential}\n";

/// One installed package, as dpkg lists it.
struct Listed {
    held: bool,
    name: String,
    version: String,
    base: bool,
}

fn listed(source: &mut Source<'_>) -> Vec<Listed> {
    let answer = source.run("dpkg-query", &["--show", "--showformat", FORMAT]).unwrap_or_default();
    answer.lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<Listed> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [status, name, _architecture, version, priority, essential] = fields[..] else { return None };
    // Second letter: installed. First: `h` is held, `i` is wanted.
    (status.get(1..2) == Some("i")).then(|| Listed {
        held: status.starts_with('h'),
        name: name.to_owned(),
        version: version.to_owned(),
        base: essential == "yes" || matches!(priority, "required" | "important" | "standard"),
    })
}

/// What belongs to the base of the system.
pub(super) fn base(source: &mut Source<'_>) -> Base {
    Base(listed(source).into_iter().filter(|package| package.base).map(|package| package.name).collect())
}

/// What somebody asked for, without the base and what Muster brought.
pub(super) fn manual(source: &mut Source<'_>, base: &Base) -> Vec<InstalledPackage> {
    let Some(marked) = source.run("apt-mark", &["showmanual"]) else {
        source.note("packages were not listed: there is no apt on this host");
        return Vec::new();
    };
    let marked: BTreeSet<&str> = marked.lines().map(|line| line.split(':').next().unwrap_or(line)).collect();
    let mut found: Vec<InstalledPackage> = listed(source)
        .into_iter()
        .filter(|package| {
            package.held || (marked.contains(package.name.as_str()) && !base.has(&package.name))
        })
        .map(|Listed { held, name, version, .. }| InstalledPackage { name, version, held })
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_installed_counts() {
        let line = |status: &str, priority: &str| format!("{status}\tnginx\tamd64\t1.22.1-9\t{priority}\tno");
        assert!(parse(&line("rc ", "optional")).is_none());
        let package = parse(&line("hi ", "optional")).unwrap();
        assert!(package.held && !package.base && package.version == "1.22.1-9");
        assert!(parse(&line("ii ", "important")).unwrap().base);
        assert!(parse("garbage").is_none());
    }
}
