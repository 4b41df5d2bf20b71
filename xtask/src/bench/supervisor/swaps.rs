//! Reloads in a row under constant load: failed requests, on every supported Node.js.

use std::time::Duration;

use anyhow::Result;

use super::super::figures::{Figure, Good};
use super::super::wrk::{self, Connections};
use super::{Bench, MAJORS, free_port};

/// Each swaps two workers.
const RELOADS: usize = 25;
const CLIENTS: u32 = 32;
/// Answers after 2 ms, so that requests are always under way.
const SLOW_SERVER: &str = "require('http').createServer((request, response) => setTimeout(() => response.end('ok'), 2)).listen(process.env.PORT);\n";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let dir = bench.folder("swaps")?;
    let script = dir.join("server.js");
    bench.write(&script, SLOW_SERVER)?;
    let mut figures = Vec::new();
    let majors = if bench.quick { &MAJORS[..1] } else { &MAJORS };
    for &major in majors {
        let managers = bench.managers(&format!("swaps-{major}"), major)?;
        let mut ports = Vec::new();
        for manager in &managers {
            let port = free_port()?;
            let config = dir.join(format!("{}-{major}.config.json", manager.name));
            let config_text = format!(
                r#"{{"apps": [{{"name": "server", "script": {script:?}, "exec_mode": "cluster", "instances": 2, "env": {{"PORT": "{port}"}}}}]}}"#
            );
            bench.write(&config, &config_text)?;
            manager.run(&["start", &config.to_string_lossy()])?;
            manager.online(2)?;
            ports.push(port);
        }
        for (connections, words) in
            [(Connections::Kept, "keep-alive"), (Connections::Closed, "Connection: close")]
        {
            let mut failed = Vec::new();
            for (manager, port) in managers.iter().zip(&ports) {
                let load = wrk::start(*port, connections, CLIENTS, Duration::from_secs(300))?;
                let reloads =
                    (0..bench.rounds(RELOADS)).try_for_each(|_| manager.run(&["reload", "server"]).map(drop));
                let counts = load.stop()?;
                reloads?;
                #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
                failed.push(counts.failed as f64);
            }
            let swaps = bench.rounds(RELOADS) * 2;
            let name = format!("failed requests in {swaps} swaps, Node.js {major}, {words}");
            figures.push(Figure::new(name, failed[0], Some(failed[1]), "requests", Good::Less));
        }
    }
    Ok(figures)
}
