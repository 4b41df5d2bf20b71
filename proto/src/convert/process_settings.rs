//! Settings of an application's processes. A setting that has its default is not on the wire.

use super::InvalidMessage;
use crate::v1;
use muster_domain::resource::{
    CombinedLog, Interpreter, Limits, LogFile, LogRotation, Logs, ProcessSettings, Watch,
};

pub(super) fn to_wire(settings: &ProcessSettings) -> Option<v1::ProcessSettings> {
    let usual = ProcessSettings::default();
    let ProcessSettings {
        interpreter,
        namespace,
        group,
        instance_var,
        increment_var,
        listen_fds,
        autostart,
        autorestart,
        stop_exit_codes,
        exp_backoff_restart_delay_ms,
        cron_restart,
        max_memory_restart_bytes,
        kill_signal,
        treekill,
        shutdown_with_message,
        source_map_support,
        watch,
        limits,
        pid_file,
        logs,
    } = settings;
    if *settings == usual {
        return None;
    }
    let text = |value: &String, usual: &String| (value != usual).then(|| value.clone());
    let switch = |value: bool, usual: bool| (value != usual).then_some(value);
    Some(v1::ProcessSettings {
        interpreter: interpreter_to_wire(interpreter),
        namespace: text(namespace, &usual.namespace),
        group: group.clone(),
        instance_var: text(instance_var, &usual.instance_var),
        increment_var: increment_var.clone(),
        listen_fds: listen_fds.clone(),
        autostart: switch(*autostart, usual.autostart),
        autorestart: switch(*autorestart, usual.autorestart),
        treekill: switch(*treekill, usual.treekill),
        source_map_support: switch(*source_map_support, usual.source_map_support),
        stop_exit_codes: stop_exit_codes.iter().map(|code| (*code).into()).collect(),
        exp_backoff_restart_delay_ms: *exp_backoff_restart_delay_ms,
        cron_restart: cron_restart.clone(),
        max_memory_restart_bytes: *max_memory_restart_bytes,
        kill_signal: text(kill_signal, &usual.kill_signal),
        shutdown_with_message: *shutdown_with_message,
        watch: watch.as_ref().map(|Watch { paths, ignore, delay_ms }| v1::Watch {
            paths: paths.clone(),
            ignore: ignore.clone().map(|patterns| v1::watch::Patterns { patterns }),
            delay_ms: *delay_ms,
        }),
        limits: limits_to_wire(limits),
        pid_file: pid_file.clone(),
        logs: logs_to_wire(logs),
    })
}

pub(super) fn from_wire(wire: v1::ProcessSettings) -> Result<ProcessSettings, InvalidMessage> {
    let usual = ProcessSettings::default();
    Ok(ProcessSettings {
        interpreter: match wire.interpreter {
            None => Interpreter::Nodejs,
            Some(interpreter) => interpreter_from_wire(interpreter)?,
        },
        namespace: plain("application.namespace", wire.namespace)?.unwrap_or(usual.namespace),
        group: plain("application.group", wire.group)?,
        instance_var: variable("application.instance_var", wire.instance_var)?.unwrap_or(usual.instance_var),
        increment_var: variable("application.increment_var", wire.increment_var)?,
        listen_fds: wire.listen_fds,
        autostart: wire.autostart.unwrap_or(usual.autostart),
        autorestart: wire.autorestart.unwrap_or(usual.autorestart),
        treekill: wire.treekill.unwrap_or(usual.treekill),
        source_map_support: wire.source_map_support.unwrap_or(usual.source_map_support),
        stop_exit_codes: wire
            .stop_exit_codes
            .into_iter()
            .map(u8::try_from)
            .collect::<Result<_, _>>()
            .map_err(|_| InvalidMessage::new("application.stop_exit_codes", "exit codes end at 255"))?,
        exp_backoff_restart_delay_ms: wire.exp_backoff_restart_delay_ms,
        cron_restart: plain("application.cron_restart", wire.cron_restart)?,
        max_memory_restart_bytes: wire.max_memory_restart_bytes,
        kill_signal: plain("application.kill_signal", wire.kill_signal)?.unwrap_or(usual.kill_signal),
        shutdown_with_message: wire.shutdown_with_message,
        watch: wire.watch.map(|v1::Watch { paths, ignore, delay_ms }| Watch {
            paths,
            ignore: ignore.map(|v1::watch::Patterns { patterns }| patterns),
            delay_ms,
        }),
        limits: limits_from_wire(wire.limits.unwrap_or_default()),
        pid_file: path("application.pid_file", wire.pid_file)?,
        logs: logs_from_wire(wire.logs.unwrap_or_default())?,
    })
}

