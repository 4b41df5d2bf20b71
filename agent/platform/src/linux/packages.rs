//! Packages of a host with dpkg and apt.

mod apt;
mod lock;
mod status;

use crate::host::{
    AptOutcome, Fault, HostError, LockHolder, PackageChange, PackageHost, PackageMark, PackageStates,
    SimilarPackages, Simulation,
};
use crate::linux::LinuxHost;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

const STATUS: &str = "/var/lib/dpkg/status";
/// Where dpkg notes each of its steps before it rewrites its status.
const UPDATES: &str = "/var/lib/dpkg/updates";
const AUTOMATIC: &str = "/var/lib/apt/extended_states";
const LISTS: &str = "/var/lib/apt/lists";
/// Touched after all lists were fetched: the first by us as by others that keep apt up to date, the second by apt's timer.
const LISTS_STAMPS: [&str; 2] =
    ["/var/lib/apt/periodic/update-success-stamp", "/var/lib/apt/periodic/update-stamp"];
/// Whoever changes packages holds the first; the others are held by parts of the work.
const LOCKS: [&str; 4] = [
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/cache/apt/archives/lock",
    "/var/lib/apt/lists/lock",
];

/// What was read last, and of which files.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Option<(Stamp, Arc<PackageStates>)>>);

/// Device, inode, length and time of change of each file, and whether dpkg has steps noted.
type Stamp = (Option<FileStamp>, Option<FileStamp>, bool);
type FileStamp = (u64, u64, u64, i64, i64);

fn file_stamp(path: &str) -> Option<FileStamp> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
}

/// Whether dpkg has noted steps that are not part of its status yet.
fn steps_noted() -> bool {
    let Ok(entries) = std::fs::read_dir(UPDATES) else { return false };
    entries.filter_map(Result::ok).any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        !name.is_empty() && name.chars().all(|c| c.is_ascii_digit())
    })
}

fn read_states(noted: bool) -> Result<PackageStates, HostError> {
    let fail = |path: &str, error: io::Error| {
        let fault = match error.kind() {
            io::ErrorKind::NotFound => Fault::Other("it is not there; packages need Debian or Ubuntu".into()),
            _ => error.into(),
        };
        HostError::new("read", Path::new(path), fault)
    };
    let automatic = match File::open(AUTOMATIC) {
        Ok(file) => status::read_automatic(BufReader::new(file)).map_err(|error| fail(AUTOMATIC, error))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
        Err(error) => return Err(fail(AUTOMATIC, error)),
    };
    let file = File::open(STATUS).map_err(|error| fail(STATUS, error))?;
    let mut states = status::read(BufReader::new(file), &automatic).map_err(|error| fail(STATUS, error))?;
    states.interrupted = noted;
    Ok(states)
}

