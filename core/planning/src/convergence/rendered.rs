//! Decides about rendered.

use super::{Observed, Verdict, mismatch};
use muster_domain::resource::{CronJob, Logrotate, SystemdUnit};

pub(super) fn systemd_unit(_wanted: &SystemdUnit, _observed: &Observed) -> Verdict {
    mismatch()
}

pub(super) fn logrotate(_wanted: &Logrotate, _observed: &Observed) -> Verdict {
    mismatch()
}

pub(super) fn cron_job(_wanted: &CronJob, _observed: &Observed) -> Verdict {
    mismatch()
}
