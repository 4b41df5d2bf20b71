//! A change that cuts the node off from its controller does not last.

use std::time::Duration;

use anyhow::Result;
use muster_lab::wait_for;

use crate::BOUND;
use crate::nginx::scene;
use crate::scene::{NODE, Scene};

/// Longer than a change may be unproven.
const REVERTED: Duration = Duration::from_secs(150);

fn rules(shut: bool) -> String {
    let shut = if shut { "  shut: {deny: 8444/tcp, direction: out}\n" } else { "" };
    format!("packages: {{ufw: {{}}}}\nfirewall:\n  ssh: {{allow: 22/tcp}}\n{shut}")
}

fn is_shut(scene: &Scene) -> Result<bool> {
    Ok(scene.host.run(["ufw", "status"])?.contains("8444"))
}

fn until_shut(scene: &Scene, shut: bool, bound: Duration) -> Result<()> {
    let what = if shut { "the rule to be in force" } else { "the rule to be gone" };
    wait_for(what, bound, || Ok((is_shut(scene)? == shut).then_some(())))
}

#[test]
fn a_firewall_that_cuts_the_node_off_reverts_itself_and_says_so() -> Result<()> {
    let scene = scene()?;
    scene.converge(&rules(false))?;
    assert!(scene.host.run(["ufw", "status"])?.contains("22/tcp"));
    scene.apply(&rules(true))?;
    until_shut(&scene, true, BOUND)?;
    until_shut(&scene, false, REVERTED)?;
    let told = |resource: &serde_json::Value| resource["status"] == "failed";
    scene.fleet.until(NODE, "firewall:node", told)?;
    // It is not tried again and again.
    scene.fleet.look(NODE)?;
    scene.fleet.until(NODE, "firewall:node", told)?;
    assert!(!is_shut(&scene)?);
    scene.converge(&rules(false))
}

#[test]
fn it_reverts_when_the_agent_was_killed_right_after_the_change() -> Result<()> {
    let scene = scene()?;
    scene.converge(&rules(false))?;
    scene.apply(&rules(true))?;
    until_shut(&scene, true, BOUND)?;
    scene.host.run(["systemctl", "kill", "--signal", "KILL", "muster-agent"])?;
    scene.host.run(["systemctl", "stop", "muster-agent"])?;
    until_shut(&scene, false, REVERTED)?;
    scene.host.run(["systemctl", "start", "muster-agent"])?;
    scene.fleet.until(NODE, "firewall:node", |resource| resource["status"] == "failed")?;
    assert!(!is_shut(&scene)?);
    scene.converge(&rules(false))
}
