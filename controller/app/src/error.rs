//! What a use case answers when it does not do what was asked. One mapping to HTTP and one to gRPC exist, at the edges.

use muster_db::DbError;
use std::error::Error;

/// One thing that is wrong with the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputProblem {
    /// The file, when the input was files.
    pub file: Option<String>,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
    /// The field, dotted.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What would be valid.
    pub hint: Option<String>,
}

/// A use case that did not do what was asked. `detail` says what happened to what; `hint` what to do now.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The input does not make sense.
    #[error("{detail}")]
    InvalidInput {
        /// Stable word.
        code: &'static str,
        /// What is wrong.
        detail: String,
        /// What would be right.
        hint: Option<String>,
        /// Every single thing, when there is more than one to say.
        problems: Vec<InputProblem>,
    },
    /// Nobody is signed in, or the proof does not hold.
    #[error("{detail}")]
    Unauthenticated {
        /// Stable word.
        code: &'static str,
        /// Why.
        detail: String,
    },
    /// Signed in, but not allowed.
    #[error("{detail}")]
    Forbidden {
        /// What is not allowed to whom.
        detail: String,
        /// Who may.
        hint: String,
    },
    /// It is not there.
    #[error("there is no {kind} {name:?}")]
    NotFound {
        /// The kind of thing.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// Where to look.
        hint: Option<String>,
    },
    /// It is there, in a state that does not allow this.
    #[error("{detail}")]
    Conflict {
        /// Stable word.
        code: &'static str,
        /// What stands in the way.
        detail: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// Too much at once.
    #[error("{detail}")]
    TooManyRequests {
        /// Of what.
        detail: String,
        /// When to come back, in seconds.
        retry_after_s: u32,
    },
    /// Something that this depends on is not there now; trying again later helps.
    #[error("{detail}")]
    Unavailable {
        /// What is not there.
        detail: String,
        /// The error behind it.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// A defect or a broken machine. The cause goes to the log, not to the caller.
    #[error("{detail}")]
    Internal {
        /// What was being done.
        detail: String,
        /// The error behind it.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl AppError {
    /// Input that is wrong in one way.
    pub fn invalid(code: &'static str, detail: impl ToString) -> Self {
        Self::InvalidInput { code, detail: detail.to_string(), hint: None, problems: Vec::new() }
    }

    /// Something that is not there.
    pub fn not_found(kind: &'static str, name: impl ToString) -> Self {
        Self::NotFound { kind, name: name.to_string(), hint: None }
    }

    /// A state that does not allow it.
    pub fn conflict(code: &'static str, detail: impl ToString) -> Self {
        Self::Conflict { code, detail: detail.to_string(), hint: None }
    }

    /// A defect or a broken machine.
    pub fn internal(detail: impl ToString, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Internal { detail: detail.to_string(), source: source.into() }
    }

    /// Adds what to do now, where the kind has room for it.
    #[must_use]
    pub fn with_hint(mut self, text: impl Into<String>) -> Self {
        match &mut self {
            Self::InvalidInput { hint, .. } | Self::NotFound { hint, .. } | Self::Conflict { hint, .. } => {
                *hint = Some(text.into());
            }
            Self::Forbidden { hint, .. } => *hint = text.into(),
            Self::Unauthenticated { .. }
            | Self::TooManyRequests { .. }
            | Self::Unavailable { .. }
            | Self::Internal { .. } => {}
        }
        self
    }
}

impl From<DbError> for AppError {
    fn from(error: DbError) -> Self {
        if error.unavailable() {
            return Self::Unavailable {
                detail: "the controller cannot reach its database".to_owned(),
                source: Some(Box::new(error)),
            };
        }
        if error.unwritable_text() {
            return Self::invalid("invalid_text", "a text has a NUL in it, which nothing here has");
        }
        match error {
            DbError::Stale(what) => Self::Conflict {
                code: "stale",
                detail: format!("{what} was changed by somebody else at the same time"),
                hint: Some("look at it again, then decide again".to_owned()),
            },
            DbError::Driver(_) | DbError::Constraint(_) | DbError::Corrupt { .. } => {
                Self::internal("the controller's database did not answer as expected", error)
            }
        }
    }
}

impl From<muster_domain::InvalidName> for AppError {
    fn from(error: muster_domain::InvalidName) -> Self {
        Self::invalid("invalid_name", error)
    }
}
