//! A change that cuts the node off from its controller does not last.

use anyhow::{Context as _, Result};
use muster_lab::wait_for;

use crate::BOUND;
use crate::nginx::scene;
use crate::scene::{NODE, Scene};

/// How long a change may be unproven here.
const CONFIRM_WITHIN: &str = "[Service]\nEnvironment=MUSTER_CONFIRM_WITHIN=10\n";

/// A node whose agent does not wait for as long as usual, as `systemctl edit muster-agent` makes it.
fn impatient() -> Result<Scene> {
    let scene = scene()?;
    let drop_in = "/etc/systemd/system/muster-agent.service.d/override.conf";
    scene.host.write_file(drop_in, CONFIRM_WITHIN.as_bytes())?;
    scene.host.sh("systemctl daemon-reload && systemctl restart muster-agent")?;
    scene.converge(&rules(false))?;
    Ok(scene)
}

fn rules(shut: bool) -> String {
    let shut = if shut { "  shut: {deny: 8444/tcp, direction: out}\n" } else { "" };
    format!("packages: {{ufw: {{}}}}\nfirewall:\n  ssh: {{allow: 22/tcp}}\n{shut}")
}

fn is_shut(scene: &Scene) -> Result<bool> {
    Ok(scene.host.run(["ufw", "status"])?.contains("8444"))
}

fn until_shut(scene: &Scene, shut: bool) -> Result<()> {
    let what = if shut { "the rule to be in force" } else { "the rule to be gone" };
    wait_for(what, BOUND, || Ok((is_shut(scene)? == shut).then_some(())))
}

#[test]
fn a_firewall_that_cuts_the_node_off_reverts_itself_and_says_so() -> Result<()> {
    let scene = impatient()?;
    assert!(scene.host.run(["ufw", "status"])?.contains("22/tcp"));
    scene.apply(&rules(true))?;
    until_shut(&scene, true)?;
    until_shut(&scene, false)?;
    scene.fails("firewall:node", "could not reach the controller within 10 s")?;
    // It is not tried again and again: not by the run that does this.
    scene.apply(&format!("{}files:\n  good: {{path: /etc/good, content: good}}\n", rules(true)))?;
    scene.succeeds("file:/etc/good")?;
    scene.fails("firewall:node", "could not reach the controller within 10 s")?;
    assert!(!is_shut(&scene)?);
    let events = scene.fleet.cli().json(&["events"])?;
    let events = events.get("items").unwrap_or(&events).as_array().context("events are a list")?;
    let reverted: Vec<_> = events.iter().filter(|event| event["kind"] == "resource.reverted").collect();
    assert_eq!(reverted.len(), 1, "{reverted:?}");
    scene.converge(&rules(false))
}

#[test]
fn it_reverts_when_the_agent_was_killed_right_after_the_change() -> Result<()> {
    let scene = impatient()?;
    scene.apply(&rules(true))?;
    until_shut(&scene, true)?;
    scene.host.run(["systemctl", "kill", "--signal", "KILL", "muster-agent"])?;
    scene.host.run(["systemctl", "stop", "muster-agent"])?;
    until_shut(&scene, false)?;
    scene.host.run(["systemctl", "start", "muster-agent"])?;
    scene.fleet.until(NODE, "firewall:node", |resource| resource["status"] == "failed")?;
    assert!(!is_shut(&scene)?);
    scene.converge(&rules(false))
}
