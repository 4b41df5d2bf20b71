//! What to do with each application of pm2, decided before anything is touched.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use muster_pm2::{Format, LocalFiles, Pm2App, Surroundings, parse};
use serde_json::Value;

use crate::Failure;

/// How an application changes hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// Ours start on the sockets pm2 listens on; when they are ready, pm2's end.
    StartFirst,
    /// pm2's end, then ours start. Requests in between fail.
    StopFirst {
        /// Why not the other way.
        because: String,
    },
    /// pm2 has it stopped, and it stays so.
    Stopped,
}

/// One application of pm2.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) app: Pm2App,
    /// pm2's ids of its instances.
    pub(super) ids: Vec<u32>,
    /// Their processes.
    pub(super) pids: Vec<u32>,
    pub(super) way: Way,
    pub(super) kill_timeout: Duration,
}

/// Whether pm2's sockets can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sockets {
    Taken,
    /// Why not.
    Denied(String),
}

/// The applications of pm2's records, of all names or of these.
pub(super) fn candidates(
    records: &[Value],
    names: &[String],
    sockets: &Sockets,
    surroundings: &Surroundings,
) -> Result<Vec<Candidate>, Failure> {
    // pm2's own modules are not applications.
    let records: Vec<&Value> =
        records.iter().filter(|record| !truthy(&record["pm2_env"]["pmx_module"])).collect();
    let known: BTreeSet<&str> = records.iter().filter_map(|record| record["name"].as_str()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(name.as_str())) {
        let known: Vec<&str> = known.into_iter().collect();
        return Err(Failure::new(format!("pm2 runs no application {unknown:?}")).hint(format!(
            "it runs: {}",
            if known.is_empty() { "nothing".to_owned() } else { known.join(", ") }
        )));
    }
    let wanted: Vec<&Value> = records
        .into_iter()
        .filter(|record| names.is_empty() || names.iter().any(|name| record["name"] == name.as_str()))
        .collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let mut candidates = Vec::new();
    for app in apps(&wanted, surroundings)? {
        let own: Vec<&&Value> = wanted
            .iter()
            .filter(|record| {
                record["name"] == app.name.as_str() && namespace(record) == app.namespace.as_str()
            })
            .collect();
        if candidates.iter().any(|other: &Candidate| other.app.name == app.name) {
            return Err(Failure::new(format!("two namespaces have an application {:?}", app.name))
                .hint("names are unique here: rename one of them in pm2 first"));
        }
        let number = |record: &&&Value, key: &str| record[key].as_u64().and_then(|n| u32::try_from(n).ok());
        let ids = own.iter().filter_map(|record| number(record, "pm_id")).collect();
        let pids = own.iter().filter_map(|record| number(record, "pid")).filter(|pid| *pid > 0).collect();
        let online = |record: &&&Value| record["pm2_env"]["status"] == "online";
        let cluster = own.iter().all(|record| record["pm2_env"]["exec_mode"] == "cluster_mode");
        let way = if !own.iter().any(|record| online(record)) {
            Way::Stopped
        } else if !cluster {
            Way::StopFirst { because: "in fork mode each process opens its port itself".to_owned() }
        } else {
            match sockets {
                Sockets::Taken => Way::StartFirst,
                Sockets::Denied(why) => Way::StopFirst { because: why.clone() },
            }
        };
        let kill_timeout = Duration::from_millis(app.kill_timeout_ms);
        candidates.push(Candidate { app, ids, pids, way, kill_timeout });
    }
    Ok(candidates)
}

fn apps(records: &[&Value], surroundings: &Surroundings) -> Result<Vec<Pm2App>, Failure> {
    let dump: Vec<Value> = records.iter().map(|record| saved(record)).collect();
    let files = LocalFiles::new(&surroundings.env);
    let loaded =
        parse(Value::Array(dump), Path::new("dump.pm2"), Format::Dump, Path::new("/"), surroundings, &files)
            .map_err(|error| Failure::new(format!("pm2's list cannot be used: {error}")))?;
    Ok(loaded.apps)
}

/// The record as pm2 itself would save it.
fn saved(record: &Value) -> Value {
    let mut env = record["pm2_env"].clone();
    if let Some(fields) = env.as_object_mut() {
        for key in ["instances", "pm_id", "prev_restart_delay"] {
            fields.remove(key);
        }
    }
    env
}

fn namespace(record: &Value) -> &str {
    record["pm2_env"]["namespace"].as_str().unwrap_or("default")
}

fn truthy(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(name: &str, id: u32, mode: &str, status: &str) -> Value {
        json!({"name": name, "pm_id": id, "pid": if status == "online" { 500 + id } else { 0 }, "monit": {}, "pm2_env": {
            "name": name, "namespace": "default", "pm_exec_path": "/srv/app.js", "pm_cwd": "/srv", "exec_mode": mode,
            "status": status, "instances": 2, "pm_id": id, "exec_interpreter": "node", "env": {"PORT": "3000"},
            "kill_timeout": 3000
        }})
    }

    fn plan(records: &[Value], names: &[&str], sockets: &Sockets) -> Result<Vec<Candidate>, Failure> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        candidates(records, &names, sockets, &Surroundings::of_this_process())
    }

    #[test]
    fn each_application_gets_the_gentlest_way() {
        let records = [
            record("web", 0, "cluster_mode", "online"),
            record("web", 1, "cluster_mode", "online"),
            record("worker", 2, "fork_mode", "online"),
            record("old", 3, "fork_mode", "stopped"),
        ];
        let found = plan(&records, &[], &Sockets::Taken).unwrap();
        let web = &found[0];
        assert_eq!((&web.ids[..], &web.pids[..], &web.way), (&[0, 1][..], &[500, 501][..], &Way::StartFirst));
        assert_eq!((web.app.instances.count, web.kill_timeout), (2, Duration::from_secs(3)));
        assert!(matches!(found[1].way, Way::StopFirst { .. }));
        assert_eq!(found[2].way, Way::Stopped);
        let denied = plan(&records, &["web"], &Sockets::Denied("no".into())).unwrap();
        assert_eq!(denied.len(), 1);
        assert_eq!(denied[0].way, Way::StopFirst { because: "no".into() });
    }

    #[test]
    fn what_cannot_be_moved_is_named() {
        let records = [record("web", 0, "cluster_mode", "online")];
        let failure = plan(&records, &["shop"], &Sockets::Taken).unwrap_err();
        assert!(failure.message.contains("\"shop\"") && failure.to_string().contains("web"), "{failure}");
        let mut module = record("pm2-logrotate", 1, "fork_mode", "online");
        module["pm2_env"]["pmx_module"] = json!(true);
        assert!(plan(&[module], &[], &Sockets::Taken).unwrap().is_empty());
        let mut other = record("web", 1, "cluster_mode", "online");
        other["pm2_env"]["namespace"] = json!("blue");
        assert!(plan(&[records[0].clone(), other], &[], &Sockets::Taken).is_err());
    }
}
