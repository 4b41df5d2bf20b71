//! The settings of an application's processes: grammars of their own, and settings that contradict each other.

mod logs;

use super::{Checker, applications::account, variables::bad_name};
use crate::words::quoted;
use croner::Cron;
use muster_domain::fleet::{
    Application, ApplicationOverride, Duration, EnvValue, ExecMode, KillSignal, Limits, Runner, Size,
};
use muster_domain::host_path;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Less than this is a forgotten unit: no process fits into it.
const MEMORY_AT_LEAST: u64 = 1024 * 1024;

/// Where the settings of an application, or of an override of it, stand.
type At<'a> = Vec<&'a str>;

fn below<'a>(at: &At<'a>, field: &'a str) -> At<'a> {
    at.iter().copied().chain([field]).collect()
}

pub(super) fn check(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    for (name, application) in &configuration.applications {
        let at: At<'_> = vec!["applications", name.as_str()];
        runner(checker, application, &at);
        durations(checker, application, &at);
        restarts(checker, application, &at);
        stops(checker, application, &at);
        numbers_of_instances(checker, application, &at);
        memory(checker, application, &at);
        watch(checker, application, &at);
        logs::check(checker, application, &at);
        accounts(checker, application, &at);
        if let Some(namespace) = &application.namespace {
            named_group(checker, namespace, &below(&at, "namespace"));
        }
        arguments(checker, &application.args, &below(&at, "args"));
        arguments(checker, &application.node_args, &below(&at, "node_args"));
        sockets(checker, application, &application.listen_fds, &below(&at, "listen_fds"));
        for (environment, change) in &application.overrides {
            let at = vec!["applications", name.as_str(), "overrides", environment.as_str()];
            overridden(checker, application, change, &at);
        }
        for (node, declared) in &configuration.nodes {
            if let Some(change) = declared.overrides.get(name) {
                let at = vec!["nodes", node.as_str(), "overrides", name.as_str()];
                overridden(checker, application, change, &at);
            }
        }
    }
}

/// Exhaustive, so that a new setting that may change cannot be forgotten.
fn overridden(
    checker: &mut Checker<'_>,
    application: &Application,
    change: &ApplicationOverride,
    at: &At<'_>,
) {
    let ApplicationOverride {
        instances: _,
        port: _,
        listen_fds,
        args,
        node_args,
        env: _,
        autostart: _,
        cron_restart,
        max_memory_restart,
        max_memory,
        limits,
        listen_timeout,
        kill_timeout,
        log_rotation,
        user,
        group,
    } = change;
    arguments(checker, args.as_deref().unwrap_or_default(), &below(at, "args"));
    arguments(checker, node_args.as_deref().unwrap_or_default(), &below(at, "node_args"));
    sockets(checker, application, listen_fds.as_deref().unwrap_or_default(), &below(at, "listen_fds"));
    cron(checker, cron_restart.as_deref(), true, &below(at, "cron_restart"));
    size(checker, max_memory_restart.as_ref(), MEMORY_AT_LEAST, &below(at, "max_memory_restart"));
    kernel_limits(checker, max_memory.as_ref(), limits.as_ref(), at);
    duration(checker, listen_timeout.as_ref(), 1, &below(at, "listen_timeout"));
    duration(checker, kill_timeout.as_ref(), 0, &below(at, "kill_timeout"));
    logs::rotation(checker, log_rotation.as_ref(), at);
    account(checker, user.as_deref(), &below(at, "user"));
    account(checker, group.as_deref(), &below(at, "group"));
}

/// Script, interpreter and mode fit together.
fn runner(checker: &mut Checker<'_>, application: &Application, at: &At<'_>) {
    let Application { script, interpreter, .. } = application;
    let runner = application.runner();
    let plain = !script.chars().any(char::is_control);
    if runner == Runner::Shell {
        if script.trim() != script || !plain {
            checker.value(
                &below(at, "script"),
                format!("{} is neither a path within the release nor a command line", quoted(script)),
                "take the blanks at its ends out",
            );
        }
        if interpreter.is_some() {
            checker.key(
                &below(at, "interpreter"),
                "the script is a command line, which a shell runs",
                "take `interpreter` out; or name a file as `script`, and put the rest into `args`",
            );
        }
    } else if !host_path::stays_inside(script) {
        checker.value(
            &below(at, "script"),
            format!("{} is not a path within the release", quoted(script)),
            "write it relative to the release, without `./` and `..`: server.js, dist/server.js",
        );
    }
    if let Some(given) = interpreter {
        interpreter_name(checker, given, &below(at, "interpreter"));
    }
    let what = match &runner {
        Runner::Nodejs => None,
        Runner::Itself => Some("it is executed itself".to_owned()),
        Runner::Shell => Some("a shell runs it".to_owned()),
        Runner::Program(program) => Some(format!("{} runs it", quoted(program))),
    };
    let Some(what) = what else { return };
    if application.exec_mode == Some(ExecMode::Cluster) {
        checker.value(
            &below(at, "exec_mode"),
            format!("cluster mode is for Node.js, and {what}"),
            "write fork, or leave it out; with `listen_fds`, instances share sockets in fork mode as well",
        );
    }
    if matches!(runner, Runner::Itself | Runner::Shell) && !application.node_args.is_empty() {
        checker.key(
            &below(at, "node_args"),
            format!("there is nobody to take `node_args`: {what}"),
            "write `args`, or the flags into the command line",
        );
    }
    for (field, given) in
        [("wait_ready", application.wait_ready), ("shutdown_with_message", application.shutdown_with_message)]
    {
        if given {
            checker.warn(
                &below(at, field),
                format!(
                    "{} needs a program that speaks over the channel of Node.js, and {what}",
                    quoted(field)
                ),
                "take it out, unless the program reads and writes NODE_CHANNEL_FD",
            );
        }
    }
}

