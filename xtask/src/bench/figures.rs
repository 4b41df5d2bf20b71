//! Figures of a run, for people and for programs.

use anyhow::{Context as _, Result};
use serde::Serialize;

/// Ours and the peer's, measured in one run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) ours: f64,
    /// Absent where the peer could not do it at all.
    pub(super) peer: Option<f64>,
    pub(super) unit: &'static str,
    /// How many times better ours is: above 1 ours wins, whichever direction is good. Absent when one of the two is 0.
    pub(super) ratio: Option<f64>,
}

/// Which direction is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Good {
    Less,
    More,
}

impl Figure {
    pub(super) fn new(
        name: impl Into<String>,
        ours: f64,
        peer: Option<f64>,
        unit: &'static str,
        good: Good,
    ) -> Self {
        let ratio = peer.and_then(|peer| {
            let (better, worse) = match good {
                Good::Less => (ours, peer),
                Good::More => (peer, ours),
            };
            (better > 0.0 && worse > 0.0).then(|| round(worse / better))
        });
        Self { name: name.into(), ours: round(ours), peer: peer.map(round), unit, ratio }
    }
}

/// Three decimals: more would pretend.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The middle one of several rounds.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// A table on standard output.
pub(super) fn print(figures: &[Figure]) {
    let width = figures.iter().map(|figure| figure.name.len()).max().unwrap_or(0);
    println!("{:width$}  {:>12}  {:>12}  {:12}  {:>8}", "", "ours", "peer", "unit", "ratio");
    for Figure { name, ours, peer, unit, ratio } in figures {
        let shown = |value: &Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value}"));
        println!("{name:width$}  {ours:>12}  {:>12}  {unit:12}  {:>8}", shown(peer), shown(ratio));
    }
}

/// One line for programs.
pub(super) fn json(figures: &[Figure]) -> Result<String> {
    #[derive(Serialize)]
    struct Line<'a> {
        figures: &'a [Figure],
    }
    serde_json::to_string(&Line { figures }).context("cannot write the figures as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_says_how_many_times_better_ours_is() {
        assert_eq!(Figure::new("memory", 10.0, Some(60.0), "MB", Good::Less).ratio, Some(6.0));
        assert_eq!(Figure::new("requests", 10.0, Some(60.0), "1/s", Good::More).ratio, Some(0.167));
        assert_eq!(Figure::new("failed", 0.0, Some(60.0), "", Good::Less).ratio, None);
        assert_eq!(Figure::new("failed", 1.0, None, "", Good::Less).ratio, None);
    }

    #[test]
    fn the_middle_of_rounds() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }
}
