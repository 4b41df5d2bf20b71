//! Decides about certificates.

use super::{Observed, Verdict, mismatch};
use muster_domain::resource::Certificate;

pub(super) fn verdict(_wanted: &Certificate, _observed: &Observed) -> Verdict {
    mismatch()
}
