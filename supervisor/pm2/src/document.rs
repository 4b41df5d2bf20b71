//! A whole document: which part of it lists applications, and what stands beside them.

use serde_json::{Map, Value};

use crate::problem::Warning;
use crate::words::quoted;

/// The parts of a document.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) apps: Vec<Value>,
    pub(crate) deploy: Option<Value>,
    pub(crate) statics: Value,
    pub(crate) warnings: Vec<Warning>,
}

/// Takes a document apart as pm2 does: `apps`, else `pm2`, else the root itself; one application or a list.
pub(crate) fn parts(root: Value) -> Result<Document, String> {
    let mut warnings = Vec::new();
    let mut deploy = None;
    let mut statics = Value::Null;
    let listed = match root {
        Value::Object(mut root) => {
            let key = ["apps", "pm2"]
                .into_iter()
                .find(|key| root.get(*key).is_some_and(|v| !crate::coerce::falsy(v)));
            deploy = root.remove("deploy").filter(Value::is_object);
            beside(&root, deploy.is_some(), key, &mut warnings);
            statics = root.remove("static").unwrap_or_default();
            match key {
                Some(key) => root.remove(key).unwrap_or_default(),
                None if root.is_empty() => return Err("it describes no application".to_owned()),
                None => Value::Object(root),
            }
        }
        other => other,
    };
    let apps = match listed {
        Value::Array(apps) => apps,
        app @ Value::Object(_) => vec![app],
        other => return Err(format!("{} stands where the applications should be", kind(&other))),
    };
    if apps.is_empty() {
        return Err("the list of applications is empty".to_owned());
    }
    if let Some(other) = apps.iter().find(|app| !app.is_object()) {
        return Err(format!("{} stands in the list of applications", kind(other)));
    }
    Ok(Document { apps, deploy, statics, warnings })
}

/// What stands beside the list of applications.
fn beside(root: &Map<String, Value>, deploy: bool, key: Option<&str>, warnings: &mut Vec<Warning>) {
    if deploy {
        warnings.push(Warning::of_file(
            "deploy",
            "is not carried over: `muster release create` packs what was built, `muster deploy` moves an environment to it, node after node",
        ));
    }
    if let Some(Value::Array(sites)) = root.get("static") {
        warnings.push(Warning::of_file(
            "static",
            format!(
                "{} not carried over: a release with a small server of your own serves files, and `muster` has no file server",
                if sites.len() == 1 { "its site is".to_owned() } else { format!("its {} sites are", sites.len()) }
            ),
        ));
    }
    if let Some(key) = key {
        for other in root.keys().filter(|other| other.as_str() != key && *other != "static") {
            warnings.push(Warning::of_file(
                &quoted(other),
                format!("stands beside `{key}`, where pm2 does not look"),
            ));
        }
    }
}

fn kind(value: &Value) -> &'static str {
    crate::coerce::Kind::of(value).map_or("nothing", crate::coerce::Kind::word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_list_is_found_where_pm2_finds_it() {
        let one = json!({"script": "a.js"});
        for root in [
            json!({"apps": [one]}),
            json!({"apps": one}),
            json!({"pm2": [one]}),
            json!({"apps": null, "pm2": one}),
            json!([one]),
            one.clone(),
        ] {
            let document = parts(root.clone()).unwrap();
            assert_eq!(document.apps, std::slice::from_ref(&one), "{root}");
        }
        for root in [json!({}), json!([]), json!({"apps": []}), json!({"apps": [5]}), json!("x"), json!(null)]
        {
            assert!(parts(root.clone()).is_err(), "{root}");
        }
    }

    #[test]
    fn what_stands_beside_the_list_is_noticed() {
        let document =
            parts(json!({"apps": [{"script": "a"}], "deploy": {"production": {}}, "static": [{}], "app": 1}))
                .unwrap();
        let keys: Vec<_> = document.warnings.iter().map(|warning| warning.key.as_str()).collect();
        assert_eq!(keys, ["deploy", "static", "`app`"]);
        assert!(document.deploy.is_some());
    }
}
