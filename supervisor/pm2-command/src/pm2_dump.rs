//! A list that pm2 itself saved: full records with the whole environment in plain text.

use std::path::Path;

use muster_pm2::load;
use muster_supervisor_protocol::AppSpec;
use serde_json::Value;

use crate::origin::Record;
use crate::{Context, Failure, spec};

/// What pm2 puts into an environment for itself.
const OF_PM2: [&str; 6] = [
    "unique_id",
    "PM2_USAGE",
    "PM2_JSON_PROCESSING",
    "PM2_INTERACTOR_PROCESSING",
    "PM2_PROGRAMMATIC",
    "pm_id",
];

/// The applications of a dump. What cannot be started is said and left out.
pub(crate) fn specs(context: &Context, file: &Path, records: &[Value]) -> Result<Vec<AppSpec>, Failure> {
    let mut surroundings = context.surroundings();
    surroundings.env_name = None;
    let loaded = load(file, &surroundings).map_err(|error| Failure::new(error.to_string()))?;
    let mut specs = Vec::new();
    for app in &loaded.apps {
        let mut spec = match spec::build(context, app) {
            Ok(spec) => spec,
            Err(failure) => {
                context.output.error(format!("{}: {failure}", app.name));
                continue;
            }
        };
        // Each has the environment it was started with, not that of whoever resurrects.
        let of_this = |record: &&Value| record.get("name").and_then(Value::as_str) == Some(app.name.as_str());
        if let Some(Value::Object(env)) = records.iter().find(of_this).and_then(|record| record.get("env")) {
            spec.env.clear();
            for (name, value) in env {
                let left_out =
                    OF_PM2.contains(&name.as_str()) || *name == app.name || *name == app.instance_var;
                let text = match value {
                    _ if left_out => continue,
                    Value::String(text) => text.clone(),
                    Value::Null => continue,
                    other => other.to_string(),
                };
                spec.env.insert(name.clone(), text);
            }
            let home = context.home.dir().to_string_lossy().into_owned();
            spec.env.insert("PM2_HOME".to_owned(), home);
        }
        let mut record = Record::of(&spec);
        record.autostart = !app.stopped;
        record.shell_env = app.shell_variables.iter().cloned().collect();
        if let Some(origin) = &mut spec.pm2 {
            origin.record = record.value();
        }
        spec::seal_digest(&mut spec);
        specs.push(spec);
    }
    Ok(specs)
}
