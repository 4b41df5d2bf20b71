//! A fleet with one node, where most tests begin.

use anyhow::Result;
use muster_lab::fleet::Fleet;
use muster_lab::{Host, HostBuilder, wait_for};

use crate::BOUND;

/// The node.
pub(crate) const NODE: &str = "web-1";

/// A controller and one node that has joined and has nothing to do yet.
pub(crate) struct Scene {
    pub(crate) fleet: Fleet,
    pub(crate) host: Host,
}

impl Scene {
    pub(crate) fn set() -> Result<Self> {
        Self::set_on(|host| host)
    }

    /// On a host with further wishes.
    pub(crate) fn set_on(wishes: impl FnOnce(HostBuilder<'_>) -> HostBuilder<'_>) -> Result<Self> {
        let fleet = Fleet::start()?;
        fleet.apply(&declared(""))?;
        let host = wishes(fleet.lab().host(NODE)).up()?;
        fleet.join(&host)?;
        fleet.converged(&[NODE])?;
        Ok(Self { fleet, host })
    }

    /// Puts sections of a fleet file in force; does not wait.
    pub(crate) fn apply(&self, sections: &str) -> Result<()> {
        self.fleet.apply(&declared(sections)).map(drop)
    }

    /// The same, and waits until the node has converged.
    pub(crate) fn converge(&self, sections: &str) -> Result<()> {
        self.apply(sections)?;
        self.fleet.converged(&[NODE])
    }

    /// The same for what failed before: asks the node to try it again at once instead of when it would by itself.
    pub(crate) fn mend(&self, sections: &str) -> Result<()> {
        self.attempt(sections)?;
        self.fleet.look(NODE)?;
        self.fleet.converged(&[NODE])
    }

    /// Puts sections of a fleet file in force, and waits until the node has tried them, whatever came of it.
    pub(crate) fn attempt(&self, sections: &str) -> Result<()> {
        self.apply(sections)?;
        wait_for("the node to try what it has now", BOUND, || {
            let node = self.fleet.node(NODE)?;
            Ok((node["generation"] == node["reported_generation"]).then_some(()))
        })
    }

    /// Waits until a resource failed with a reason that holds this text.
    pub(crate) fn fails(&self, key: &str, reason: &str) -> Result<()> {
        let failed = |resource: &serde_json::Value| {
            resource["status"] == "failed"
                && resource["detail"].as_str().is_some_and(|text| text.contains(reason))
        };
        self.fleet.until(NODE, key, failed).map(drop)
    }

    /// Waits until a resource is as it should be.
    pub(crate) fn succeeds(&self, key: &str) -> Result<()> {
        self.fleet.until(NODE, key, |resource| resource["status"] == "converged").map(drop)
    }
}

/// Sections of a fleet file with the environment and the node before them.
pub(crate) fn declared(sections: &str) -> String {
    format!(
        "environments: {{production: {{}}}}\nnodes:\n  {NODE}: {{environment: production, roles: [app_server]}}\n{sections}"
    )
}