fn interpreter_name(checker: &mut Checker<'_>, given: &str, at: &At<'_>) {
    let base = given.rsplit('/').next().unwrap_or(given);
    let (message, hint) = if given.is_empty() || given.chars().any(|c| c.is_whitespace() || c.is_control()) {
        (
            format!("{} is not the name of a program", quoted(given)),
            "write the program alone, and what it is told into `node_args`: {interpreter: python3, node_args: [-O]}"
                .to_owned(),
        )
    } else if let Some(version) = given.strip_prefix("node@") {
        let hint = format!("write `nodejs: \"{version}\"` and take `interpreter` out");
        ("a version of Node.js is chosen with `nodejs`".to_owned(), hint)
    } else if matches!(base, "node" | "nodejs") && given != "node" {
        let hint = "write `nodejs: \"22\"` and take `interpreter` out".to_owned();
        ("Node.js is chosen with `nodejs`, not by a path".to_owned(), hint)
    } else if given.contains('/') && host_path::normal(given).is_none() && !host_path::stays_inside(given) {
        (
            format!("{} is not a plain path", quoted(given)),
            "write a name (python3), an absolute path, or one within the release (venv/bin/python)"
                .to_owned(),
        )
    } else {
        return;
    };
    checker.value(at, message, hint);
}

fn duration(checker: &mut Checker<'_>, duration: Option<&Duration>, at_least: u32, at: &At<'_>) {
    match duration.map(Duration::as_ms) {
        Some(None) => {
            checker.value(at, "this duration is too long", "the longest is 49 days: \"1176h\"");
        }
        Some(Some(ms)) if ms < at_least => checker.value(
            at,
            format!("{} must be more than 0", quoted(at.last().copied().unwrap_or_default())),
            "write milliseconds (3000), or a whole number with ms, s, m or h (\"10s\")",
        ),
        None | Some(Some(_)) => {}
    }
}

fn durations(checker: &mut Checker<'_>, application: &Application, at: &At<'_>) {
    duration(checker, application.listen_timeout.as_ref(), 1, &below(at, "listen_timeout"));
    for (field, given) in [
        ("kill_timeout", &application.kill_timeout),
        ("min_uptime", &application.min_uptime),
        ("restart_delay", &application.restart_delay),
        ("exp_backoff_restart_delay", &application.exp_backoff_restart_delay),
        ("watch_delay", &application.watch_delay),
    ] {
        duration(checker, given.as_ref(), 0, &below(at, field));
    }
}

fn restarts(checker: &mut Checker<'_>, application: &Application, at: &At<'_>) {
    cron(checker, application.cron_restart.as_deref(), true, &below(at, "cron_restart"));
    let waits = |given: &Option<Duration>| given.as_ref().and_then(Duration::as_ms).is_some_and(|ms| ms > 0);
    if waits(&application.restart_delay) && waits(&application.exp_backoff_restart_delay) {
        checker.warn(
            &below(at, "restart_delay"),
            "`exp_backoff_restart_delay` wins over `restart_delay`",
            "keep one of the two",
        );
    }
    if !application.autorestart && !application.stop_exit_codes.is_empty() {
        checker.warn(
            &below(at, "stop_exit_codes"),
            "with `autorestart: false`, an instance stays stopped whatever its exit code is",
            "keep one of the two",
        );
    }
}

