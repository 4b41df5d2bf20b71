//! Small grammars that several sections share.

use super::Checker;
use crate::words::{did_you_mean, quoted};
use muster_domain::{host_names, host_path};
use std::net::IpAddr;

/// The longest command or script that is taken; agents refuse longer ones.
pub(super) const SCRIPT_BYTES_AT_MOST: usize = 16 * 1024;

/// What may name an entry of a section.
pub(super) fn entry_name(checker: &mut Checker<'_>, section: &str, name: &str) {
    if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
        checker.key(
            &[section, name],
            format!("{} cannot name an entry", quoted(name)),
            "choose a short name: shop, nginx-site",
        );
    }
}

/// A value that has to follow a rule.
pub(super) fn rule(
    checker: &mut Checker<'_>,
    text: &str,
    rule: impl Fn(&str) -> bool,
    at: &[&str],
    what: &str,
    hint: &str,
) {
    if !rule(text) {
        checker.value(at, format!("{} is not {what}", quoted(text)), hint);
    }
}

/// What an entry is called on the node: said by `name`, else by its key.
pub(super) fn named(
    checker: &mut Checker<'_>,
    (section, entry): (&str, &str),
    name: Option<&String>,
    follows: impl Fn(&str) -> bool,
    what: &str,
    hint: &str,
) {
    match name {
        Some(name) => rule(checker, name, follows, &[section, entry, "name"], what, hint),
        None if !follows(entry) => {
            let message = format!("{} is not {what}", quoted(entry));
            checker.key(&[section, entry], message, format!("{hint}; or say it with `name:`"));
        }
        None => {}
    }
}

/// The hint for names of files in folders such as `/etc/cron.d`.
pub(super) const DROP_IN: &str = "use letters, digits, - and _, and begin with a letter or a digit";
/// The hint for names of accounts.
pub(super) const ACCOUNT: &str =
    "use up to 32 lower-case letters, digits, - and _, and begin with a letter: deploy, www-data";

/// The name of a user or a group; their numbers do not do here.
pub(super) fn account(checker: &mut Checker<'_>, name: Option<&str>, at: &[&str]) {
    if let Some(name) = name {
        rule(checker, name, host_names::account, at, "the name of an account", ACCOUNT);
    }
}

/// Names of groups.
pub(super) fn accounts(checker: &mut Checker<'_>, names: &[String], at: &[&str]) {
    for (index, name) in names.iter().enumerate() {
        let index = index.to_string();
        let at: Vec<&str> = at.iter().copied().chain([index.as_str()]).collect();
        account(checker, Some(name), &at);
    }
}

/// An absolute path.
pub(super) fn path(checker: &mut Checker<'_>, text: Option<&str>, at: &[&str]) {
    if let Some(text) = text
        && host_path::normal(text) != Some(text)
    {
        checker.value(
            at,
            format!("{} is not a plain absolute path", quoted(text)),
            "begin with / and leave `.`, `..`, empty parts and a slash at the end out: /etc/motd",
        );
    }
}

/// An absolute path that stands in `/etc/passwd`.
pub(super) fn account_path(checker: &mut Checker<'_>, text: Option<&str>, at: &[&str]) {
    path(checker, text, at);
    if text.is_some_and(|text| text.contains(':')) {
        checker.value(at, "a colon separates the fields of /etc/passwd", "take it out");
    }
}

/// Addresses or networks.
pub(super) fn networks(checker: &mut Checker<'_>, texts: &[String], at: &[&str]) {
    for (index, text) in texts.iter().enumerate() {
        let index = index.to_string();
        let at: Vec<&str> = at.iter().copied().chain([index.as_str()]).collect();
        let hint = "write 203.0.113.7, 10.0.0.0/8 or fd00::/8";
        rule(checker, text, host_names::network, &at, "an address or a network", hint);
    }
}

/// An address.
pub(super) fn address(checker: &mut Checker<'_>, text: &str, at: &[&str]) {
    let follows = |text: &str| text.parse::<IpAddr>().is_ok();
    rule(checker, text, follows, at, "an address", "write 203.0.113.7 or fd00::7");
}

/// Names of hosts.
pub(super) fn hosts(checker: &mut Checker<'_>, names: &[String], at: &[&str]) {
    for (index, name) in names.iter().enumerate() {
        let index = index.to_string();
        let at: Vec<&str> = at.iter().copied().chain([index.as_str()]).collect();
        rule(checker, name, host_names::host, &at, "a host name", HOST);
    }
}

/// The hint for names of hosts.
pub(super) const HOST: &str = "use letters, digits, - and dots: db, db.internal";

/// A command line or a script for a shell.
pub(super) fn script(checker: &mut Checker<'_>, text: Option<&str>, lines: Lines, at: &[&str]) {
    let Some(text) = text else { return };
    if text.trim().is_empty() {
        checker.value(at, "an empty text is not a command", "write a command line for /bin/sh");
    } else if text.len() > SCRIPT_BYTES_AT_MOST || text.contains('\0') {
        let message = format!("{} is no command that a shell takes", quoted(text));
        checker.value(at, message, "put a long script into a file under `files:` and run that");
    } else if lines == Lines::One && text.chars().any(char::is_control) {
        checker.value(
            at,
            "a command of several lines does not fit here",
            "write one line, or put a script into a file under `files:` and run that",
        );
    }
}

/// Whether a script may have several lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    One,
    Several,
}

/// A file beside the fleet files: it has to be there.
pub(super) fn source(checker: &mut Checker<'_>, source: Option<&str>, at: &[&str]) {
    let Some(source) = source else { return };
    if !host_path::stays_inside(source) {
        checker.value(
            at,
            format!("{} is not a plain relative path", quoted(source)),
            "write it relative to the folder that is applied, without `./` and `..`",
        );
    } else if !checker.sources.contains_key(source) {
        let guess = did_you_mean(source, checker.sources.keys().copied());
        checker.value(
            at,
            format!("there is no file {} in the folder{guess}", quoted(source)),
            "paths are relative to the folder that is applied, not to this file",
        );
    }
}

/// Exactly one of several fields that say the same.
pub(super) fn one_form(checker: &mut Checker<'_>, entry: &[&str], forms: &[(&str, bool)]) {
    let words: Vec<&str> = forms.iter().map(|(form, _)| *form).collect();
    let of = crate::words::one_of(&words);
    let given: Vec<&str> = forms.iter().filter(|(_, given)| *given).map(|(form, _)| *form).collect();
    let name = quoted(entry.last().copied().unwrap_or_default());
    match given.as_slice() {
        [] if checker.faulty(entry) => {}
        [] => checker.key(entry, format!("{name} does not say what is in it"), format!("add {of}")),
        [_] => {}
        [first, rest @ ..] => {
            for more in rest {
                let at: Vec<&str> = entry.iter().copied().chain([*more]).collect();
                checker.key(&at, format!("{name} has `{first}` and `{more}`"), format!("keep one of {of}"));
            }
        }
    }
}
