//! `pm2 describe`: one process as tables.

use crate::js::Js;
use crate::output::print;
use crate::record::{Secrets, pm2_env};
use crate::selector::numeric;
use crate::snapshot::Snapshot;
use crate::style::{Code, Style};
use crate::table::{Cell, without_head};
use crate::{Context, Failure, words};

/// Longer values are cut where there is no terminal.
const VALUE_AT_MOST: usize = 240;

/// Prints what is known about the processes of a name or an id.
pub(crate) async fn describe(context: &Context, selector: &str) -> Result<(), Failure> {
    let mut client = context.connect().await?;
    let snapshot = Snapshot::take(&mut client).await?;
    let meant = |process: &&crate::process::Process| {
        process.name == selector || (numeric(selector) && process.id().to_string() == selector.trim())
    };
    let found: Vec<_> = snapshot.processes.iter().filter(meant).collect();
    if found.is_empty() {
        context
            .output
            .error_line(format!("{}{selector} doesn't exist", context.output.style.yellow("[PM2][WARN] ")));
        return Err(Failure::new(""));
    }
    for process in found {
        if context.output.silent {
            continue;
        }
        let fallback = muster_supervisor_protocol::AppSpec::new(&process.name, "/", "");
        let spec = snapshot.specs.get(&process.name).unwrap_or(&fallback);
        let env = pm2_env(spec, process, Secrets::Hidden);
        print(&tables(context, process, &env, snapshot.app(&process.name)));
    }
    Ok(())
}

