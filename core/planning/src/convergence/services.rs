//! Decides about services.

use super::{Observed, Verdict, mismatch};
use muster_domain::resource::Service;

pub(super) fn verdict(_wanted: &Service, _observed: &Observed) -> Verdict {
    mismatch()
}
