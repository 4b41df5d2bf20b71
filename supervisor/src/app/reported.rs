//! Metrics and actions that a process reports as pm2's libraries do, within bounds: an application may send anything.

use std::collections::BTreeMap;

use serde_json::Value;

const MAX_METRICS: usize = 64;
const MAX_ACTIONS: usize = 64;
/// Of one metric or action, as JSON.
const MAX_BYTES: usize = 4 * 1024;
const MAX_NAME_BYTES: usize = 128;
/// Of all metrics, and of all actions: with them every status of hundreds of instances still fits into one answer.
const MAX_ALL_BYTES: usize = 12 * 1024;

/// What the present process of an instance reported.
#[derive(Debug, Default, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct Reported {
    pub(super) metrics: BTreeMap<String, Value>,
    pub(super) actions: Vec<Value>,
}

impl Reported {
    /// `axm:monitor`: values by name, which are added to those known.
    pub(super) fn monitor(&mut self, data: Value) {
        let Value::Object(metrics) = data else { return };
        let mut all: usize = self.metrics.values().map(bytes).sum();
        for (name, value) in metrics {
            let known = self.metrics.contains_key(&name);
            if name.len() > MAX_NAME_BYTES || (!known && self.metrics.len() >= MAX_METRICS) {
                continue;
            }
            let then = all - self.metrics.get(&name).map_or(0, bytes) + bytes(&value);
            if bytes(&value) <= MAX_BYTES && then <= MAX_ALL_BYTES {
                self.metrics.insert(name, value);
                all = then;
            }
        }
    }

    /// `axm:action`: one action; the first of a name counts.
    pub(super) fn action(&mut self, data: Value) {
        let Some(name) = name(&data) else { return };
        let known = self.actions.iter().any(|action| self::name(action) == Some(name));
        if known || self.actions.len() >= MAX_ACTIONS || name.len() > MAX_NAME_BYTES {
            return;
        }
        let others: usize = self.actions.iter().map(bytes).sum();
        if bytes(&data) <= MAX_BYTES && bytes(&data) + others <= MAX_ALL_BYTES {
            self.actions.push(data);
        }
    }

    pub(super) fn action_names(&self) -> Vec<&str> {
        self.actions.iter().filter_map(name).collect()
    }
}

fn bytes(value: &Value) -> usize {
    value.to_string().len()
}

fn name(action: &Value) -> Option<&str> {
    action.get("action_name").and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metrics_are_merged_and_actions_kept_once() {
        let mut reported = Reported::default();
        reported.monitor(json!({"a": {"value": 1}, "b": {"value": 2}}));
        reported.monitor(json!({"b": {"value": 3}}));
        assert_eq!(reported.metrics["b"], json!({"value": 3}));
        assert_eq!(reported.metrics.len(), 2);
        reported.action(json!({"action_name": "gc"}));
        reported.action(json!({"action_name": "gc", "arity": 1}));
        reported.action(json!("nonsense"));
        assert_eq!(reported.action_names(), ["gc"]);
    }

    #[test]
    fn a_process_that_reports_without_end_fills_nothing() {
        let mut reported = Reported::default();
        for number in 0..1_000 {
            reported.monitor(json!({ number.to_string(): 1 }));
            reported.action(json!({ "action_name": number.to_string() }));
        }
        reported.monitor(json!({"0": "x".repeat(100_000)}));
        reported.action(json!({"action_name": "x".repeat(1_000)}));
        assert_eq!((reported.metrics.len(), reported.actions.len()), (MAX_METRICS, MAX_ACTIONS));
        assert_eq!(reported.metrics["0"], json!(1));
    }

    #[test]
    fn many_large_values_are_no_more_than_few() {
        let mut reported = Reported::default();
        for number in 0..MAX_METRICS {
            let text = "x".repeat(MAX_BYTES - 100);
            reported.monitor(json!({ number.to_string(): text }));
            reported.action(json!({ "action_name": number.to_string(), "help": text }));
        }
        assert!(json!(reported).to_string().len() <= 2 * MAX_ALL_BYTES + 1_024);
        reported.monitor(json!({"0": 1}));
        assert_eq!(reported.metrics["0"], json!(1), "a known one may become smaller");
    }
}
