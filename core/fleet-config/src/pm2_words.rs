//! pm2's keys that fleet files do not take, and what to write instead: nobody who comes from pm2 shall have to guess.

use crate::words::quoted;
use std::borrow::Cow;

/// Other names of pm2's for keys that fleet files know.
const ALIASES: &[(&str, &str)] = &[
    ("exec", "script"),
    ("cmd", "script"),
    ("command", "script"),
    ("exec_interpreter", "interpreter"),
    ("interpreter_args", "node_args"),
    ("out", "out_file"),
    ("output", "out_file"),
    ("out_log", "out_file"),
    ("error", "error_file"),
    ("err", "error_file"),
    ("err_file", "error_file"),
    ("err_log", "error_file"),
    ("log", "log_file"),
    ("pid", "pid_file"),
    ("cron", "cron_restart"),
    ("combine_logs", "merge_logs"),
    ("uid", "user"),
    ("gid", "group"),
];

/// Keys of pm2's that have nothing to say in a fleet, and what does instead.
const WITHOUT_MEANING: &[(&str, &str)] = &[
    ("name", "the key above is the name of the application"),
    (
        "name_prefix",
        "pm2 itself makes no use of it in files; put the prefix into the name of the application",
    ),
    (
        "append_env_to_name",
        "an application has one name in all environments: `muster ps` shows the environment beside it",
    ),
    (
        "cwd",
        "the working directory is the release; choose its folder with `muster release create NAME --dir FOLDER`",
    ),
    (
        "filter_env",
        "nothing is inherited, so there is nothing to keep away: a process gets `env`, `secrets`, and PATH, HOME, PORT",
    ),
    ("execute_command", "write `exec_mode: fork`"),
    ("kill_retry_time", "the kernel tells when a process is gone: nothing is polled"),
    ("watch_options", "write `watch`, `ignore_watch` and `watch_delay`"),
    ("disable_source_map_support", "write `source_map_support: false`"),
    ("force", "an application runs once per node, with as many `instances` as it says"),
    ("vizion", "a release knows the commit that it was made from; nothing looks at git on a node"),
    ("post_update", "there is no pull on nodes; write what builds a release as `build`"),
    ("pmx", "nothing is injected into processes; CPU and memory are measured from outside"),
    ("automation", "nothing is injected into processes; CPU and memory are measured from outside"),
    ("trace", "it is for pm2's hosted monitoring; take it out"),
    ("disable_trace", "it is for pm2's hosted monitoring; take it out"),
    ("v8", "it is for pm2's hosted monitoring; take it out"),
    ("event_loop_inspector", "it is for pm2's hosted monitoring; take it out"),
    ("deep_monitoring", "it is for pm2's hosted monitoring; take it out"),
    ("io", "it is for pm2's hosted monitoring; take it out"),
    ("install_url", "it is for pm2's modules, which there are not"),
    ("write", "a fleet file is written by people; `muster pm2 import` writes the first one"),
    ("username", "pm2 itself overwrites it; the account that runs an application is `user`"),
    ("windowsHide", "nodes run Linux"),
    ("deploy", "write `build`, then `muster release create` and `muster deploy`"),
];

/// Keys of pm2-logrotate.
const OF_LOGROTATE: &[(&str, &str)] = &[
    ("retain", "keep"),
    ("rotateInterval", "schedule"),
    ("rotate_interval", "schedule"),
    ("maxSize", "max_size"),
    ("max_bytes", "max_size"),
    ("minFree", "min_free"),
];

/// Sections of pm2's own files.
const SECTIONS: [&str; 4] = ["apps", "deploy", "static", "pm2"];

/// What is said of a key that a map does not know, when it is one of pm2's: the problem, and what to do.
pub(crate) fn explain(definition: Option<&str>, key: &str, known: &[&str]) -> Option<(String, String)> {
    match definition {
        Some("Application" | "ApplicationOverride") => of_application(key, known),
        Some("LogRotation") => {
            let (_, ours) = OF_LOGROTATE.iter().find(|(theirs, _)| *theirs == key)?;
            Some((format!("{} is `{ours}` here", quoted(key)), format!("write `{ours}`")))
        }
        None if SECTIONS.contains(&key) && known.contains(&"applications") => Some((
            format!("{} is a section of pm2's files", quoted(key)),
            "`muster pm2 import FILE` prints what to write instead, and what changes".to_owned(),
        )),
        _ => None,
    }
}

fn of_application(key: &str, known: &[&str]) -> Option<(String, String)> {
    let snake = snake_case(key);
    let camel = snake != key;
    if let Some((_, why)) = WITHOUT_MEANING.iter().find(|(theirs, _)| *theirs == key || *theirs == snake) {
        return Some((format!("{} of pm2 has no meaning in a fleet", quoted(key)), (*why).to_owned()));
    }
    if let Some(environment) = key.strip_prefix("env_").filter(|environment| !environment.is_empty()) {
        return Some((
            format!("{} of pm2 is an override here", quoted(key)),
            format!("write `overrides: {{{environment}: {{env: …}}}}`"),
        ));
    }
    let alias = ALIASES.iter().find(|(theirs, _)| *theirs == key || *theirs == snake);
    let (right, what) = match alias {
        Some((_, right)) => (*right, "alias of"),
        None if camel && known.contains(&&*snake) => {
            (known.iter().copied().find(|known| *known == snake)?, "camelCase for")
        }
        None => return None,
    };
    let hint = match known.contains(&right) {
        true => format!("write `{right}`"),
        false => {
            format!("`{right}` belongs to the application itself, and cannot differ between environments")
        }
    };
    Some((format!("{} is pm2's {what} `{right}`", quoted(key)), hint))
}

fn snake_case(key: &str) -> Cow<'_, str> {
    if !key.bytes().any(|byte| byte.is_ascii_uppercase())
        || !key.starts_with(|c: char| c.is_ascii_lowercase())
    {
        return Cow::Borrowed(key);
    }
    let mut snake = String::new();
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    Cow::Owned(snake)
}

/// pm2's keys that an application of a fleet file does not take, with what to do instead: for the documentation.
pub fn pm2_keys() -> impl Iterator<Item = (&'static str, String)> {
    let aliases = ALIASES.iter().map(|(key, right)| (*key, format!("write `{right}`")));
    aliases.chain(WITHOUT_MEANING.iter().map(|(key, why)| (*key, (*why).to_owned())))
}
