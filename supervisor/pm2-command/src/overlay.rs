//! Flags of `restart` and `reload` that change an application which is there, and `--update-env`.

use std::collections::BTreeMap;

use muster_pm2::{FilterEnv, inherited_env};
use muster_supervisor_protocol::AppSpec;
use serde_json::Value;

use crate::origin::Record;
use crate::{Context, Failure, config, spec};

/// The spec as the flags change it. pm2 does not let them change the mode, and neither the number of instances.
pub(crate) fn changed(context: &Context, old: &AppSpec) -> Result<AppSpec, Failure> {
    let mut new = old.clone();
    let mut fields = config::flag_fields(context);
    for ignored in ["execute_command", "instances", "force", "write"] {
        fields.remove(ignored);
    }
    if context.script_args.is_some() || !fields.is_empty() {
        flags(context, &mut new, fields)?;
    }
    if context.flags.update_env {
        update_env(context, &mut new);
    }
    if new.pm2.is_some() {
        spec::pin(&mut new)?;
    }
    Ok(new)
}

fn flags(
    context: &Context,
    spec: &mut AppSpec,
    mut fields: serde_json::Map<String, Value>,
) -> Result<(), Failure> {
    let mut record = Record::of(spec);
    fields.remove("name").map_or(Ok(()), |name| match name.as_str() == Some(&spec.name) {
        true => Ok(()),
        false => Err(Failure::new(format!("{} cannot be renamed while it is there", spec.name))
            .hint("delete it, and start it under the new name")),
    })?;
    if !fields.contains_key("cwd") {
        fields.insert("cwd".to_owned(), Value::from(record.typed_cwd.clone()));
    }
    let app = config::of_fields(context, &record.typed_script, fields)?;
    let fresh = spec::build(context, &app)?;
    let fresh_record = Record::of(&fresh);
    for field in &app.given {
        match *field {
            "exec_interpreter" => {
                spec.interpreter.clone_from(&fresh.interpreter);
                record.exec_interpreter.clone_from(&fresh_record.exec_interpreter);
                record.node_version.clone_from(&fresh_record.node_version);
            }
            "node_args" => spec.interpreter_args.clone_from(&fresh.interpreter_args),
            "args" => spec.args.clone_from(&fresh.args),
            "out_file" => spec.logs.out_file.clone_from(&fresh.logs.out_file),
            "error_file" => spec.logs.error_file.clone_from(&fresh.logs.error_file),
            "log_file" => spec.logs.log_file.clone_from(&fresh.logs.log_file),
            "log_type" => spec.logs.format = fresh.logs.format,
            "log_date_format" | "time" => spec.logs.date_format.clone_from(&fresh.logs.date_format),
            "disable_logs" => spec.logs.disabled = fresh.logs.disabled,
            "merge_logs" => spec.logs.merge = fresh.logs.merge,
            "pid_file" => spec.pid_file.clone_from(&fresh.pid_file),
            "kill_timeout" => spec.kill_timeout_ms = fresh.kill_timeout_ms,
            "listen_timeout" => spec.listen_timeout_ms = fresh.listen_timeout_ms,
            "max_memory_restart" => spec.max_memory_restart_bytes = fresh.max_memory_restart_bytes,
            "restart_delay" => spec.restart_delay_ms = fresh.restart_delay_ms,
            "exp_backoff_restart_delay" => {
                spec.exp_backoff_restart_delay_ms = fresh.exp_backoff_restart_delay_ms;
            }
            "max_restarts" => spec.max_restarts = fresh.max_restarts,
            "uid" => spec.user.clone_from(&fresh.user),
            "gid" => spec.group.clone_from(&fresh.group),
            "namespace" => spec.namespace.clone_from(&fresh.namespace),
            "cwd" => record.typed_cwd.clone_from(&fresh_record.typed_cwd),
            "cron_restart" => spec.cron_restart.clone_from(&fresh.cron_restart),
            "watch" | "ignore_watch" => spec.watch.clone_from(&fresh.watch),
            "shutdown_with_message" => spec.shutdown_with_message = fresh.shutdown_with_message,
            "source_map_support" | "disable_source_map_support" => {
                spec.source_map_support = fresh.source_map_support;
            }
            "wait_ready" => spec.readiness.clone_from(&fresh.readiness),
            "autostart" => record.autostart = fresh_record.autostart,
            "autorestart" => spec.autorestart = fresh.autorestart,
            "treekill" => spec.treekill = fresh.treekill,
            "stop_exit_codes" => spec.stop_exit_codes.clone_from(&fresh.stop_exit_codes),
            _ => {}
        }
    }
    if let Some(origin) = &mut spec.pm2 {
        origin.record = record.value();
    }
    Ok(())
}

/// The variables of this shell over those the application has. What only came from an earlier shell and is gone from this
/// one is gone.
fn update_env(context: &Context, spec: &mut AppSpec) {
    let mut record = Record::of(spec);
    let shell: BTreeMap<String, String> = context.shell();
    let shell = inherited_env(&shell, &filter(&record));
    spec.env.retain(|name, _| !record.shell_env.contains(name) || record.own_env.contains(name));
    for (name, value) in shell.iter() {
        spec.env.insert(name.clone(), value.clone());
    }
    spec.env.insert("PWD".to_owned(), record.typed_cwd.clone());
    spec.env.insert("PM2_HOME".to_owned(), context.home.dir().to_string_lossy().into_owned());
    record.shell_env = shell.keys().cloned().collect();
    if let Some(origin) = &mut spec.pm2 {
        origin.record = record.value();
    }
}

fn filter(record: &Record) -> FilterEnv {
    match record.shown.get("filter_env") {
        Some(Value::Bool(true)) => FilterEnv::All,
        Some(Value::String(name)) => FilterEnv::Exact(name.clone()),
        Some(Value::Array(parts)) => {
            FilterEnv::Containing(parts.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        }
        _ => FilterEnv::Off,
    }
}
