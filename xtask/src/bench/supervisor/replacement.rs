//! A worker is killed: how long until its replacement answers, and how much of that is Node.js itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::super::figures::{Figure, Good, median};
use super::super::managers::{Manager, node_of};
use super::{Bench, MAJOR, SERVER, free_port};
use crate::http::Connection;

const ROUNDS: usize = 15;
/// Between two requests.
const EVERY: Duration = Duration::from_millis(3);

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let dir = bench.folder("replacement")?;
    let script = dir.join("server.js");
    bench.write(&script, SERVER)?;
    let node = node_of(MAJOR)?;
    let managers = bench.managers("replacement", MAJOR)?;
    let mut ports = Vec::new();
    for manager in &managers {
        let port = free_port()?;
        let config = dir.join(format!("{}.config.json", manager.name));
        let config_text = format!(
            r#"{{"apps": [{{"name": "server", "script": {script:?}, "exec_mode": "cluster", "instances": 1, "max_restarts": 1000, "env": {{"PORT": "{port}"}}}}]}}"#
        );
        bench.write(&config, &config_text)?;
        manager.run(&["start", &config.to_string_lossy()])?;
        manager.online(1)?;
        ports.push(port);
    }
    let (mut alone_times, mut times) = (vec![], [vec![], vec![]]);
    for _ in 0..bench.rounds(ROUNDS) {
        alone_times.push(alone(&node, &script)?);
        for (which, manager) in managers.iter().enumerate() {
            times[which].push(replaced(manager, ports[which])?);
        }
    }
    let alone = median(alone_times).unwrap_or_default();
    let [ours, peer] = times.map(|times| median(times).unwrap_or_default());
    Ok(vec![
        Figure::new("kill -9 of the only worker to the next answer", ours, Some(peer), "ms", Good::Less),
        Figure::new(
            "the same, beyond `node server.js` alone",
            ours - alone,
            Some(peer - alone),
            "ms",
            Good::Less,
        ),
        Figure::new("`node server.js` alone, start to answer", alone, None, "ms", Good::Less),
    ])
}

/// Without anybody, from its start to its first answer.
fn alone(node: &Path, script: &Path) -> Result<f64> {
    let port = free_port()?;
    let begun = Instant::now();
    let mut child = Command::new(node)
        .arg(script)
        .env("PORT", port.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start node")?;
    let answered = answer_after(port, begun);
    child.kill().context("cannot end node")?;
    child.wait().context("cannot wait for node")?;
    answered
}

fn replaced(manager: &Manager, port: u16) -> Result<f64> {
    manager.online(1)?;
    // An unstable instance may be treated otherwise; that is not what is measured.
    std::thread::sleep(Duration::from_millis(1100));
    let pid = manager.list()?[0]["pid"].as_u64().context("the worker has no process id")?;
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("the worker has no process id")?;
    let begun = Instant::now();
    kill_process(pid, Signal::KILL).context("cannot kill the worker")?;
    answer_after(port, begun)
}

/// Milliseconds until a request is answered. A new one is sent every few milliseconds, whatever became of those before:
/// one that was given to the worker that died may never be answered.
fn answer_after(port: u16, begun: Instant) -> Result<f64> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (answered, answers) = mpsc::channel();
    while begun.elapsed() < Duration::from_secs(20) {
        let answered = answered.clone();
        std::thread::spawn(move || {
            if let Ok(mut connection) = Connection::open(address)
                && let Ok(answer) = connection.get("/", false)
                && answer.status == 200
            {
                // The first one is enough; nobody waits for the others.
                answered.send(begun.elapsed()).ok();
            }
        });
        if let Ok(elapsed) = answers.recv_timeout(EVERY) {
            return Ok(elapsed.as_secs_f64() * 1000.0);
        }
    }
    bail!("nobody answers on port {port}")
}
