//! What differs because of what one application says.

use super::{Difference, Findings, Severity, side};
use crate::app::{ExecMode, FilterEnv, InstancesGiven, Pm2App};
use crate::carry::Carried;
use crate::secrets::argument_looks_secret;
use crate::words::{count, quoted, size, span};

use Severity::{Changed, Improved, Lost};

pub(super) fn differences(app: &Pm2App, carried: &Carried) -> Vec<Difference> {
    let mut findings = Findings { app: Some(&app.name), found: Vec::new() };
    if let Some(reason) = &carried.left_out {
        findings.add(
            Lost,
            "script",
            format!("runs {} with {}", quoted(&app.script), app.interpreter.name()),
            format!("not carried over: {reason}"),
        );
        findings.todo("its entry is in the fragment, commented out");
    }
    if carried.left_out.is_none() {
        start(app, carried, &mut findings);
    }
    identity(app, carried, &mut findings);
    variables(app, carried, &mut findings);
    instances(app, carried, &mut findings);
    restarts(app, carried, &mut findings);
    starts_and_stops(app, carried, &mut findings);
    side::logs(app, carried, &mut findings);
    side::without_meaning(app, carried, &mut findings);
    findings.found
}

/// How it is started, where that is not plain Node.js.
fn start(app: &Pm2App, carried: &Carried, findings: &mut Findings<'_>) {
    if let Some(line) = &carried.command_line {
        findings.add(
            Changed,
            "script",
            match app.command_line {
                Some(_) => "a shell runs the command line".to_owned(),
                None => format!("runs {} with {}", quoted(&app.script), app.interpreter.name()),
            },
            format!("a shell runs {}, in fork mode; its programs are those of the node", quoted(line)),
        );
        findings.todo("name the file that runs in the end: then signals reach it directly, and cluster mode is possible");
    } else if !app.interpreter.nodejs() {
        findings.add(
            Changed,
            "interpreter",
            format!("{}, found when it is started here", app.interpreter.name()),
            "the same, and it must be there on every node that runs it",
        );
        if app.exec_mode == ExecMode::Cluster {
            findings.add(
                Changed,
                "exec_mode",
                "runs it in cluster mode",
                "fork: cluster mode is for Node.js",
            );
        }
    }
}

fn identity(app: &Pm2App, carried: &Carried, findings: &mut Findings<'_>) {
    if carried.name.as_str() != app.name {
        findings.add(
            Changed,
            "name",
            quoted(&app.name),
            format!("{}: a name is a DNS label", quoted(carried.name.as_str())),
        );
    }
    lost(
        findings,
        carried,
        "namespace",
        format!("{} selects it", quoted(&app.namespace)),
        "a namespace has letters, digits, - _ and . only",
    );
    if app.name_prefix.is_some() {
        findings.add(Improved, "name_prefix", "has no effect in a file", "is not carried over");
    }
    if app.append_env_to_name {
        findings.add(
            Changed,
            "append_env_to_name",
            "every environment makes an application of its own",
            "one application has one name in all environments",
        );
    }
    if app.gives("cwd") {
        findings.add(
            Changed,
            "cwd",
            format!("runs in {}", app.cwd.display()),
            "the working directory is the release",
        );
        findings.todo(format!("muster release create {} --dir {}", carried.name, app.cwd.display()));
    }
    if let Some(user) = &app.uid {
        if carried.lost.contains("uid") {
            findings.add(Lost, "uid", format!("runs as {}", quoted(user)), "no account can have that name");
            findings.todo("add `user: NAME`");
        } else {
            findings.add(
                Changed,
                "uid",
                "must exist where pm2 runs",
                "is `user`, and must exist on every node that runs it",
            );
        }
    }
    if let Some(group) = &app.gid {
        if carried.lost.contains("gid") {
            let pm2 = format!("runs with the group {}", quoted(group));
            findings.add(Lost, "gid", pm2, "a group needs a user, and the name of a group");
        } else {
            findings.add(
                Changed,
                "gid",
                "must exist where pm2 runs",
                "is `group`, and must exist on every node that runs it",
            );
        }
    }
}

