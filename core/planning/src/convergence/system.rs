//! Decides about system.

use super::{Observed, Verdict, mismatch};
use muster_domain::resource::{Hostname, Hosts, Sysctl, Timezone};

pub(super) fn hostname(_wanted: &Hostname, _observed: &Observed) -> Verdict {
    mismatch()
}

pub(super) fn hosts(_wanted: &Hosts, _observed: &Observed) -> Verdict {
    mismatch()
}

pub(super) fn timezone(_wanted: &Timezone, _observed: &Observed) -> Verdict {
    mismatch()
}

pub(super) fn sysctl(_wanted: &Sysctl, _observed: &Observed) -> Verdict {
    mismatch()
}
