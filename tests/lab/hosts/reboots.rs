//! Restarts of hosts that somebody planned: in their window, one node of a role after the other, each back with its
//! application before the next one goes; and those that a person wants.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use muster_lab::{Host, Lab, wait_for};

use crate::BOUND;
use crate::nginx::STACK;
use crate::pair::{PAIR, Pair};

/// Two hosts, one after the other, on a busy machine.
const REBOOTED: Duration = Duration::from_secs(180);
const PORT: u16 = 3000;

fn sections(window: &str) -> String {
    format!(
        "base:
  ssh: false
  firewall: false
  time_sync: false
  journal: false
  logrotate: false
  updates: {{security: never, reboot: \"{window}\"}}
applications:
  web: {{script: server.js, port: {PORT}, health: {{http: /}}}}
"
    )
}

/// A window that is days away.
fn closed(host: &Host) -> Result<String> {
    let day = host.run(["date", "--utc", "--date", "3 days", "+%a"])?;
    Ok(format!("{} 03:00-04:00 Etc/UTC", day.trim()))
}

fn deploy(pair: &Pair) -> Result<()> {
    let app = pair.fleet.lab().scratch("app")?;
    let server =
        "require('http').createServer((_, answer) => answer.end('hello')).listen(process.env.PORT);\n";
    fs::write(app.join("server.js"), server)?;
    let dir = app.to_string_lossy().into_owned();
    pair.fleet.cli().ok(&["release", "create", "web", "--dir", &dir, "--version", "1"])?;
    let deploy = ["deploy", "web", "--release", "1", "--environment", "production", "--wait"];
    pair.fleet.cli().ok(&deploy).map(drop)
}

/// Whether the application of a host answers now.
fn answers(address: Ipv4Addr) -> bool {
    // One that is slow on a busy machine is not away.
    let patience = Duration::from_secs(3);
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from((address, PORT)), patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.ends_with("hello"))
    };
    ask().unwrap_or(false)
}

/// How often each was found away, and how often both were at once, until it is told to stop.
fn watch(addresses: &[Ipv4Addr], stop: &AtomicBool) -> ([u32; 2], u32) {
    let (mut away, mut both) = ([0, 0], 0);
    while !stop.load(Ordering::Relaxed) {
        let found = [!answers(addresses[0]), !answers(addresses[1])];
        for (count, found) in away.iter_mut().zip(found) {
            *count += u32::from(found);
        }
        // Asked one after the other: the first may have come back before the second went.
        both += u32::from(found == [true, true] && !answers(addresses[0]));
    }
    (away, both)
}

fn boots(pair: &Pair) -> Result<[u64; 2]> {
    Ok([pair.hosts[0].boots()?, pair.hosts[1].boots()?])
}

fn booted(pair: &Pair, times: [u64; 2]) -> Result<()> {
    wait_for("the hosts to restart", REBOOTED, || {
        let boots = boots(pair)?;
        anyhow::ensure!(boots >= times, "{boots:?}; turns: {:?}", pair.fleet.turns()?);
        Ok(Some(()))
    })?;
    for (host, times) in pair.hosts.iter().zip(times) {
        host.booted(times)?;
    }
    assert_eq!(boots(pair)?, times, "not more often than that");
    pair.fleet.converged(&PAIR)?;
    pair.nobody_has_a_turn()
}

/// Waits until a node says something of the restart that it needs; `None`: that it needs none.
fn needs(pair: &Pair, node: &str, words: Option<&str>) -> Result<()> {
    wait_for(&format!("{node} to say {words:?}"), BOUND, || {
        let said = pair.fleet.node(node)?["reboot_required"].clone();
        let good = match (words, said.as_str()) {
            (None, None) => true,
            (Some(words), Some(said)) => said.contains(words),
            _ => false,
        };
        anyhow::ensure!(good, "{said}");
        Ok(Some(()))
    })
}

/// That a node went and that it came back, in the order in which the fleet was told.
fn told(pair: &Pair, node: &str) -> Result<Vec<String>> {
    let events = pair.fleet.cli().json(&["events", "--since", "1h"])?;
    let mut events =
        events.get("items").unwrap_or(&events).as_array().cloned().context("a list of events")?;
    events.sort_by_key(|event| event["sequence"].as_i64());
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let of_restarts = events.iter().filter(|event| {
        event["node"] == node && ["node.rebooting", "node.rebooted"].contains(&text(&event["kind"]).as_str())
    });
    Ok(of_restarts.map(|event| text(&event["kind"])).collect())
}

