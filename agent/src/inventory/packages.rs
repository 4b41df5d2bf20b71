//! Packages that somebody asked for.

use super::source::Source;
use muster_domain::inventory::InstalledPackage;
use std::collections::{BTreeMap, BTreeSet};

/// Names of the packages that every system of this distribution has: what nobody declares.
#[derive(Debug, Default)]
pub(super) struct Base(BTreeSet<String>);

impl Base {
    pub(super) fn has(&self, package: &str) -> bool {
        self.0.contains(package)
    }
}

const FORMAT: &str = "${db:Status-Abbrev}\t${Package}\t${Architecture}\t${Version}\t${Priority}\t${Essential}\t${Section}\t\
                      ${Pre-Depends}, ${Depends}\n";

/// One installed package, as dpkg lists it.
struct Listed {
    held: bool,
    name: String,
    version: String,
    base: bool,
    /// A library or a module: nobody runs it, what needs it brings it.
    library: bool,
    depends: Vec<String>,
}

fn listed(source: &mut Source<'_>) -> Vec<Listed> {
    let answer = source.run("dpkg-query", &["--show", "--showformat", FORMAT]).unwrap_or_default();
    answer.lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<Listed> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [status, name, _architecture, version, priority, essential, section, depends] = fields[..] else {
        return None;
    };
    // `contrib/libs`, `non-free/libs`.
    let section = section.rsplit('/').next().unwrap_or(section);
    // Second letter: installed. First: `h` is held, `i` is wanted.
    (status.get(1..2) == Some("i")).then(|| Listed {
        held: status.starts_with('h'),
        name: name.to_owned(),
        version: version.to_owned(),
        base: essential == "yes" || matches!(priority, "required" | "important" | "standard"),
        library: matches!(section, "libs" | "oldlibs" | "perl")
            || (name.starts_with("lib") && !name.ends_with("-dev")),
        depends: depends_on(depends),
    })
}

/// The names in `libc6 (>= 2.36), debconf (>= 0.5) | debconf-2.0, perl:any`.
fn depends_on(field: &str) -> Vec<String> {
    let names = field.split([',', '|']).filter_map(|one| one.split_whitespace().next());
    names.map(|name| name.split(':').next().unwrap_or(name).to_owned()).collect()
}

/// What belongs to the base of the system, and what that needs: the tools that make images mark all of it as asked for.
pub(super) fn base(source: &mut Source<'_>) -> Base {
    base_of(&listed(source))
}

fn base_of(packages: &[Listed]) -> Base {
    let by_name: BTreeMap<&str, &Listed> =
        packages.iter().map(|package| (package.name.as_str(), package)).collect();
    let mut base = BTreeSet::new();
    let mut next: Vec<&Listed> = packages.iter().filter(|package| package.base).collect();
    while let Some(package) = next.pop() {
        if base.insert(package.name.clone()) {
            next.extend(package.depends.iter().filter_map(|name| by_name.get(name.as_str()).copied()));
        }
    }
    Base(base)
}

/// What somebody asked for, without the base, without libraries that another package brings.
pub(super) fn manual(source: &mut Source<'_>, base: &Base) -> Vec<InstalledPackage> {
    let Some(marked) = source.run("apt-mark", &["showmanual"]) else {
        source.note("packages were not listed: there is no apt on this host");
        return Vec::new();
    };
    let marked: BTreeSet<&str> = marked.lines().map(|line| line.split(':').next().unwrap_or(line)).collect();
    let packages = listed(source);
    let brought: BTreeSet<String> = packages.iter().flat_map(|package| &package.depends).cloned().collect();
    let mut found: Vec<InstalledPackage> = packages
        .into_iter()
        .filter(|package| {
            let asked_for = marked.contains(package.name.as_str()) && !base.has(&package.name);
            package.held || (asked_for && !(package.library && brought.contains(&package.name)))
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
        let line = |status: &str, priority: &str| {
            format!(
                "{status}\tnginx\tamd64\t1.22.1-9\t{priority}\tno\thttpd\tlibc6 (>= 2.36), iproute2 | net-tools"
            )
        };
        assert!(parse(&line("rc ", "optional")).is_none());
        let package = parse(&line("hi ", "optional")).unwrap();
        assert!(package.held && !package.base && package.version == "1.22.1-9");
        assert!(parse(&line("ii ", "important")).unwrap().base);
        assert_eq!(package.depends, ["libc6", "iproute2", "net-tools"]);
        assert!(parse("garbage").is_none());
    }

    #[test]
    fn what_the_base_needs_is_of_the_base() {
        let lines = [
            "ii \tapt\tamd64\t2.6\trequired\tno\tadmin\tlibapt-pkg6.0 (>= 2.6), gpgv:any",
            "ii \tlibapt-pkg6.0\tamd64\t2.6\toptional\tno\tlibs\tliblz4-1",
            "ii \tgpgv\tamd64\t2.2\toptional\tno\tutils\t, ",
            "ii \tliblz4-1\tamd64\t1.9\toptional\tno\tlibs\t, ",
            "ii \tnodejs\tamd64\t18\toptional\tno\tjavascript\tlibnode108",
        ];
        let base = base_of(&lines.iter().map(|line| parse(line).unwrap()).collect::<Vec<_>>());
        assert!(["apt", "libapt-pkg6.0", "gpgv", "liblz4-1"].iter().all(|name| base.has(name)));
        assert!(!base.has("nodejs"));
    }
}
