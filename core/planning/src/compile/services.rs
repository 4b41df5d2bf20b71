//! Units, services, jobs, rotation of logs, and commands.

use super::{host::Host, packages};
use muster_domain::{
    fleet::{EnvValue, Frequency, LogrotateEntry, declared},
    host_names,
    resource::{Command, CronJob, DesiredState, Logrotate, ResourceKey, Service, SystemdUnit},
};

/// When a command that says nothing is killed.
const COMMAND_TIMEOUT_MS: u32 = 5 * 60_000;
/// How many old logs are kept when nobody says so.
const LOGS_KEPT: u32 = 14;
/// The longest command that agents take.
const SCRIPT_BYTES_AT_MOST: usize = 16 * 1024;

/// Adds what systemd, cron and logrotate are to do on the node, and commands.
pub(super) fn compile(host: &mut Host<'_, '_>) {
    let configuration = host.input.configuration;
    for (entry_name, entry) in host.entries(&configuration.systemd_units, |entry| entry.common()) {
        let name = host.name(("systemd_units", entry_name), entry.name.as_ref(), host_names::unit_file);
        let place = format!("systemd_units.{entry_name}");
        let Some(content) = host.text(&place, entry.content.as_ref(), entry.source.as_ref()) else {
            continue;
        };
        host.add(
            ResourceKey::new("systemd_unit", name),
            DesiredState::SystemdUnit(SystemdUnit { name: name.to_owned(), content }),
        );
    }
    for (entry_name, entry) in host.entries(&configuration.services, |entry| entry.common()) {
        let unit = |name: &str| host_names::unit(&declared::unit_name(name));
        let name = host.name(("services", entry_name), entry.name.as_ref(), unit);
        let (enabled, running) = match (entry.enabled, entry.running) {
            (None, None) => (Some(true), Some(true)),
            given => given,
        };
        host.add(declared::service(name), service(&declared::unit_name(name), enabled, running));
    }
    for (entry_name, entry) in host.entries(&configuration.cron_jobs, |entry| entry.common()) {
        let name = host.name(("cron_jobs", entry_name), entry.name.as_ref(), host_names::drop_in);
        let place = format!("cron_jobs.{entry_name}");
        let user = entry.user.clone().unwrap_or_else(|| "root".to_owned());
        host.must(&user, host_names::account, &place);
        let line = |text: &str| !text.is_empty() && host_names::line(text, SCRIPT_BYTES_AT_MOST);
        host.must(&entry.schedule, line, &format!("{place}.schedule"));
        host.must(&entry.command, line, &format!("{place}.command"));
        let env: Vec<_> = entry.env.iter().map(|(key, value)| (key.clone(), value.to_text())).collect();
        for (key, value) in &env {
            host.must(key, host_names::variable, &format!("{place}.env"));
            host.must(value, |text| text.is_empty() || line(text), &format!("{place}.env.{key}"));
        }
        host.imply(declared::package(declared::CRON), packages::present(declared::CRON));
        host.add(
            ResourceKey::new("cron_job", name),
            DesiredState::CronJob(CronJob {
                name: name.to_owned(),
                user,
                schedule: entry.schedule.clone(),
                command: entry.command.clone(),
                env,
            }),
        );
    }
    for (entry_name, entry) in host.entries(&configuration.logrotate, |entry| entry.common()) {
        let name = host.name(("logrotate", entry_name), entry.name.as_ref(), host_names::drop_in);
        let content = if entry.logs.is_empty() {
            let place = format!("logrotate.{entry_name}");
            host.text(&place, entry.content.as_ref(), entry.source.as_ref())
        } else {
            Some(rules(entry))
        };
        let Some(content) = content else { continue };
        host.imply(declared::package(declared::LOGROTATE), packages::present(declared::LOGROTATE));
        host.add(
            ResourceKey::new("logrotate", name),
            DesiredState::Logrotate(Logrotate { name: name.to_owned(), content }),
        );
    }
    commands(host);
}

/// A unit as it should be.
pub(super) fn service(unit: &str, enabled: Option<bool>, running: Option<bool>) -> DesiredState {
    DesiredState::Service(Service { name: unit.to_owned(), enabled, running })
}

/// Rules for logrotate from their settings.
fn rules(entry: &LogrotateEntry) -> String {
    let mut text = entry.logs.join("\n");
    text.push_str(" {\n");
    let mut line = |words: String| {
        text.push_str("    ");
        text.push_str(&words);
        text.push('\n');
    };
    line(entry.every.unwrap_or(Frequency::Daily).as_str().to_owned());
    line(format!("rotate {}", entry.keep.unwrap_or(LOGS_KEPT)));
    if let Some(bytes) = entry.max_size.as_ref().and_then(|size| size.as_bytes()) {
        line(format!("maxsize {bytes}"));
    }
    for word in ["missingok", "notifempty", "compress", "delaycompress"] {
        line(word.to_owned());
    }
    if entry.copy_truncate {
        line("copytruncate".to_owned());
    }
    if let Some(script) = &entry.post_rotate {
        line("sharedscripts".to_owned());
        line("postrotate".to_owned());
        script.lines().for_each(|command| line(format!("    {command}")));
        line("endscript".to_owned());
    }
    text.push_str("}\n");
    text
}

fn commands(host: &mut Host<'_, '_>) {
    let configuration = host.input.configuration;
    for (entry_name, entry) in host.entries(&configuration.commands, |entry| entry.common()) {
        let name = host.name(("commands", entry_name), entry.name.as_ref(), host_names::drop_in);
        let place = format!("commands.{entry_name}");
        let script =
            |text: &str| !text.is_empty() && text.len() <= SCRIPT_BYTES_AT_MOST && !text.contains('\0');
        host.must(&entry.run, script, &format!("{place}.run"));
        if let Some(unless) = &entry.unless {
            host.must(unless, script, &format!("{place}.unless"));
        }
        let timeout_ms = entry.timeout.as_ref().map_or(Some(COMMAND_TIMEOUT_MS), |timeout| timeout.as_ms());
        let Some(timeout_ms) = timeout_ms.filter(|ms| *ms > 0) else {
            host.invalid(format!("{place}.timeout"), "write 5m");
            continue;
        };
        let guarded = entry.unless.is_some() || entry.creates.is_some();
        if !guarded && entry.run_on.is_empty() {
            host.invalid(place, "give one of unless, creates and run_on");
            continue;
        }
        host.add(
            ResourceKey::new("command", name),
            DesiredState::Command(Command {
                name: name.to_owned(),
                run: entry.run.clone(),
                unless: entry.unless.clone(),
                creates: entry.creates.clone(),
                only_on_change: !guarded,
                user: entry.user.clone(),
                cwd: entry.cwd.clone().filter(|cwd| cwd != "/"),
                timeout_ms,
            }),
        );
    }
}

/// A value of an environment variable as systemd and sshd write truth values.
pub(super) fn yes_or_no(value: &EnvValue) -> String {
    match value {
        EnvValue::Bool(true) => "yes".to_owned(),
        EnvValue::Bool(false) => "no".to_owned(),
        other => other.to_text(),
    }
}
