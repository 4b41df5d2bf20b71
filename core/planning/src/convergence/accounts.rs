//! Decides about accounts.

use super::{Observed, Verdict, mismatch};
use muster_domain::resource::{AuthorizedKey, Group, User};

pub(super) fn group(_wanted: &Group, _observed: &Observed) -> Verdict {
    mismatch()
}

pub(super) fn user(_wanted: &User, _observed: &Observed) -> Verdict {
    mismatch()
}

pub(super) fn authorized_key(_wanted: &AuthorizedKey, _observed: &Observed) -> Verdict {
    mismatch()
}