fn interpreter_to_wire(interpreter: &Interpreter) -> Option<v1::Interpreter> {
    use v1::interpreter::{Kind, Unit};
    let kind = match interpreter {
        Interpreter::Nodejs => return None,
        Interpreter::Itself => Kind::Itself(Unit {}),
        Interpreter::Shell => Kind::Shell(Unit {}),
        Interpreter::Program(program) => Kind::Program(program.clone()),
    };
    Some(v1::Interpreter { kind: Some(kind) })
}

/// What runs a script is never guessed: a kind of a later version is refused.
fn interpreter_from_wire(wire: v1::Interpreter) -> Result<Interpreter, InvalidMessage> {
    use v1::interpreter::Kind;
    match wire.kind {
        Some(Kind::Itself(_)) => Ok(Interpreter::Itself),
        Some(Kind::Shell(_)) => Ok(Interpreter::Shell),
        Some(Kind::Program(program)) if !program.is_empty() && !program.contains('\0') => {
            Ok(Interpreter::Program(program))
        }
        Some(Kind::Program(program)) => Err(InvalidMessage::new(
            "application.interpreter",
            format!("{program:?} is not the name of a program"),
        )),
        None => Err(InvalidMessage::new("application.interpreter", "a kind that this version does not know")),
    }
}

fn limits_to_wire(limits: &Limits) -> Option<v1::Limits> {
    let Limits { memory_bytes, cpu_percent, pids, open_files } = limits.clone();
    (*limits != Limits::default()).then_some(v1::Limits { memory_bytes, cpu_percent, pids, open_files })
}

fn limits_from_wire(wire: v1::Limits) -> Limits {
    let v1::Limits { memory_bytes, cpu_percent, pids, open_files } = wire;
    Limits { memory_bytes, cpu_percent, pids, open_files }
}

fn logs_to_wire(logs: &Logs) -> Option<v1::Logs> {
    let Logs { out_file, error_file, log_file, merge, disabled, json, date_format, rotation } = logs;
    let stream = |file: &LogFile| match file {
        LogFile::Own => None,
        LogFile::Nowhere => Some(String::new()),
        LogFile::Path(path) => Some(path.clone()),
    };
    let wire = v1::Logs {
        out_file: stream(out_file),
        error_file: stream(error_file),
        log_file: match log_file {
            CombinedLog::None => None,
            CombinedLog::Own => Some(String::new()),
            CombinedLog::Path(path) => Some(path.clone()),
        },
        merge: *merge,
        disabled: *disabled,
        json: *json,
        date_format: date_format.clone(),
        rotation: (*rotation != LogRotation::default()).then(|| {
            let LogRotation { max_bytes, keep, schedule, compress, min_free_bytes } = rotation.clone();
            v1::LogRotation { max_bytes, keep, schedule, compress, min_free_bytes }
        }),
    };
    (*logs != Logs::default()).then_some(wire)
}

fn logs_from_wire(wire: v1::Logs) -> Result<Logs, InvalidMessage> {
    let v1::Logs { out_file, error_file, log_file, merge, disabled, json, date_format, rotation } = wire;
    let stream = |field, given: Option<String>| match given.as_deref() {
        None => Ok(LogFile::Own),
        Some("") => Ok(LogFile::Nowhere),
        Some(_) => Ok(path(field, given)?.map_or(LogFile::Own, LogFile::Path)),
    };
    let v1::LogRotation { max_bytes, keep, schedule, compress, min_free_bytes } =
        rotation.unwrap_or_default();
    Ok(Logs {
        out_file: stream("application.out_file", out_file)?,
        error_file: stream("application.error_file", error_file)?,
        log_file: match log_file.as_deref() {
            None => CombinedLog::None,
            Some("") => CombinedLog::Own,
            Some(_) => path("application.log_file", log_file)?.map_or(CombinedLog::None, CombinedLog::Path),
        },
        merge,
        disabled,
        json,
        date_format: plain("application.log_date_format", date_format)?,
        rotation: LogRotation {
            max_bytes,
            keep,
            schedule: plain("application.log_rotation.schedule", schedule)?,
            compress,
            min_free_bytes,
        },
    })
}

