//! One application that writes as fast as it is read.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::super::figures::{Figure, Good, median};
use super::super::managers::until;
use super::{Bench, MAJOR};

const ROUNDS: usize = 3;

/// How an application writes.
#[derive(Clone, Copy)]
struct Habit {
    words: &'static str,
    lines: usize,
    /// JavaScript that writes `lines` lines and calls `done`.
    source: &'static str,
}

const HABITS: [Habit; 2] = [
    Habit {
        words: "each by `console.log`",
        lines: 500_000,
        source: "const write = () => {
           for (let i = 0; i < 500 && number < lines; i += 1) console.log(`${String(number++).padStart(8, '0')} ${text}`);
           number < lines ? setImmediate(write) : process.stdout.write('', done);
         };",
    },
    // As a program does that respects back-pressure: the next thousand when these are taken.
    Habit {
        words: "a thousand at a time",
        lines: 2_000_000,
        source: "const write = () => {
           if (number >= lines) return done();
           let chunk = '';
           for (let i = 0; i < 1000; i += 1) chunk += `${String(number++).padStart(8, '0')} ${text}\n`;
           process.stdout.write(chunk, write);
         };",
    },
];

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (number, habit) in HABITS.iter().enumerate() {
        figures.extend(measure_habit(bench, *habit, number)?);
    }
    Ok(figures)
}

fn measure_habit(bench: &Bench, habit: Habit, number: usize) -> Result<Vec<Figure>> {
    let dir = bench.folder(&format!("logs-{number}"))?;
    let script = dir.join("talk.js");
    let lines = if bench.quick { habit.lines / 10 } else { habit.lines };
    let source = format!(
        "let number = 0;
         const lines = {lines}, text = 'x'.repeat(90);
         const done = () => {{ require('fs').writeFileSync(process.env.MARK, ''); setInterval(() => {{}}, 60000); }};
         {}
         write();\n",
        habit.source
    );
    bench.write(&script, &source)?;
    let managers = bench.managers(&format!("logs-{number}"), MAJOR)?;
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
    let Habit { words, .. } = habit;
    Ok(vec![
        Figure::new(
            format!("log lines of one application, {words}"),
            ours,
            Some(peer),
            "lines/s",
            Good::More,
        ),
        Figure::new(format!("log lines lost, {words}"), lost_ours, Some(lost_peer), "lines", Good::Less),
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
