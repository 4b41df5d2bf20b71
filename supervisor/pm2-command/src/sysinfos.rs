//! `sysinfos`: facts about the machine.

use std::fs;

use serde_json::{Map, Value, json};

use crate::output::print;
use crate::{Context, Failure};

/// Arguments.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// As a tree
    #[arg(short, long)]
    pub tree: bool,
}

/// Runs it.
pub(crate) async fn run(_: &Context, args: Args) -> Result<(), Failure> {
    let facts = facts();
    if args.tree {
        let mut text = ".\n".to_owned();
        branches(&facts, "", &mut text);
        print(&text);
    } else {
        print(&format!("{}\n", serde_json::to_string_pretty(&facts).expect("maps have texts as keys")));
    }
    Ok(())
}

/// What the kernel says. A fact it does not tell is left out.
pub(crate) fn facts() -> Value {
    let system = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let mut facts = Map::new();
    facts.insert(
        "os".to_owned(),
        json!({
            "hostname": text(system.nodename()),
            "kernel": format!("{} {}", text(system.sysname()), text(system.release())),
            "arch": text(system.machine()),
            "name": release_name(),
        }),
    );
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, m)| m.to_owned()));
    facts.insert(
        "cpu".to_owned(),
        json!({
            "model": model,
            "count": std::thread::available_parallelism().map_or(1, usize::from),
            "load": loads(),
        }),
    );
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = |name: &str| {
        let line = meminfo.lines().find(|line| line.split(':').next() == Some(name))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1_024)
    };
    facts.insert(
        "memory".to_owned(),
        json!({
            "total": memory("MemTotal"),
            "available": memory("MemAvailable"),
            "swap_total": memory("SwapTotal"),
            "swap_free": memory("SwapFree"),
        }),
    );
    if let Ok(disk) = rustix::fs::statvfs("/") {
        facts.insert(
            "disk".to_owned(),
            json!({
                "total": disk.f_blocks * disk.f_frsize,
                "available": disk.f_bavail * disk.f_frsize,
            }),
        );
    }
    let uptime = fs::read_to_string("/proc/uptime").ok();
    let seconds = uptime.and_then(|text| text.split('.').next()?.parse::<u64>().ok());
    facts.insert("uptime_seconds".to_owned(), json!(seconds));
    Value::Object(facts)
}

fn loads() -> Vec<f64> {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).filter_map(|load| load.parse().ok()).collect()
}

fn release_name() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_owned())
}

/// As pm2's own tree looks.
fn branches(value: &Value, indent: &str, text: &mut String) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(n, value)| (n.to_string(), value)).collect(),
        _ => return,
    };
    let count = children.len();
    for (place, (key, child)) in children.into_iter().enumerate() {
        let last = place + 1 == count;
        let shown = match child {
            Value::Object(_) | Value::Array(_) => String::new(),
            Value::String(plain) => format!(": {plain}"),
            other => format!(": {other}"),
        };
        text.push_str(&format!("{indent}{}─ {key}{shown}\n", if last { '└' } else { '├' }));
        branches(child, &format!("{indent}{}  ", if last { ' ' } else { '│' }), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_described() {
        let facts = facts();
        assert!(facts["memory"]["total"].as_u64().unwrap() > 0, "{facts}");
        assert!(facts["cpu"]["count"].as_u64().unwrap() > 0, "{facts}");
        let mut tree = String::new();
        branches(&json!({"a": {"b": 1, "c": "x"}, "d": [2]}), "", &mut tree);
        assert_eq!(tree, "├─ a\n│  ├─ b: 1\n│  └─ c: x\n└─ d\n   └─ 0: 2\n");
    }
}
