//! A fleet with two application servers, one of which may be changing at a time.

use anyhow::Result;
use muster_lab::fleet::Fleet;
use muster_lab::{Host, Image, wait_for};
use serde_json::Value;

use crate::BOUND;

/// The nodes.
pub(crate) const PAIR: [&str; 2] = ["web-1", "web-2"];

/// A controller and its two nodes, which beat every two seconds: who is silent is noticed within seven.
pub(crate) struct Pair {
    pub(crate) fleet: Fleet,
    pub(crate) hosts: Vec<Host>,
}

impl Pair {
    /// Nodes that have joined and have nothing to do yet.
    pub(crate) fn set(image: Option<&Image>) -> Result<Self> {
        let fleet = Fleet::start_with(&["--heartbeat-interval=2"])?;
        fleet.apply(&declared(""))?;
        let builders = PAIR.iter().map(|name| {
            let host = fleet.lab().host(name);
            image.into_iter().fold(host, |host, image| host.image(image))
        });
        let hosts = fleet.lab().up_all(builders.collect())?;
        for host in &hosts {
            fleet.join(host)?;
        }
        fleet.converged(&PAIR)?;
        Ok(Self { fleet, hosts })
    }

    /// Puts sections of a fleet file in force; does not wait.
    pub(crate) fn apply(&self, sections: &str) -> Result<()> {
        self.fleet.apply(&declared(sections)).map(drop)
    }

    /// The same, and waits until both nodes have converged.
    pub(crate) fn converge(&self, sections: &str) -> Result<()> {
        self.apply(sections)?;
        self.fleet.converged(&PAIR)
    }

    /// Runs lines of shell on both.
    pub(crate) fn sh(&self, script: &str) -> Result<()> {
        self.hosts.iter().try_for_each(|host| host.sh(script).map(drop))
    }

    /// Asks both to look now.
    pub(crate) fn look(&self) -> Result<()> {
        PAIR.iter().try_for_each(|name| self.fleet.look(name))
    }

    /// The turn of a node: that it has, that it waits for, or that it failed in.
    pub(crate) fn turn(&self, node: usize) -> Result<Option<Value>> {
        Ok(self.fleet.turns()?.into_iter().find(|turn| turn["node"] == PAIR[node]))
    }

    /// Waits until the turn of a node is as it should be; answers it.
    pub(crate) fn turn_until(&self, node: usize, good: impl Fn(&Value) -> bool) -> Result<Value> {
        wait_for(&format!("the turn of {}", PAIR[node]), BOUND, || {
            let turn = self.turn(node)?;
            if let Some(other) = turn.as_ref().filter(|turn| !good(turn)) {
                anyhow::bail!("{other}");
            }
            Ok(turn)
        })
    }

    /// Waits until one node stands so in its turn, and the other waits. Answers which is which.
    pub(crate) fn one_and_the_other(&self, state: &str) -> Result<(usize, usize)> {
        wait_for(&format!("one node whose turn is {state} and one that waits"), BOUND, || {
            let turns = self.fleet.turns()?;
            let of = |state: &str| {
                PAIR.iter()
                    .position(|name| turns.iter().any(|turn| turn["node"] == *name && turn["state"] == state))
            };
            match of(state).zip(of("waiting")) {
                Some(found) => Ok(Some(found)),
                None => anyhow::bail!("{turns:?}"),
            }
        })
    }

    /// Waits until nobody has a turn or waits for one.
    pub(crate) fn nobody_has_a_turn(&self) -> Result<()> {
        wait_for("nobody to have a turn", BOUND, || {
            let turns = self.fleet.turns()?;
            anyhow::ensure!(turns.is_empty(), "{turns:?}");
            Ok(Some(()))
        })
    }
}

/// Sections of a fleet file with the environment and the nodes before them.
pub(crate) fn declared(sections: &str) -> String {
    let nodes =
        PAIR.map(|name| format!("  {name}: {{environment: production, roles: [app_server]}}\n")).concat();
    format!("environments: {{production: {{max_changing: 1}}}}\nnodes:\n{nodes}{sections}")
}
