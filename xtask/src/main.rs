//! The chores of the repository: `cargo xtask <chore>`.
//!
//! Holds: everything that a person or a pipeline runs on a checkout (checks, generated files, tests, the demo). Must
//! not: contain product code, or need anything but cargo to start; what else is missing, `deps` installs. Start
//! here: one module per chore, `shell` runs programs, `repo` knows the paths.

mod bench;
mod check;
mod database;
mod demo;
mod deps;
mod generate;
mod http;
mod lab;
mod node;
mod processes;
mod repo;
mod shell;
mod test;
mod tidy;
mod web_ui;

use clap::{Parser, Subcommand};

/// The chores of the repository
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Formatting, lints, tidiness, generated files, licences
    Check(check::Options),
    /// Crate edges, forbidden dependencies, file headers and sizes
    Tidy(tidy::Options),
    /// Write the generated files that are committed, or check that they are up to date
    Gen(generate::Options),
    /// Build the dashboard into web-ui/dist
    WebUi(web_ui::Options),
    /// Install what the other chores need from the distribution
    Deps,
    /// Start (or stop) a database for developers and point .env at it
    DevDb(database::Options),
    /// Run every check and every test
    Test(test::Options),
    /// Measure ours beside its peer in one run, and print the ratios
    Bench(bench::Options),
    /// Throw-away VPS hosts on this machine
    Lab(lab::Options),
    /// Run a whole fleet on this machine
    Demo(demo::Options),
}

fn main() {
    let result = match Arguments::parse().chore {
        Chore::Check(options) => check::run(&options),
        Chore::Tidy(options) => tidy::run(&options),
        Chore::Gen(options) => generate::run(&options),
        Chore::WebUi(options) => web_ui::run(&options),
        Chore::Deps => deps::run(),
        Chore::DevDb(options) => database::run(&options),
        Chore::Test(options) => test::run(&options),
        Chore::Bench(options) => bench::run(&options),
        Chore::Lab(options) => lab::run(&options),
        Chore::Demo(options) => demo::run(&options),
    };
    if let Err(error) = result {
        eprintln!("error: {error:#}");
        std::process::exit(1);
    }
}
