//! The tests on throw-away hosts: a part of their own, because not every machine can host them.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::summary::{Runner, Summary};
use crate::shell::{Program, note, step};
use crate::{lab, repo};

/// The crate with the hosts and their tests.
pub(super) const PACKAGE: &str = "muster-lab";
/// How the tests are told where those of the supervisor are, which they run in hosts of several kinds.
const SUPERVISOR_TESTS: &str = "MUSTER_LAB_SUPERVISOR_TESTS";

pub(super) fn run(summary: &mut Summary) -> Result<()> {
    if let Some(reason) = lab::unsuitable()? {
        return skip(&reason, summary);
    }
    lab::prepare()?;
    // What runs in the hosts.
    cargo().args(["build", "--workspace", "--bins"]).run()?;
    let program = cargo().env(SUPERVISOR_TESTS, supervisor_tests()?);
    let nextest = cargo().args(["nextest", "--version"]).outcome()?.0.success();
    let (program, runner) = if nextest {
        let args = ["nextest", "run", "--package", PACKAGE, "--ignore-default-filter", "--no-fail-fast"];
        (program.args(args), Runner::Nextest)
    } else {
        // One after the other: a host wants the whole machine.
        let args = ["test", "--package", PACKAGE, "--no-fail-fast", "--", "--test-threads=1"];
        (program.args(args), Runner::CargoTest)
    };
    super::count(program, runner, summary)
}

fn cargo() -> Program {
    Program::cargo().dir(&repo::root()).env("CARGO_TERM_COLOR", "never").env("SQLX_OFFLINE", "true")
}

/// Counts the tests as skipped. A pipeline that skips what it is there to run would prove nothing.
fn skip(reason: &str, summary: &mut Summary) -> Result<()> {
    step("tests on throw-away hosts");
    note(&format!("skipped, because {reason}"));
    let listed = cargo().args(["test", "--package", PACKAGE, "--", "--list", "--format", "terse"]).read()?;
    summary.add_skipped(listed.lines().filter(|line| line.ends_with(": test")).count());
    if std::env::var_os("CI").is_some() {
        bail!("the tests on throw-away hosts cannot run in this pipeline: {reason}");
    }
    Ok(())
}

/// The built tests of the supervisor.
fn supervisor_tests() -> Result<String> {
    #[derive(Deserialize)]
    struct Message {
        target: Target,
        executable: Option<String>,
    }
    #[derive(Deserialize)]
    struct Target {
        kind: Vec<String>,
    }
    let args = [
        "test",
        "--package",
        "muster-supervisor",
        "--test",
        "supervisor",
        "--no-run",
        "--message-format=json",
    ];
    let messages = cargo().args(args).read()?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    // The programs that they start are in the list as well.
    let mut tests = messages.filter(|message| message.target.kind == ["test"]);
    tests.find_map(|message| message.executable).context("cargo did not say where the tests are")
}
