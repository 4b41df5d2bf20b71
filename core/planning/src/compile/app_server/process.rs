//! The settings of an application's processes, decided: what the environment and the node change is in force, what nobody
//! says has pm2's default.

use super::CompileProblem;
use muster_domain::{
    fleet::{self, ApplicationOverride, Duration, Limits, LogType, OwnFile, Runner, Size},
    resource,
};

/// dayjs's format for `time: true`, pm2's.
const TIME_FORMAT: &str = "YYYY-MM-DDTHH:mm:ss";

/// Reads values as the text that they are written in, and notes those that `muster apply` would have refused.
pub(super) struct Reader<'a> {
    pub(super) application: &'a str,
    pub(super) problems: &'a mut Vec<CompileProblem>,
}

impl Reader<'_> {
    pub(super) fn invalid(&mut self, field: &str, reason: &str) {
        self.problems.push(CompileProblem::Invalid {
            place: format!("applications.{}.{field}", self.application),
            reason: reason.to_owned(),
        });
    }

    pub(super) fn milliseconds(&mut self, field: &str, duration: Option<&Duration>, default: u32) -> u32 {
        match duration.map(Duration::as_ms) {
            None => default,
            Some(Some(ms)) => ms,
            Some(None) => {
                self.invalid(field, "use a whole number of milliseconds, or text such as \"30s\"");
                default
            }
        }
    }

    fn bytes(&mut self, field: &str, size: Option<&Size>) -> Option<u64> {
        let bytes = size?.as_bytes();
        if bytes.is_none() {
            self.invalid(field, "use a whole number of bytes, or text such as \"400M\"");
        }
        bytes
    }
}

/// What changes the declaration, from the general to the particular.
pub(super) type Layers<'a> = [Option<&'a ApplicationOverride>; 2];

/// The value in force: that of the last layer that has one, else the declared one.
pub(super) fn in_force<'a, T>(
    layers: Layers<'a>,
    of: impl Fn(&'a ApplicationOverride) -> Option<T>,
    declared: Option<T>,
) -> Option<T> {
    layers.into_iter().flatten().filter_map(of).next_back().or(declared)
}

pub(super) fn settings(
    declared: &fleet::Application,
    layers: Layers<'_>,
    instances: Option<fleet::Instances>,
    reader: &mut Reader<'_>,
) -> resource::ProcessSettings {
    let usual = resource::ProcessSettings::default();
    // Exhaustive, so that a new field of the configuration cannot be forgotten here.
    let fleet::Application {
        nodejs: _,
        build: _,
        script: _,
        args: _,
        node_args: _,
        interpreter: _,
        instances: _,
        exec_mode: _,
        port: _,
        listen_fds,
        health: _,
        wait_ready: _,
        listen_timeout: _,
        autostart,
        autorestart,
        stop_exit_codes,
        min_uptime: _,
        max_restarts: _,
        restart_delay: _,
        exp_backoff_restart_delay,
        cron_restart,
        max_memory_restart,
        max_memory: _,
        limits: _,
        kill_timeout: _,
        kill_signal,
        treekill,
        shutdown_with_message,
        env: _,
        secrets: _,
        instance_var,
        increment_var,
        source_map_support,
        watch,
        ignore_watch,
        watch_delay,
        out_file: _,
        error_file: _,
        log_file: _,
        merge_logs: _,
        disable_logs: _,
        log_type: _,
        log_date_format: _,
        time: _,
        log_rotation: _,
        pid_file,
        namespace,
        user: _,
        group,
        on: _,
        overrides: _,
    } = declared;
    let cron = in_force(layers, |o| o.cron_restart.as_ref(), cron_restart.as_ref());
    let soft = in_force(layers, |o| o.max_memory_restart.as_ref(), max_memory_restart.as_ref());
    let delay_ms = reader.milliseconds("watch_delay", watch_delay.as_ref(), 0);
    resource::ProcessSettings {
        interpreter: match declared.runner() {
            Runner::Nodejs => resource::Interpreter::Nodejs,
            Runner::Itself => resource::Interpreter::Itself,
            Runner::Shell => resource::Interpreter::Shell,
            Runner::Program(program) => resource::Interpreter::Program(program),
        },
        namespace: namespace.clone().unwrap_or(usual.namespace),
        group: in_force(layers, |o| o.group.clone(), group.clone()),
        instance_var: instance_var.clone().unwrap_or(usual.instance_var),
        increment_var: increment_var.clone(),
        listen_fds: in_force(layers, |o| o.listen_fds.clone(), Some(listen_fds.clone())).unwrap_or_default(),
        autostart: in_force(layers, |o| o.autostart, Some(*autostart)).unwrap_or(usual.autostart),
        autorestart: *autorestart,
        stop_exit_codes: stop_exit_codes.clone(),
        exp_backoff_restart_delay_ms: reader.milliseconds(
            "exp_backoff_restart_delay",
            exp_backoff_restart_delay.as_ref(),
            0,
        ),
        // pm2's way of saying "never".
        cron_restart: cron.filter(|pattern| pattern.trim() != "0").cloned(),
        max_memory_restart_bytes: reader.bytes("max_memory_restart", soft).filter(|bytes| *bytes > 0),
        kill_signal: kill_signal.map_or(usual.kill_signal, |signal| signal.as_str().to_owned()),
        treekill: *treekill,
        shutdown_with_message: *shutdown_with_message,
        source_map_support: *source_map_support,
        watch: watch.as_ref().and_then(fleet::Watch::paths).map(|paths| resource::Watch {
            paths,
            ignore: ignore_watch.clone(),
            delay_ms,
        }),
        limits: limits(declared, layers, reader),
        pid_file: pid_file.clone(),
        logs: logs(declared, layers, instances, reader),
    }
}