impl PackageHost for LinuxHost {
    fn packages(&self) -> Result<Arc<PackageStates>, HostError> {
        let noted = steps_noted();
        let stamp = (file_stamp(STATUS), file_stamp(AUTOMATIC), noted);
        let mut known = self.packages.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, states)) = known.as_ref()
            && *of == stamp
        {
            return Ok(states.clone());
        }
        let states = Arc::new(read_states(noted)?);
        *known = Some((stamp, states.clone()));
        Ok(states)
    }

    fn package_lock_holder(&self) -> Result<Option<LockHolder>, HostError> {
        lock::holder(&LOCKS)
    }

    fn package_versions(&self, names: &[&str]) -> Result<BTreeMap<String, Vec<String>>, HostError> {
        let mut found = BTreeMap::new();
        let architecture = self.packages()?.architecture.clone();
        // The command line has a limit, and so has the answer.
        for names in names.chunks(200) {
            let mut args = vec!["policy", "--"];
            args.extend(names);
            let (success, text) = apt::ask("apt-cache", &args)?;
            if !success {
                return Err(apt::fail("apt-cache", Fault::Other(last_line(&text))));
            }
            for (answered, versions) in apt::policy(&text) {
                // `libc6:amd64` is answered as `libc6` where that is the own architecture.
                let own = |asked: &&&str| {
                    asked.split_once(':').is_some_and(|(name, of)| name == answered && of == architecture)
                };
                let alike = names.iter().filter(own).map(|asked| (*asked).to_owned());
                let exact = names.contains(&answered.as_str()).then(|| answered.clone());
                let asked: Vec<String> = exact.into_iter().chain(alike).collect();
                if !versions.is_empty() {
                    found.extend(asked.into_iter().map(|name| (name, versions.clone())));
                }
            }
        }
        Ok(found)
    }

    fn similar_packages(&self, name: &str) -> Result<SimilarPackages, HostError> {
        let name = name.split_once(':').map_or(name, |(name, _)| name);
        let (known, text) = apt::ask("apt-cache", &["showpkg", "--", name])?;
        let providers = if known { apt::providers(&text) } else { Vec::new() };
        // Names are ASCII, so any byte is a boundary.
        let prefix = name.get(..name.len().div_ceil(2).max(2)).unwrap_or(name);
        let (_, text) = apt::ask("apt-cache", &["pkgnames", "--", prefix])?;
        Ok(SimilarPackages { providers, names: text.lines().map(str::to_owned).collect() })
    }

    fn package_lists_age(&self) -> Option<Duration> {
        let lists = std::fs::read_dir(LISTS).ok()?;
        let lists = lists.filter_map(Result::ok).map(|entry| entry.file_name());
        let any = lists.into_iter().any(|name| {
            let name = name.to_string_lossy();
            name.ends_with("Release") || name.contains("_Packages")
        });
        // The times of the lists themselves are those of the repositories, and that of their folder changes with any of them.
        let times = LISTS_STAMPS.map(|path| std::fs::metadata(path).and_then(|found| found.modified()));
        let newest = times.into_iter().filter_map(Result::ok).max().filter(|_| any)?;
        // A time that is yet to come says nothing.
        SystemTime::now().duration_since(newest).ok()
    }

    fn update_package_lists(&self, only: Option<&Path>) -> Result<AptOutcome, HostError> {
        let mut outcome = apt::update(only)?;
        // Older versions of apt end with 0 when a list could not be fetched.
        outcome.success &= !outcome.output.lines().any(|line| line.starts_with("W: Failed to fetch"));
        if outcome.success && only.is_none() {
            touch(Path::new(LISTS_STAMPS[0]));
        }
        Ok(outcome)
    }

    fn simulate_packages(&self, change: &PackageChange) -> Result<Simulation, HostError> {
        let args = apt::arguments(change, true);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (success, output) = apt::ask("apt-get", &args)?;
        Ok(apt::simulation(success, output))
    }

    fn change_packages(&self, change: &PackageChange) -> Result<AptOutcome, HostError> {
        let mut whole = change.clone();
        // One call cannot remove one package and purge another: those to be purged are purged after.
        let purge = if change.remove.is_empty() { Vec::new() } else { std::mem::take(&mut whole.purge) };
        whole.remove.extend(purge.iter().filter(|name| self.has_files(name)).cloned());
        let args = apt::arguments(&whole, false);
        let outcome = apt::change("apt-get", &args.iter().map(String::as_str).collect::<Vec<_>>())?;
        if purge.is_empty() || !outcome.success {
            return Ok(outcome);
        }
        let purged = PackageChange { purge, ..PackageChange::default() };
        let args = apt::arguments(&purged, false);
        apt::change("apt-get", &args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn repair_packages(&self) -> Result<AptOutcome, HostError> {
        let configured =
            apt::change("dpkg", &["--force-confdef", "--force-confold", "--configure", "--pending"])?;
        let fixed = apt::change(
            "apt-get",
            &[
                "install",
                "-f",
                "-q",
                "-y",
                "--no-remove",
                "-o",
                "Dpkg::Use-Pty=0",
                "-o",
                "Dpkg::Options::=--force-confdef",
                "-o",
                "Dpkg::Options::=--force-confold",
                "-o",
                "DPkg::Lock::Timeout=5",
            ],
        )?;
        let output = format!("{}{}", configured.output, fixed.output);
        Ok(AptOutcome { success: fixed.success, output })
    }

    fn mark_packages(&self, mark: PackageMark, names: &[&str]) -> Result<AptOutcome, HostError> {
        let mut args = vec![mark.as_str(), "--"];
        args.extend(names);
        let (success, output) = apt::ask("apt-mark", &args)?;
        Ok(AptOutcome { success, output })
    }

    fn check_apt_configuration(&self, with: Option<&Path>) -> Result<AptOutcome, HostError> {
        let (success, output) = match with {
            Some(candidate) => apt::ask("apt-config", &["-c", &candidate.to_string_lossy(), "dump"])?,
            None => apt::ask("apt-get", &["indextargets"])?,
        };
        let output: Vec<&str> = output.lines().filter(|line| line.starts_with(['E', 'W'])).collect();
        Ok(AptOutcome { success, output: output.join("\n") })
    }
}

impl LinuxHost {
    fn has_files(&self, name: &str) -> bool {
        use crate::host::PackageStatus;
        let states = self.packages();
        states.is_ok_and(|states| {
            states.get(name).is_some_and(|record| record.status != PackageStatus::ConfigFiles)
        })
    }
}

fn last_line(text: &str) -> String {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
}

/// That it cannot be touched costs another fetch, nothing else.
fn touch(path: &Path) {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).ok();
    }
    File::create(path).and_then(|file| file.set_modified(SystemTime::now())).ok();
}
