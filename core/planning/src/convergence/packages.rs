//! Decides about packages.

use super::{Observed, Verdict, mismatch};
use muster_domain::resource::Package;

pub(super) fn verdict(_wanted: &Package, _observed: &Observed) -> Verdict {
    mismatch()
}
