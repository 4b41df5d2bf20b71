//! How soon a change is everywhere.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use muster_lab::fleet::Fleet;

use super::super::figures::{Figure, Good};
use super::Settings;
use crate::shell::step;

const NODES: [&str; 5] = ["node-1", "node-2", "node-3", "node-4", "node-5"];
/// What is asked for.
const ASKED_MS: f64 = 1000.0;

/// Changes one file of five nodes again and again, as an operator does, and waits each time.
pub(super) fn run(programs: &Path, settings: Settings) -> Result<Vec<Figure>> {
    step("five hosts join; one file changes");
    let fleet = Fleet::start_of(programs)?;
    fleet.apply(&files(0))?;
    let builders = NODES.iter().map(|name| fleet.lab().host(name)).collect();
    for host in fleet.lab().up_all(builders)? {
        fleet.join(&host)?;
    }
    fleet.converged(&NODES)?;
    let rounds = if settings.quick { 10 } else { 100 };
    let mut times = Vec::new();
    for round in 1..=rounds {
        let file = fleet.write(&files(round))?;
        let began = Instant::now();
        fleet.cli().ok(&["apply", "--yes", "--wait", "--file", &file.to_string_lossy()])?;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    let figure = |name: &str, share: f64| {
        Figure::new(
            format!("apply to converged, 5 nodes, {name}"),
            at(&times, share),
            Some(ASKED_MS),
            "ms (asked)",
            Good::Less,
        )
    };
    Ok(vec![figure("p50", 0.5), figure("p99", 0.99), figure("longest", 1.0)])
}

/// The value that this share of the sorted ones does not exceed.
fn at(sorted: &[f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a few hundred"
    )]
    let index = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(index.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn files(round: usize) -> String {
    let nodes =
        NODES.map(|name| format!("  {name}: {{environment: production, roles: [app_server]}}\n")).concat();
    format!(
        "environments: {{production: {{}}}}\nnodes:\n{nodes}\
         files:\n  round: {{path: /etc/round, content: \"{round}\\n\"}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::at;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((at(&values, 0.5), at(&values, 0.99), at(&values, 1.0)), (50.0, 99.0, 100.0));
        assert_eq!(at(&[7.0], 0.99), 7.0);
    }
}
