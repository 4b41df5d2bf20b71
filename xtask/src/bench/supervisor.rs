//! The supervisor beside pm2: memory, answers, throughput, replacement, starts, logs and swaps under load.

mod idle;
mod logs;
mod replacement;
mod starts;
mod swaps;
mod throughput;

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::figures::Figure;
use super::managers::{Manager, node_of};
use crate::deps::{Need, ensure};
use crate::repo;
use crate::shell::{Program, step};

/// What can be measured alone.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, Debug)]
pub(crate) enum Measurement {
    /// Memory of the daemon, and how fast it lists
    Idle,
    /// Requests per second of an unmodified application in cluster mode
    Throughput,
    /// From `kill -9` of a worker to an answer of its replacement
    Replacement,
    /// Starting 50 applications
    Starts,
    /// Lines of a busy application
    Logs,
    /// Reloads under constant load, on every supported Node.js
    Swaps,
}

const ALL: [Measurement; 6] = [
    Measurement::Idle,
    Measurement::Throughput,
    Measurement::Replacement,
    Measurement::Starts,
    Measurement::Logs,
    Measurement::Swaps,
];

/// Majors that applications are run on.
const MAJORS: [u32; 4] = [18, 20, 22, 24];
/// The one for everything else.
const MAJOR: u32 = 22;

/// What every measurement needs.
struct Bench {
    dir: PathBuf,
    quick: bool,
}

impl Bench {
    /// `thorough` rounds, or fewer.
    fn rounds(&self, thorough: usize) -> usize {
        if self.quick { thorough.div_ceil(5) } else { thorough }
    }

    /// Both, with homes of their own for this measurement.
    fn managers(&self, name: &str, major: u32) -> Result<[Manager; 2]> {
        let dir = self.folder(name)?;
        let node = node_of(major)?;
        Ok([Manager::ours(&dir, &node)?, Manager::pm2(&dir, &node)?])
    }

    fn folder(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(dir)
    }

    fn write(&self, path: &Path, text: &str) -> Result<()> {
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

pub(super) fn run(only: &[Measurement], quick: bool) -> Result<Vec<Figure>> {
    ensure(&[Need::Node, Need::LoadGenerator, Need::Compiler])?;
    step("building the supervisor as it is released");
    Program::cargo().dir(&repo::root()).args(["build", "--release", "-p", "muster-supervisor"]).run()?;
    let dir = repo::target().join("bench/run");
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    let bench = Bench { dir, quick };
    let mut figures = Vec::new();
    for measurement in if only.is_empty() { &ALL } else { only } {
        step(&format!("measuring {measurement:?}").to_lowercase());
        figures.extend(match measurement {
            Measurement::Idle => idle::measure(&bench)?,
            Measurement::Throughput => throughput::measure(&bench)?,
            Measurement::Replacement => replacement::measure(&bench)?,
            Measurement::Starts => starts::measure(&bench)?,
            Measurement::Logs => logs::measure(&bench)?,
            Measurement::Swaps => swaps::measure(&bench)?,
        });
    }
    Ok(figures)
}

/// A port that nobody uses just now.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no port is free")?;
    Ok(listener.local_addr().context("the port is unknown")?.port())
}

/// A server as people write it: it knows nothing of either manager.
const SERVER: &str =
    "require('http').createServer((request, response) => response.end('ok')).listen(process.env.PORT);\n";
