//! Decides about sshd.

use super::{Observed, Verdict, mismatch};
use muster_domain::resource::Sshd;

pub(super) fn verdict(_wanted: &Sshd, _observed: &Observed) -> Verdict {
    mismatch()
}
