//! The tests on throw-away hosts: a part of their own, because not every machine can host them.
//!
//! Some are tests of other crates that change the host which they run on, or depend on what it is. They are *ignored*
//! elsewhere; here they are built, and a test of the lab runs them inside and leaves what they counted.

mod inner;

use std::fs;

use anyhow::{Context as _, Result, bail};

use super::summary::{Runner, Summary};
use crate::shell::{Program, note, step};
use crate::{lab, repo};
use inner::Inner;

/// The crate with the hosts and their tests.
pub(super) const PACKAGE: &str = "muster-lab";
/// How the tests are told where to leave what was counted inside.
const COUNTS: &str = "MUSTER_LAB_COUNTS";

/// Runs the tests whose names hold `name`; all without.
pub(super) fn run(name: Option<&str>, summary: &mut Summary) -> Result<()> {
    if let Some(reason) = lab::unsuitable()? {
        return skip(&reason, name, summary);
    }
    lab::prepare()?;
    // What runs in the hosts.
    cargo().args(["build", "--workspace", "--bins"]).run()?;
    let counts = repo::target().join("lab-counts");
    if counts.exists() {
        fs::remove_dir_all(&counts).with_context(|| format!("cannot remove {}", counts.display()))?;
    }
    fs::create_dir_all(&counts).with_context(|| format!("cannot create {}", counts.display()))?;
    let program = Inner::build()?.named(cargo().env(COUNTS, &counts));
    let nextest = cargo().args(["nextest", "--version"]).outcome()?.0.success();
    let (program, runner) = if nextest {
        let args = ["nextest", "run", "--package", PACKAGE, "--ignore-default-filter", "--no-fail-fast"];
        (program.args(args).args(name), Runner::Nextest)
    } else {
        // One after the other: a host wants the whole machine.
        let args = ["test", "--package", PACKAGE, "--no-fail-fast", "--", "--test-threads=1"];
        (program.args(args).args(name), Runner::CargoTest)
    };
    let outcome = super::count(program, runner, summary);
    for entry in fs::read_dir(&counts).with_context(|| format!("cannot list {}", counts.display()))? {
        let path = entry?.path();
        let line = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        summary.add_on_host(&name, line.trim());
    }
    outcome
}

fn cargo() -> Program {
    Program::cargo().dir(&repo::root()).env("CARGO_TERM_COLOR", "never").env("SQLX_OFFLINE", "true")
}

/// Counts the tests as skipped. A pipeline that skips what it is there to run would prove nothing.
fn skip(reason: &str, name: Option<&str>, summary: &mut Summary) -> Result<()> {
    step("tests on throw-away hosts");
    note(&format!("skipped, because {reason}"));
    let listed = cargo()
        .args(["test", "--package", PACKAGE, "--", "--list", "--format", "terse"])
        .args(name)
        .read()?;
    summary.add_skipped(inner::listed(&listed));
    if name.is_none() {
        summary.add_skipped_on_host(Inner::build()?.number()?);
    }
    if std::env::var_os("CI").is_some() {
        bail!("the tests on throw-away hosts cannot run in this pipeline: {reason}");
    }
    Ok(())
}
