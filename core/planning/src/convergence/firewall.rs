//! Decides about firewall.

use super::{Observed, Verdict, mismatch};
use muster_domain::resource::Firewall;

pub(super) fn verdict(_wanted: &Firewall, _observed: &Observed) -> Verdict {
    mismatch()
}
