//! How much of an environment may be changing at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many nodes of a role may be changing disruptively at once: a number, or a percentage of the nodes of that role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum MaxChanging {
    /// So many.
    Nodes(#[schemars(range(min = 1, max = 10_000))] u32),
    /// A percentage, such as `"25%"`, rounded down; at least one node.
    Share(#[schemars(regex(pattern = "^([1-9][0-9]?|100)%$"))] String),
}

impl MaxChanging {
    /// What holds without a word: a quarter, and at least one.
    const DEFAULT_PERCENT: usize = 25;

    /// How many of `nodes` nodes that is; at least one, or nothing would ever change.
    pub fn of(&self, nodes: usize) -> usize {
        match self {
            Self::Nodes(count) => usize::try_from(*count).unwrap_or(usize::MAX).max(1),
            // A text that came past the schema lets one node change at a time.
            Self::Share(_) => self.percent().map_or(1, |percent| share(percent, nodes)),
        }
    }

    /// How many of `nodes` nodes that is when nobody said anything.
    pub const fn default_of(nodes: usize) -> usize {
        share(Self::DEFAULT_PERCENT, nodes)
    }

    fn percent(&self) -> Option<usize> {
        let Self::Share(text) = self else { return None };
        text.strip_suffix('%')?.parse().ok().filter(|percent| (1..=100).contains(percent))
    }
}

const fn share(percent: usize, nodes: usize) -> usize {
    let count = nodes.saturating_mul(percent) / 100;
    if count == 0 { 1 } else { count }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Environment;

    #[test]
    fn a_share_is_rounded_down_and_at_least_one_node_may_change() {
        let share = |text: &str| MaxChanging::Share(text.to_owned());
        for (most, nodes, expected) in [
            (Some(MaxChanging::Nodes(2)), 10, 2),
            (Some(MaxChanging::Nodes(0)), 10, 1),
            (Some(share("50%")), 5, 2),
            (Some(share("100%")), 3, 3),
            (Some(share("1%")), 3, 1),
            (Some(share("nonsense")), 30, 1),
            (None, 3, 1),
            (None, 8, 2),
            (None, 0, 1),
        ] {
            let environment = Environment { max_changing: most.clone(), ..Environment::default() };
            assert_eq!(environment.changing_at_most(nodes), expected, "{most:?} of {nodes}");
        }
    }
}