fn tables(
    context: &Context,
    process: &crate::process::Process,
    env: &Js,
    app: Option<&muster_supervisor_protocol::AppStatus>,
) -> String {
    let style = context.output.style;
    let instance = &process.instance;
    let status = process.status();
    let shown = |key: &str| match env.get(key) {
        None | Some(Js::Null) => "N/A".to_owned(),
        Some(value) => value.shown(),
    };
    let list = |key: &str| match env.get(key) {
        Some(Js::List(items)) if !items.is_empty() => {
            items.iter().map(Js::shown).collect::<Vec<_>>().join(" ")
        }
        _ => "N/A".to_owned(),
    };
    let uptime = if status == "online" { words::since(instance.uptime_ms) } else { "0".to_owned() };
    let created = instance.created_at.or(instance.started_at);
    let created =
        created.map_or("N/A".to_owned(), |at| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
    let mut rows: Vec<(String, Cell)> = vec![
        ("status".into(), Cell::coloured(status, words::status_codes(status))),
        ("name".into(), Cell::plain(&process.name)),
        ("namespace".into(), Cell::plain(&process.namespace)),
        ("version".into(), Cell::plain(shown("version"))),
        ("restarts".into(), Cell::plain(instance.restarts.to_string())),
    ];
    for (title, key) in [("max memory restart", "max_memory_restart"), ("cron restart", "cron_restart")] {
        if env.get(key).is_some() {
            rows.push((title.into(), Cell::plain(shown(key))));
        }
    }
    rows.push(("uptime".into(), Cell::plain(uptime)));
    if env.get("pm_log_path").is_some() {
        rows.push(("entire log path".into(), Cell::plain(shown("pm_log_path"))));
    }
    let node_env = env.get("env").and_then(|env| env.get("NODE_ENV")).map_or("N/A".to_owned(), Js::shown);
    let watched = !matches!(env.get("watch"), Some(Js::Bool(false)) | None);
    let watched = match watched {
        true => Cell::coloured("✔", &[Code::Green, Code::Bold]),
        false => Cell::plain("✘"),
    };
    let rest = [
        ("script path", Cell::plain(shown("pm_exec_path"))),
        ("script args", Cell::plain(list("args"))),
        ("error log path", Cell::plain(shown("pm_err_log_path"))),
        ("out log path", Cell::plain(shown("pm_out_log_path"))),
        ("pid path", Cell::plain(shown("pm_pid_path"))),
        ("interpreter", Cell::plain(shown("exec_interpreter"))),
        ("interpreter args", Cell::plain(list("node_args"))),
        ("script id", Cell::plain(process.id().to_string())),
        ("exec cwd", Cell::plain(shown("pm_cwd"))),
        ("exec mode", Cell::plain(shown("exec_mode"))),
        ("node.js version", Cell::plain(shown("node_version"))),
        ("node env", Cell::plain(node_env)),
        ("watch & reload", watched),
        ("unstable restarts", Cell::plain(instance.unstable_restarts.to_string())),
        ("created at", Cell::plain(created)),
    ];
    rows.extend(rest.into_iter().map(|(title, cell)| (title.to_owned(), cell)));
    // What pm2 does not know.
    if let Some(exit) = &instance.last_exit {
        rows.push(("last exit".into(), Cell::plain(&exit.reason)));
    }
    if let Some(next) = app.and_then(|app| app.next_cron_restart) {
        rows.push(("next cron restart".into(), Cell::plain(next.to_rfc3339())));
    }
    if let Some(by) = &instance.limits_by {
        rows.push(("limits by".into(), Cell::plain(by)));
    }
    if instance.dropped_log_lines > 0 {
        rows.push(("dropped log lines".into(), Cell::plain(instance.dropped_log_lines.to_string())));
    }
    let title = |text: &str| style.paint(&[Code::Bold, Code::Inverse], text) + "\n";
    let mut text = title(&format!(" Describing process with id {} - name {} ", process.id(), process.name));
    text.push_str(&two_columns(rows, style));
    if let Some(exit) = instance.last_exit.as_ref().filter(|exit| !exit.last_stderr.is_empty()) {
        text.push_str(&title(" Last lines of standard error before the last exit "));
        text.push_str(&(exit.last_stderr.join("\n") + "\n"));
    }
    let hint = |text: &str| style.paint(&[Code::White, Code::Italic], text) + "\n";
    let actions: Vec<Vec<Cell>> = (instance.actions.iter())
        .filter_map(|action| action.get("action_name")?.as_str())
        .map(|name| vec![Cell::plain(name)])
        .collect();
    if !actions.is_empty() {
        text.push_str(&title(" Actions available "));
        text.push_str(&without_head(&actions, style));
        text.push_str(&hint(&format!(" Trigger via: pm2 trigger {} <action_name>\n", process.name)));
    }
    if let Some(Js::Map(metrics)) = env.get("axm_monitor").filter(|metrics| **metrics != Js::Map(vec![])) {
        let rows = metrics.iter().map(|(name, metric)| {
            let value = metric.get("value").unwrap_or(metric).shown();
            let unit = metric.get("unit").map(Js::shown).unwrap_or_default();
            (name.clone(), Cell::plain(format!("{value} {unit}")))
        });
        text.push_str(&title(" Code metrics value "));
        text.push_str(&two_columns(rows.collect(), style));
    }
    text.push_str(&title(" Divergent env variables from local env "));
    let Some(Js::Map(variables)) = env.get("env") else { return text };
    let divergent = variables.iter().filter(|(name, value)| {
        context
            .env
            .get(name)
            .is_some_and(|local| *local != value.shown() && !muster_pm2::looks_secret(name, local))
    });
    let rows = divergent.map(|(name, value)| {
        let value: String = value.shown().chars().take(VALUE_AT_MOST).collect();
        (name.clone(), Cell::plain(value))
    });
    text.push_str(&(two_columns(rows.collect(), style) + "\n"));
    text.push_str(&hint(&format!(" Use `pm2 logs {} [--lines 1000]` to display logs", process.name)));
    text.push_str(&hint(&format!(" Use `pm2 env {}` to display environment variables", process.id())));
    text.push_str(&hint(" Use `pm2 monit` to monitor CPU and Memory usage"));
    text
}

fn two_columns(rows: Vec<(String, Cell)>, style: Style) -> String {
    let rows: Vec<Vec<Cell>> = rows
        .into_iter()
        .map(|(title, cell)| vec![Cell::coloured(title, &[Code::Cyan, Code::Bold]), cell])
        .collect();
    without_head(&rows, style)
}
