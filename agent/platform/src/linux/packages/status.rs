//! Reads what dpkg and apt write about packages: `/var/lib/dpkg/status` and `/var/lib/apt/extended_states`.

use crate::host::{PackageRecord, PackageStates, PackageStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead};

/// Longer lines are not looked at: dependencies, descriptions. What is asked for is short.
const MAX_LINE_BYTES: usize = 4096;

/// One stanza, as far as it matters here.
#[derive(Default)]
struct Stanza {
    package: String,
    status: String,
    architecture: String,
    version: String,
    essential: bool,
    automatic: bool,
}

/// Reads the packages. `automatic`: those that apt notes so, as `name:architecture`.
pub(super) fn read(source: impl BufRead, automatic: &BTreeSet<String>) -> io::Result<PackageStates> {
    let mut stanzas = Vec::new();
    let mut architecture = String::new();
    each_stanza(source, |stanza| {
        if stanza.package == "dpkg" {
            architecture.clone_from(&stanza.architecture);
        }
        stanzas.extend(record(&stanza));
    })?;
    let mut packages = BTreeMap::new();
    for (name, of, mut record) in stanzas {
        let own = of.is_empty() || of == "all" || of == architecture;
        let noted = if of == "all" { &architecture } else { &of };
        record.automatic = automatic.contains(&format!("{name}:{noted}"));
        packages.insert(if own { name } else { format!("{name}:{of}") }, record);
    }
    Ok(PackageStates { architecture, packages, interrupted: false })
}

/// Reads which packages apt installed because others need them, as `name:architecture`.
pub(super) fn read_automatic(source: impl BufRead) -> io::Result<BTreeSet<String>> {
    let mut automatic = BTreeSet::new();
    each_stanza(source, |stanza| {
        if stanza.automatic {
            automatic.insert(format!("{}:{}", stanza.package, stanza.architecture));
        }
    })?;
    Ok(automatic)
}

fn record(stanza: &Stanza) -> Option<(String, String, PackageRecord)> {
    let mut words = stanza.status.split_ascii_whitespace();
    let (want, flag, state) = (words.next()?, words.next()?, words.next()?);
    let status = match state {
        "config-files" => PackageStatus::ConfigFiles,
        // Its files have to be laid down once more.
        _ if flag == "reinstreq" => PackageStatus::HalfInstalled,
        "installed" => PackageStatus::Installed,
        "triggers-pending" | "triggers-awaited" => PackageStatus::Triggers,
        "unpacked" => PackageStatus::Unpacked,
        "half-configured" => PackageStatus::HalfConfigured,
        "half-installed" => PackageStatus::HalfInstalled,
        _ => return None,
    };
    let record = PackageRecord {
        version: stanza.version.clone(),
        status,
        held: want == "hold",
        automatic: false,
        essential: stanza.essential,
    };
    Some((stanza.package.clone(), stanza.architecture.clone(), record))
}

fn each_stanza(mut source: impl BufRead, mut take: impl FnMut(Stanza)) -> io::Result<()> {
    let mut stanza = Stanza::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let end = read_line(&mut source, &mut line)?;
        let text = String::from_utf8_lossy(&line);
        if text.trim().is_empty() {
            let whole = std::mem::take(&mut stanza);
            if !whole.package.is_empty() {
                take(whole);
            }
        } else if !text.starts_with([' ', '\t'])
            && let Some((field, value)) = text.split_once(':')
        {
            let value = value.trim();
            match field {
                "Package" => value.clone_into(&mut stanza.package),
                "Status" => value.clone_into(&mut stanza.status),
                "Architecture" => value.clone_into(&mut stanza.architecture),
                "Version" => value.clone_into(&mut stanza.version),
                "Essential" | "Protected" => stanza.essential |= value == "yes",
                "Auto-Installed" => stanza.automatic = value == "1",
                _ => {}
            }
        }
        if end {
            if !stanza.package.is_empty() {
                take(stanza);
            }
            return Ok(());
        }
    }
}

/// Reads one line and keeps its beginning; whether the source ends.
fn read_line(source: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        let available = match source.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if available.is_empty() {
            return Ok(true);
        }
        let newline = available.iter().position(|byte| *byte == b'\n');
        let taken = newline.unwrap_or(available.len());
        let room = MAX_LINE_BYTES.saturating_sub(line.len());
        line.extend_from_slice(&available[..taken.min(room)]);
        source.consume(taken + usize::from(newline.is_some()));
        if newline.is_some() {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "\
Package: dpkg
Essential: yes
Status: install ok installed
Architecture: amd64
Version: 1.21.22
Description: Debian package management system
 Package: not-a-field
 .

Package: tzdata
Status: hold ok installed
Architecture: all
Version: 2024a-0+deb12u1

Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9

Package: libc6
Status: install ok unpacked
Architecture: i386
Version: 2.36-9

Package: nginx
Status: deinstall ok config-files
Architecture: amd64
Version: 1.22.1-9

Package: gone
Status: unknown ok not-installed
Architecture: amd64

Package: torn
Status: install reinstreq installed
Architecture: amd64
Version: 1
";

    #[test]
    fn states_are_read_with_their_architectures() {
        let automatic = read_automatic(
            "Package: libc6\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: tzdata\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: dpkg\nArchitecture: amd64\nAuto-Installed: 0\n"
                .as_bytes(),
        )
        .unwrap();
        let states = read(STATUS.as_bytes(), &automatic).unwrap();
        assert_eq!(states.architecture, "amd64");
        assert_eq!(states.unfinished().collect::<Vec<_>>(), ["libc6:i386", "torn"]);
        let names: Vec<&str> = states.packages.keys().map(String::as_str).collect();
        assert_eq!(names, ["dpkg", "libc6", "libc6:i386", "nginx", "torn", "tzdata"]);
        assert!(states.get("dpkg").is_some_and(|record| record.essential && !record.automatic));
        assert!(states.get("tzdata:amd64").is_some_and(|record| record.held && record.automatic));
        assert!(states.get("libc6:amd64").is_some_and(|record| record.automatic));
        let status = |name: &str| states.get(name).map(|record| record.status);
        assert_eq!(status("libc6:i386"), Some(PackageStatus::Unpacked));
        assert_eq!(status("nginx"), Some(PackageStatus::ConfigFiles));
        assert_eq!(status("torn"), Some(PackageStatus::HalfInstalled));
        assert_eq!(status("gone"), None);
    }

    #[test]
    fn thousands_of_packages_and_endless_lines_are_read() {
        let mut text = String::from(STATUS);
        for n in 0..5_000 {
            text.push_str(&format!(
                "\nPackage: p{n}\nStatus: install ok installed\nArchitecture: all\nVersion: {n}\nDepends: {}\n",
                "x, ".repeat(2_000)
            ));
        }
        let states = read(text.as_bytes(), &BTreeSet::new()).unwrap();
        assert_eq!(states.packages.len(), 5_006);
        assert_eq!(states.packages["p4999"].version, "4999");
    }

    #[test]
    fn garbage_is_no_package() {
        for text in [
            "",
            "\n\n\n",
            "no field",
            "Package: x\nStatus: \n",
            "\u{0}\u{1}: y\n\nStatus: install ok installed\n",
        ] {
            assert_eq!(read(text.as_bytes(), &BTreeSet::new()).unwrap().packages.len(), 0, "{text:?}");
        }
        // Cut in the middle, as a crash of the machine may leave it.
        for end in 0..STATUS.len() {
            read(&STATUS.as_bytes()[..end], &BTreeSet::new()).unwrap();
        }
    }
}
