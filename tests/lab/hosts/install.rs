//! How an agent gets onto a host by the line of its invitation, outlives everything, is upgraded, and goes again.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use muster_lab::fleet::Fleet;
use muster_lab::{Host, program, wait_for};

use crate::BOUND;

const NODES: [&str; 5] = ["app-1", "app-2", "app-3", "app-4", "app-5"];
const PROGRAMS: [&str; 4] = ["muster-agent", "muster-supervisor", "muster-keeper", "muster-pm2"];
const STATE: &str = "/var/lib/muster/supervisor";

/// Says when it is ended in order; one of the two applications is in a scope of its own.
const TICKER: &str = "#!/bin/bash
trap 'echo \"$$ in order\" >>/var/tmp/ended; exit 0' INT
while :; do sleep 0.2 & wait $!; done
";

fn declared() -> String {
    let nodes =
        NODES.map(|name| format!("  {name}: {{environment: production, roles: [app_server]}}\n")).concat();
    format!(
        "environments: {{production: {{}}}}\nnodes:\n{nodes}applications:\n  ticker: {{script: ticker.sh, instances: 2, kill_timeout: 5s}}\n  limited: {{script: ticker.sh, kill_timeout: 5s, limits: {{pids: 50}}}}\n"
    )
}

/// A fleet whose controller hands out the programs of a folder that the test may change.
fn fleet() -> Result<(Fleet, std::path::PathBuf)> {
    let beside = program()?;
    let beside = beside.parent().unwrap_or(Path::new("/"));
    let folder = std::env::temp_dir().join(format!("muster-lab-programs-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    for name in PROGRAMS.into_iter().chain(["muster", "muster-controller"]) {
        let from = beside.join(name);
        fs::copy(&from, folder.join(name)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    let fleet = Fleet::start_of(&folder)?;
    fleet.apply(&declared())?;
    Ok((fleet, folder))
}

/// Types the line of an invitation into a shell of the host.
fn paste(fleet: &Fleet, host: &Host) -> Result<String> {
    let invitation = fleet.cli().json(&["node", "invite", host.name()])?;
    let line = invitation["command"].as_str().context("an invitation has a line")?;
    assert!(invitation["install_problem"].is_null(), "{invitation}");
    types(host, line)
}

fn types(host: &Host, line: &str) -> Result<String> {
    let mut command = host.command(["sh"])?;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("it was piped")?.write_all(format!("{line}\n").as_bytes())?;
    let output = child.wait_with_output()?;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    Ok(said)
}

/// The processes of the applications.
fn applications(host: &Host) -> Result<BTreeSet<u32>> {
    let said = host.exec(["pgrep", "-x", "-f", "/usr/bin/bash ticker.sh"])?.stdout;
    Ok(said.lines().filter_map(|line| line.parse().ok()).collect())
}

fn all_run(host: &Host) -> Result<BTreeSet<u32>> {
    wait_for("three processes that are ready", BOUND, || {
        let list = host.exec(["muster-supervisor", "list", "--state-dir", STATE])?.stdout;
        let pids = applications(host)?;
        Ok((list.matches(" ready ").count() == 3 && pids.len() == 3).then_some(pids))
    })
}

fn deploy(fleet: &Fleet) -> Result<()> {
    let source = std::env::temp_dir().join(format!("muster-lab-ticker-{}", std::process::id()));
    fs::create_dir_all(&source)?;
    fs::write(source.join("ticker.sh"), TICKER)?;
    for application in ["ticker", "limited"] {
        let folder = source.to_string_lossy().into_owned();
        fleet.cli().ok(&["release", "create", application, "--dir", &folder, "--version", "v1"])?;
        fleet.cli().ok(&[
            "deploy",
            application,
            "--release",
            "v1",
            "--environment",
            "production",
            "--wait",
        ])?;
    }
    fs::remove_dir_all(&source)?;
    Ok(())
}

#[test]
fn five_hosts_join_by_their_lines_and_applications_outlive_what_is_above_them() -> Result<()> {
    let (fleet, folder) = fleet()?;
    let hosts = fleet.lab().up_all(NODES.iter().map(|name| fleet.lab().host(name)).collect())?;
    for host in &hosts {
        let said = paste(&fleet, host)?;
        assert!(said.contains("The agent runs and is connected"), "{said}");
    }
    deploy(&fleet)?;
    fleet.converged(&NODES)?;
    let host = &hosts[0];
    let before = all_run(host)?;
    for act in [
        "systemctl restart muster-agent",
        "kill -9 $(systemctl show -p MainPID --value muster-agent)",
        "systemctl restart muster-supervisor",
        "kill -9 $(systemctl show -p MainPID --value muster-supervisor)",
        "systemctl stop muster-agent muster-supervisor; systemctl start muster-agent",
        "systemctl restart muster-agent muster-supervisor",
    ] {
        host.sh(act)?;
        assert_eq!(all_run(host)?, before, "after {act}");
    }
    // The machine goes down: each ends once, and in order; afterwards they are back by themselves.
    host.reboot()?;
    let ended = host.read_file("/var/tmp/ended")?;
    let ended: Vec<u32> =
        ended.lines().filter_map(|line| line.strip_suffix(" in order")?.parse().ok()).collect();
    assert_eq!((ended.len(), ended.into_iter().collect::<BTreeSet<_>>()), (3, before), "each ended once");
    all_run(host)?;

    // Gone, with the applications left or taken.
    let (kept, removed) = (&hosts[1], &hosts[2]);
    let running = all_run(kept)?;
    let refused = kept.exec(["muster-agent", "uninstall", "--keep-applications"])?;
    assert_eq!(refused.code, 3, "nobody was there to ask: {refused:?}");
    let said = kept.run(["muster-agent", "uninstall", "--keep-applications", "--yes"])?;
    assert!(said.contains("2 applications with 3 processes"), "{said}");
    assert_eq!(applications(kept)?, running);
    assert_ne!(kept.exec(["systemctl", "cat", "muster-agent"])?.code, 0);
    assert_ne!(kept.exec(["ls", "/var/lib/muster/identity"])?.code, 0);
    removed.run(["muster-agent", "uninstall", "--remove-applications", "--yes"])?;
    assert!(applications(removed)?.is_empty());
    removed.sh("test ! -e /var/lib/muster -a ! -e /usr/local/lib/muster; ! ls /usr/local/bin | grep muster; ! ls /etc/systemd/system | grep muster")?;
    assert_eq!(removed.exec(["pgrep", "-l", "muster"])?.stdout, "");
    fs::remove_dir_all(folder)?;
    Ok(())
}

#[test]
fn an_upgrade_takes_over_or_is_taken_back_and_no_application_notices() -> Result<()> {
    let (fleet, folder) = fleet()?;
    let host = fleet.lab().host(NODES[0]).up()?;
    paste(&fleet, &host)?;
    deploy(&fleet)?;
    let before = all_run(&host)?;
    let current = || host.run(["readlink", "/usr/local/lib/muster/current"]);
    let first = current()?;
    // Another build: what follows a program in its file does not change it.
    let rebuild = |byte: &[u8]| -> Result<()> {
        for name in PROGRAMS {
            let new = folder.join("new");
            fs::copy(folder.join(name), &new)?;
            fs::OpenOptions::new().append(true).open(&new)?.write_all(byte)?;
            fs::rename(&new, folder.join(name))?;
        }
        Ok(())
    };
    rebuild(b"1")?;
    assert!(host.run(["muster-agent", "upgrade", "--check"])?.contains("hands out other programs"));
    host.run(["muster-agent", "upgrade"])?;
    let second = current()?;
    assert_ne!(first, second);
    assert_eq!(all_run(&host)?, before);
    // The supervisor is of that build as well, in the process that it was.
    wait_for("the supervisor to be replaced in place", BOUND, || {
        let program = host.sh("readlink /proc/$(systemctl show -p MainPID --value muster-supervisor)/exe")?;
        Ok(program.contains(second.trim()).then_some(()))
    })?;
    assert!(host.run(["muster-agent", "upgrade"])?.contains("are those that the controller hands out"));

    rebuild(b"2")?;
    // One that does not start on this host, for whatever reason.
    let drop_in = "/etc/systemd/system/muster-agent.service.d/test.conf";
    let only = format!(
        "[Service]\nExecStartPre=/bin/sh -c 'test $(readlink /usr/local/lib/muster/current) = {}'\n",
        second.trim()
    );
    host.write_file(drop_in, only.as_bytes())?;
    host.run(["systemctl", "daemon-reload"])?;
    let failed = host.exec(["muster-agent", "upgrade"])?;
    assert!(failed.code == 1 && failed.stderr.contains("is in use again"), "{failed:?}");
    assert_eq!(current()?, second);
    assert_eq!(host.run(["systemctl", "is-active", "muster-agent"])?.trim(), "active");
    assert_eq!(all_run(&host)?, before);
    host.sh(&format!("rm {drop_in}; systemctl daemon-reload"))?;
    host.run(["muster-agent", "upgrade"])?;
    assert_ne!(current()?, second);
    assert_eq!(all_run(&host)?, before);
    // Revoked, and invited again on the same host.
    fleet.cli().ok(&["node", "revoke", NODES[0], "--yes"])?;
    let said = paste(&fleet, &host)?;
    assert!(said.contains("is now node app-1"), "{said}");
    fleet.converged(&[NODES[0]])?;
    assert_eq!(all_run(&host)?, before);
    fs::remove_dir_all(folder)?;
    Ok(())
}
