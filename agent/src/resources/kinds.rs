//! The one door through which the loop reaches the kinds of resources, so that the loop can be tested apart from them.

use super::{Look, View};
use muster_domain::resource::{DesiredState, Package, Resource};
use muster_planning::convergence::{self, Action, Effort, Observed, Verdict};
use muster_platform::Host;
use std::collections::BTreeMap;

/// What was found, and what follows from it alone.
#[derive(Debug, Clone)]
pub(crate) struct Assessment {
    /// What was found.
    pub(crate) observed: Observed,
    /// What follows from it.
    pub(crate) verdict: Verdict,
}

/// What the loop does with resources. Every call blocks.
pub(crate) trait Kinds: Send + Sync + 'static {
    /// Looks at a resource, and decides about it.
    fn assess(&self, host: &dyn Host, view: View<'_>, resource: &Resource, effort: Effort) -> Assessment;
    /// Does one thing, and says what a person should know about it.
    fn apply(&self, look: Look<'_>, desired: &DesiredState, action: Action)
    -> Result<Option<String>, String>;
    /// The difference, for a person.
    fn diff(&self, look: Look<'_>, desired: &DesiredState, observed: &Observed) -> Option<String>;
    /// Takes it away.
    fn remove(&self, look: Look<'_>, desired: &DesiredState) -> Result<Option<String>, String>;
    /// Brings packages to what they should be, all in one transaction.
    fn install_packages(
        &self,
        look: Look<'_>,
        wanted: &[&Package],
    ) -> BTreeMap<String, Result<Option<String>, String>>;
}

/// The kinds that this agent knows.
#[derive(Debug)]
pub(crate) struct Builtin;

impl Kinds for Builtin {
    fn assess(&self, host: &dyn Host, view: View<'_>, resource: &Resource, effort: Effort) -> Assessment {
        let observed = super::observe(host, view, resource);
        let verdict = convergence::verdict(&resource.desired, &observed, effort);
        Assessment { observed, verdict }
    }

    fn apply(
        &self,
        look: Look<'_>,
        desired: &DesiredState,
        action: Action,
    ) -> Result<Option<String>, String> {
        super::apply(look, desired, action)
    }

    fn diff(&self, look: Look<'_>, desired: &DesiredState, observed: &Observed) -> Option<String> {
        super::diff(look, desired, observed)
    }

    fn remove(&self, look: Look<'_>, desired: &DesiredState) -> Result<Option<String>, String> {
        super::remove(look, desired)
    }

    fn install_packages(
        &self,
        look: Look<'_>,
        wanted: &[&Package],
    ) -> BTreeMap<String, Result<Option<String>, String>> {
        super::install_packages(look, wanted)
    }
}
