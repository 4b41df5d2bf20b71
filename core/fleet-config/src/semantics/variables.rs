//! Names of variables and secrets, and who wins when both are given.

use super::Checker;
use crate::words::quoted;
use muster_domain::fleet::EnvValue;
use std::collections::BTreeMap;

/// Where a process environment as a whole has to fit; the kernel takes 128 KiB for one variable.
const VALUE_BYTES_AT_MOST: usize = 64 * 1024;

pub(super) fn check(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    for (name, environment) in &configuration.environments {
        variables(checker, &environment.env, &["environments", name.as_str(), "env"]);
        port(checker, &environment.env, &["environments", name.as_str(), "env"]);
    }
    for (name, application) in &configuration.applications {
        let name_text = name.as_str();
        for (index, secret) in application.secrets.iter().enumerate() {
            if let Some(why) = bad_name(secret) {
                let at = ["applications", name_text, "secrets", &index.to_string()];
                checker.value(&at, format!("{} is not the name of a secret", quoted(secret)), why);
            } else if secret == "PORT" && application.port.is_some() {
                let at = ["applications", name_text, "secrets", &index.to_string()];
                checker.value(&at, "`PORT` comes from `port`", "take the secret out");
            }
        }
        let mut layers: Vec<(&BTreeMap<String, EnvValue>, Vec<&str>)> =
            vec![(&application.env, vec!["applications", name_text, "env"])];
        for (environment, change) in &application.overrides {
            let at = vec!["applications", name_text, "overrides", environment.as_str(), "env"];
            layers.push((&change.env, at));
        }
        for (node, declared) in &configuration.nodes {
            if let Some(change) = declared.overrides.get(name) {
                layers.push((&change.env, vec!["nodes", node.as_str(), "overrides", name_text, "env"]));
            }
        }
        let has_port = application.port.is_some() || application.overrides.values().any(|o| o.port.is_some());
        for (env, at) in layers {
            variables(checker, env, &at);
            if has_port {
                port(checker, env, &at);
            }
            for key in env.keys().filter(|key| application.secrets.contains(key)) {
                let at: Vec<&str> = at.iter().copied().chain([key.as_str()]).collect();
                checker.key(
                    &at,
                    format!("{} is a secret of {} as well", quoted(key), quoted(name_text)),
                    "keep it under `secrets` and take this line out",
                );
            }
        }
    }
}

fn port(checker: &mut Checker<'_>, env: &BTreeMap<String, EnvValue>, at: &[&str]) {
    if env.contains_key("PORT") {
        let at: Vec<&str> = at.iter().copied().chain(["PORT"]).collect();
        checker.key(&at, "`PORT` comes from `port` of the application", "set `port:` and take this line out");
    }
}

pub(super) fn variables(checker: &mut Checker<'_>, env: &BTreeMap<String, EnvValue>, at: &[&str]) {
    for (key, value) in env {
        let at: Vec<&str> = at.iter().copied().chain([key.as_str()]).collect();
        if let Some(why) = bad_name(key) {
            checker.key(&at, format!("{} is not the name of a variable", quoted(key)), why);
        }
        if let EnvValue::Text(text) = value {
            if text.contains('\0') {
                checker.value(&at, format!("the value of {} holds a NUL byte", quoted(key)), "take it out");
            } else if text.len() > VALUE_BYTES_AT_MOST {
                let message = format!("the value of {} is longer than 64 KiB", quoted(key));
                checker.value(&at, message, "put it into a file under `files:`");
            }
        }
    }
}

pub(super) fn bad_name(name: &str) -> Option<&'static str> {
    let bytes = name.as_bytes();
    let ok = (1..=128).contains(&bytes.len())
        && !bytes[0].is_ascii_digit()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
    (!ok).then_some("use letters, digits and _, and do not begin with a digit: LOG_LEVEL")
}
