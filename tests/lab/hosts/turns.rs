//! Two nodes of a role, one of which may be changing at a time: by turns, with a reason for whoever waits.

use anyhow::{Context as _, Result};
use muster_lab::{Host, wait_for};

use crate::BOUND;
use crate::pair::{PAIR, Pair};

/// What the service does before it is up: it notes when it went and when it is back, stays away while it is told to, and
/// does not start with a configuration that is bad.
const SLOW: &[u8] = b"#!/bin/sh
echo begin $(date +%s%N) >> /var/log/slow
while test -e /run/hold; do sleep 0.05; done
echo end $(date +%s%N) >> /var/log/slow
! grep -q bad /etc/slow.conf
";

fn sections(content: &str) -> String {
    format!(
        "systemd_units:
  slow.service:
    content: |
      [Service]
      ExecStartPre=/usr/local/bin/slow
      ExecStart=/bin/sleep infinity
      [Install]
      WantedBy=multi-user.target
files:
  settings: {{path: /etc/slow.conf, content: \"{content}\\n\"}}
services:
  slow: {{restart_on: [\"file:/etc/slow.conf\"]}}
"
    )
}

/// From when to when the service was away, by the clock that all hosts of a machine have in common.
fn restarts(host: &Host) -> Result<Vec<(u128, u128)>> {
    let log = host.read_file("/var/log/slow")?;
    let times = |word: &str| -> Result<Vec<u128>> {
        let times = log.lines().filter_map(|line| line.strip_prefix(word)).map(|time| time.trim().parse());
        times.collect::<Result<_, _>>().with_context(|| log.clone())
    };
    Ok(times("begin")?.into_iter().zip(times("end")?).collect())
}

fn configured(host: &Host) -> Result<String> {
    host.read_file("/etc/slow.conf")
}

fn state(host: &Host) -> Result<String> {
    Ok(host.exec(["systemctl", "is-active", "slow"])?.stdout.trim().to_owned())
}

#[test]
fn nodes_of_a_role_restart_one_after_the_other_and_a_mistake_stops_at_the_first() -> Result<()> {
    let pair = Pair::set(None)?;
    for host in &pair.hosts {
        host.write_file("/usr/local/bin/slow", SLOW)?;
        host.run(["chmod", "755", "/usr/local/bin/slow"])?;
    }
    pair.converge(&sections("one"))?;
    pair.nobody_has_a_turn()?;
    pair.sh("truncate --size 0 /var/log/slow; touch /run/hold")?;

    // One restarts, and takes its time over it; the other leaves file and service as they are, and says why.
    pair.apply(&sections("two"))?;
    let (first, second) = pair.one_and_the_other("granted")?;
    let (one, other) = (&pair.hosts[first], &pair.hosts[second]);
    wait_for("the first to restart", BOUND, || Ok((state(one)? == "activating").then_some(())))?;
    assert_eq!((configured(other)?.as_str(), state(other)?.as_str()), ("one\n", "active"));
    let why = format!("{} is changing since ", PAIR[first]);
    let bound = "at most 1 of the 2 app_server in production may change at once";
    let says_why = |text: &serde_json::Value| {
        text.as_str().is_some_and(|text| text.contains(&why) && text.contains(bound))
    };
    pair.turn_until(second, |turn| says_why(&turn["detail"]))?;
    let told = pair.fleet.cli().ok(&["node", "turns"])?.stdout;
    assert!(told.contains(&why) && told.contains("granted") && told.contains("waiting"), "{told}");
    let waits =
        |resource: &serde_json::Value| resource["status"] == "waiting" && says_why(&resource["detail"]);
    pair.fleet.until(PAIR[second], "file:/etc/slow.conf", waits)?;
    assert_eq!(pair.fleet.node(PAIR[second])?["turn"]["state"], "waiting");
    one.run(["rm", "/run/hold"])?;
    pair.turn_until(second, |turn| turn["state"] == "granted")?;
    wait_for("the second to restart", BOUND, || Ok((state(other)? == "activating").then_some(())))?;
    assert_eq!((configured(one)?.as_str(), state(one)?.as_str()), ("two\n", "active"));
    other.run(["rm", "/run/hold"])?;
    pair.fleet.converged(&PAIR)?;
    pair.nobody_has_a_turn()?;
    let (gone_first, gone_second) = (restarts(one)?, restarts(other)?);
    assert_eq!((gone_first.len(), gone_second.len()), (1, 1), "each restarted once");
    assert!(gone_first[0].1 <= gone_second[0].0, "never both at once: {gone_first:?} {gone_second:?}");

    // A mistake: the first refuses it and goes on with what it had, the other one never sees it.
    pair.apply(&sections("bad"))?;
    let (failed, spared) = pair.one_and_the_other("failed")?;
    let lets = format!("`muster node release-turn {}` lets others change", PAIR[failed]);
    pair.turn_until(spared, |turn| turn["detail"].as_str().is_some_and(|why| why.contains(&lets)))?;
    for host in &pair.hosts {
        assert_eq!((configured(host)?.as_str(), state(host)?.as_str()), ("two\n", "active"));
    }
    assert_eq!(restarts(&pair.hosts[spared])?.len(), 1, "it was left alone");
    // What mends it frees the place.
    pair.converge(&sections("three"))?;
    pair.nobody_has_a_turn()?;

    // The first dies while it has its turn. Nobody knows what the change did to it: the other one waits, and says for whom.
    pair.sh("touch /run/hold")?;
    pair.apply(&sections("four"))?;
    let (dead, waiting) = pair.one_and_the_other("granted")?;
    let (one, other) = (&pair.hosts[dead], &pair.hosts[waiting]);
    wait_for("the first to restart", BOUND, || Ok((state(one)? == "activating").then_some(())))?;
    one.pull_plug()?;
    let silent = format!("{} is not heard from", PAIR[dead]);
    pair.turn_until(waiting, |turn| {
        turn["state"] == "waiting" && turn["detail"].as_str().is_some_and(|why| why.contains(&silent))
    })?;
    assert_eq!((configured(other)?.as_str(), state(other)?.as_str()), ("three\n", "active"));
    // A person knows better.
    pair.fleet.cli().ok(&["node", "release-turn", PAIR[dead], "--yes"])?;
    other.run(["rm", "/run/hold"])?;
    pair.fleet.converged(&[PAIR[waiting]])?;
    assert_eq!(configured(other)?, "four\n");
    // The dead one is switched on again, and ends what it began.
    one.start()?;
    pair.fleet.converged(&PAIR)?;
    pair.nobody_has_a_turn()?;
    assert_eq!((configured(one)?.as_str(), state(one)?.as_str()), ("four\n", "active"));
    Ok(())
}
