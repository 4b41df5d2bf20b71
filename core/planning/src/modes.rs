//! Modes that people set on top of what is declared. They only ever hold the agent back: the strictest of what is declared
//! and what was set holds, so no button can make it change what the fleet files say to leave alone.

use muster_domain::{
    assignment::AssignmentContent,
    resource::{Mode, ResourceKey},
};
use std::collections::BTreeMap;

/// What people set for one node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModeOverrides {
    /// For all of it.
    pub node: Mode,
    /// For single resources.
    pub resources: BTreeMap<ResourceKey, Mode>,
}

impl ModeOverrides {
    /// The mode of a resource that is declared with one.
    pub fn over(&self, key: &ResourceKey, declared: Mode) -> Mode {
        let own = self.resources.get(key).copied().unwrap_or_default();
        declared.max(self.node).max(own)
    }

    /// Puts them into what was compiled.
    pub fn put_into(&self, content: &mut AssignmentContent) {
        for resource in &mut content.resources {
            resource.mode = self.over(&resource.key, resource.mode);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strictest_mode_holds() {
        let key = |name| ResourceKey::new("file", name);
        let overrides = ModeOverrides {
            node: Mode::Report,
            resources: BTreeMap::from([(key("/ignored"), Mode::Ignore), (key("/reported"), Mode::Report)]),
        };
        for (name, declared, expected) in [
            ("/other", Mode::Enforce, Mode::Report),
            ("/other", Mode::Ignore, Mode::Ignore),
            ("/ignored", Mode::Enforce, Mode::Ignore),
            ("/reported", Mode::Enforce, Mode::Report),
        ] {
            assert_eq!(overrides.over(&key(name), declared), expected, "{name} {declared:?}");
        }
        for declared in Mode::ALL {
            assert_eq!(ModeOverrides::default().over(&key("/other"), declared), declared);
        }
    }
}
