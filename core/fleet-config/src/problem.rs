//! What is wrong with fleet files, and where.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One thing that is wrong, at its place, in words for the person who wrote the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file, relative to the folder that is applied.
    pub file: String,
    /// The line, from 1; 0 when the problem is about the file as a whole.
    pub line: u32,
    /// The column in characters, from 1; 0 when the problem is about the file as a whole.
    pub column: u32,
    /// The dotted path of the field, `applications.web.instances`; empty when it is not about a field.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What would be valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message),
            line => write!(f, "{}:{line}:{}: {}", self.file, self.column, self.message),
        }
    }
}

impl std::error::Error for Problem {}

impl Problem {
    /// About a file as a whole.
    pub(crate) fn of_file(file: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            path: String::new(),
            message: message.into(),
            hint: Some(hint.into()),
        }
    }
}

/// A person reads the first dozen and runs the command again; a file that is no fleet file at all would give thousands.
const REPORT_AT_MOST: usize = 200;

/// Puts problems in the order of the files, without repetition, and cuts an endless list.
pub(crate) fn tidy(mut problems: Vec<Problem>) -> Vec<Problem> {
    let place = |p: &Problem| (p.line, p.column);
    problems.sort_by(|a, b| {
        a.file.cmp(&b.file).then_with(|| place(a).cmp(&place(b))).then_with(|| a.message.cmp(&b.message))
    });
    problems.dedup();
    if problems.len() > REPORT_AT_MOST {
        let more = problems.len() - REPORT_AT_MOST;
        problems.truncate(REPORT_AT_MOST);
        let file = problems[REPORT_AT_MOST - 1].file.clone();
        problems.push(Problem::of_file(
            &file,
            format!("{more} more problems are not listed"),
            "mend those above first",
        ));
    }
    problems
}
