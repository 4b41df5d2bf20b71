//! What differs beside the processes themselves: logs, files of process ids, and fields that a fleet has no use for.

use super::Findings;
use super::Severity::{Changed, Improved};
use super::fields::lost;
use crate::app::{LogFile, LogType, Pm2App};
use crate::carry::Carried;
use crate::words::quoted;

pub(super) fn logs(app: &Pm2App, carried: &Carried, findings: &mut Findings<'_>) {
    let mut numbered = false;
    for (field, file) in
        [("out_file", &app.out_file), ("error_file", &app.error_file), ("log_file", &app.log_file)]
    {
        numbered |=
            carried.settings.contains_key(field) && matches!(file, LogFile::Path(_)) && !app.merge_logs;
        let pm2 = match file {
            LogFile::Path(path) => path.display().to_string(),
            LogFile::None => "is thrown away".to_owned(),
        };
        lost(
            findings,
            carried,
            field,
            pm2,
            "no plain path: goes to the application's own logs, see `muster logs`",
        );
    }
    if numbered {
        findings.add(
            Changed,
            "merge_logs",
            "the number before `.log` is the pm_id",
            "it is the number of the instance: 0, 1, …",
        );
    } else if app.gives("merge_logs") && !carried.settings.contains_key("merge_logs") {
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
        lost(findings, carried, "log_date_format", pm2, "that is not the format of a time");
    }
    if let LogType::Other(kind) = &app.log_type {
        let pm2 = format!("{} is not known, and means raw", quoted(kind));
        findings.add(Improved, "log_type", pm2, "raw, without a word");
    }
    if app.gives("pid_file") {
        if carried.lost.contains("pid_file") {
            let pm2 = app.pid_file.display().to_string();
            lost(findings, carried, "pid_file", pm2, "no plain path; see `muster ps` for process ids");
        } else {
            findings.add(
                Changed,
                "pid_file",
                "the pm_id stands before its extension",
                "the number of the instance does, and only when there are several",
            );
        }
    }
}

/// Fields that have nothing to act on in a fleet.
pub(super) fn without_meaning(app: &Pm2App, carried: &Carried, findings: &mut Findings<'_>) {
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
    let carried = |field: &str| carried.settings.contains_key(field);
    for (field, muster) in FIELDS.into_iter().filter(|(field, _)| app.gives(field) && !carried(field)) {
        findings.add(Improved, field, "is used", format!("is not needed: {muster}"));
    }
    for field in &app.monitoring {
        findings.add(Improved, field, "is for the hosted monitoring of pm2", "is not carried over");
    }
}
