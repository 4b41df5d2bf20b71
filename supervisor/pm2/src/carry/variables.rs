//! Variables on their way into a fleet file: plain ones, secrets, and the port.

use std::collections::BTreeSet;

use muster_domain::EnvironmentName;
use serde_json::{Map, Value, json};

use super::{Carried, label};
use crate::app::{ExecMode, Pm2App, Variables};
use crate::secrets::looks_secret;

/// Values of variables that a fleet file takes.
const VALUE_BYTES_AT_MOST: usize = 64 * 1024;

/// Variables, secrets, the port, and the sections `env_<name>` as overrides of environments.
pub(super) fn carry(app: &Pm2App, ports: &mut BTreeSet<u16>, carried: &mut Carried) {
    let mut layers: Vec<(Option<EnvironmentName>, Variables)> = vec![(None, app.env.clone())];
    for (section, variables) in app.environments.iter().filter(|_| app.chosen_env.is_none()) {
        match label(section).and_then(|name| EnvironmentName::parse(name).ok()) {
            Some(name) if !carried.environments.values().any(|known| *known == name) => {
                carried.environments.insert(section.clone(), name.clone());
                layers.push((Some(name), variables.clone()));
            }
            _ => carried.unnamed_sections.push(section.clone()),
        }
    }
    // What is a secret somewhere is one everywhere: a fleet file does not take it as both.
    for (_, layer) in &layers {
        let found =
            layer.iter().filter(|(name, value)| name_refused(name).is_none() && looks_secret(name, value));
        carried.secrets.extend(found.map(|(name, _)| name.clone()));
    }
    let shared = carried.mode == ExecMode::Fork && app.instances.several();
    let all_ports = layers.iter().filter_map(|(_, layer)| layer.get("PORT"));
    let plain_ports = all_ports.clone().all(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let taken = all_ports.filter_map(|port| port.parse().ok()).find(|port| ports.contains(port));
    // In fork mode, instances cannot share the port of a fleet file; they get the same PORT as with pm2.
    let as_port = plain_ports && !shared && taken.is_none();
    carried.port_taken = taken.filter(|_| plain_ports);
    let mut overrides = Map::new();
    for (environment, layer) in layers {
        let mut settings = Map::new();
        let mut env = Map::new();
        for (name, value) in layer.0 {
            let refused = name_refused(&name).or_else(|| value_refused(&value));
            match (name.as_str(), value.parse::<u16>()) {
                ("PORT", Ok(port)) if as_port => {
                    if carried.left_out.is_none() {
                        ports.insert(port);
                    }
                    settings.insert("port".to_owned(), json!(port));
                }
                _ if carried.secrets.contains(&name) => {
                    let own = environment.clone().map(|environment| (name, environment));
                    carried.secrets_of_environments.extend(own);
                }
                _ if refused.is_some() => {
                    carried.refused_variables.extend(refused.map(|reason| (name, reason)));
                }
                _ => {
                    env.insert(name, plain(value));
                }
            }
        }
        if !env.is_empty() {
            settings.insert("env".to_owned(), Value::Object(env));
        }
        match environment {
            None => carried.settings.extend(settings),
            Some(_) if settings.is_empty() => {}
            Some(environment) => {
                overrides.insert(environment.to_string(), Value::Object(settings));
            }
        }
    }
    carried.refused_variables.sort();
    carried.refused_variables.dedup();
    if !overrides.is_empty() {
        carried.set("overrides", Value::Object(overrides));
    }
    if !carried.secrets.is_empty() {
        let names: Vec<_> = carried.secrets.iter().cloned().collect();
        carried.set("secrets", json!(names));
    }
}

fn name_refused(name: &str) -> Option<&'static str> {
    let ok = (1..=128).contains(&name.len())
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (!ok).then_some("its name is not made of letters, digits and _")
}

fn value_refused(value: &str) -> Option<&'static str> {
    if value.contains('\0') {
        Some("its value holds a NUL byte")
    } else if value.len() > VALUE_BYTES_AT_MOST {
        Some("its value is longer than 64 KiB")
    } else {
        None
    }
}

/// Numbers and truth values as such, where that is the same text again.
fn plain(text: String) -> Value {
    match text.as_str() {
        "true" => json!(true),
        "false" => json!(false),
        _ => match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => json!(number),
            _ => json!(text),
        },
    }
}
