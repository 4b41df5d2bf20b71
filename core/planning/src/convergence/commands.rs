//! Decides about commands.

use super::{Observed, Verdict, mismatch};
use muster_domain::resource::Command;

pub(super) fn verdict(_wanted: &Command, _observed: &Observed) -> Verdict {
    mismatch()
}
