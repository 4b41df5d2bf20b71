//! What a daemon costs while nothing happens, and how fast it answers.

use anyhow::Result;

use super::super::figures::{Figure, Good, median};
use super::{Bench, MAJOR};

const APPLICATIONS: usize = 10;
const LISTS: usize = 25;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let dir = bench.folder("idle")?;
    let script = dir.join("idle.js");
    bench.write(&script, "setInterval(() => {}, 60000);\n")?;
    let managers = bench.managers("idle", MAJOR)?;
    let mut memory = Vec::new();
    let mut lists = Vec::new();
    for manager in &managers {
        for number in 0..APPLICATIONS {
            manager.run(&["start", &script.to_string_lossy(), "--name", &format!("idle-{number}")])?;
        }
        manager.online(APPLICATIONS)?;
        let mut times = Vec::new();
        for _ in 0..bench.rounds(LISTS) {
            times.push(manager.timed(&["jlist"])?.as_secs_f64() * 1000.0);
        }
        lists.push(median(times).unwrap_or_default());
        memory.push(manager.resident_mb()?);
    }
    Ok(vec![
        Figure::new("daemon RSS, 10 applications", memory[0], Some(memory[1]), "MB", Good::Less),
        Figure::new("jlist, 10 applications", lists[0], Some(lists[1]), "ms", Good::Less),
    ])
}