/// Limits are merged, one by one; `max_memory` is another word for one of them.
fn limits(declared: &fleet::Application, layers: Layers<'_>, reader: &mut Reader<'_>) -> resource::Limits {
    let mut merged = resource::Limits::default();
    let given = std::iter::once((declared.max_memory.as_ref(), declared.limits.as_ref()))
        .chain(layers.into_iter().flatten().map(|layer| (layer.max_memory.as_ref(), layer.limits.as_ref())));
    for (max_memory, limits) in given {
        let none = Limits::default();
        let Limits { memory, cpu, pids, open_files } = limits.unwrap_or(&none);
        if let Some(bytes) = reader.bytes("limits.memory", memory.as_ref().or(max_memory)) {
            merged.memory_bytes = Some(bytes).filter(|bytes| *bytes > 0);
        }
        if let Some(cpu) = cpu {
            merged.cpu_percent = cpu.as_percent();
            if merged.cpu_percent.is_none() {
                reader.invalid("limits.cpu", "use a share of a processor such as 150%");
            }
        }
        merged.pids = pids.or(merged.pids);
        merged.open_files = open_files.or(merged.open_files);
    }
    merged
}

fn logs(
    declared: &fleet::Application,
    layers: Layers<'_>,
    instances: Option<fleet::Instances>,
    reader: &mut Reader<'_>,
) -> resource::Logs {
    let stream = |file: &Option<String>| match file.as_deref() {
        None => resource::LogFile::Own,
        Some("/dev/null" | "NULL") => resource::LogFile::Nowhere,
        Some(path) => resource::LogFile::Path(path.to_owned()),
    };
    let rotation = in_force(layers, |o| o.log_rotation.as_ref(), declared.log_rotation.as_ref());
    let usual = fleet::LogRotation::default();
    let fleet::LogRotation { max_size, keep, schedule, compress, min_free } = rotation.unwrap_or(&usual);
    // pm2's rule; it looks at what is given, not at the mode that follows from it.
    let merge_by_default = declared.exec_mode != Some(fleet::ExecMode::Cluster)
        && matches!(instances, None | Some(fleet::Instances::Max(_)));
    let (out_file, error_file) = (stream(&declared.out_file), stream(&declared.error_file));
    let log_file = match &declared.log_file {
        None | Some(OwnFile::Switch(false)) => resource::CombinedLog::None,
        Some(OwnFile::Switch(true)) => resource::CombinedLog::Own,
        Some(OwnFile::Path(path)) if matches!(path.as_str(), "/dev/null" | "NULL") => {
            resource::CombinedLog::None
        }
        Some(OwnFile::Path(path)) => resource::CombinedLog::Path(path.clone()),
    };
    let named = log_file != resource::CombinedLog::None
        || [&out_file, &error_file].into_iter().any(|file| matches!(file, resource::LogFile::Path(_)));
    resource::Logs {
        out_file,
        error_file,
        log_file,
        // Only named files can be shared: without one it means nothing, and must not make an assignment another one.
        merge: named && declared.merge_logs.unwrap_or(merge_by_default),
        disabled: declared.disable_logs,
        json: declared.log_type == Some(LogType::Json),
        date_format: match declared.time {
            true => Some(TIME_FORMAT.to_owned()),
            false => declared.log_date_format.clone(),
        },
        rotation: resource::LogRotation {
            max_bytes: reader.bytes("log_rotation.max_size", max_size.as_ref()),
            keep: *keep,
            schedule: schedule.clone(),
            compress: *compress,
            min_free_bytes: reader.bytes("log_rotation.min_free", min_free.as_ref()),
        },
    }
}
