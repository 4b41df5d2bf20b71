//! Colours of a terminal, where there is one that wants them.

use std::collections::BTreeMap;
use std::io::IsTerminal;

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    colours: bool,
}

impl Style {
    /// For standard output, as `--no-color`, `NO_COLOR`, `FORCE_COLOR` and the terminal say.
    pub(crate) fn of_stdout(env: &BTreeMap<String, String>, no_color: bool) -> Self {
        let set = |name: &str| env.get(name).filter(|value| !value.is_empty());
        let colours = match (no_color || set("NO_COLOR").is_some(), set("FORCE_COLOR").map(String::as_str)) {
            (true, _) | (false, Some("0" | "false")) => false,
            (false, Some(_)) => true,
            (false, None) => {
                std::io::stdout().is_terminal() && set("TERM").is_some_and(|terminal| terminal != "dumb")
            }
        };
        Self { colours }
    }

    /// Whether there are colours.
    pub(crate) fn colours(self) -> bool {
        self.colours
    }

    /// The text between two codes of the terminal.
    pub(crate) fn paint(self, codes: &[Code], text: &str) -> String {
        if !self.colours || text.is_empty() {
            return text.to_owned();
        }
        let begin: String = codes.iter().map(|code| code.on()).collect();
        let end: String = codes.iter().rev().map(|code| code.off()).collect();
        format!("{begin}{text}{end}")
    }

    /// Green.
    pub(crate) fn green(self, text: &str) -> String {
        self.paint(&[Code::Green], text)
    }

    /// Cyan.
    pub(crate) fn cyan(self, text: &str) -> String {
        self.paint(&[Code::Cyan], text)
    }

    /// Red.
    pub(crate) fn red(self, text: &str) -> String {
        self.paint(&[Code::Red], text)
    }

    /// Yellow.
    pub(crate) fn yellow(self, text: &str) -> String {
        self.paint(&[Code::Yellow], text)
    }

    /// Bold.
    pub(crate) fn bold(self, text: &str) -> String {
        self.paint(&[Code::Bold], text)
    }
}

/// What a terminal can do with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// Bold.
    Bold,
    /// Italic.
    Italic,
    /// Foreground and background changed.
    Inverse,
    /// Red.
    Red,
    /// Green.
    Green,
    /// Yellow.
    Yellow,
    /// Blue.
    Blue,
    /// Cyan.
    Cyan,
    /// White.
    White,
    /// Grey.
    Grey,
}

impl Code {
    fn on(self) -> &'static str {
        match self {
            Self::Bold => "\x1b[1m",
            Self::Italic => "\x1b[3m",
            Self::Inverse => "\x1b[7m",
            Self::Red => "\x1b[31m",
            Self::Green => "\x1b[32m",
            Self::Yellow => "\x1b[33m",
            Self::Blue => "\x1b[34m",
            Self::Cyan => "\x1b[36m",
            Self::White => "\x1b[37m",
            Self::Grey => "\x1b[90m",
        }
    }

    fn off(self) -> &'static str {
        match self {
            Self::Bold => "\x1b[22m",
            Self::Italic => "\x1b[23m",
            Self::Inverse => "\x1b[27m",
            Self::Red | Self::Green | Self::Yellow | Self::Blue | Self::Cyan | Self::White | Self::Grey => {
                "\x1b[39m"
            }
        }
    }
}
