//! `cargo xtask bench <name>`: ours beside its peer, on this machine, in one run. Prints ratios; asserts nothing about time.

mod figures;
mod managers;
mod supervisor;
mod wrk;

use anyhow::Result;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What is measured
    #[arg(value_enum)]
    name: Name,
    /// How the figures are printed at the end
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Only these measurements
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<supervisor::Measurement>,
    /// Fewer and shorter rounds: to see that it runs, not to quote
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, Debug)]
enum Name {
    /// The supervisor beside pm2, both through pm2's commands
    Supervisor,
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
        Name::Supervisor => supervisor::run(&options.only, options.quick)?,
    };
    figures::print(&figures);
    if options.output == Output::Json {
        println!("{}", figures::json(&figures)?);
    }
    Ok(())
}
