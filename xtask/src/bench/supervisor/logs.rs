//! One application that writes as fast as it is read.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::super::figures::{Figure, Good, median};
use super::super::managers::until;
use super::{Bench, MAJOR};

const LINES: usize = 1_000_000;
const ROUNDS: usize = 3;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let dir = bench.folder("logs")?;
    let script = dir.join("talk.js");
    let lines = if bench.quick { LINES / 10 } else { LINES };
    // Writes as a program does that respects back-pressure: a thousand lines at a time, the next when they are taken.
    let source = format!(
        "let number = 0;
         const text = 'x'.repeat(90);
         const write = () => {{
           if (number >= {lines}) {{ require('fs').writeFileSync(process.env.MARK, ''); return setInterval(() => {{}}, 60000); }}
           let chunk = '';
           for (let i = 0; i < 1000; i += 1) chunk += `${{String(number++).padStart(8, '0')}} ${{text}}\\n`;
           process.stdout.write(chunk, write);
         }};
         write();\n"
    );
    bench.write(&script, &source)?;
    let managers = bench.managers("logs", MAJOR)?;
    let (mut rates, mut lost) = ([vec![], vec![]], [0, 0]);
    for round in 0..bench.rounds(ROUNDS) {
        for (which, manager) in managers.iter().enumerate() {
            let name = format!("talk-{round}");
            let mark = dir.join(format!("{}-{round}.mark", manager.name));
            let config = dir.join(format!("{}-{round}.config.json", manager.name));
            let config_text = format!(
                r#"{{"apps": [{{"name": {name:?}, "script": {script:?}, "env": {{"MARK": {mark:?}}}}}]}}"#
            );
            bench.write(&config, &config_text)?;
            manager.run(&["ping"])?;
            let begun = Instant::now();
            manager.run(&["start", &config.to_string_lossy()])?;
            let last = format!("{:08}", lines - 1);
            let files = || files_of(&manager.logs(), &format!("{name}-out"));
            until("the last line is in the file", || {
                Ok(mark.exists() && files()?.iter().any(|file| ends_with(file, &last)))
            })?;
            let seconds = begun.elapsed().as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
            rates[which].push(lines as f64 / seconds);
            let mut written = 0;
            for file in files()? {
                written += lines_of(&file)?;
            }
            lost[which] += lines.saturating_sub(written);
            manager.clear()?;
        }
    }
    let [ours, peer] = rates.map(|rates| median(rates).unwrap_or_default());
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let [lost_ours, lost_peer] = lost.map(|lost| lost as f64);
    Ok(vec![
        Figure::new("log lines of one application", ours, Some(peer), "lines/s", Good::More),
        Figure::new("log lines lost", lost_ours, Some(lost_peer), "lines", Good::Less),
    ])
}

/// The current file and those that were rotated.
fn files_of(dir: &Path, stem: &str) -> Result<Vec<PathBuf>> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.context("the logs cannot be listed")?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(stem)) {
            files.push(path);
        }
    }
    Ok(files)
}

fn ends_with(file: &Path, number: &str) -> bool {
    use std::io::{Read, Seek, SeekFrom};
    let Ok(mut file) = std::fs::File::open(file) else { return false };
    let back = file.metadata().map(|metadata| metadata.len().min(100)).unwrap_or(0);
    let mut tail = String::new();
    file.seek(SeekFrom::End(-i64::try_from(back).unwrap_or(0))).is_ok()
        && file.read_to_string(&mut tail).is_ok()
        && tail.contains(number)
}

fn lines_of(file: &Path) -> Result<usize> {
    let opened = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut count = 0;
    for line in BufReader::new(opened).split(b'\n') {
        line.with_context(|| format!("cannot read {}", file.display()))?;
        count += 1;
    }
    Ok(count)
}