fn variables(app: &Pm2App, carried: &Carried, findings: &mut Findings<'_>) {
    for name in &carried.secrets {
        findings.add(
            Changed,
            &format!("env.{name}"),
            "stands in the file in plain text",
            "looks like a secret, and became one: its value is not in the fragment",
        );
        findings.todo(format!("muster secret set {name}"));
    }
    for (name, reason) in &carried.refused_variables {
        findings.add(Lost, "env", format!("sets {}", quoted(name)), format!("is not taken: {reason}"));
    }
    if app.args.iter().chain(&app.node_args).any(|argument| argument_looks_secret(argument)) {
        findings.add(
            Changed,
            "args",
            "an argument looks like a secret",
            "it stands in the fragment as it is, and in `ps`",
        );
        findings.todo("pass it as a variable, and as a secret");
    }
    if let Some(port) = carried.port_taken {
        findings.add(
            Lost,
            "port",
            format!("shares port {port} with another application"),
            "an application has its port of a node for itself",
        );
        findings.todo(
            "give it another port, or other nodes with `on:`; the fragment sets PORT as a plain variable",
        );
    }
    for (section, environment) in &carried.environments {
        findings.add(
            Changed,
            &format!("env_{section}"),
            format!("is used with --env {section}"),
            format!("became an override for the environment {environment}, which must be declared"),
        );
    }
    for section in &carried.unnamed_sections {
        findings.add(
            Lost,
            &format!("env_{section}"),
            format!("is used with --env {section}"),
            "no environment can have that name",
        );
        findings.todo(format!("import with --env {section}, and put the result under `overrides`"));
    }
    match &app.filter_env {
        FilterEnv::Off => {}
        FilterEnv::All => {
            findings.add(
                Improved,
                "filter_env",
                "has no effect (measured; documented otherwise)",
                "nothing is inherited",
            );
        }
        FilterEnv::Exact(_) | FilterEnv::Containing(_) => {
            findings.add(
                Improved,
                "filter_env",
                "keeps some variables of the shell away",
                "nothing is inherited",
            );
        }
    }
    if !app.shell_variables.is_empty() {
        findings.add(
            Changed,
            "env",
            format!(
                "the dump holds {} of the shell that started it",
                count(app.shell_variables.len(), "variable")
            ),
            format!("left out: {}", app.shell_variables.join(", ")),
        );
        findings.todo("declare those that it reads");
    }
}

fn instances(app: &Pm2App, carried: &Carried, findings: &mut Findings<'_>) {
    match app.instances.given {
        InstancesGiven::AllBut(fewer) => {
            findings.add(
                Lost,
                "instances",
                format!("{fewer} fewer than processors: {} here", app.instances.count),
                "the fragment says `max`, one for each processor",
            );
            findings.todo("write a number");
        }
        InstancesGiven::Count(count) if count > 256 => {
            findings.add(Lost, "instances", format!("{count}"), "at most 256");
        }
        _ => {}
    }
    if carried.mode == ExecMode::Fork && carried.left_out.is_none() {
        findings.add(
            Changed,
            "exec_mode",
            "fork: reload is a plain restart",
            "fork: the old process may have to go first, and a rollout waits until the new one is ready",
        );
        findings.todo(match app.interpreter.nodejs() && carried.command_line.is_none() {
            true => "with a server on Node.js: exec_mode: cluster, and no request is lost",
            false => "with a server that takes sockets from systemd: listen_fds, and no request is lost",
        });
        if app.instances.several() && app.env.contains_key("PORT") {
            findings.add(
                Changed,
                "port",
                "every instance gets the same PORT",
                "the same, as a plain variable: `port:` is for instances that can share it",
            );
        }
    }
    let variable = format!("the number of an instance is {}", app.instance_var);
    lost(
        findings,
        carried,
        "instance_var",
        variable,
        "that is not the name of a variable; it is NODE_APP_INSTANCE",
    );
    if let Some(variable) = &app.increment_var {
        let pm2 = format!("{variable} counts upwards from instance to instance");
        lost(
            findings,
            carried,
            "increment_var",
            pm2,
            "that is not the name of a variable, or its value is no whole number",
        );
    }
}

