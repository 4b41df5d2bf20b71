//! What can be wrong with a file of pm2's, in words that say where and what to do.

use std::fmt;

use serde::Serialize;

/// A known key with a value that pm2 refuses. One of them fails the whole file, as with pm2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The application, by its name or its place in the list.
    pub app: String,
    /// The key as pm2 calls it.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What is valid.
    pub valid: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}; valid: {}", self.app, self.key, self.message, self.valid)
    }
}

/// Something that pm2 takes without a word, and that probably is not what was meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The application; `None`: the file as a whole.
    pub app: Option<String>,
    /// What it is about, as written in the file.
    pub key: String,
    /// What pm2 does with it, and what to do.
    pub message: String,
}

impl Warning {
    pub(crate) fn of_file(key: &str, message: impl Into<String>) -> Self {
        Self { app: None, key: key.to_owned(), message: message.into() }
    }

    pub(crate) fn of(app: &str, key: &str, message: impl Into<String>) -> Self {
        Self { app: Some(app.to_owned()), key: key.to_owned(), message: message.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.app {
            Some(app) => write!(f, "{app}: {}: {}", self.key, self.message),
            None => write!(f, "{}: {}", self.key, self.message),
        }
    }
}

/// Why a file gives no applications.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// It cannot be read at all.
    #[error("cannot read {file}: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system said.
        reason: String,
    },
    /// Its name does not say what is in it.
    #[error("{file}: pm2 would not take this for a configuration file")]
    UnknownFormat {
        /// The file.
        file: String,
    },
    /// It is not JSON or YAML.
    #[error("{file}{}: {reason}", place(*.line, *.column))]
    Syntax {
        /// The file.
        file: String,
        /// Where, from 1; 0 when not known.
        line: usize,
        /// Where, from 1.
        column: usize,
        /// What the parser said.
        reason: String,
        /// What to do.
        hint: Option<&'static str>,
    },
    /// JavaScript did not give a value.
    #[error("{file}: {reason}")]
    Evaluation {
        /// The file.
        file: String,
        /// What happened, with what the file itself said.
        reason: String,
        /// What to do.
        hint: Option<&'static str>,
    },
    /// It is fine, but describes nothing.
    #[error("{file}: {reason}")]
    NoApplications {
        /// The file.
        file: String,
        /// What was found instead.
        reason: String,
    },
    /// Known keys have values that pm2 refuses.
    #[error("{file}: {}", list(.problems))]
    Invalid {
        /// The file.
        file: String,
        /// All of them.
        problems: Vec<Problem>,
    },
}

impl ImportError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Syntax { hint, .. } | Self::Evaluation { hint, .. } => *hint,
            Self::UnknownFormat { .. } => Some(
                "name it *.config.js, *.config.cjs, *.config.mjs, *.json, *.yaml or *.yml, or give pm2's dump.pm2",
            ),
            Self::NoApplications { .. } => {
                Some("list the applications under `apps`: module.exports = {apps: [{script: \"app.js\"}]}")
            }
            Self::Unreadable { .. } | Self::Invalid { .. } => None,
        }
    }
}

fn place(line: usize, column: usize) -> String {
    if line == 0 { String::new() } else { format!(":{line}:{column}") }
}

fn list(problems: &[Problem]) -> String {
    match problems {
        [only] => only.to_string(),
        many => many.iter().fold(format!("{} problems", many.len()), |text, p| format!("{text}\n  {p}")),
    }
}
