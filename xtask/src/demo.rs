//! `cargo xtask demo`: a whole fleet on this machine; with `--once` also the proof that it keeps its promises.
//!
//! Start here: `Stage::set` brings everything up; `proof` is what `--once` does with it.

mod cli;
mod dashboard;
mod foreign;
mod load;
mod machine;
mod nodes;
mod proof;
mod report;
mod setup;
mod stage;
mod welcome;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::shell::note;
use stage::Stage;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Prove everything without a person, then clean up
    #[arg(long)]
    once: bool,
    /// With --once: also run applications from npm that were not written for this (json-server, node-red)
    #[arg(long, requires = "once")]
    foreign: bool,
    /// With --once: also look at the dashboard in a browser
    #[arg(long, requires = "once")]
    browser: bool,
    /// Build with optimisations: a longer build, and the memory figures of real installations
    #[arg(long)]
    release: bool,
    /// Leave the files of the run behind
    #[arg(long)]
    keep: bool,
}

impl Options {
    /// What `cargo xtask test` wants to see.
    pub(crate) fn test() -> Self {
        Self { once: true, foreign: false, browser: true, release: false, keep: false }
    }
}

/// `cargo xtask demo`
pub(crate) fn run(options: &Options) -> Result<()> {
    let interrupted = Interrupted::install()?;
    let mut stage = Stage::set(options.release, interrupted.clone())?;
    let outcome = if options.once { proof::run(&mut stage, options) } else { stay(&stage, &interrupted) };
    // What failed is worth reading, so its files stay.
    stage.finish(options.keep || outcome.is_err())?;
    outcome
}

fn stay(stage: &Stage, interrupted: &Interrupted) -> Result<()> {
    println!("{}", welcome::text(stage)?);
    while interrupted.check().is_ok() {
        std::thread::sleep(Duration::from_millis(200));
    }
    note("stopping everything");
    Ok(())
}

/// Set by Ctrl-C, so that what was started is also stopped.
#[derive(Clone)]
pub(super) struct Interrupted(Arc<AtomicBool>);

impl Interrupted {
    fn install() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP]
        {
            // The second time ends us at once, should the stopping hang.
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)))
                .context("cannot wait for signals")?;
        }
        Ok(Self(flag))
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        Ok(())
    }

    /// Polls until the probe answers something; a probe's error is the reason when the time is over.
    pub(super) fn wait<T>(
        &self,
        what: &str,
        bound: Duration,
        mut probe: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + bound;
        loop {
            self.check()?;
            match probe() {
                Ok(value) => return Ok(value),
                Err(error) if Instant::now() > deadline => {
                    return Err(error.context(format!("waited {} s until {what}", bound.as_secs())));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}
