//! Runs programs of the machine; what they said when they failed is in the error.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

/// Runs a program to its end; answers what it printed. Fails when it does.
pub(crate) fn run<I: IntoIterator<Item: AsRef<OsStr>>>(program: &str, args: I) -> Result<String> {
    check(quiet(program, args))
}

/// The same, whatever becomes of it: for undoing what may not be there.
pub(crate) fn attempt<I: IntoIterator<Item: AsRef<OsStr>>>(program: &str, args: I) -> bool {
    quiet(program, args).output().is_ok_and(|output| output.status.success())
}

/// Runs a program with this on its standard input.
pub(crate) fn feed<I: IntoIterator<Item: AsRef<OsStr>>>(
    program: &str,
    args: I,
    input: &str,
) -> Result<String> {
    let mut command = quiet(program, args);
    let shown = shown(&command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start `{shown}`"))?;
    // Written whole before anything is read: for input that fits a pipe, or programs that read it all first.
    child
        .stdin
        .take()
        .context("standard input was asked for")?
        .write_all(input.as_bytes())
        .with_context(|| format!("cannot write to `{shown}`"))?;
    let output = child.wait_with_output().with_context(|| format!("cannot wait for `{shown}`"))?;
    checked(&shown, output)
}

/// Runs a prepared command.
pub(crate) fn check(mut command: Command) -> Result<String> {
    let shown = shown(&command);
    let output = command.output().with_context(|| format!("cannot start `{shown}`"))?;
    checked(&shown, output)
}

/// Runs a prepared command whose output goes elsewhere, not into pipes of ours.
pub(crate) fn check_status(mut command: Command) -> Result<()> {
    let shown = shown(&command);
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

fn quiet<I: IntoIterator<Item: AsRef<OsStr>>>(program: &str, args: I) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    command
}

fn checked(shown: &str, output: Output) -> Result<String> {
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` failed ({}): {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
