//! Applications: versions of Node.js, health, secrets, names of accounts.

use super::Checker;
use crate::words::quoted;
use muster_domain::{
    ApplicationName,
    fleet::{Application, Health},
};

pub(super) fn check(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    for (name, application) in &configuration.applications {
        let at = |field| ["applications", name.as_str(), field];
        nodejs(checker, &application.nodejs, at("nodejs"));
        health(checker, name, application);
        for (index, secret) in application.secrets.iter().enumerate() {
            if application.secrets[..index].contains(secret) {
                let index = index.to_string();
                checker.value(
                    &["applications", name.as_str(), "secrets", &index],
                    format!("secret {} is listed twice", quoted(secret)),
                    "list it once",
                );
            }
        }
    }
}

fn nodejs(checker: &mut Checker<'_>, range: &str, at: [&str; 3]) {
    let printable = range.len() <= 128 && !range.chars().any(char::is_control) && !range.trim().is_empty();
    if !printable || nodejs_semver::Range::parse(range).is_err() {
        checker.value(
            &at,
            format!("{} is not a range of Node.js versions", quoted(range)),
            "write it as in the engines of package.json: 22, >=20.19, ^22.1.0, 20 || 22",
        );
    }
}

fn health(checker: &mut Checker<'_>, name: &ApplicationName, application: &Application) {
    let at = |field| ["applications", name.as_str(), field];
    let Some(health) = &application.health else { return };
    let has_port = |a: &Application| {
        a.port.is_some() || checker.faulty(&at("port")) || a.overrides.values().any(|o| o.port.is_some())
    };
    if !has_port(application) {
        checker.key(
            &at("health"),
            format!("the health check of {} needs a port to ask on", quoted(name.as_str())),
            "add `port:` to the application",
        );
    }
    if application.wait_ready {
        checker.key(
            &at("wait_ready"),
            "`wait_ready` and `health` are two ways to be ready",
            "keep `health`, or take it out to wait for process.send('ready')",
        );
    }
    let below = |field| ["applications", name.as_str(), "health", field];
    match health {
        Health::Http(path) => {
            let plain =
                path.starts_with('/') && path.len() <= 1024 && path.bytes().all(|b| b.is_ascii_graphic());
            if !plain {
                checker.value(
                    &below("http"),
                    format!("{} is not a path of a request", quoted(path)),
                    "begin with / and leave the host out; write a space as %20: /healthz",
                );
            }
        }
        Health::Tcp(true) => {}
        Health::Tcp(false) => checker.value(
            &below("tcp"),
            "`tcp: false` checks nothing",
            "write `tcp: true`, or take `health` out: then an instance is ready when it listens",
        ),
    }
}

/// Names of accounts and groups, as useradd takes them, or their numbers.
pub(super) fn account(checker: &mut Checker<'_>, name: Option<&str>, at: &[&str]) {
    let Some(name) = name else { return };
    let bytes = name.as_bytes();
    let named = (1..=32).contains(&bytes.len())
        && (bytes[0].is_ascii_lowercase() || bytes[0] == b'_')
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
    // The last number means nobody.
    let numbered = name.parse::<u32>().is_ok_and(|number| number < u32::MAX && number.to_string() == name);
    if !named && !numbered {
        checker.value(
            at,
            format!("{} is not the name of an account", quoted(name)),
            "use up to 32 lower-case letters, digits, - and _, and begin with a letter; or a number",
        );
    }
}
