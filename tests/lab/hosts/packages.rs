//! Packages on a host where apt has its own troubles, and services whose programs have theirs.

use anyhow::Result;
use muster_lab::wait_for;

use crate::BOUND;
use crate::scene::{NODE, Scene};

fn status(scene: &Scene, package: &str) -> Result<String> {
    scene.host.sh(&format!("dpkg-query --show --showformat='${{Status}}' {package}"))
}

fn exists(scene: &Scene, path: &str) -> Result<()> {
    wait_for(&format!("{path} to be there"), BOUND, || {
        Ok((scene.host.exec(["test", "-e", path])?.code == 0).then_some(()))
    })
}

#[test]
fn a_package_or_a_unit_that_cannot_be_fails_alone_and_says_why() -> Result<()> {
    let scene = Scene::set()?;
    scene.apply(
        "packages: {hello: {}, no-such-package: {}}\nfiles:\n  good: {path: /etc/good, content: good}\n",
    )?;
    scene.fails("package:no-such-package", "no-such-package")?;
    scene.succeeds("package:hello")?;
    scene.succeeds("file:/etc/good")?;
    scene.host.run(["hello"])?;
    // A unit that never starts.
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
  good: {{path: /etc/good, content: better}}
"
        )
    };
    scene.apply(&sections("echo the reason is here >&2; exit 3"))?;
    // What it has of its file is taken back, so that only the file can go on saying why.
    scene.fails("systemd_unit:dud.service", "the reason is here")?;
    scene.fails("service:dud.service", "dud.service")?;
    scene.succeeds("file:/etc/good")?;
    assert_eq!(scene.host.read_file("/etc/good")?, "better");
    scene.mend(&sections("exec sleep infinity"))?;
    assert_eq!(scene.host.run(["systemctl", "is-active", "dud"])?, "active\n");
    Ok(())
}

/// Stops whoever configures a package with a unit of systemd, until it may go on.
const HELD: &str = r#"dpkg-divert --local --quiet --rename --add /usr/bin/deb-systemd-helper
cat > /usr/bin/deb-systemd-helper <<'END'
#!/bin/sh
test ! -e /run/hold || touch /run/held
while test -e /run/hold; do sleep 0.05; done
exec /usr/bin/deb-systemd-helper.distrib "$@"
END
chmod 755 /usr/bin/deb-systemd-helper"#;

#[test]
fn apt_is_waited_for_and_what_a_kill_left_of_it_is_repaired() -> Result<()> {
    let scene = Scene::set()?;
    let host = &scene.host;
    host.sh("apt-get -qq update")?;
    // Somebody else runs it: it is said who, nothing fails, and what does not need it is done.
    let mut other = host.spawn([
        "apt-get",
        "-qq",
        "-o",
        "DPkg::Pre-Invoke::=sh -c 'touch /run/holding; while test ! -e /run/let-go; do sleep 0.05; done'",
        "install",
        "--yes",
        "tree",
    ])?;
    exists(&scene, "/run/holding")?;
    scene.apply("packages: {hello: {}}\nfiles:\n  good: {path: /etc/good, content: good}\n")?;
    let waits = |resource: &serde_json::Value| {
        let detail = resource["detail"].as_str().unwrap_or_default();
        resource["status"] == "waiting"
            && detail.contains("waits for the lock of dpkg and apt, which apt-get")
    };
    scene.fleet.until(NODE, "package:hello", waits)?;
    scene.succeeds("file:/etc/good")?;
    host.run(["touch", "/run/let-go"])?;
    assert!(other.wait()?.success());
    scene.fleet.converged(&[NODE])?;
    host.sh("hello && command -v tree")?;

    // What dpkg itself finds after it was killed while it wrote.
    host.sh(
        "apt-get -qq purge --yes tree hello; cd /tmp; apt-get -qq download tree; dpkg --unpack tree_*.deb",
    )?;
    assert!(status(&scene, "tree")?.contains("unpacked"));
    host.sh("sed -n '/^Package: tree$/,/^$/p' /var/lib/dpkg/status > /var/lib/dpkg/updates/0001")?;
    assert_ne!(host.exec(["apt-get", "-qq", "install", "--yes", "hello"])?.code, 0, "apt refuses");
    scene.fleet.look(NODE)?;
    exists(&scene, "/usr/bin/hello")?;
    scene.fleet.converged(&[NODE])?;
    host.run(["hello"])?;
    assert!(status(&scene, "tree")?.contains("install ok installed"));

    // The agent is killed while it installs: apt goes on without it, and the next agent waits for that.
    host.sh(HELD)?;
    host.sh("touch /run/hold")?;
    scene.apply("packages: {hello: {}, rsync: {}}\n")?;
    exists(&scene, "/run/held")?;
    host.run(["systemctl", "kill", "--signal", "KILL", "muster-agent"])?;
    scene.fleet.until(NODE, "package:rsync", |resource| resource["status"] == "waiting")?;
    assert_ne!(status(&scene, "rsync")?, "install ok installed");
    // Then apt is killed as well, half-way through the package.
    host.sh("pkill -KILL -x apt-get; pkill -KILL -x dpkg; rm /run/hold")?;
    scene.fleet.converged(&[NODE])?;
    assert_eq!(status(&scene, "rsync")?, "install ok installed");
    host.sh("rsync --version > /dev/null; test -z \"$(dpkg --audit)\"")?;
    Ok(())
}
