//! Why a command did not do what was asked.

use std::fmt;

/// A message for people and the exit code: pm2's 1 wherever it is truthful.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What happened, to what.
    pub message: String,
    /// What to do now.
    pub hint: Option<String>,
    /// Exit code of the command, never 0.
    pub code: u8,
}

impl Failure {
    /// With exit code 1 and no hint.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, code: 1 }
    }

    /// With what to do now.
    #[must_use]
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n{hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}
