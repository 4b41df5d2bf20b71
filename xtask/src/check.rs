//! `cargo xtask check`: everything that needs no test run.

use anyhow::{Result, bail};

use crate::node::Node;
use crate::shell::{Program, note, step};
use crate::{generate, repo, tidy, web_ui};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only these parts
    #[arg(long, value_enum)]
    only: Vec<Part>,
}

impl Options {
    /// Every part.
    pub(crate) fn all() -> Self {
        Self { only: Vec::new() }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, Debug)]
enum Part {
    Fmt,
    Clippy,
    Tidy,
    Gen,
    Deny,
    Ui,
}

const ALL: [Part; 6] = [Part::Fmt, Part::Tidy, Part::Clippy, Part::Gen, Part::Deny, Part::Ui];

/// Runs every part, whatever the others say, and fails when one did.
pub(crate) fn run(options: &Options) -> Result<()> {
    let parts = if options.only.is_empty() { ALL.to_vec() } else { options.only.clone() };
    let mut failed = Vec::new();
    for part in parts {
        if let Err(error) = run_part(part) {
            eprintln!("error: {error:#}");
            failed.push(format!("{part:?}").to_lowercase());
        }
    }
    if failed.is_empty() {
        note("check: all is well");
        return Ok(());
    }
    bail!("check failed: {}", failed.join(", "))
}

fn run_part(part: Part) -> Result<()> {
    let cargo = || Program::cargo().dir(&repo::root());
    match part {
        Part::Fmt => cargo().args(["fmt", "--all", "--", "--check"]).run(),
        // Without a database: the committed query data is what a clean clone compiles with.
        Part::Clippy => cargo()
            .env("SQLX_OFFLINE", "true")
            .args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
            .run(),
        Part::Tidy => tidy::run(&tidy::Options::default()),
        Part::Gen => generate::run(&generate::Options::check()),
        Part::Deny => deny(),
        Part::Ui => ui(),
    }
}

fn deny() -> Result<()> {
    let known = Program::cargo().args(["deny", "--version"]).outcome()?.0.success();
    if !known {
        step("cargo deny");
        note("skipped, because cargo-deny is not installed (`cargo install cargo-deny` brings it)");
        return Ok(());
    }
    // Advisories need a download of their database; a pipeline without that network asks for them by itself.
    Program::cargo().dir(&repo::root()).args(["deny", "check", "bans", "licenses", "sources"]).run()
}

fn ui() -> Result<()> {
    let dir = web_ui::dir();
    let node = Node::ensure()?;
    web_ui::install(&node)?;
    node.npm(&dir, &["run", "--silent", "check"]).run()
}
