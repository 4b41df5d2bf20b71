//! Decides about updates.

use super::{Observed, Verdict, mismatch};
use muster_domain::resource::OsUpdates;

pub(super) fn verdict(_wanted: &OsUpdates, _observed: &Observed) -> Verdict {
    mismatch()
}