fn plain(field: &'static str, text: Option<String>) -> Result<Option<String>, InvalidMessage> {
    match text {
        Some(text) if text.is_empty() || text.chars().any(char::is_control) => {
            Err(InvalidMessage::new(field, format!("{text:?} is not a line of text")))
        }
        other => Ok(other),
    }
}

fn variable(field: &'static str, name: Option<String>) -> Result<Option<String>, InvalidMessage> {
    match plain(field, name)? {
        Some(name) if name.contains('=') => {
            Err(InvalidMessage::new(field, format!("variable {name:?} cannot be set")))
        }
        other => Ok(other),
    }
}

fn path(field: &'static str, path: Option<String>) -> Result<Option<String>, InvalidMessage> {
    match plain(field, path)? {
        Some(path) if !path.starts_with('/') => {
            Err(InvalidMessage::new(field, format!("{path:?} is not an absolute path")))
        }
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    fn everything() -> ProcessSettings {
        ProcessSettings {
            interpreter: Interpreter::Program("python3".into()),
            namespace: "shop".into(),
            group: Some("www-data".into()),
            instance_var: "SLOT".into(),
            increment_var: Some("WORKER".into()),
            listen_fds: vec!["3000".into(), "/run/shop.sock".into()],
            autostart: false,
            autorestart: false,
            stop_exit_codes: vec![0, 255],
            exp_backoff_restart_delay_ms: 100,
            cron_restart: Some("0 3 * * *".into()),
            max_memory_restart_bytes: Some(300 << 20),
            kill_signal: "SIGTERM".into(),
            treekill: false,
            shutdown_with_message: true,
            source_map_support: false,
            watch: Some(Watch { paths: vec![], ignore: Some(vec![]), delay_ms: 5 }),
            limits: Limits {
                memory_bytes: Some(1 << 40),
                cpu_percent: Some(150),
                pids: Some(64),
                open_files: Some(1024),
            },
            pid_file: Some("/run/shop.pid".into()),
            logs: Logs {
                out_file: LogFile::Nowhere,
                error_file: LogFile::Path("/var/log/shop.err".into()),
                log_file: CombinedLog::Own,
                merge: true,
                disabled: true,
                json: true,
                date_format: Some("YYYY".into()),
                rotation: LogRotation {
                    max_bytes: Some(1),
                    keep: Some(0),
                    schedule: Some("0 0 * * *".into()),
                    compress: true,
                    min_free_bytes: Some(0),
                },
            },
        }
    }

    #[test]
    fn every_setting_survives_the_wire_and_defaults_are_not_on_it() {
        let wire = to_wire(&everything()).unwrap();
        let again = v1::ProcessSettings::decode(wire.encode_to_vec().as_slice()).unwrap();
        assert_eq!(from_wire(again).unwrap(), everything());
        assert_eq!(to_wire(&ProcessSettings::default()), None);
        assert_eq!(from_wire(v1::ProcessSettings::default()).unwrap(), ProcessSettings::default());
        // One setting costs its own bytes, and no others.
        let one = to_wire(&ProcessSettings { autostart: false, ..ProcessSettings::default() }).unwrap();
        assert_eq!(one.encode_to_vec(), [7 << 3, 0]);
    }

    #[test]
    fn what_cannot_be_run_is_refused_by_its_field() {
        let refused = |change: fn(&mut v1::ProcessSettings)| {
            let mut wire = to_wire(&everything()).unwrap();
            change(&mut wire);
            from_wire(wire).unwrap_err().field
        };
        assert_eq!(refused(|w| w.stop_exit_codes.push(256)), "application.stop_exit_codes");
        assert_eq!(refused(|w| w.pid_file = Some("a.pid".into())), "application.pid_file");
        assert_eq!(refused(|w| w.increment_var = Some("A=B".into())), "application.increment_var");
        assert_eq!(
            refused(|w| w.interpreter = Some(v1::Interpreter { kind: None })),
            "application.interpreter"
        );
        let logs =
            |w: &mut v1::ProcessSettings| w.logs.get_or_insert_default().out_file = Some("a.log".into());
        assert_eq!(refused(logs), "application.out_file");
    }
}
