//! Fifty applications from one file, until each of them runs its own code.

use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};

use super::super::figures::{Figure, Good, median};
use super::super::managers::until;
use super::{Bench, MAJOR};

const APPLICATIONS: usize = 50;
const ROUNDS: usize = 3;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let dir = bench.folder("starts")?;
    let script = dir.join("mark.js");
    let source = "require('fs').writeFileSync(process.env.MARK, ''); setInterval(() => {}, 60000);\n";
    bench.write(&script, source)?;
    let managers = bench.managers("starts", MAJOR)?;
    let mut times = [vec![], vec![]];
    for round in 0..bench.rounds(ROUNDS) {
        for (which, manager) in managers.iter().enumerate() {
            let marks = dir.join(format!("marks-{}-{round}", manager.name));
            std::fs::create_dir(&marks).with_context(|| format!("cannot create {}", marks.display()))?;
            let apps: Vec<String> = (0..APPLICATIONS)
                .map(|number| {
                    let mark = marks.join(number.to_string());
                    format!(
                        r#"{{"name": "mark-{number}", "script": {script:?}, "env": {{"MARK": {mark:?}}}}}"#
                    )
                })
                .collect();
            let config = dir.join(format!("{}-{round}.config.json", manager.name));
            bench.write(&config, &format!(r#"{{"apps": [{}]}}"#, apps.join(",")))?;
            // The daemon runs already: it is the applications that are measured.
            manager.run(&["ping"])?;
            let begun = Instant::now();
            let ran = std::thread::scope(|scope| {
                let command = scope.spawn(|| manager.run(&["start", &config.to_string_lossy()]));
                // What runs counts, not when the command is content.
                until("every application has begun", || {
                    Ok(std::fs::read_dir(&marks).context("the marks are gone")?.count() == APPLICATIONS)
                })?;
                let ran = begun.elapsed();
                command.join().map_err(|_| anyhow!("the command panicked"))??;
                Ok::<_, anyhow::Error>(ran)
            })?;
            times[which].push(ran.as_secs_f64());
            manager.clear()?;
        }
    }
    let mut one_by_one = Vec::new();
    for manager in &managers {
        let begun = Instant::now();
        for number in 0..if bench.quick { 5 } else { APPLICATIONS } {
            let mark = dir.join(format!("mark-{}", manager.name));
            let name = format!("single-{number}");
            manager.run_with(&[("MARK", &mark)], &["start", &script.to_string_lossy(), "--name", &name])?;
        }
        one_by_one.push(begun.elapsed().as_secs_f64());
        manager.clear()?;
    }
    let [ours, peer] = times.map(|times| median(times).unwrap_or_default());
    Ok(vec![
        Figure::new("50 applications of one file, until each runs", ours, Some(peer), "s", Good::Less),
        Figure::new("50 `start` commands in a row", one_by_one[0], Some(one_by_one[1]), "s", Good::Less),
    ])
}