#[test]
fn hosts_restart_in_their_window_one_after_the_other_or_when_a_person_wants_it() -> Result<()> {
    let updates = "apt-get -qq install --yes --no-install-recommends unattended-upgrades > /dev/null";
    let image = Lab::new()?.prepared(&format!("{STACK}; {updates}"))?;
    let pair = Pair::set(Some(&image))?;
    let closed = closed(&pair.hosts[0])?;
    pair.converge(&sections(&closed))?;
    deploy(&pair)?;
    pair.fleet.converged(&PAIR)?;
    let addresses: Vec<Ipv4Addr> = pair.hosts.iter().map(Host::address).collect();

    // An upgrade asks for a restart: outside of the window that is only told.
    pair.sh("echo libc6 > /run/reboot-required.pkgs; touch /run/reboot-required")?;
    pair.look()?;
    for node in PAIR {
        needs(&pair, node, Some("upgraded: libc6; waits for its window"))?;
        let shown = pair.fleet.cli().ok(&["node", "show", node])?.stdout;
        assert!(shown.contains("upgraded: libc6"), "{shown}");
    }
    pair.nobody_has_a_turn()?;
    assert_eq!(boots(&pair)?, [1, 1]);

    // The window opens.
    let stop = AtomicBool::new(false);
    let (away, both) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch(&addresses, &stop));
        let restarted = pair.apply(&sections("daily 00:00-24:00")).and_then(|()| booted(&pair, [2, 2]));
        stop.store(true, Ordering::Relaxed);
        let seen = watching.join().map_err(|_| anyhow::anyhow!("the watch panicked"))?;
        restarted.map(|()| seen)
    })?;
    assert!(away.iter().all(|times| *times > 0), "each was away for a while: {away:?}");
    assert_eq!(both, 0, "one of them serves at any time");
    assert!(addresses.iter().all(|address| answers(*address)), "each came back with its application");
    for node in PAIR {
        needs(&pair, node, None)?;
        wait_for("the fleet to be told", BOUND, || {
            let told = told(&pair, node)?;
            anyhow::ensure!(told == ["node.rebooting", "node.rebooted"], "{told:?}");
            Ok(Some(()))
        })?;
    }

    // What a person wants happens in no window, and once.
    pair.converge(&sections(&closed))?;
    let cli = pair.fleet.cli();
    let [web_1, web_2] = PAIR;
    let reboot = |args: &[&str]| cli.run(&[&["node", "reboot"], args].concat());
    for (args, code, says) in [
        (&[web_1, "--reason", "new kernel"][..], 2, "--yes"),
        (&[web_1, "--yes"], 2, "--reason"),
        (&[web_1, "--reason", " ", "--yes"], 3, "reason"),
        (&["nobody", "--reason", "new kernel", "--yes"], 1, "nobody"),
        (&[web_1, "--cancel"], 3, "nobody wants"),
    ] {
        let said = reboot(args)?;
        assert!(said.code == code && said.stderr.contains(says), "{args:?}: {said:?}");
    }
    cli.ok(&["node", "reboot", web_1, "--reason", "new kernel", "--yes"])?;
    cli.ok(&["node", "reboot", web_2, "--reason", "stuck", "--now", "--yes"])?;
    booted(&pair, [3, 3])?;
    for node in PAIR {
        wait_for("the wish to be fulfilled", BOUND, || {
            Ok(pair.fleet.node(node)?["reboot_request"].is_null().then_some(()))
        })?;
    }
    let events = cli.ok(&["events", "--since", "1h"])?.stdout;
    assert!(events.contains("web-1 was restarted, as admin wanted: new kernel"), "{events}");
    assert_eq!(boots(&pair)?, [3, 3]);
    cli.ok(&["node", "revoke", web_2, "--yes"])?;
    let said = reboot(&[web_2, "--reason", "new kernel", "--yes"])?;
    assert!(said.code == 3 && said.stderr.contains("no longer belongs to the fleet"), "{said:?}");
    Ok(())
}
