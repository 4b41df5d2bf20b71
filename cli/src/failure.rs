//! Errors of the command line: what happened, where, how to mend it, and the exit code.

use std::error::Error;
use std::fmt::Write as _;

use muster_api_types::{InputError, Problem};
use serde_json::json;

/// Shown by `muster help exit-codes`.
pub(crate) const EXIT_CODES: &str = "\
0    done; with --wait: what was asked for has come true
1    failed: the controller could not be reached, a rollout went back, a file could not be read ...
2    wrong usage: an unknown option, a missing value, a confirmation that nobody can give
3    refused: the controller understood and said no (HTTP 400, 401, 403, 409, 422, 429): not signed in,
     not allowed, in conflict with something, invalid input
4    timed out: --wait reached its --timeout; the work goes on
5    differs: `muster plan --exit-code` found something to change
130  interrupted with Ctrl-C while waiting; the work goes on";

/// How a command ended, when not well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Failed,
    Usage,
    Refused,
    TimedOut,
    /// Something would be changed, and that was asked.
    Differs,
    Interrupted,
    /// Whoever read our output has gone, as `head` does; nothing to complain about.
    ReaderGone,
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::TimedOut => 4,
            Self::Differs => 5,
            Self::Interrupted => 130,
        }
    }
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// An error that a person can act on.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// A stable word: that of the problem document, or one of our own.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) errors: Vec<InputError>,
    pub(crate) hint: Option<String>,
    /// The HTTP status, when the controller answered.
    pub(crate) status: Option<u16>,
    /// Trying again soon may help: the controller restarts, the network is away.
    pub(crate) transient: bool,
}