fn restarts(app: &Pm2App, carried: &Carried, findings: &mut Findings<'_>) {
    if app.stopped {
        findings.add(
            Changed,
            "status",
            "was stopped, or had failed, when the dump was written",
            "the fragment says autostart: false, so it is known and stopped",
        );
        findings.todo("take autostart out if it shall run, or the whole application if it shall not");
    }
    if !app.autorestart && app.restart_delay_ms > 0 {
        findings.add(
            Improved,
            "restart_delay",
            "with autorestart: false, it stays `waiting restart` for ever (measured)",
            "it ends as stopped",
        );
    }
    if let Some(ms) = app.exp_backoff_restart_delay_ms {
        let pm2 = format!("waits {}, then 1.5 times longer each time, at most 15 s", span(ms));
        lost(findings, carried, "exp_backoff_restart_delay", pm2, "the longest first wait is 49 days");
    }
    if app.restart_delay_ms > 0 && app.autorestart {
        findings.add(
            Improved,
            "restart_delay",
            "a slow crash loop is never caught (measured)",
            "unstable exits are counted in a sliding window",
        );
    }
    if let Some(bytes) = app.max_memory_restart_bytes {
        let pm2 = format!("every 30 s: reload when it has more than {}", size(bytes));
        if carried.lost.contains("max_memory_restart") {
            lost(findings, carried, "max_memory_restart", pm2, "less than any process needs");
        } else {
            findings.add(
                Improved,
                "max_memory_restart",
                pm2,
                "the same; `max_memory` has the kernel hold a limit at every moment",
            );
        }
    }
    if let Some(pattern) = &app.cron_restart {
        let pm2 = format!("{}: restarts it, and starts it when it was stopped (measured)", quoted(pattern));
        if carried.settings.contains_key("cron_restart") {
            findings.add(
                Changed,
                "cron_restart",
                pm2,
                "leaves it alone when somebody stopped it; the time zone is that of the node",
            );
        }
        lost(
            findings,
            carried,
            "cron_restart",
            "restarts it by the clock",
            "the pattern is not one of 5 or 6 fields",
        );
    }
    if carried.lost.contains("watch") {
        lost(
            findings,
            carried,
            "watch",
            "restarts all instances when a file changes",
            "a release never changes on a node",
        );
        findings
            .todo("watch is for development: leave it there; folders outside of the release can be watched");
    }
    lost(
        findings,
        carried,
        "ignore_watch",
        "passes some files over",
        "a pattern is neither a regular expression nor a glob",
    );
}

/// When an instance counts as started: pm2 asks less of it.
fn readiness(app: &Pm2App, carried: &Carried, findings: &mut Findings<'_>) {
    let theirs = span(app.listen_timeout_ms);
    let ours =
        if carried.settings.contains_key("listen_timeout") { theirs.clone() } else { "10 s".to_owned() };
    let has_port = carried.settings.contains_key("port");
    match carried.mode {
        _ if carried.left_out.is_some() => {}
        _ if app.wait_ready => {
            findings.add(
                Improved,
                "wait_ready",
                format!("counts as online after {theirs} even without `ready` (measured)"),
                "never ready is a failure: the old release stays, the exit code is 1",
            );
        }
        ExecMode::Cluster => {
            findings.add(
                Changed,
                "listen_timeout",
                format!("counts as online when it listens, or after {theirs}"),
                format!("must listen within {ours}, else it failed"),
            );
            findings.todo("for one that never listens: exec_mode: fork, or wait_ready: true");
        }
        ExecMode::Fork if has_port => {
            findings.add(
                Changed,
                "listen_timeout",
                "counts as online at once",
                format!("must accept connections on its port within {ours}, else it failed"),
            );
            findings.todo("for one that does not listen on it: take `port` out");
        }
        ExecMode::Fork => {
            findings.add(
                Improved,
                "online",
                "counts as online at once",
                "counts as ready when it has lived for `min_uptime`",
            );
        }
    }
}

fn starts_and_stops(app: &Pm2App, carried: &Carried, findings: &mut Findings<'_>) {
    readiness(app, carried, findings);
    if carried.lost.contains("listen_timeout") {
        findings.add(Lost, "listen_timeout", span(app.listen_timeout_ms), "from 1 ms to 49 days");
    }
    if app.shutdown_with_message {
        let pm2 = "stop sends the message `shutdown`, reload a signal (measured)";
        findings.add(Improved, "shutdown_with_message", pm2, "both send the message");
    }
    if app.kill_signal != "SIGINT" {
        lost(findings, carried, "kill_signal", format!("{} by PM2_KILL_SIGNAL", app.kill_signal), "SIGINT");
    }
}

/// Adds what a fleet file cannot say, if it cannot.
pub(super) fn lost(
    findings: &mut Findings<'_>,
    carried: &Carried,
    field: &'static str,
    pm2: impl Into<String>,
    muster: impl Into<String>,
) {
    if carried.lost.contains(field) {
        findings.add(Lost, field, pm2, muster);
    }
}
