//! What goes where: results to standard output, everything else to standard error; colour only for a person.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::{Exit, Failure, Result};
use crate::table::Table;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people
    Table,
    /// For programs: the objects of the REST API
    Json,
}

/// What a text means to its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Quiet,
    Strong,
    Good,
    Warning,
    Bad,
    /// One of a few colours that tell sources apart.
    Source(u8),
}

impl Tone {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Quiet => Some("2"),
            Self::Strong => Some("1"),
            Self::Good => Some("32"),
            Self::Warning => Some("33"),
            Self::Bad => Some("31"),
            Self::Source(number) => {
                Some(["36", "35", "34", "32", "33", "96", "95", "94"][usize::from(number % 8)])
            }
        }
    }

    pub(crate) fn paint(self, text: &str, colour: bool) -> String {
        match self.code().filter(|_| colour && !text.is_empty()) {
            Some(code) => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            None => text.to_owned(),
        }
    }
}

/// Tables on the side hold sentences, which are wrapped even where nobody looks.
const WIDTH_OF_NO_TERMINAL: u16 = 140;

/// The two standard streams, and what may be written to them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: OutputFormat,
    stdout_terminal: bool,
    stderr_terminal: bool,
    colour_allowed: bool,
}

impl Output {
    pub(crate) fn new(format: OutputFormat) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            format,
            stdout_terminal: io::stdout().is_terminal(),
            stderr_terminal: io::stderr().is_terminal(),
            colour_allowed: !no_colour && !dumb,
        }
    }

    pub(crate) fn json(&self) -> bool {
        self.format == OutputFormat::Json
    }

    /// Results may be coloured.
    pub(crate) fn colour(&self) -> bool {
        self.colour_allowed && self.stdout_terminal
    }

    fn colour_err(&self) -> bool {
        self.colour_allowed && self.stderr_terminal
    }

    /// A person is there to answer.
    pub(crate) fn interactive(&self) -> bool {
        self.stderr_terminal && io::stdin().is_terminal()
    }

    /// Writes one line of the result.
    pub(crate) fn line(&self, text: &str) -> Result<()> {
        let mut stdout = io::stdout().lock();
        written(writeln!(stdout, "{text}").and_then(|()| stdout.flush()))
    }

    /// Writes bytes of the result as they are.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<()> {
        let mut stdout = io::stdout().lock();
        written(stdout.write_all(bytes).and_then(|()| stdout.flush()))
    }

    /// Writes an object of the API, for programs.
    pub(crate) fn object(&self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value).expect("objects of the API always encode");
        self.line(&text)
    }

    /// Writes an object of the API on one line: for results that have no end.
    pub(crate) fn object_line(&self, value: &impl Serialize) -> Result<()> {
        self.line(&serde_json::to_string(value).expect("objects of the API always encode"))
    }

    /// Writes a table, or the sentence that stands for an empty one.
    pub(crate) fn table(&self, table: &Table, empty: &str) -> Result<()> {
        if table.is_empty() {
            self.note(empty);
            return Ok(());
        }
        let width = if self.stdout_terminal { table_width() } else { None };
        self.line(&table.render(self.colour(), width))
    }

    /// Says something on the side. When nobody can read it any more, the work still goes on.
    pub(crate) fn note(&self, text: &str) {
        drop(writeln!(io::stderr().lock(), "{text}"));
    }

    /// Says a table on the side.
    pub(crate) fn note_table(&self, table: &Table) {
        let terminal = dialoguer::console::Term::stderr().size_checked().filter(|_| self.stderr_terminal);
        let width = terminal.map_or(WIDTH_OF_NO_TERMINAL, |(_, columns)| columns);
        self.note(&table.render(self.colour_err(), Some(width)));
    }

    pub(crate) fn warning(&self, text: &str) {
        self.note(&format!("{} {text}", Tone::Warning.paint("warning:", self.colour_err())));
    }

    /// A step of something that takes a while.
    pub(crate) fn step(&self, tone: Tone, mark: &str, text: &str) {
        self.note(&format!("{} {text}", tone.paint(mark, self.colour_err())));
    }

    /// Writes the error and gives the exit code.
    pub(crate) fn failure(&self, failure: &Failure) -> ExitCode {
        if failure.exit != Exit::ReaderGone {
            if self.json() {
                self.note(&failure.json().to_string());
            } else {
                let colour = self.colour_err();
                self.note(&format!("{} {}", Tone::Bad.paint("error:", colour), failure.text()));
                if let Some(hint) = &failure.hint {
                    self.note(&format!("{} {hint}", Tone::Strong.paint("hint:", colour)));
                }
            }
        }
        ExitCode::from(failure.exit.code())
    }

    /// Asks before something is destroyed. Where nobody can answer, `--yes` must have been given.
    pub(crate) fn confirm(&self, question: &str, yes: bool) -> Result<()> {
        if yes {
            return Ok(());
        }
        if !self.interactive() {
            return Err(Failure::usage(format!("{question} nobody can answer here")).hint("add --yes"));
        }
        match dialoguer::Confirm::new().with_prompt(question).default(false).interact_opt() {
            Ok(Some(true)) => Ok(()),
            Ok(_) => Err(Failure::failed("nothing was changed")),
            Err(error) => Err(Failure::of("cannot ask", &error)),
        }
    }
}

fn table_width() -> Option<u16> {
    let (_, columns) = dialoguer::console::Term::stdout().size_checked()?;
    Some(columns)
}

fn written(result: io::Result<()>) -> Result<()> {
    result.map_err(|error| {
        let mut failure = Failure::failed(format!("cannot write the result: {error}"));
        if error.kind() == io::ErrorKind::BrokenPipe {
            failure.exit = Exit::ReaderGone;
        }
        failure
    })
}
