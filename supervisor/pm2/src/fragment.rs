//! The fleet-file fragment: the applications as `muster apply` takes them, with what is left to do in comments.

use std::collections::BTreeMap;
use std::fmt;

use muster_domain::fleet::{Application, FleetConfiguration};
use serde_json::Value;

use crate::app::Pm2App;
use crate::carry::{Carried, carry};

/// What goes into a fleet file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// `applications:` in YAML.
    pub text: String,
    /// The names of the secrets that it names and whose values must be set.
    pub secrets: Vec<String>,
}

impl fmt::Display for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The fragment for these applications. What looks like a secret is named, and its value is nowhere.
pub fn fleet_fragment(apps: &[Pm2App]) -> Fragment {
    let carried = carry(apps);
    let mut secrets: Vec<String> =
        carried.iter().flat_map(|carried| carried.secrets.iter().cloned()).collect();
    secrets.sort();
    secrets.dedup();
    let none_runs = carried.iter().all(|carried| carried.left_out.is_some());
    let mut text = if none_runs { "applications: {}\n".to_owned() } else { "applications:\n".to_owned() };
    for (app, carried) in apps.iter().zip(&carried) {
        entry(&mut text, app, carried);
    }
    Fragment { text, secrets }
}

fn entry(text: &mut String, app: &Pm2App, carried: &Carried) {
    let mut comments = Vec::new();
    if carried.name.as_str() != app.name {
        comments.push(format!("{} in pm2", shown(&app.name)));
    }
    if let Some(reason) = &carried.left_out {
        comments.push(format!("left out: {}", shown(reason)));
    }
    if !carried.lost.is_empty() {
        let fields: Vec<_> = carried.lost.iter().copied().collect();
        comments.push(format!("not carried over: {}", fields.join(", ")));
    }
    if !carried.environments.is_empty() {
        let names: Vec<_> = carried.environments.values().map(ToString::to_string).collect();
        comments.push(format!("environments to declare: {}", names.join(", ")));
    }
    for name in &carried.secrets {
        comments.push(format!("muster secret set {name}"));
    }
    for (name, environment) in &carried.secrets_of_environments {
        comments.push(format!("muster secret set {name} --environment {environment}"));
    }
    for comment in comments {
        text.push_str(&format!("  # {comment}\n"));
    }
    let yaml = yaml(carried);
    for line in yaml.lines().skip(1) {
        match &carried.left_out {
            // As an editor comments lines out.
            Some(_) => text.push_str(&format!("  # {}\n", line.strip_prefix("  ").unwrap_or(line))),
            None => text.push_str(&format!("{line}\n")),
        }
    }
}

fn yaml(carried: &Carried) -> String {
    let application: Application = serde_json::from_value(Value::Object(carried.settings.clone()))
        .expect("every setting was made for, or tried with, this type");
    let applications = BTreeMap::from([(carried.name.clone(), application)]);
    muster_fleet_config::to_yaml(&FleetConfiguration { applications, ..FleetConfiguration::default() })
}

/// Text from elsewhere, within one line of a comment.
fn shown(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .collect()
}
