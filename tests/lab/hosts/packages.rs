//! Packages on a host where apt has its own troubles.

use anyhow::Result;
use muster_lab::wait_for;

use crate::BOUND;
use crate::scene::{NODE, Scene};

const HELLO: &str = "packages: {hello: {}}\n";

#[test]
fn a_package_that_does_not_exist_fails_alone() -> Result<()> {
    let scene = Scene::set()?;
    scene.apply(
        "packages: {hello: {}, no-such-package: {}}\nfiles:\n  good: {path: /etc/good, content: good}\n",
    )?;
    scene.fails("package:no-such-package", "no-such-package")?;
    scene.succeeds("package:hello")?;
    scene.succeeds("file:/etc/good")?;
    scene.host.run(["hello"])?;
    Ok(())
}

#[test]
fn somebody_else_who_runs_apt_is_waited_for() -> Result<()> {
    let scene = Scene::set()?;
    let mut other = scene.host.spawn([
        "bash",
        "-c",
        "apt-get -qq update; touch /run/held; \
         apt-get -qq -o DPkg::Pre-Invoke::='sh -c \"touch /run/holding; sleep 12\"' install --yes tree",
    ])?;
    wait_for("somebody else to hold the lock", BOUND, || {
        Ok((scene.host.exec(["test", "-e", "/run/holding"])?.code == 0).then_some(()))
    })?;
    scene.apply(HELLO)?;
    assert!(other.wait()?.success());
    scene.fleet.converged(&[NODE])?;
    scene.host.sh("hello && command -v tree")?;
    Ok(())
}

#[test]
fn what_a_killed_dpkg_left_is_repaired() -> Result<()> {
    let scene = Scene::set()?;
    scene.host.sh("apt-get -qq update; cd /tmp; apt-get -qq download tree; dpkg --unpack tree_*.deb")?;
    assert!(scene.host.sh("dpkg-query --show --showformat='${Status}' tree")?.contains("unpacked"));
    // What dpkg itself finds after it was killed while it wrote.
    scene.host.sh("sed -n '/^Package: tree$/,/^$/p' /var/lib/dpkg/status > /var/lib/dpkg/updates/0001")?;
    assert_ne!(scene.host.exec(["apt-get", "-qq", "install", "--yes", "hello"])?.code, 0, "apt refuses");
    scene.converge(HELLO)?;
    scene.host.run(["hello"])?;
    assert!(
        scene.host.sh("dpkg-query --show --showformat='${Status}' tree")?.contains("install ok installed")
    );
    Ok(())
}

#[test]
fn a_unit_that_never_starts_fails_alone_and_says_why() -> Result<()> {
    let scene = Scene::set()?;
    let sections = |command: &str| {
        format!(
            "systemd_units:
  dud.service:
    content: |
      [Service]
      ExecStart=/bin/sh -c '{command}'
services:
  dud: {{running: true, enabled: false}}
files:
  good: {{path: /etc/good, content: good}}
"
        )
    };
    scene.apply(&sections("echo the reason is here >&2; exit 3"))?;
    scene.fails("service:dud.service", "dud")?;
    scene.succeeds("file:/etc/good")?;
    scene.mend(&sections("exec sleep infinity"))?;
    assert_eq!(scene.host.run(["systemctl", "is-active", "dud"])?, "active\n");
    Ok(())
}
