//! What was reported last: a run that finds the same again reports nothing.

use super::cost::Cost;
use crate::ledger::{QueuedReport, ReportQueue};
use muster_domain::{
    observed::{ConvergenceReport, ResourceReport, ResourceStatus},
    resource::{Mode, ResourceKey},
};

/// What was reported last.
#[derive(Debug, Default)]
pub(super) struct Told {
    last: Option<ConvergenceReport>,
}

impl Told {
    /// Whether the last run found the same: told once, not at every poll.
    pub(super) fn known(&self, key: &ResourceKey, status: ResourceStatus, detail: &str) -> bool {
        let last = self.last.iter().flat_map(|report| &report.resources);
        last.into_iter().any(|known| known.key == *key && known.status == status && known.detail == detail)
    }

    /// The last report.
    #[cfg(test)]
    pub(super) fn last(&self) -> Option<&ConvergenceReport> {
        self.last.as_ref()
    }

    /// Queues a report when it says something new.
    pub(super) fn report(&mut self, report: ConvergenceReport, asked: bool, cost: Cost, queue: &ReportQueue) {
        let changed = report.resources.iter().any(|resource| resource.change.is_some());
        let known = self.last.as_ref().is_some_and(|last| {
            last.generation == report.generation
                && last.revision == report.revision
                && last.reboot_required == report.reboot_required
                && last.resources.iter().map(standing).eq(report.resources.iter().map(standing))
        });
        if asked || changed || !known {
            let failed = report.resources.iter().filter(|r| r.status == ResourceStatus::Failed).count();
            tracing::info!(
                generation = report.generation.get(),
                failed,
                converged = report.converged(),
                took_ms = cost.took_ms,
                cpu_ms = cost.cpu_ms,
                "run reported"
            );
            queue.push(QueuedReport::Convergence(report.clone()));
        } else {
            tracing::debug!(took_ms = cost.took_ms, cpu_ms = cost.cpu_ms, "run found nothing new");
        }
        self.last = Some(report);
    }
}

/// What of a resource is news when it differs: how it stands and why, not what was just done.
fn standing(report: &ResourceReport) -> (&ResourceKey, ResourceStatus, Mode, &str, Option<&str>) {
    let settled = report.status == ResourceStatus::Converged;
    let detail = if settled { "" } else { report.detail.as_str() };
    // The difference of a failure may be there only in the run that tried.
    let drifted = report.status == ResourceStatus::Drifted;
    (&report.key, report.status, report.mode, detail, report.diff.as_deref().filter(|_| drifted))
}
