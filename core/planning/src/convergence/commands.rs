//! Decides about commands behind a guard, from the look alone: for one that waits for a change, as if there had been one.

use super::{Action, Observed, Verdict, change, mismatch};
use muster_domain::resource::Command;

/// What the guard of a command says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// There is none.
    None,
    /// It is done.
    Done,
    /// It is not, in words.
    NotDone(String),
}

pub(super) fn verdict(wanted: &Command, observed: &Observed) -> Verdict {
    let Observed::Command(guard) = observed else { return mismatch() };
    match guard {
        Guard::Done => Verdict::InPlace,
        Guard::NotDone(why) => change(Action::RunCommand, vec![why.clone()]),
        Guard::None if wanted.only_on_change => change(Action::RunCommand, vec![]),
        Guard::None => Verdict::Impossible {
            reason: "nothing says when it is done: give it `unless`, `creates` or `only_on_change`".into(),
        },
    }
}
