//! What is printed, on the streams that pm2 uses: people's scripts look for `[PM2]`.

use std::io::{self, Write};

use crate::style::Style;

/// Prints. Silent with `-s`, but for what was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// Colours.
    pub style: Style,
    /// No messages.
    pub silent: bool,
}

impl Output {
    /// A message: `[PM2] text`.
    pub(crate) fn message(&self, text: impl AsRef<str>) {
        self.line(format!("{}{}", self.style.green("[PM2] "), text.as_ref()));
    }

    /// `[PM2][WARN] text` on standard output, where pm2 has it.
    pub(crate) fn warn(&self, text: impl AsRef<str>) {
        self.line(format!("{}{}", self.style.yellow("[PM2][WARN] "), text.as_ref()));
    }

    /// `[PM2][INFO] text`.
    pub(crate) fn info(&self, text: impl AsRef<str>) {
        self.line(format!("{}{}", self.style.cyan("[PM2][INFO] "), text.as_ref()));
    }

    /// `[PM2][ERROR] text` on standard error.
    pub(crate) fn error(&self, text: impl AsRef<str>) {
        self.error_line(format!("{}{}", self.style.red("[PM2][ERROR] "), text.as_ref()));
    }

    /// A line on standard output, unless silent.
    pub(crate) fn line(&self, text: impl AsRef<str>) {
        if !self.silent {
            print(&format!("{}\n", text.as_ref()));
        }
    }

    /// A line on standard error, unless silent.
    pub(crate) fn error_line(&self, text: impl AsRef<str>) {
        if !self.silent {
            // Nobody is left to tell when standard error is gone.
            drop(writeln!(io::stderr().lock(), "{}", text.as_ref()));
        }
    }
}

/// Writes what was asked for, silent or not. A reader that has seen enough (`| head`) ends the command quietly.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if written.is_err() {
        std::process::exit(1);
    }
}
