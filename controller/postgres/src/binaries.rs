//! Finds installed server binaries: a given folder, the folders of the distributions, then `PATH`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::PostgresError;

/// Older ones are out of support and lack what the migrations use.
pub(crate) const OLDEST_MAJOR: u32 = 14;

/// Where distributions put the versions side by side.
const VERSIONED: [(&str, &str); 2] = [("/usr/lib/postgresql", "bin"), ("/usr", "pgsql-*/bin")];

/// One installed server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The folder with `postgres`, `initdb` and `psql`.
    pub bin_dir: PathBuf,
    /// The major version.
    pub major: u32,
}

impl Installation {
    /// The path of one of its programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }
}

/// The newest usable installation; with `cluster` the one of exactly that major version.
pub(crate) fn find(
    preferred: Option<&Path>,
    cluster: Option<(u32, &Path)>,
) -> Result<Installation, PostgresError> {
    let dirs = match preferred {
        Some(dir) => vec![dir.to_owned()],
        None => candidate_dirs(),
    };
    let mut found: Vec<Installation> = dirs.iter().filter_map(|dir| probe(dir)).collect();
    // Stable: among equal versions the first place wins.
    found.sort_by_key(|installation| std::cmp::Reverse(installation.major));
    pick(found, cluster).map_err(|problem| match problem {
        Problem::None => PostgresError::NotInstalled {
            oldest: OLDEST_MAJOR,
            looked_in: dirs.iter().map(|dir| dir.display().to_string()).collect(),
        },
        Problem::OtherMajor { cluster, data, installed } => {
            PostgresError::OtherMajor { data, cluster, installed }
        }
    })
}

enum Problem {
    None,
    OtherMajor { cluster: u32, data: PathBuf, installed: Vec<u32> },
}

fn pick(found: Vec<Installation>, cluster: Option<(u32, &Path)>) -> Result<Installation, Problem> {
    let usable = || found.iter().filter(|installation| installation.major >= OLDEST_MAJOR);
    match cluster {
        None => usable().next().cloned().ok_or(Problem::None),
        Some(_) if found.is_empty() => Err(Problem::None),
        Some((major, data)) => {
            usable().find(|i| i.major == major).cloned().ok_or_else(|| Problem::OtherMajor {
                cluster: major,
                data: data.to_owned(),
                installed: found.iter().map(|installation| installation.major).collect(),
            })
        }
    }
}

fn candidate_dirs() -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    for (parent, below) in VERSIONED {
        let Ok(entries) = std::fs::read_dir(parent) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            match below.split_once('*') {
                None => dirs.push(entry.path().join(below)),
                Some((prefix, rest)) if name.to_string_lossy().starts_with(prefix) => {
                    dirs.push(entry.path().join(rest.trim_start_matches('/')));
                }
                Some(_) => {}
            }
        }
    }
    dirs.sort();
    if let Some(path) = std::env::var_os("PATH") {
        dirs.extend(std::env::split_paths(&path));
    }
    if dirs.is_empty() {
        dirs.push(PathBuf::from("/usr/lib/postgresql"));
    }
    dirs
}

/// Reads the version of the server in a folder; none when there is no complete server.
fn probe(dir: &Path) -> Option<Installation> {
    let postgres = dir.join("postgres");
    if !postgres.is_file() || !dir.join("initdb").is_file() {
        return None;
    }
    let output = Command::new(&postgres).arg("--version").output().ok()?;
    let major = parse_major(&String::from_utf8_lossy(&output.stdout))?;
    Some(Installation { bin_dir: dir.to_owned(), major })
}

/// Understands `postgres (PostgreSQL) 15.18 (Debian …)` and `17rc1`.
fn parse_major(version: &str) -> Option<u32> {
    let rest = version.split_once("(PostgreSQL)")?.1.trim_start();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(majors: &[u32]) -> Vec<Installation> {
        majors.iter().map(|&major| Installation { bin_dir: format!("/pg/{major}").into(), major }).collect()
    }

    #[test]
    fn versions_of_releases_and_candidates_are_read() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 17rc1"), Some(17));
        assert_eq!(parse_major("something else"), None);
    }

    #[test]
    fn newest_is_used_for_a_new_cluster_and_the_same_major_for_an_old_one() {
        let data = Path::new("/data");
        assert_eq!(pick(installed(&[17, 15]), None).ok().map(|i| i.major), Some(17));
        assert_eq!(pick(installed(&[17, 15]), Some((15, data))).ok().map(|i| i.major), Some(15));
        assert!(matches!(
            pick(installed(&[17]), Some((15, data))),
            Err(Problem::OtherMajor { cluster: 15, .. })
        ));
        assert!(matches!(pick(installed(&[13]), None), Err(Problem::None)));
        assert!(matches!(pick(Vec::new(), Some((15, data))), Err(Problem::None)));
    }

    #[test]
    fn a_missing_server_names_the_package_to_install() {
        let error = find(Some(Path::new("/nonexistent")), None).unwrap_err();
        assert!(error.to_string().contains("apt install postgresql"), "{error}");
    }
}