impl Failure {
    fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.to_owned(),
            message: message.into(),
            errors: Vec::new(),
            hint: None,
            status: None,
            transient: false,
        }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, "failed", message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "wrong_usage", message)
    }

    pub(crate) fn timed_out(message: impl Into<String>) -> Self {
        Self::new(Exit::TimedOut, "timed_out", message)
    }

    pub(crate) fn differs(message: impl Into<String>) -> Self {
        Self::new(Exit::Differs, "differs", message)
    }

    pub(crate) fn interrupted(message: impl Into<String>) -> Self {
        Self::new(Exit::Interrupted, "interrupted", message)
    }

    pub(crate) fn refused(code: &str, message: impl Into<String>) -> Self {
        Self::new(Exit::Refused, code, message)
    }

    /// A failed step, with the whole chain of reasons.
    pub(crate) fn of(action: impl Into<String>, error: &(dyn Error + 'static)) -> Self {
        Self::failed(format!("{}: {}", action.into(), chain(error)))
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn transient(mut self) -> Self {
        self.transient = true;
        self
    }

    /// An answer of the controller.
    pub(crate) fn problem(problem: Problem) -> Self {
        let exit = exit_for_status(problem.status);
        let mut failure = Self::new(exit, &problem.code, problem.detail);
        if failure.message.is_empty() {
            failure.message = problem.title;
        }
        failure.hint = problem.hint;
        if failure.hint.is_none() && problem.status == 401 {
            failure.hint = Some("sign in with `muster login URL`".to_owned());
        }
        failure.errors = problem.errors;
        failure.status = Some(problem.status);
        failure.transient = matches!(problem.status, 502..=504);
        failure
    }

    /// An answer that is no problem document, as a proxy in between gives it.
    pub(crate) fn status(status: u16, reason: &str) -> Self {
        let mut failure = Self::new(
            exit_for_status(status),
            "unexpected_answer",
            format!("the controller answered {status} {reason}").trim_end().to_owned(),
        );
        failure.status = Some(status);
        failure.transient = matches!(status, 502..=504);
        failure
    }

    /// For people, without colour: the first line without the word `error`.
    pub(crate) fn text(&self) -> String {
        let mut text = self.message.clone();
        for error in &self.errors {
            write!(text, "\n  {}", input_error(error)).expect("writing to a string cannot fail");
            if let Some(hint) = &error.hint {
                write!(text, "\n      {hint}").expect("writing to a string cannot fail");
            }
        }
        text
    }

    /// For programs, under `--output json`.
    pub(crate) fn json(&self) -> serde_json::Value {
        json!({
            "code": self.code,
            "detail": self.message,
            "status": self.status,
            "hint": self.hint,
            "errors": self.errors,
            "exit_code": self.exit.code(),
        })
    }
}

/// `file:line:column: field: message`, as editors and terminals make it a link.
pub(crate) fn input_error(error: &InputError) -> String {
    let mut place = String::new();
    if let Some(file) = &error.file {
        place.push_str(file);
    }
    for number in [error.line, error.column].into_iter().flatten() {
        if !place.is_empty() {
            place.push(':');
        }
        place.push_str(&number.to_string());
    }
    [place.as_str(), error.path.as_str(), error.message.as_str()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(": ")
}

/// What the exit code says about an HTTP status.
fn exit_for_status(status: u16) -> Exit {
    match status {
        400 | 401 | 403 | 409 | 422 | 429 => Exit::Refused,
        _ => Exit::Failed,
    }
}

/// An error with its reasons, each said once.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(reason) = source {
        let reason_text = reason.to_string();
        if !text.contains(&reason_text) {
            text.push_str(": ");
            text.push_str(&reason_text);
        }
        source = reason.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16) -> Problem {
        Problem {
            kind: "/problems/x".to_owned(),
            title: "Title".to_owned(),
            status,
            code: "x".to_owned(),
            detail: "what happened".to_owned(),
            hint: None,
            errors: Vec::new(),
        }
    }

    #[test]
    fn exit_codes_tell_refused_from_failed() {
        for status in [400, 401, 403, 409, 422, 429] {
            assert_eq!(Failure::problem(problem(status)).exit.code(), 3, "{status}");
            assert_eq!(Failure::status(status, "").exit.code(), 3, "{status}");
        }
        for status in [404, 405, 413, 415, 500, 502, 503, 504] {
            assert_eq!(Failure::problem(problem(status)).exit.code(), 1, "{status}");
        }
        assert_eq!(Failure::usage("").exit.code(), 2);
        assert_eq!(Failure::timed_out("").exit.code(), 4);
        assert_eq!(Failure::differs("").exit.code(), 5);
        assert_eq!(Failure::interrupted("").exit.code(), 130);
        for exit in
            [Exit::Failed, Exit::Usage, Exit::Refused, Exit::TimedOut, Exit::Differs, Exit::Interrupted]
        {
            let line = format!("{:<5}", exit.code());
            assert!(EXIT_CODES.lines().any(|text| text.starts_with(&line)), "{line} is documented");
        }
    }

    #[test]
    fn only_a_restart_is_worth_another_try() {
        for (status, transient) in [(401, false), (404, false), (500, false), (502, true), (503, true)] {
            assert_eq!(Failure::problem(problem(status)).transient, transient, "{status}");
        }
    }

    #[test]
    fn every_input_error_is_shown_with_its_place_and_hint() {
        let mut problem = problem(422);
        problem.errors = vec![
            InputError {
                file: Some("fleet.yaml".to_owned()),
                line: Some(12),
                column: Some(7),
                path: "applications.web.instances".to_owned(),
                message: "\"two\" is not a number".to_owned(),
                hint: Some("use a number from 1 to 256, or max".to_owned()),
            },
            InputError {
                file: None,
                line: None,
                column: None,
                path: "name".to_owned(),
                message: "is missing".to_owned(),
                hint: None,
            },
        ];
        insta::assert_snapshot!(Failure::problem(problem).text(), @r#"
        what happened
          fleet.yaml:12:7: applications.web.instances: "two" is not a number
              use a number from 1 to 256, or max
          name: is missing
        "#);
    }
}
