//! What differs beside the processes themselves: logs, files of process ids, and fields that a fleet has no use for.

use super::Findings;
use super::Severity::{Changed, Improved};
use super::fields::lost;
use crate::app::{LogFile, LogType, Pm2App};
use crate::carry::Carried;
use crate::words::quoted;

pub(super) fn logs(app: &Pm2App, carried: &Carried, findings: &mut Findings<'_>) {
    for (field, file) in
        [("out_file", &app.out_file), ("error_file", &app.error_file), ("log_file", &app.log_file)]
    {
        if app.gives(field) && (field != "log_file" || *file != LogFile::None) {
            let pm2 = match file {
                LogFile::Path(path) => path.display().to_string(),
                LogFile::None => "is thrown away".to_owned(),
            };
            lost(
                findings,
                carried,
                field,
                pm2,
                "goes to the application's own logs; `muster logs` unites instances and nodes",
            );
        }
    }
    if app.gives("merge_logs") {
        findings.add(
            Changed,
            "merge_logs",
            if app.merge_logs {
                "all instances write to one file"
            } else {
                "every instance has a file of its own"
            },
            "every instance has files of its own, `muster logs` shows them together",
        );
    }
    if let Some(format) = &app.log_date_format {
        let pm2 = format!("puts the time before lines as {}", quoted(format));
        lost(
            findings,
            carried,
            "log_date_format",
            pm2,
            "`muster logs --timestamps` shows it; the lines stay as they are",
        );
    }
    if app.log_type != LogType::Raw {
        lost(findings, carried, "log_type", "stores lines as JSON", "stores lines as they are");
    }
    if app.disable_logs {
        lost(findings, carried, "disable_logs", "stores nothing", "stores lines, rotated");
    }
    if app.gives("pid_file") {
        lost(
            findings,
            carried,
            "pid_file",
            app.pid_file.display().to_string(),
            "there are no files of process ids; see `muster ps`",
        );
    }
}

/// Fields that have nothing to act on in a fleet.
pub(super) fn without_meaning(app: &Pm2App, findings: &mut Findings<'_>) {
    const FIELDS: [(&str, &str); 9] = [
        (
            "post_update",
            "`pm2 pull` is not needed: releases are built before, and moved with `muster deploy`",
        ),
        ("install_url", "there are no modules"),
        ("force", "one application runs once, with as many instances as it says"),
        ("vizion", "a release knows the commit that it was made from"),
        ("write", "a fleet file is written by people"),
        ("windowsHide", "nodes run Linux"),
        ("ignore_watch", "a release never changes"),
        ("watch_delay", "a release never changes"),
        ("kill_retry_time", "the kernel tells when a process is gone"),
    ];
    for (field, muster) in FIELDS.into_iter().filter(|(field, _)| app.gives(field)) {
        findings.add(Improved, field, "is used", format!("is not needed: {muster}"));
    }
    for field in &app.monitoring {
        findings.add(Improved, field, "is for the hosted monitoring of pm2", "is not carried over");
    }
}
