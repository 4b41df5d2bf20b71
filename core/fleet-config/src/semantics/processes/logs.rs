//! Where output goes.

use super::{At, Checker, below, cron, size};
use crate::words::quoted;
use muster_domain::{
    fleet::{Application, LogRotation, OwnFile},
    host_path,
};

/// The longest format that is still one.
const FORMAT_BYTES_AT_MOST: usize = 100;

pub(super) fn check(checker: &mut Checker<'_>, application: &Application, at: &At<'_>) {
    let Application {
        out_file, error_file, log_file, merge_logs, disable_logs, log_date_format, time, ..
    } = application;
    let combined = match log_file {
        Some(OwnFile::Path(path)) => Some(path),
        None | Some(OwnFile::Switch(_)) => None,
    };
    let files =
        [("out_file", out_file.as_ref()), ("error_file", error_file.as_ref()), ("log_file", combined)];
    for (field, path) in files {
        let Some(path) = path else { continue };
        file(checker, path, true, &below(at, field));
        if *disable_logs {
            let message = format!("with `disable_logs`, nothing is written to {}", quoted(field));
            checker.warn(&below(at, field), message, "keep one of the two");
        }
    }
    if let Some(path) = combined
        && !nowhere(path)
        && [out_file, error_file].into_iter().flatten().any(|other| other == path)
    {
        checker.value(
            &below(at, "log_file"),
            format!("every line would stand twice in {}", quoted(path)),
            "`log_file` is written in addition: give it a path of its own",
        );
    }
    let named = files.iter().any(|(_, path)| path.is_some_and(|path| !nowhere(path)))
        || *log_file == Some(OwnFile::Switch(true));
    if merge_logs.is_some() && !named {
        checker.warn(
            &below(at, "merge_logs"),
            "`merge_logs` is for files that are named; the application's own logs have a file per instance",
            "name `out_file`, `error_file` or `log_file`; `muster logs` shows all instances together anyway",
        );
    }
    if let Some(path) = &application.pid_file {
        file(checker, path, false, &below(at, "pid_file"));
    }
    if let Some(format) = log_date_format {
        if format.is_empty() || format.len() > FORMAT_BYTES_AT_MOST || format.chars().any(char::is_control) {
            checker.value(
                &below(at, "log_date_format"),
                format!("{} is not the format of a time", quoted(format)),
                "write it in the language of dayjs: \"YYYY-MM-DD HH:mm:ss Z\"",
            );
        }
        if *time {
            checker.warn(
                &below(at, "log_date_format"),
                "`time` wins over `log_date_format`",
                "keep one of the two",
            );
        }
    }
    rotation(checker, application.log_rotation.as_ref(), at);
}

fn nowhere(path: &str) -> bool {
    matches!(path, "/dev/null" | "NULL")
}

fn file(checker: &mut Checker<'_>, path: &str, null: bool, at: &At<'_>) {
    if (null && nowhere(path)) || (!nowhere(path) && host_path::normal(path) == Some(path)) {
        return;
    }
    let hint = match null {
        true => {
            "begin with /: /var/log/shop/web.log; /dev/null for none; leave it out for the application's own logs"
        }
        false => "begin with /: /run/shop/web.pid",
    };
    checker.value(at, format!("{} is not a plain absolute path", quoted(path)), hint);
}

pub(super) fn rotation(checker: &mut Checker<'_>, rotation: Option<&LogRotation>, at: &At<'_>) {
    let Some(LogRotation { max_size, keep: _, schedule, compress: _, min_free }) = rotation else { return };
    let inside = |field| at.iter().copied().chain(["log_rotation", field]).collect::<At<'_>>();
    let given = size(checker, max_size.as_ref(), 1024, &inside("max_size"));
    if max_size.as_ref().and_then(muster_domain::fleet::Size::as_bytes) == Some(0) && given.is_none() {
        checker.value(&inside("max_size"), "a file of 0 bytes holds nothing", "write a size: 10M");
    }
    size(checker, min_free.as_ref(), 1, &inside("min_free"));
    cron(checker, schedule.as_deref(), false, &inside("schedule"));
}
