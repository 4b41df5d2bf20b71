//! Applications that pm2 was told to remember.

use super::source::Source;
use muster_domain::inventory::{InstalledPm2Application, InstalledUser};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Applications of one user that are looked at.
const MAX_APPLICATIONS: usize = 200;
/// The longest text of a field.
const MAX_TEXT: usize = 4096;

/// What is read of an instance in pm2's dump. Environments are in it as well, and stay there.
#[derive(Deserialize)]
struct Dumped {
    name: Option<String>,
    pm_exec_path: Option<String>,
    pm_cwd: Option<String>,
    exec_mode: Option<String>,
    exec_interpreter: Option<String>,
}

/// The applications in the dumps of these users and of root.
pub(super) fn read(source: &mut Source<'_>, users: &[InstalledUser]) -> Vec<InstalledPm2Application> {
    let mut homes: BTreeMap<String, String> = BTreeMap::from([("root".into(), "/root".into())]);
    homes.extend(users.iter().map(|user| (user.name.clone(), user.home.clone())));
    let mut found = Vec::new();
    for (user, home) in homes {
        if !home.starts_with('/') || home.split('/').any(|part| part == "..") {
            continue;
        }
        let path = format!("{home}/.pm2/dump.pm2");
        let Some(text) = source.text(&path) else { continue };
        match serde_json::from_str::<Vec<Dumped>>(&text) {
            Ok(instances) => found.extend(applications(&user, instances)),
            Err(error) => source.note(format!("{path} cannot be read: {error}")),
        }
    }
    found
}

/// Instances of one name are one application.
fn applications(user: &str, instances: Vec<Dumped>) -> Vec<InstalledPm2Application> {
    let mut found: Vec<InstalledPm2Application> = Vec::new();
    for instance in instances {
        let (Some(name), Some(script)) = (instance.name.map(short), instance.pm_exec_path.map(short)) else {
            continue;
        };
        if let Some(known) = found.iter_mut().find(|known| known.name == name) {
            known.instances += 1;
            continue;
        }
        if found.len() == MAX_APPLICATIONS {
            break;
        }
        let mode = instance.exec_mode.unwrap_or_default();
        found.push(InstalledPm2Application {
            user: user.to_owned(),
            name,
            script,
            cwd: short(instance.pm_cwd.unwrap_or_default()),
            instances: 1,
            exec_mode: short(mode.trim_end_matches("_mode").to_owned()),
            interpreter: instance.exec_interpreter.map(short).filter(|program| program != "node"),
        });
    }
    found
}

fn short(text: String) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_of_one_name_are_one_application() {
        let dump = r#"[
            {"name": "web", "pm_exec_path": "/srv/web/server.js", "pm_cwd": "/srv/web", "exec_mode": "cluster_mode",
             "exec_interpreter": "node", "env": {"SECRET": "x"}},
            {"name": "web", "pm_exec_path": "/srv/web/server.js", "exec_mode": "cluster_mode"},
            {"name": "mail", "pm_exec_path": "/srv/mail.py", "exec_mode": "fork_mode", "exec_interpreter": "python3"}]"#;
        let found = applications("deploy", serde_json::from_str(dump).unwrap());
        let shown: Vec<_> = found
            .iter()
            .map(|a| (a.name.as_str(), a.instances, a.exec_mode.as_str(), a.interpreter.as_deref()))
            .collect();
        assert_eq!(shown, [("web", 2, "cluster", None), ("mail", 1, "fork", Some("python3"))]);
    }
}
