//! Requests per second of an unmodified application with two workers.

use std::time::Duration;

use anyhow::Result;

use super::super::figures::{Figure, Good, median};
use super::super::wrk::{self, Connections};
use super::{Bench, MAJOR, SERVER, free_port};

const CLIENTS: u32 = 64;
const ROUNDS: usize = 3;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let dir = bench.folder("throughput")?;
    let managers = bench.managers("throughput", MAJOR)?;
    let mut ports = Vec::new();
    for manager in &managers {
        let port = free_port()?;
        let script = dir.join("server.js");
        bench.write(&script, SERVER)?;
        let config = dir.join(format!("{}.config.json", manager.name));
        let config_text = format!(
            r#"{{"apps": [{{"name": "server", "script": {script:?}, "exec_mode": "cluster", "instances": 2, "env": {{"PORT": "{port}"}}}}]}}"#
        );
        bench.write(&config, &config_text)?;
        manager.run(&["start", &config.to_string_lossy()])?;
        manager.online(2)?;
        ports.push(port);
    }
    let seconds = Duration::from_secs(if bench.quick { 2 } else { 6 });
    let mut figures = Vec::new();
    for (connections, words) in
        [(Connections::Kept, "keep-alive"), (Connections::Closed, "Connection: close")]
    {
        let (mut rates, mut latencies) = ([vec![], vec![]], [vec![], vec![]]);
        // Round by round, so that whatever else the machine does concerns both.
        for _ in 0..bench.rounds(ROUNDS) {
            for (which, port) in ports.iter().enumerate() {
                let counts = wrk::start(*port, connections, CLIENTS, seconds)?.finish()?;
                rates[which].push(counts.per_second);
                latencies[which].push(counts.p99_ms);
            }
        }
        let [ours, peer] = rates.map(|rates| median(rates).unwrap_or_default());
        figures.push(Figure::new(
            format!("cluster throughput, {words}"),
            ours,
            Some(peer),
            "requests/s",
            Good::More,
        ));
        let [ours, peer] = latencies.map(|latencies| median(latencies).unwrap_or_default());
        figures.push(Figure::new(format!("cluster p99, {words}"), ours, Some(peer), "ms", Good::Less));
    }
    Ok(figures)
}
