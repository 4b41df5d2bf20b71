//! Typed ids. A bare `Uuid` never crosses a function boundary: mixing a node with a release must not compile.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

macro_rules! typed_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps an id that was made elsewhere (a row, a wire field, a generator).
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// The bare id, for a column or a wire field.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )+};
}

typed_id! {
    /// One fleet: everything below one root certificate.
    FleetId,
    /// An enrolled VPS.
    NodeId,
    /// One invitation of a node, and what became of it.
    EnrolmentId,
    /// One immutable version of an application.
    ReleaseId,
    /// One move of an environment to a release.
    RolloutId,
    /// A person with an account on the controller.
    UserId,
    /// An API token.
    TokenId,
}