/// A cron pattern, as the supervisor reads it.
fn cron(checker: &mut Checker<'_>, pattern: Option<&str>, zero: bool, at: &At<'_>) {
    let Some(pattern) = pattern.filter(|pattern| !(zero && pattern.trim() == "0")) else { return };
    let fields = pattern.split_whitespace().count();
    let reason = match Cron::from_str(pattern) {
        Err(error) => error.to_string(),
        Ok(_) if !pattern.trim().starts_with('@') && !(5..=6).contains(&fields) => {
            format!("it has {fields} fields")
        }
        Ok(_) => return,
    };
    let zero = if zero { "; \"0\" for never" } else { "" };
    checker.value(
        at,
        format!("{} is not a cron pattern: {reason}", quoted(pattern)),
        format!("write five fields (minute hour day month weekday), or six with seconds first: \"0 3 * * *\"{zero}"),
    );
}

fn stops(checker: &mut Checker<'_>, application: &Application, at: &At<'_>) {
    match application.kill_signal {
        Some(_) if application.shutdown_with_message => checker.warn(
            &below(at, "kill_signal"),
            "with `shutdown_with_message`, instances are asked by a message and not by this signal",
            "keep one of the two",
        ),
        Some(KillSignal::SIGKILL) => checker.warn(
            &below(at, "kill_signal"),
            "SIGKILL ends an instance in the midst of its requests",
            "use SIGINT or SIGTERM: what does not end within `kill_timeout` is killed anyway",
        ),
        _ => {}
    }
}

fn numbers_of_instances(checker: &mut Checker<'_>, application: &Application, at: &At<'_>) {
    let Application { instance_var, increment_var, .. } = application;
    for (field, given) in [("instance_var", instance_var), ("increment_var", increment_var)] {
        if let Some(name) = given
            && let Some(why) = bad_name(name)
        {
            checker.value(&below(at, field), format!("{} is not the name of a variable", quoted(name)), why);
        }
    }
    let instance_var = instance_var.as_deref().unwrap_or("NODE_APP_INSTANCE");
    if increment_var.as_deref() == Some(instance_var) {
        checker.value(
            &below(at, "increment_var"),
            format!("{} already holds the number of the instance", quoted(instance_var)),
            "choose another variable",
        );
    }
    let counted = |name: &str| match application.env.get(name) {
        Some(EnvValue::Text(text)) => text.trim().parse::<i64>().is_ok(),
        Some(EnvValue::Bool(_)) => false,
        Some(EnvValue::Integer(_)) | None => true,
    };
    if let Some(name) = increment_var
        && !counted(name)
    {
        let at: At<'_> = at.iter().copied().chain(["env", name]).collect();
        checker.value(
            &at,
            format!("{} counts upwards from here, and this is not a whole number", quoted(name)),
            "write the number of the first instance",
        );
    }
    if increment_var.as_deref() == Some("PORT") && application.health.is_some() {
        checker.key(
            &below(at, "health"),
            "with `increment_var: PORT`, every instance has a port of its own, and the health check asks one",
            "take `health` out, and use `wait_ready`",
        );
    }
}

/// Bytes that mean something: a number without its unit is a few hundred bytes.
fn size(checker: &mut Checker<'_>, size: Option<&Size>, at_least: u64, at: &At<'_>) -> Option<u64> {
    let given = size?;
    match given.as_bytes() {
        None => checker.value(at, "this size is too large", "the largest is 8 PiB"),
        Some(bytes) if bytes > 0 && bytes < at_least => {
            checker.value(
                at,
                format!("{bytes} bytes are too few"),
                format!("write a whole number with K, M or G: \"{bytes}M\""),
            );
        }
        Some(bytes) => return Some(bytes).filter(|bytes| *bytes > 0),
    }
    None
}

fn kernel_limits(
    checker: &mut Checker<'_>,
    max_memory: Option<&Size>,
    limits: Option<&Limits>,
    at: &At<'_>,
) -> Option<u64> {
    let inside = limits.and_then(|limits| limits.memory.as_ref());
    if max_memory.is_some() && inside.is_some() {
        checker.key(
            &below(at, "max_memory"),
            "`max_memory` and `limits.memory` are the same limit",
            "keep one of the two",
        );
    }
    let of_limits: At<'_> = at.iter().copied().chain(["limits", "memory"]).collect();
    let inside = size(checker, inside, MEMORY_AT_LEAST, &of_limits);
    size(checker, max_memory, MEMORY_AT_LEAST, &below(at, "max_memory")).or(inside)
}

fn memory(checker: &mut Checker<'_>, application: &Application, at: &At<'_>) {
    let Application { max_memory_restart, max_memory, limits, .. } = application;
    let soft = size(checker, max_memory_restart.as_ref(), MEMORY_AT_LEAST, &below(at, "max_memory_restart"));
    let hard = kernel_limits(checker, max_memory.as_ref(), limits.as_ref(), at);
    if let (Some(soft), Some(hard)) = (soft, hard)
        && soft >= hard
    {
        checker.warn(
            &below(at, "max_memory_restart"),
            "the kernel ends an instance before it has as much memory as this",
            "let it be less than `max_memory`: then instances are reloaded, and the limit is for emergencies",
        );
    }
}

