//! Users and groups.

use super::{Checker, ssh_keys, values};
use crate::words::quoted;
use muster_domain::{fleet::declared::name_of, host_names, resource::Ensure};

/// The last number means nobody.
const NUMBER_AT_MOST: u32 = u32::MAX - 1;

pub(super) fn check(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    for (name, entry) in &configuration.users {
        let at = |field| ["users", name.as_str(), field];
        let rule = host_names::account;
        values::named(
            checker,
            ("users", name),
            entry.name.as_ref(),
            rule,
            "the name of a user",
            values::ACCOUNT,
        );
        values::account(checker, entry.group.as_deref(), &at("group"));
        values::accounts(checker, &entry.groups, &at("groups"));
        for (field, text) in [("shell", &entry.shell), ("home", &entry.home)] {
            values::account_path(checker, text.as_deref(), &at(field));
        }
        comment(checker, entry.comment.as_deref(), &at("comment"));
        ssh_keys::check(checker, &entry.keys, &at("keys"));
        number(checker, entry.uid, &at("uid"));
        let root = name_of(name, entry.name.as_ref()) == "root";
        let absent = entry.ensure == Some(Ensure::Absent);
        if root && absent {
            checker.value(&at("ensure"), "nothing works without root", "take the entry out");
        } else if absent && !entry.keys.is_empty() {
            checker.key(&at("keys"), "nobody signs in as a user who is not there", "take them out");
        }
        if entry.uid == Some(0) && !root {
            let message = format!("with the number 0, {} would be root", quoted(name));
            checker.value(&at("uid"), message, "choose another, or give the user sudo");
        }
        if entry.exclusive_keys.is_some() && entry.keys.is_empty() {
            let message = "`exclusive_keys` without `keys` does nothing";
            checker.warn(&at("exclusive_keys"), message, "add `keys:`, or take it out");
        }
    }
    for (name, entry) in &configuration.groups {
        let rule = host_names::account;
        values::named(
            checker,
            ("groups", name),
            entry.name.as_ref(),
            rule,
            "the name of a group",
            values::ACCOUNT,
        );
        number(checker, entry.gid, &["groups", name, "gid"]);
        if entry.ensure == Some(Ensure::Absent) && name_of(name, entry.name.as_ref()) == "root" {
            checker.value(&["groups", name, "ensure"], "nothing works without root", "take the entry out");
        }
    }
}

fn number(checker: &mut Checker<'_>, number: Option<u32>, at: &[&str]) {
    if number.is_some_and(|number| number > NUMBER_AT_MOST) {
        checker.value(at, "this number stands for nobody", "choose a smaller one");
    }
}

fn comment(checker: &mut Checker<'_>, text: Option<&str>, at: &[&str]) {
    if let Some(text) = text
        && (!host_names::line(text, 256) || text.contains(':'))
    {
        checker.value(
            at,
            format!("{} does not fit into /etc/passwd", quoted(text)),
            "write one line without colons, of at most 256 bytes",
        );
    }
}
