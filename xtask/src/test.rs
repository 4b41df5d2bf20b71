//! `cargo xtask test`: every check and every test, and the sum of what the runners counted.

mod lab;
mod summary;

use anyhow::{Result, bail};

use crate::database::Temporary;
use crate::node::{self, Node};
use crate::shell::{Program, note, step};
use crate::{check, demo, deps, repo, web_ui};
use summary::{Runner, Summary};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only these parts
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Only tests whose names hold this; for the parts `rust` and `lab`
    #[arg(long, requires = "only")]
    name: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, Debug)]
enum Part {
    /// cargo xtask check
    Check,
    /// Every Rust test
    Rust,
    /// The tests on throw-away hosts
    Lab,
    /// Unit tests of the dashboard
    Ui,
    /// The dashboard in a browser, against a mock of the API
    Browser,
    /// cargo xtask demo --once, with the real dashboard in a browser
    Demo,
}

const ALL: [Part; 6] = [Part::Check, Part::Rust, Part::Lab, Part::Ui, Part::Browser, Part::Demo];

/// Runs every part, whatever the others say, and fails when one did.
pub(crate) fn run(options: &Options) -> Result<()> {
    let parts = if options.only.is_empty() { ALL.to_vec() } else { options.only.clone() };
    deps::run()?;
    let node = Node::ensure()?;
    // First, because the controller embeds it.
    web_ui::build(&node, false)?;
    let mut summary = Summary::default();
    let name = options.name.as_deref();
    let mut broken = Vec::new();
    for part in &parts {
        let outcome = match part {
            Part::Check => check::run(&check::Options::all()),
            Part::Rust => rust(name, &mut summary),
            Part::Lab => lab::run(name, &mut summary),
            Part::Ui => script(&node, "test", Runner::Vitest, &mut summary),
            Part::Browser => script(&node, "e2e", Runner::Node, &mut summary),
            Part::Demo => demo::run(&demo::Options::test()),
        };
        if let Err(error) = outcome {
            eprintln!("error: {error:#}");
            broken.push(format!("{part:?}").to_lowercase());
        }
    }
    if parts.contains(&Part::Rust) {
        summary.count_once();
    }
    summary.print();
    if broken.is_empty() && summary.failed() == 0 {
        return Ok(());
    }
    bail!("failed: {}", broken.join(", "))
}

fn rust(name: Option<&str>, summary: &mut Summary) -> Result<()> {
    let database = Temporary::start("test-db")?;
    let nodes = node::tested()?;
    let cargo = || {
        Program::cargo()
            .dir(&repo::root())
            .env("CARGO_TERM_COLOR", "never")
            // The tests make their own databases on this server; the macros compile from the committed data.
            .env("DATABASE_URL", database.url())
            .env("SQLX_OFFLINE", "true")
            .env(node::TESTED_VARIABLE, &nodes)
    };
    // Some tests run the programs of other crates.
    cargo().args(["build", "--workspace", "--bins"]).run()?;
    let nextest = cargo().args(["nextest", "--version"]).outcome()?.0.success();
    let (program, runner) = if nextest {
        let args = ["nextest", "run", "--workspace", "--exclude", lab::PACKAGE, "--no-fail-fast"];
        (cargo().args(args).args(name), Runner::Nextest)
    } else {
        note("cargo-nextest is not installed; running `cargo test`");
        let args = ["test", "--workspace", "--exclude", lab::PACKAGE, "--no-fail-fast"];
        (cargo().args(args).args(name), Runner::CargoTest)
    };
    count(program, runner, summary)?;
    if nextest {
        // nextest does not run the examples in the documentation.
        count(cargo().args(["test", "--workspace", "--doc"]).args(name), Runner::CargoTest, summary)?;
    }
    Ok(())
}

fn script(node: &Node, name: &str, runner: Runner, summary: &mut Summary) -> Result<()> {
    web_ui::install(node)?;
    if !web_ui::has_script(name)? {
        step(&format!("npm run {name}"));
        bail!("web-ui/package.json has no script `{name}`");
    }
    count(node.npm(&web_ui::dir(), &["run", name]).env("CI", "true"), runner, summary)
}

fn count(program: Program, runner: Runner, summary: &mut Summary) -> Result<()> {
    let (succeeded, lines) = program.tee()?;
    let executed = summary.add(runner, &lines);
    if !succeeded {
        bail!("{runner:?} failed");
    }
    if !executed {
        bail!("{runner:?} printed no closing line");
    }
    Ok(())
}
