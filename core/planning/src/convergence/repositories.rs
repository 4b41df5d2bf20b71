//! Decides about repositories.

use super::{Observed, Verdict, mismatch};
use muster_domain::resource::AptRepository;

pub(super) fn verdict(_wanted: &AptRepository, _observed: &Observed) -> Verdict {
    mismatch()
}
