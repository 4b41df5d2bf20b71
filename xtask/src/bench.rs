//! `cargo xtask bench <name>`: ours beside its peer, on this machine, in one run. Prints ratios; asserts nothing about time.

mod converge;
mod figures;
mod managers;
mod supervisor;
mod wrk;

use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::ValueEnum;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What is measured
    #[arg(value_enum)]
    name: Name,
    /// How the figures are printed at the end
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Only these measurements
    #[arg(long, visible_alias = "part", value_delimiter = ',')]
    only: Vec<String>,
    /// Fewer and shorter rounds: to see that it runs, not to quote
    #[arg(long)]
    quick: bool,
    /// How long `converge` watches the agent at rest: ten minutes, or one with --quick
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    idle_seconds: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, Debug)]
enum Name {
    /// The supervisor beside pm2, both through pm2's commands
    Supervisor,
    /// The agent beside Puppet on one throw-away host; what it costs at rest; how soon a change is everywhere
    Converge,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, Debug)]
enum Output {
    /// A table
    Text,
    /// The table, and one line of JSON at the very end
    Json,
}

/// `cargo xtask bench`
pub(crate) fn run(options: &Options) -> Result<()> {
    let figures = match options.name {
        Name::Supervisor => supervisor::run(&chosen(&options.only)?, options.quick)?,
        Name::Converge => {
            let seconds = options.idle_seconds.unwrap_or(if options.quick { 60 } else { 600 });
            let settings = converge::Settings { quick: options.quick, idle: Duration::from_secs(seconds) };
            converge::run(&chosen(&options.only)?, settings)?
        }
    };
    figures::print(&figures);
    if options.output == Output::Json {
        println!("{}", figures::json(&figures)?);
    }
    Ok(())
}

/// The measurements that were named, of those that this benchmark has.
fn chosen<T: ValueEnum>(names: &[String]) -> Result<Vec<T>> {
    let unknown = |name: &str| {
        let known = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let known: Vec<String> = known.map(|value| value.get_name().to_owned()).collect();
        anyhow!("there is no measurement `{name}` in this benchmark; there are {}", known.join(", "))
    };
    names.iter().map(|name| T::from_str(name, true).map_err(|_| unknown(name))).collect()
}
