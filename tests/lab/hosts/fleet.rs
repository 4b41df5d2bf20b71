//! A whole fleet: a controller on the machine, nodes on hosts of the lab.

use anyhow::Result;
use muster_lab::fleet::Fleet;
use muster_lab::{Peer, wait_for};

use crate::BOUND;

fn files(motd: &str) -> String {
    format!(
        "environments: {{production: {{}}}}
nodes:
  web-1: {{environment: production, roles: [app_server]}}
  web-2: {{environment: production, roles: [app_server]}}
files:
  motd: {{path: /etc/motd, content: \"{motd}\\n\"}}
"
    )
}

const NODES: [&str; 2] = ["web-1", "web-2"];

#[test]
fn nodes_converge_heal_drift_and_come_back_from_every_kind_of_absence() -> Result<()> {
    let mut fleet = Fleet::start()?;
    fleet.apply(&files("one"))?;
    let hosts = fleet.lab().up_all(NODES.iter().map(|name| fleet.lab().host(name)).collect())?;
    for host in &hosts {
        fleet.join(host)?;
    }
    fleet.converged(&NODES)?;
    let motd = |host: usize| hosts[host].read_file("/etc/motd");
    assert_eq!((motd(0)?.as_str(), motd(1)?.as_str()), ("one\n", "one\n"));
    // Drift.
    hosts[0].write_file("/etc/motd", b"changed by hand\n")?;
    fleet.cli().ok(&["node", "converge", "web-1"])?;
    wait_for("the change by hand to be put back", BOUND, || Ok((motd(0)? == "one\n").then_some(())))?;
    // A partition: what is applied meanwhile arrives afterwards.
    hosts[0].block(Peer::Gateway)?;
    fleet.apply(&files("two"))?;
    fleet.converged(&["web-2"])?;
    assert_eq!((motd(0)?.as_str(), motd(1)?.as_str()), ("one\n", "two\n"));
    hosts[0].unblock(Peer::Gateway)?;
    fleet.converged(&NODES)?;
    assert_eq!(motd(0)?, "two\n");
    // A reboot, and a power cut during which somebody applied.
    hosts[0].reboot()?;
    hosts[1].pull_plug()?;
    fleet.apply(&files("three"))?;
    fleet.converged(&["web-1"])?;
    hosts[1].start()?;
    fleet.converged(&NODES)?;
    assert_eq!((motd(0)?.as_str(), motd(1)?.as_str()), ("three\n", "three\n"));
    // Without the controller nodes keep to what they were told; agents find it again.
    fleet.controller()?.kill()?;
    hosts[0].write_file("/etc/motd", b"changed by hand\n")?;
    hosts[0].run(["systemctl", "restart", "muster-agent"])?;
    wait_for("the change by hand to be put back", BOUND, || Ok((motd(0)? == "three\n").then_some(())))?;
    fleet.start_controller()?;
    fleet.apply(&files("four"))?;
    fleet.converged(&NODES)?;
    assert_eq!((motd(0)?.as_str(), motd(1)?.as_str()), ("four\n", "four\n"));
    Ok(())
}
