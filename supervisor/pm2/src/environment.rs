//! Environment variables: which an application gets, and which are filtered.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::app::{FilterEnv, Variables};
use crate::coerce;

/// What of the caller's environment pm2 puts beneath the application's own. `true` filters all, as pm2's documentation
/// says; pm2 7.0.3 itself filters nothing then.
pub fn inherited_env(caller: &BTreeMap<String, String>, filter: &FilterEnv) -> Variables {
    let kept = |name: &str| match filter {
        FilterEnv::Off => true,
        FilterEnv::All => false,
        FilterEnv::Exact(exact) => name != exact,
        FilterEnv::Containing(parts) => !parts.iter().any(|part| name.contains(part.as_str())),
    };
    caller.iter().filter(|(name, _)| kept(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

pub(crate) fn filter(value: Option<&Value>) -> FilterEnv {
    match value {
        Some(Value::Bool(true)) => FilterEnv::All,
        Some(Value::String(name)) if !name.is_empty() => FilterEnv::Exact(name.clone()),
        // An empty list has no effect, because pm2 asks for its length.
        Some(Value::Array(parts)) if !parts.is_empty() => {
            FilterEnv::Containing(parts.iter().map(coerce::text).collect())
        }
        _ => FilterEnv::Off,
    }
}

/// A section's variables; maps and lists become JSON, `null` the text "null", as with pm2.
pub(crate) fn variables(section: Option<&Value>) -> Variables {
    let Some(Value::Object(entries)) = section else { return Variables::default() };
    let value = |value: &Value| match value {
        Value::Array(_) | Value::Object(_) => value.to_string(),
        other => coerce::text(other),
    };
    entries.iter().map(|(name, entry)| (name.clone(), value(entry))).collect()
}

/// The layers of one application.
pub(crate) struct Layers<'a> {
    pub(crate) env: Variables,
    pub(crate) port: Option<u16>,
    /// `env` of the chosen section of `deploy`.
    pub(crate) deploy: Option<&'a Value>,
    /// The chosen `env_<name>`.
    pub(crate) chosen: Option<&'a Variables>,
}

impl Layers<'_> {
    /// Measured with pm2 7.0.3: `env` < `port` < `deploy.<name>.env` < `env_<name>`.
    pub(crate) fn united(self) -> Variables {
        let mut env = self.env;
        if let Some(port) = self.port {
            env.insert("PORT".to_owned(), port.to_string());
        }
        env.extend(variables(self.deploy).0);
        if let Some(chosen) = self.chosen {
            env.extend(chosen.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        env
    }
}
