//! The compiled desired state of one node, and the numbers that order and identify it.

use crate::{Digest, resource::Resource};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Orders the assignments of one node. Never falls; rises by one whenever the content changes. Zero is "none yet".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(u64);

impl Generation {
    /// Before the first assignment.
    pub const NONE: Self = Self(0);

    /// Wraps a stored or received number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The bare number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The generation after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The digest of an assignment's encoded content: the same content has the same revision, always.
pub type Revision = Digest;

/// What a node should be. `resources` is ordered: a resource stands behind everything that it depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AssignmentContent {
    /// The resources in the order in which they are applied.
    pub resources: Vec<Resource>,
}
