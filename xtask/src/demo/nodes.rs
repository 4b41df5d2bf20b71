//! What `muster node list` says.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde_json::Value;

use super::cli::Cli;

/// By node: when it last beat, as the API says it.
pub(super) type Beats = BTreeMap<String, Value>;

/// The nodes as the API describes them.
pub(super) fn list_nodes(cli: &Cli) -> Result<Vec<Value>> {
    match cli.json(&["node", "list"])? {
        Value::Array(nodes) => Ok(nodes),
        Value::Object(mut page) => match page.remove("items") {
            Some(Value::Array(nodes)) => Ok(nodes),
            _ => bail!("`muster node list` answered without `items`"),
        },
        other => bail!("`muster node list` answered {other}"),
    }
}

pub(super) fn beats_of(nodes: &[Value]) -> Beats {
    nodes.iter().map(|node| (name(node), node["last_heartbeat_at"].clone())).collect()
}

/// Whether a node beats, has beaten after these beats, and is as it should be.
pub(super) fn settled(node: &Value, before: &Beats) -> bool {
    node["liveness"] == "up"
        && node["converged"] == true
        && node["generation"] == node["reported_generation"]
        && before.get(&name(node)).is_none_or(|beat| node["last_heartbeat_at"] != *beat)
}

fn name(node: &Value) -> String {
    node["name"].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_is_settled_only_after_another_beat() {
        let node = |beat: u32, reported: u32| {
            json!({"name": "a", "liveness": "up", "converged": true, "generation": 2,
                   "reported_generation": reported, "last_heartbeat_at": beat})
        };
        let before = beats_of(&[node(1, 2)]);
        assert!(settled(&node(1, 2), &Beats::new()));
        assert!(!settled(&node(1, 2), &before), "nothing new was heard");
        assert!(settled(&node(2, 2), &before));
        assert!(!settled(&node(2, 1), &before), "an older generation");
    }
}
