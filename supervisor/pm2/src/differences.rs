//! Where Muster does otherwise than pm2, for these applications. What is not listed is the same.

mod fields;
mod general;
mod side;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::app::Pm2App;
use crate::carry::{Carried, carry};

/// What a difference means to somebody who moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A fleet file cannot say it: somebody has to decide what happens instead.
    Lost,
    /// It behaves differently: look whether the application minds.
    Changed,
    /// It behaves differently, and nobody is known to want pm2's way.
    Improved,
}

/// One semantic difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The application, under pm2's name; `None`: all of them.
    pub app: Option<String>,
    /// The field, or the subject.
    pub field: String,
    /// What pm2 does.
    pub pm2: String,
    /// What Muster does.
    pub muster: String,
    /// What to do about it, if anything.
    pub todo: Option<String>,
    /// What it means.
    pub severity: Severity,
}

/// Every difference that concerns these applications: first what is lost, then what changes, then the rest.
pub fn differences(apps: &[Pm2App]) -> Vec<Difference> {
    let carried = carry(apps);
    let mut found = general::differences(apps);
    for (app, carried) in apps.iter().zip(&carried) {
        found.extend(fields::differences(app, carried));
    }
    found.extend(same_secret(apps, &carried));
    found.sort_by_key(|difference| difference.severity);
    found
}

/// A secret has one value in an environment, whichever application names it.
fn same_secret(apps: &[Pm2App], carried: &[Carried]) -> Vec<Difference> {
    let mut values: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for (app, carried) in apps.iter().zip(carried) {
        for name in &carried.secrets {
            if let Some(value) = app.env.get(name) {
                values.entry(name).or_default().push((&app.name, value));
            }
        }
    }
    let differing =
        values.into_iter().filter(|(_, users)| users.iter().any(|(_, value)| *value != users[0].1));
    differing
        .map(|(name, users)| {
            let apps: Vec<_> = users.iter().map(|(app, _)| *app).collect();
            Difference {
                app: None,
                field: format!("env.{name}"),
                pm2: format!("{} have different values", apps.join(" and ")),
                muster: "a secret has one value in an environment".to_owned(),
                todo: Some("give the variable another name in one of them".to_owned()),
                severity: Severity::Lost,
            }
        })
        .collect()
}

/// Collects the differences of one application.
struct Findings<'a> {
    app: Option<&'a str>,
    found: Vec<Difference>,
}

impl Findings<'_> {
    fn add(
        &mut self,
        severity: Severity,
        field: &str,
        pm2: impl Into<String>,
        muster: impl Into<String>,
    ) -> &mut Self {
        self.found.push(Difference {
            app: self.app.map(str::to_owned),
            field: field.to_owned(),
            pm2: pm2.into(),
            muster: muster.into(),
            todo: None,
            severity,
        });
        self
    }

    /// What to do about the difference that was added last.
    fn todo(&mut self, todo: impl Into<String>) {
        if let Some(last) = self.found.last_mut() {
            last.todo = Some(todo.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::surroundings::{LocalFiles, Surroundings};
    use crate::{Format, parse};

    fn found(apps: serde_json::Value) -> Vec<Difference> {
        let surroundings = Surroundings::of_this_process();
        let files = LocalFiles::new(&surroundings.env);
        let loaded =
            parse(apps, Path::new("a.json"), Format::Json, Path::new("/srv"), &surroundings, &files).unwrap();
        differences(&loaded.apps)
    }

    #[test]
    fn one_secret_with_two_values_is_lost_and_neither_is_shown() {
        let differences = found(json!([
            {"name": "api", "script": "a.js", "env": {"API_TOKEN": "one", "SHARED_KEY": "same"}},
            {"name": "web", "script": "a.js", "env": {"API_TOKEN": "two", "SHARED_KEY": "same"}},
        ]));
        let lost: Vec<_> =
            differences.iter().filter(|difference| difference.severity == Severity::Lost).collect();
        assert_eq!(lost.len(), 1, "{lost:?}");
        assert_eq!(
            (lost[0].field.as_str(), lost[0].pm2.as_str()),
            ("env.API_TOKEN", "api and web have different values")
        );
    }

    #[test]
    fn a_port_is_given_away_once() {
        let differences = found(json!([
            {"name": "api", "script": "a.js", "instances": 2, "env": {"PORT": 3000}},
            {"name": "web", "script": "a.js", "instances": 2, "env": {"PORT": "3000"}},
        ]));
        let ports: Vec<_> = differences.iter().filter(|difference| difference.field == "port").collect();
        assert_eq!(ports.len(), 1, "{ports:?}");
        assert_eq!((ports[0].app.as_deref(), ports[0].severity), (Some("web"), Severity::Lost));
    }
}
