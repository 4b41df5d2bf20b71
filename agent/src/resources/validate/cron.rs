//! The grammar of `/etc/cron.d`: variables, and lines of a time, a user and a command. cron itself passes over a line that it
//! does not understand, and says so in a log that nobody reads.

use super::Candidate;
use croner::parser::{CronParser, Seconds};
use muster_platform::Host;

/// Words that stand for a time.
const WORDS: [&str; 8] =
    ["@reboot", "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

pub(super) fn check(host: &dyn Host, file: Candidate<'_>) -> Result<(), String> {
    let refuse = |reason: String| Err(super::refused("the grammar of cron", file, &reason));
    let name = file.path.strip_prefix("/etc/cron.d/");
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_some_and(|name| !name.chars().all(plain)) {
        return refuse(format!(
            "cron passes over files of /etc/cron.d whose name is not made of letters, digits, - and _: {} would do nothing",
            file.path
        ));
    }
    let Ok(text) = std::str::from_utf8(file.content) else { return refuse("it is not text".into()) };
    for (number, line) in text.lines().enumerate() {
        if let Err(reason) = line_of(host, line) {
            return refuse(format!("{}:{}: {reason}", file.path, number + 1));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        return refuse(format!(
            "{}:{}: the last line does not end, and cron would not run it",
            file.path,
            text.lines().count()
        ));
    }
    Ok(())
}

fn line_of(host: &dyn Host, line: &str) -> Result<(), String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') || variable(line) {
        return Ok(());
    }
    let mut words = line.split_whitespace();
    if line.starts_with('@') {
        let word = words.next().unwrap_or_default();
        if !WORDS.contains(&word) {
            return Err(format!("{word} is no time; there are {}", WORDS.join(", ")));
        }
    } else {
        let fields: Vec<&str> = words.by_ref().take(5).collect();
        time(&fields)?;
    }
    let Some(user) = words.next() else { return Err("the user and the command are missing".into()) };
    if host.user(user).map_err(|error| error.to_string())?.is_none() {
        return Err(format!("the user {user:?} does not exist on this node"));
    }
    if words.next().is_none() { Err("the command is missing".into()) } else { Ok(()) }
}

/// Five fields as Debian's cron reads them; the parser knows more than that.
pub(super) fn time(fields: &[&str]) -> Result<(), String> {
    if fields.len() != 5 {
        return Err("a time has five fields: minute, hour, day of month, month, day of week".into());
    }
    for field in fields {
        let known = |c: char| c.is_ascii_digit() || "*/,-".contains(c);
        let names = field.split([',', '-', '/']).all(|part| {
            part.chars().all(|c| c.is_ascii_alphabetic()) && part.len() == 3 || part.chars().all(known)
        });
        if !names {
            return Err(format!("{field:?} is not what a field of a time can be"));
        }
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
    parser.parse(&fields.join(" ")).map(drop).map_err(|error| error.to_string())
}

fn variable(line: &str) -> bool {
    line.split_once('=').is_some_and(|(name, _)| {
        let name = name.trim().trim_matches(['"', '\'']);
        !name.is_empty()
            && !name.contains(char::is_whitespace)
            && !name.starts_with(|c: char| c.is_ascii_digit() || c == '*' || c == '@')
    })
}
