//! Units, services, jobs, rotation of logs, and commands.

use super::{
    Checker,
    values::{self, Lines},
    variables,
};
use crate::words::{one_of, quoted};
use croner::Cron;
use muster_domain::{
    fleet::{LogrotateEntry, declared::unit_name},
    host_names,
};
use std::str::FromStr;

pub(super) fn check(checker: &mut Checker<'_>) {
    units(checker);
    services(checker);
    cron_jobs(checker);
    logrotate(checker);
    commands(checker);
}

fn units(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    for (name, entry) in &configuration.systemd_units {
        values::named(
            checker,
            ("systemd_units", name),
            entry.name.as_ref(),
            host_names::unit_file,
            "the name of a unit file",
            "write it with its suffix, or as a drop-in: worker.service, nginx.service.d/limits.conf",
        );
        let forms = [("content", entry.content.is_some()), ("source", entry.source.is_some())];
        values::one_form(checker, &["systemd_units", name], &forms);
        values::source(checker, entry.source.as_deref(), &["systemd_units", name, "source"]);
    }
}

fn services(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    for (name, entry) in &configuration.services {
        let unit = |name: &str| host_names::unit(&unit_name(name));
        let hint = "write nginx, or with the suffix when it is no service: fstrim.timer";
        values::named(checker, ("services", name), entry.name.as_ref(), unit, "the name of a unit", hint);
        for reference in entry.restart_on.iter().filter(|text| entry.reload_on.contains(text)) {
            let index = entry.reload_on.iter().position(|text| text == reference).unwrap_or(0).to_string();
            checker.value(
                &["services", name, "reload_on", &index],
                format!("{} stands in `restart_on` as well", quoted(reference)),
                "keep it in one of the two: a restart also reads everything anew",
            );
        }
    }
}

/// The words that cron takes instead of five fields.
const CRON_WORDS: [&str; 8] =
    ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually", "@reboot"];

fn cron_jobs(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    for (name, entry) in &configuration.cron_jobs {
        let at = |field| ["cron_jobs", name.as_str(), field];
        values::named(
            checker,
            ("cron_jobs", name),
            entry.name.as_ref(),
            host_names::drop_in,
            "the name of a job",
            values::DROP_IN,
        );
        if !checker.faulty(&at("schedule")) && !schedule(&entry.schedule) {
            checker.value(
                &at("schedule"),
                format!("{} is not a schedule of cron", quoted(&entry.schedule)),
                "write five fields (minute hour day month weekday): \"15 2 * * *\"; or @hourly, @daily, @weekly, \
                 @monthly, @yearly, @reboot",
            );
        }
        if !checker.faulty(&at("command")) {
            values::script(checker, Some(&entry.command), Lines::One, &at("command"));
        }
        values::account(checker, entry.user.as_deref(), &at("user"));
        variables::variables(checker, &entry.env, &at("env"));
        for (key, value) in &entry.env {
            let (at, text) = (["cron_jobs", name, "env", key], value.to_text());
            if text.chars().any(char::is_control) {
                let message =
                    format!("the value of {} is not one line of plain text, as cron reads it", quoted(key));
                checker.value(&at, message, "write one line");
            } else if !host_names::cron_value(&text) {
                let message = format!("the value of {} has both kinds of quotes", quoted(key));
                checker.value(&at, message, "cron cannot read that back: leave out one kind");
            }
        }
    }
}

fn schedule(text: &str) -> bool {
    if text.starts_with('@') {
        return CRON_WORDS.contains(&text);
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "*,/- ".contains(c);
    text.split(' ').filter(|field| !field.is_empty()).count() == 5
        && text.chars().all(plain)
        // What it knows beyond cron is not plain.
        && !text.split(' ').any(|field| field.contains('L') || field.contains('W'))
        && Cron::from_str(text).is_ok()
}

fn logrotate(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    for (name, entry) in &configuration.logrotate {
        let LogrotateEntry {
            logs, every, keep, max_size, copy_truncate, post_rotate, content, source, ..
        } = entry;
        let at = |field| ["logrotate", name.as_str(), field];
        values::named(
            checker,
            ("logrotate", name),
            entry.name.as_ref(),
            host_names::drop_in,
            "the name of rules",
            values::DROP_IN,
        );
        let forms =
            [("logs", !logs.is_empty()), ("content", content.is_some()), ("source", source.is_some())];
        values::one_form(checker, &["logrotate", name], &forms);
        values::source(checker, source.as_deref(), &at("source"));
        let settings = [
            ("every", every.is_some()),
            ("keep", keep.is_some()),
            ("max_size", max_size.is_some()),
            ("copy_truncate", *copy_truncate),
            ("post_rotate", post_rotate.is_some()),
        ];
        if logs.is_empty() && (content.is_some() || source.is_some()) {
            for (field, _) in settings.iter().filter(|(_, given)| *given) {
                let message = format!("`{field}` goes with `logs`, not with a file as a whole");
                checker.key(&at(field), message, "write it into the file, or name the `logs`");
            }
        }
        for (index, pattern) in logs.iter().enumerate() {
            let plain = |text: &str| {
                text.starts_with('/')
                    && text.len() <= 4096
                    && !text.chars().any(|c| c.is_control() || c.is_whitespace() || "\"'{}\\#".contains(c))
            };
            let hint = "begin with /, without blanks and quotes: /var/log/shop/*.log";
            let at = ["logrotate", name, "logs", &index.to_string()];
            values::rule(checker, pattern, plain, &at, "a pattern of log files", hint);
        }
        if max_size.as_ref().is_some_and(|size| size.as_bytes().is_none_or(|bytes| bytes == 0)) {
            checker.value(&at("max_size"), "this is not a size that logrotate takes", "write 100M");
        }
        values::script(checker, post_rotate.as_deref(), Lines::Several, &at("post_rotate"));
        if post_rotate.as_deref().is_some_and(|text| text.lines().any(|line| line.trim() == "endscript")) {
            checker.value(&at("post_rotate"), "`endscript` ends the script too early", "take it out");
        }
    }
}

fn commands(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    for (name, entry) in &configuration.commands {
        let at = |field| ["commands", name.as_str(), field];
        values::named(
            checker,
            ("commands", name),
            entry.name.as_ref(),
            host_names::drop_in,
            "the name of a command",
            values::DROP_IN,
        );
        if !checker.faulty(&at("run")) {
            values::script(checker, Some(&entry.run), Lines::Several, &at("run"));
        }
        values::script(checker, entry.unless.as_deref(), Lines::Several, &at("unless"));
        values::path(checker, entry.creates.as_deref(), &at("creates"));
        values::path(checker, entry.cwd.as_deref().filter(|cwd| *cwd != "/"), &at("cwd"));
        values::account(checker, entry.user.as_deref(), &at("user"));
        let guards = [entry.unless.is_some(), entry.creates.is_some(), !entry.run_on.is_empty()];
        if guards.iter().all(|given| !given) && !checker.faulty(&["commands", name]) {
            checker.key(
                &["commands", name],
                format!("{} would be run with every look at the node", quoted(name)),
                format!("say when it is done or wanted: add {}", one_of(&["unless", "creates", "run_on"])),
            );
        }
        if entry.timeout.as_ref().is_some_and(|timeout| timeout.as_ms().is_none_or(|ms| ms == 0)) {
            checker.value(&at("timeout"), "this is no time in which a command could end", "write 5m");
        }
    }
}
