//! Decides about resources that are one file each, rendered from what is declared: units of systemd, jobs of cron, rules of
//! logrotate. Holds where such a file is and what it says.

use super::{Action, Observed, ObservedPath, Verdict, mismatch, paths};
use croner::Cron;
use muster_domain::fleet::declared::CRON_JOB_PREFIX;
use muster_domain::resource::{CronJob, File, Logrotate, Sysctl, SystemdUnit, Validator};
use std::str::FromStr;

/// What was found of a rendered file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedRendered {
    /// The file itself.
    pub file: ObservedPath,
    /// Why the file would be of no use: no cron, no such user.
    pub trouble: Option<String>,
    /// systemd has read an older one.
    pub stale: bool,
}

/// The search path of a job that declares none: what root has, not cron's two folders.
const CRON_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The words that cron takes instead of five fields.
const CRON_WORDS: [&str; 8] =
    ["@reboot", "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

fn root_file(path: String, content: Vec<u8>, validate: Option<Validator>) -> File {
    let root = Some("root".to_owned());
    File { path, content, mode: 0o644, owner: root.clone(), group: root, sensitive: false, validate }
}

/// The file of a unit.
pub fn unit_file(unit: &SystemdUnit) -> File {
    let path = format!("/etc/systemd/system/{}", unit.name);
    root_file(path, unit.content.clone().into_bytes(), Some(Validator::SystemdUnit))
}

/// The file of logrotate's rules.
pub fn logrotate_file(rules: &Logrotate) -> File {
    let path = format!("/etc/logrotate.d/{}", rules.name);
    root_file(path, rules.content.clone().into_bytes(), Some(Validator::Logrotate))
}

/// The file that sets a kernel setting at boot. Its name comes after `99-sysctl.conf`, so that it wins.
pub fn sysctl_file(sysctl: &Sysctl) -> File {
    let Sysctl { name, value } = sysctl;
    let path = format!("/etc/sysctl.d/zz-muster-{}.conf", name.replace('/', "+"));
    let content = format!("# Managed by Muster; changes are undone.\n{name} = {value}\n");
    root_file(path, content.into_bytes(), None)
}

/// Where the file of a job is.
pub fn cron_path(job: &CronJob) -> String {
    format!("/etc/cron.d/{CRON_JOB_PREFIX}{}", job.name)
}

/// The file of a job of cron, or why there can be none.
pub fn cron_file(job: &CronJob) -> Result<File, String> {
    let CronJob { name, user, schedule, command, env } = job;
    cron_schedule(schedule)?;
    let mut lines = vec![format!("# Managed by Muster (cron_job {name}); changes are undone.")];
    for (variable, usual) in [("SHELL", "/bin/sh"), ("PATH", CRON_PATH)] {
        if !env.iter().any(|(name, _)| name == variable) {
            lines.push(format!("{variable}={usual}"));
        }
    }
    for (name, value) in env {
        let value = cron_value(value).ok_or_else(|| {
            format!("the value of {name} cannot be written for cron: it has both kinds of quotes, one at its beginning")
        })?;
        lines.push(format!("{name}={value}"));
    }
    let schedule = schedule.split_whitespace().collect::<Vec<_>>().join(" ");
    // Cron reads an unescaped % as the end of the line, and takes one backslash away before another and before a %.
    let command = command.replace('\\', "\\\\").replace('%', "\\%");
    lines.push(format!("{schedule} {user} {command}"));
    lines.push(String::new());
    let mut file = root_file(cron_path(job), lines.join("\n").into_bytes(), Some(Validator::Cron));
    if !env.is_empty() {
        // Variables are where people put passwords. cron reads it as root; nobody else has to.
        file.mode = 0o600;
    }
    Ok(file)
}

/// A value as cron reads it back: in quotes that it does not hold, or bare, where everything up to the end of the line
/// counts except white space around it.
fn cron_value(value: &str) -> Option<String> {
    for quote in ['"', '\''] {
        if !value.contains(quote) {
            return Some(format!("{quote}{value}{quote}"));
        }
    }
    let bare = !value.starts_with(['"', '\'']) && value.trim() == value;
    bare.then(|| value.to_owned())
}

/// Whether cron(8) takes this for a schedule: five fields, or a word such as `@daily`. What is wrong with it otherwise.
pub fn cron_schedule(text: &str) -> Result<(), String> {
    let text = text.trim();
    if text.starts_with('@') {
        return if CRON_WORDS.contains(&text) {
            Ok(())
        } else {
            Err(format!("{text:?} is no schedule of cron; its words are {}", CRON_WORDS.join(", ")))
        };
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != 5 {
        return Err(format!(
            "the schedule {text:?} has {} fields; cron wants 5: minute, hour, day of month, month, day of week",
            fields.len()
        ));
    }
    const NAMES: [&str; 5] = ["minute", "hour", "day of month", "month", "day of week"];
    for (at, (field, name)) in fields.iter().zip(NAMES).enumerate() {
        let wrong =
            |why: String| Err(format!("the {name} of the schedule {text:?}, {field:?}, is wrong: {why}"));
        // The crate knows more than cron does: `L`, `W`, `#`, `?`.
        if let Some(strange) = field.chars().find(|c| !c.is_ascii_alphanumeric() && !"*,-/".contains(*c)) {
            return wrong(format!("cron does not know {strange:?}"));
        }
        let letters = field.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
        if let Some(word) = letters.into_iter().find(|word| word.len() != 3 || at < 3) {
            return wrong(format!("cron does not know {word:?}"));
        }
        let mut alone = ["*"; 5];
        alone[at] = field;
        if let Err(error) = Cron::from_str(&alone.join(" ")) {
            return wrong(error.to_string());
        }
    }
    Cron::from_str(text).map(drop).map_err(|error| format!("the schedule {text:?} is wrong: {error}"))
}

pub(super) fn systemd_unit(wanted: &SystemdUnit, observed: &Observed) -> Verdict {
    let Observed::Rendered(observed) = observed else { return mismatch() };
    let verdict = of_file(&unit_file(wanted), observed);
    match verdict {
        Verdict::Change { mut actions, reason } if actions.contains(&Action::WriteFile) => {
            actions.push(Action::DaemonReload);
            Verdict::Change { actions, reason }
        }
        Verdict::InPlace if observed.stale => Verdict::Change {
            actions: vec![Action::DaemonReload],
            reason: "systemd has not read the file since it changed".into(),
        },
        other => other,
    }
}

pub(super) fn logrotate(wanted: &Logrotate, observed: &Observed) -> Verdict {
    let Observed::Rendered(observed) = observed else { return mismatch() };
    of_file(&logrotate_file(wanted), observed)
}

pub(super) fn cron_job(wanted: &CronJob, observed: &Observed) -> Verdict {
    let Observed::Rendered(observed) = observed else { return mismatch() };
    match cron_file(wanted) {
        Ok(file) => of_file(&file, observed),
        Err(reason) => Verdict::Impossible { reason },
    }
}

fn of_file(file: &File, observed: &ObservedRendered) -> Verdict {
    if let Some(trouble) = &observed.trouble {
        return Verdict::Impossible { reason: trouble.clone() };
    }
    paths::file(file, &observed.file)
}
