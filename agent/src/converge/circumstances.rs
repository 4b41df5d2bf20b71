//! What the success of a resource hangs on besides its own declaration. A service that failed over its configuration is
//! held back for a while, but not longer than until somebody, by hand or in the fleet files, changed what it reads.

use super::run::Run;
use muster_domain::{
    Digest,
    resource::{DesiredState, Resource},
};
use muster_planning::convergence::{Observed, paths_of};
use muster_platform::{FileKind, Host};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longer files are told apart by their length.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

impl Run<'_> {
    /// Why a resource is not tried now: it failed a moment ago, and what it hangs on is as it was then.
    pub(super) async fn held_back(&mut self, index: usize) -> Option<String> {
        let (key, digest) = (self.resource(index).0.key.clone(), self.assignment.resource_digests[index]);
        let detail = self.converger.retries.held_back(&key, digest, Instant::now())?;
        let circumstances = self.circumstances(index).await;
        match self.converger.retries.changed_since(&key, circumstances, Instant::now()) {
            None => Some(detail),
            Some(Duration::ZERO) => None,
            Some(rest) => {
                self.retry_within(rest);
                Some(detail)
            }
        }
    }

    /// What a resource hangs on, as it is now: all that comes before it, and the file of a unit, whoever wrote it.
    pub(super) async fn circumstances(&self, index: usize) -> Digest {
        let assignment = self.assignment.clone();
        let resources = &assignment.content.resources;
        let mut before = BTreeSet::new();
        let mut next = vec![index];
        while let Some(index) = next.pop() {
            let positions = resources[index].comes_after().filter_map(|key| assignment.positions.get(key));
            next.extend(positions.copied().filter(|at| before.insert(*at)));
        }
        // What lies at paths is looked at below; what runs changes all the time.
        let mut known = String::new();
        for at in &before {
            let observed = &self.looked[*at].observed;
            if matches!(
                observed,
                Observed::Package(_) | Observed::Repository(_) | Observed::User(_) | Observed::Group(_)
            ) {
                let _infallible = write!(known, "{observed:?};");
            }
        }
        let (host, assignment) = (self.sight.host.clone(), assignment.clone());
        crate::blocking(move || {
            let resources = &assignment.content.resources;
            for at in before {
                describe_paths(host.as_ref(), &resources[at], &mut known);
            }
            describe_unit(host.as_ref(), &resources[index], &mut known);
            Digest::from_bytes(*blake3::hash(known.as_bytes()).as_bytes())
        })
        .await
    }
}

fn describe_paths(host: &dyn Host, resource: &Resource, known: &mut String) {
    for path in paths_of(&resource.desired) {
        describe(host, &path, known);
    }
}

fn describe_unit(host: &dyn Host, resource: &Resource, known: &mut String) {
    let DesiredState::Service(service) = &resource.desired else { return };
    let Ok(unit) = host.unit(&service.name) else { return };
    // Also when it is a drop-in that systemd has not read yet.
    let _infallible = write!(known, "{};{};", unit.needs_reload, unit.load);
    if !unit.fragment.is_empty() {
        describe(host, &unit.fragment, known);
    }
}

fn describe(host: &dyn Host, path: &str, known: &mut String) {
    let place = Path::new(path);
    let stat = host.stat(place).ok().flatten();
    let digest = match &stat {
        Some(stat) if stat.kind == FileKind::File => host.digest(place, MAX_BYTES).ok().flatten(),
        _ => None,
    };
    let _infallible = write!(known, "{path}:{stat:?}:{digest:?};");
}
