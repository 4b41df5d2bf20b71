//! Users and groups by name or number: the local files first, then whatever else the system is set up to ask (`getent`).

use super::command;
use crate::host::{Account, CommandLine, Fault, HostError};
use std::path::Path;

const LOOKUP_TIMEOUT_MS: u64 = 5_000;

pub(super) fn user(name: &str) -> Result<Option<Account>, HostError> {
    Ok(line("passwd", name)?.and_then(|line| {
        let mut fields = line.split(':').skip(2);
        Some(Account { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    }))
}

pub(super) fn group(name: &str) -> Result<Option<u32>, HostError> {
    Ok(line("group", name)?.and_then(|line| line.split(':').nth(2)?.parse().ok()))
}

fn line(database: &'static str, name: &str) -> Result<Option<String>, HostError> {
    // A name with a colon or a newline is in no database, and must not reach the comparison below.
    if name.is_empty() || name.starts_with('-') || name.contains([':', '\n', '\0']) {
        return Ok(None);
    }
    let file = Path::new("/etc").join(database);
    let text =
        std::fs::read_to_string(&file).map_err(|error| HostError::new("read", &file, Fault::from(error)))?;
    let number = name.bytes().all(|byte| byte.is_ascii_digit());
    // The number is the third field of both; a name that is a number wins over it.
    let named = |line: &&str| line.split(':').next() == Some(name);
    let numbered = |line: &&str| number && line.split(':').nth(2) == Some(name);
    if let Some(line) = text.lines().find(named).or_else(|| text.lines().find(numbered)) {
        return Ok(Some(line.to_owned()));
    }
    let Some(program) = command::find("getent") else { return Ok(None) };
    let output = command::run(&CommandLine {
        program,
        args: vec![database.to_owned(), name.to_owned()],
        timeout_ms: LOOKUP_TIMEOUT_MS,
        ..CommandLine::default()
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().find(|line| named(line) || numbered(line)).map(str::to_owned))
}