fn watch(checker: &mut Checker<'_>, application: &Application, at: &At<'_>) {
    let Application { watch, ignore_watch, watch_delay, .. } = application;
    let paths = watch.as_ref().and_then(muster_domain::fleet::Watch::paths);
    for (field, given) in [("ignore_watch", ignore_watch.is_some()), ("watch_delay", watch_delay.is_some())] {
        if given && paths.is_none() {
            checker.warn(
                &below(at, field),
                format!("{} without `watch` does nothing", quoted(field)),
                "add `watch`",
            );
        }
    }
    if let Some(paths) = &paths {
        for path in paths {
            let inside = path.strip_prefix("./").unwrap_or(path);
            if host_path::normal(path).is_none() && !host_path::stays_inside(inside) && path != "." {
                checker.value(
                    &below(at, "watch"),
                    format!("{} is not a plain path", quoted(path)),
                    "write an absolute path of the node, or one within the release, without `..`",
                );
            }
        }
        if paths.is_empty() || paths.iter().any(|path| !path.starts_with('/')) {
            checker.warn(
                &below(at, "watch"),
                "a release never changes on a node, so there is nothing to see in it",
                "watch absolute paths, such as the folder of a settings file; while developing, use `muster-supervisor pm2 start --watch`",
            );
        }
    }
    for pattern in ignore_watch.iter().flatten() {
        let regex = regex_syntax::Parser::new().parse(pattern).is_ok();
        if pattern.is_empty() || !(regex || globset::Glob::new(pattern).is_ok()) {
            checker.value(
                &below(at, "ignore_watch"),
                format!("{} is neither a regular expression nor a glob", quoted(pattern)),
                "write names or patterns: node_modules, \"*.log\", \"\\\\.tmp$\"",
            );
        }
    }
}

fn accounts(checker: &mut Checker<'_>, application: &Application, at: &At<'_>) {
    let Application { user, group, overrides, .. } = application;
    account(checker, user.as_deref(), &below(at, "user"));
    account(checker, group.as_deref(), &below(at, "group"));
    if group.is_some() && user.is_none() && overrides.values().all(|change| change.user.is_none()) {
        checker.key(&below(at, "group"), "a group needs a user that runs with it", "add `user`");
    }
}

fn named_group(checker: &mut Checker<'_>, namespace: &str, at: &At<'_>) {
    let plain = (1..=63).contains(&namespace.len())
        && namespace.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        && namespace.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if !plain || namespace == "all" {
        checker.value(
            at,
            format!("{} is not a namespace", quoted(namespace)),
            "use up to 63 letters, digits and - _ . and begin with a letter or digit; `all` means all of them",
        );
    }
}

fn arguments(checker: &mut Checker<'_>, list: &[String], at: &At<'_>) {
    for argument in list.iter().filter(|argument| argument.contains('\0')) {
        checker.value(at, format!("{} holds a NUL byte", quoted(argument)), "take it out");
    }
}

/// An address that the supervisor listens on.
pub(super) enum Address {
    /// A port, on one address or on all.
    Port { host: Option<IpAddr>, port: u16 },
    /// A unix socket.
    Path,
}

impl Address {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.starts_with('/') {
            return host_path::normal(text).is_some_and(|path| path.len() < 108).then_some(Self::Path);
        }
        let (host, port) = match text.parse::<SocketAddr>() {
            Ok(address) => (Some(address.ip()), address.port()),
            Err(_) if text.bytes().all(|byte| byte.is_ascii_digit()) => (None, text.parse().ok()?),
            Err(_) => return None,
        };
        (port > 0).then_some(Self::Port { host, port })
    }
}

fn sockets(checker: &mut Checker<'_>, application: &Application, list: &[String], at: &At<'_>) {
    if !list.is_empty() && application.mode() == ExecMode::Cluster {
        checker.key(
            at,
            "`listen_fds` is for fork mode: in cluster mode, instances share what they listen on anyway",
            "take it out, or write `exec_mode: fork`",
        );
    }
    for (index, text) in list.iter().enumerate() {
        if Address::parse(text).is_none() {
            checker.value(
                at,
                format!("{} is not an address to listen on", quoted(text)),
                "write a port (3000), an address with a port (127.0.0.1:3000, \"[::1]:3000\"), or the absolute path of a socket of at most 107 bytes",
            );
        } else if list[..index].contains(text) {
            checker.value(at, format!("{} is listed twice", quoted(text)), "list it once");
        }
    }
}
