//! The join token on standard input: an argument would show in the list of processes.

use std::io::{BufRead as _, IsTerminal as _, Read as _};
use zeroize::Zeroizing;

/// Longer than any token.
const MAX_BYTES: u64 = 4096;

/// The first line of standard input; none when nobody wrote one. On a terminal it is asked for.
pub(super) fn from_stdin() -> Option<Zeroizing<String>> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        ask();
    }
    let mut line = Zeroizing::new(String::new());
    let read = stdin.lock().take(MAX_BYTES).read_line(&mut line);
    (read.is_ok() && !line.trim().is_empty()).then_some(line)
}

#[expect(clippy::print_stderr, reason = "a question to the person who typed the command")]
fn ask() {
    eprint!("Join token: ");
}
