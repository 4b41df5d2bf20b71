//! Tests with the real apt, dpkg and systemd. They change the machine that they run on, and so are ignored but on a
//! throw-away host, where `tests/lab/hosts/on_host.rs` runs them one after the other.

mod archive;
mod nodejs;
mod packages;
mod repositories;
mod updates;

use crate::config::StateDir;
use crate::resources::Look;
use muster_domain::resource::{AptRepository, DesiredState, Package, PackageEnsure};
use muster_planning::convergence::{Effort, Verdict, verdict};
use muster_platform::LinuxHost;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Far more than anything here takes on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

/// Set where a test runs itself once more as the agent that is going to be killed.
const AS_AGENT: &str = "MUSTER_TEST_AS_AGENT";

/// dpkg has one lock.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Panics on any machine that does not say of itself that it may be thrown away.
pub(crate) fn insist_on_a_throwaway_host() {
    let marked = std::path::Path::new("/etc/muster-test-host").is_file();
    assert!(
        marked,
        "this is no throw-away host; `cargo xtask test --only lab` makes one and runs this there"
    );
    assert!(rustix::process::geteuid().is_root(), "it takes root to change a host");
}

/// The throw-away host.
struct Throwaway {
    host: LinuxHost,
    state: StateDir,
    _alone: MutexGuard<'static, ()>,
    _dir: tempfile::TempDir,
}

impl Throwaway {
    fn get() -> Self {
        insist_on_a_throwaway_host();
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        if std::env::var_os(AS_AGENT).is_none() {
            clear();
        }
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::new(dir.path());
        Self { host: LinuxHost::system(dir.path()), state, _alone: alone, _dir: dir }
    }

    fn look(&self) -> Look<'_> {
        Look { host: &self.host, state: &self.state, assigned: &[] }
    }

    /// What would be done about it now.
    fn decide(&self, desired: &DesiredState) -> Verdict {
        let apps = Ok(Vec::new());
        let view = crate::resources::View { state: &self.state, apps: &apps, cpus: 1 };
        let key = muster_domain::resource::ResourceKey::new(desired.kind(), "test");
        let resource = muster_domain::resource::Resource::new(key, vec![], desired.clone());
        let observed = crate::resources::observe(&self.host, view, &resource);
        verdict(desired, &observed, Effort::default())
    }

    fn decide_package(&self, package: &Package) -> Verdict {
        self.decide(&DesiredState::Package(package.clone()))
    }

    /// Brings packages to what is wanted in one transaction.
    fn packages(
        &self,
        wanted: &[Package],
    ) -> std::collections::BTreeMap<String, Result<Option<String>, String>> {
        let wanted: Vec<&Package> = wanted.iter().collect();
        crate::resources::packages::transaction(self.look(), &wanted)
    }

    /// The same, where all has to go well.
    fn bring(&self, wanted: &[Package]) {
        let results = self.packages(wanted);
        for package in wanted {
            assert!(results[&package.name].is_ok(), "{}: {:?}", package.name, results[&package.name]);
            assert_eq!(self.decide_package(package), Verdict::InPlace, "{}", package.name);
        }
    }

    fn apply(&self, desired: &DesiredState) -> Result<Vec<Option<String>>, String> {
        match self.decide(desired) {
            Verdict::InPlace => Ok(Vec::new()),
            Verdict::Change { actions, .. } => {
                let act = |action| crate::resources::apply(self.look(), desired, action);
                actions.into_iter().map(act).collect()
            }
            other => Err(format!("{other:?}")),
        }
    }
}

fn package(name: &str, ensure: PackageEnsure) -> Package {
    Package { name: name.into(), ensure, hold: false }
}

fn present(name: &str) -> Package {
    package(name, PackageEnsure::Present)
}

fn version(name: &str, version: &str) -> Package {
    package(name, PackageEnsure::Version(version.into()))
}

fn purged(name: &str) -> Package {
    package(name, PackageEnsure::Purged)
}

fn repository(desired: &AptRepository) -> DesiredState {
    DesiredState::AptRepository(desired.clone())
}

/// Takes away what an earlier test left, however it ended: packages and sources that were made for tests.
fn clear() {
    sh(
        "rm -f /run/muster-slow-* $(grep -ls 127.0.0.1 /etc/apt/sources.list.d/*.sources) /etc/apt/preferences.d/muster-*",
    );
    sh(
        "dpkg-query -W -f '${Package}\n' 'muster-*' 2>/dev/null | xargs -r dpkg --force-all --purge >/dev/null 2>&1 || true",
    );
    sh("dpkg --configure --pending >/dev/null 2>&1 || true");
}

/// Runs a program that has to succeed; what it wrote.
fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Waits for something, for as long as it may take.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + BOUND;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(20));
    }
}
