//! Where a Node.js is fetched from.

use super::{Archive, checksum::Checksum, run};
use muster_planning::convergence::{NodeRange, newest_satisfying};
use muster_platform::{Download, Host};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The distribution of Node.js itself: for a node that has neither npm, nor its settings, nor a mirror.
const DISTRIBUTION: &str = "https://nodejs.org/dist";

const LIST_TIMEOUT_MS: u64 = 60_000;
const FETCH_TIMEOUT_MS: u64 = 600_000;
/// A list of all versions, with room for twenty more years.
const MAX_LIST_BYTES: u64 = 16 * 1024 * 1024;
const MAX_CHECKSUMS_BYTES: u64 = 256 * 1024;
/// The largest archive so far has 60 MB.
const MAX_ARCHIVE_BYTES: u64 = 300 * 1024 * 1024;
const MAX_SETTINGS_BYTES: u64 = 64 * 1024;

/// Where npm's settings stand for everybody, and for root.
const SETTINGS: [&str; 3] = ["/root/.npmrc", "/etc/npmrc", "/usr/etc/npmrc"];

/// Where a Node.js is fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// npm of the host: its settings say where packages come from, and who may have them.
    Npm(PathBuf),
    /// A registry of npm, without npm.
    Registry(String),
    /// A place in the layout of Node.js's own distribution.
    Distribution(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Npm(_) => f.write_str("npm"),
            Self::Registry(base) => write!(f, "the registry {base}"),
            Self::Distribution(base) => f.write_str(base),
        }
    }
}

impl Source {
    /// The mirror that is declared; else npm; else the registry that npm's settings name; else the distribution.
    pub(super) fn choose(host: &dyn Host, mirror: Option<&str>) -> Result<Self, String> {
        if let Some(mirror) = mirror {
            let base = mirror.trim_end_matches('/');
            let plain = base.contains("://")
                && !base.contains(['@', '?', '#'])
                && !base.contains(char::is_whitespace);
            return if plain {
                Ok(Self::Distribution(base.to_owned()))
            } else {
                Err("the mirror of Node.js is not a plain address; write it like https://mirror.example/dist"
                    .into())
            };
        }
        if let Some(npm) = host.find_program("npm") {
            return Ok(Self::Npm(npm));
        }
        let read = |path: &&str| host.read(Path::new(path), MAX_SETTINGS_BYTES).ok();
        let named =
            SETTINGS.iter().filter_map(read).find_map(|text| registry(&String::from_utf8_lossy(&text)));
        Ok(named.map_or_else(|| Self::Distribution(DISTRIBUTION.to_owned()), Self::Registry))
    }

    /// Fetches the newest archive that satisfies the range, and what it must be.
    pub(super) fn fetch(
        &self,
        host: &dyn Host,
        range: &NodeRange,
        architecture: &str,
        work: &Path,
    ) -> Result<Archive, String> {
        match self {
            Self::Npm(npm) => by_npm(host, npm, range, architecture, work),
            Self::Registry(base) => by_registry(host, base, range, architecture, work),
            Self::Distribution(base) => by_distribution(host, base, range, architecture, work),
        }
    }
}

/// The registry in npm's settings. One that names variables or needs a login is npm's own business.
fn registry(settings: &str) -> Option<String> {
    let line = |line: &str| {
        let (name, value) = line.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']).trim_end_matches('/');
        let plain = value.contains("://") && !value.contains(['@', '$', '?', '#']);
        (name.trim() == "registry" && plain).then(|| value.to_owned())
    };
    settings.lines().find_map(line)
}

fn pick<'a>(range: &NodeRange, versions: impl IntoIterator<Item = &'a str>) -> Result<&'a str, String> {
    newest_satisfying(range, versions)
        // It becomes a part of paths and addresses.
        .filter(|version| version.chars().all(|c| c.is_ascii_alphanumeric() || ".-+".contains(c)))
        .ok_or_else(|| format!("no published version of Node.js satisfies {range}"))
}

fn by_npm(
    host: &dyn Host,
    npm: &Path,
    range: &NodeRange,
    architecture: &str,
    work: &Path,
) -> Result<Archive, String> {
    let package = format!("node-{architecture}");
    let npm = |args: &[&str], timeout_ms| {
        run(host, npm, args, work, timeout_ms).map_err(|reason| format!("npm failed: {reason}"))
    };
    let listed = npm(&["view", &package, "versions", "--json"], LIST_TIMEOUT_MS)?;
    let versions: Vec<String> =
        one_or_many(&listed.stdout).ok_or("npm's list of versions of Node.js cannot be read")?;
    let version = pick(range, versions.iter().map(String::as_str))?;
    let exact = format!("{package}@{version}");
    let integrity = npm(&["view", &exact, "dist.integrity", "--json"], LIST_TIMEOUT_MS)?;
    let integrity = one_or_many(&integrity.stdout).and_then(|mut all| all.pop()).unwrap_or_default();
    let checksum = Checksum::of_integrity(&integrity)
        .ok_or_else(|| format!("the registry has no digest of Node.js {version} that proves anything"))?;
    // npm looks at the digest too. What it left on the disk is looked at again, whatever it was told to ignore.
    npm(&["pack", &exact, "--ignore-scripts"], FETCH_TIMEOUT_MS)?;
    Ok(Archive { version: version.to_owned(), path: work.join(format!("{package}-{version}.tgz")), checksum })
}

/// npm writes a single value as itself, several as a list.
fn one_or_many(json: &[u8]) -> Option<Vec<String>> {
    match serde_json::from_slice(json).ok()? {
        serde_json::Value::String(only) => Some(vec![only]),
        serde_json::Value::Array(all) => {
            Some(all.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect())
        }
        _ => None,
    }
}

#[derive(Deserialize)]
struct Packument {
    versions: BTreeMap<String, Published>,
}

#[derive(Deserialize)]
struct Published {
    dist: Dist,
}

#[derive(Deserialize)]
struct Dist {
    tarball: String,
    #[serde(default)]
    integrity: String,
}

fn by_registry(
    host: &dyn Host,
    base: &str,
    range: &NodeRange,
    architecture: &str,
    work: &Path,
) -> Result<Archive, String> {
    let url = format!("{base}/node-{architecture}");
    let listed = fetch(host, &url, Some("application/vnd.npm.install-v1+json"), MAX_LIST_BYTES)?;
    let packument: Packument =
        serde_json::from_slice(&listed).map_err(|error| format!("{url} is no list of versions: {error}"))?;
    let version = pick(range, packument.versions.keys().map(String::as_str))?;
    let Dist { tarball, integrity } = &packument.versions[version].dist;
    let checksum = Checksum::of_integrity(integrity)
        .ok_or_else(|| format!("the registry has no digest of Node.js {version} that proves anything"))?;
    let path = work.join("node.tgz");
    fetch_archive(host, tarball, &path)?;
    Ok(Archive { version: version.to_owned(), path, checksum })
}

#[derive(Deserialize)]
struct Listed {
    version: String,
    #[serde(default)]
    files: Vec<String>,
}

fn by_distribution(
    host: &dyn Host,
    base: &str,
    range: &NodeRange,
    architecture: &str,
    work: &Path,
) -> Result<Archive, String> {
    let url = format!("{base}/index.json");
    let listed = fetch(host, &url, None, MAX_LIST_BYTES)?;
    let listed: Vec<Listed> =
        serde_json::from_slice(&listed).map_err(|error| format!("{url} is no list of versions: {error}"))?;
    let built = listed
        .iter()
        .filter(|listed| listed.files.is_empty() || listed.files.iter().any(|f| f == architecture));
    let version = pick(range, built.map(|listed| listed.version.trim_start_matches('v')))?;
    let url = format!("{base}/v{version}/SHASUMS256.txt");
    let checksums = fetch(host, &url, None, MAX_CHECKSUMS_BYTES)?;
    let file = format!("node-v{version}-{architecture}.tar.gz");
    let checksum = Checksum::in_list(&String::from_utf8_lossy(&checksums), &file)
        .ok_or_else(|| format!("{url} has no digest of {file}"))?;
    let path = work.join("node.tar.gz");
    fetch_archive(host, &format!("{base}/v{version}/{file}"), &path)?;
    Ok(Archive { version: version.to_owned(), path, checksum })
}

fn fetch(host: &dyn Host, url: &str, accept: Option<&str>, max_bytes: u64) -> Result<Vec<u8>, String> {
    let download = Download { url, accept, max_bytes, timeout_ms: LIST_TIMEOUT_MS };
    host.fetch(&download).map_err(|error| error.to_string())
}

fn fetch_archive(host: &dyn Host, url: &str, path: &Path) -> Result<(), String> {
    let download = Download { url, accept: None, max_bytes: MAX_ARCHIVE_BYTES, timeout_ms: FETCH_TIMEOUT_MS };
    host.fetch_into(&download, path).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_platform::FakeHost;

    #[test]
    fn what_is_declared_comes_before_what_is_found() {
        let host = FakeHost::default();
        let choose = |mirror| Source::choose(&host, mirror);
        assert_eq!(choose(None), Ok(Source::Distribution(DISTRIBUTION.into())));
        host.tamper("/etc/npmrc", "# ours\nregistry = \"https://npm.example.test/\"\n");
        assert_eq!(choose(None), Ok(Source::Registry("https://npm.example.test".into())));
        host.set_program("npm", muster_platform::CommandOutput::default());
        assert_eq!(choose(None), Ok(Source::Npm("/usr/bin/npm".into())));
        let mirror = Source::Distribution("https://mirror.example.test/dist".into());
        assert_eq!(choose(Some("https://mirror.example.test/dist/")), Ok(mirror));
        for bad in ["mirror.example.test", "https://me:secret@mirror.example.test", "https://a b"] {
            assert!(choose(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_of_npm_are_read_where_they_are_plain() {
        assert_eq!(registry("registry=https://a.test/\n"), Some("https://a.test".into()));
        for text in [
            "",
            "@me:registry=https://a.test",
            "registry=${HERE}",
            "registry=https://me:pw@a.test",
            ";registry=https://a.test",
        ] {
            assert_eq!(registry(text), None, "{text:?}");
        }
    }
}
