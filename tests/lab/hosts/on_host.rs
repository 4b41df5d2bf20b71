//! The agent's tests that change the host which they run on: each group of them in a host of its own.
//!
//! `cargo xtask test --only lab` builds them, names the programs in the environment, and adds up what they counted.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use muster_lab::{Host, HostBuilder, Lab, Output};

use crate::programs::{built, npm_registry, with_build};

/// The unit tests of the agent.
const AGENT: &str = "MUSTER_LAB_AGENT_TESTS";
/// Its tests of single kinds of resources.
const KINDS: &str = "MUSTER_LAB_KINDS_TESTS";
/// The unit tests of `muster-platform`.
const PLATFORM: &str = "MUSTER_LAB_PLATFORM_TESTS";
/// A folder that takes the closing line of each run, in a file with the name of the run.
const COUNTS: &str = "MUSTER_LAB_COUNTS";
/// Such tests refuse to run on a host without it.
const MARK: &str = "/etc/muster-test-host";
/// Less than a test may take here, so that it says which of its tests hangs.
const SECONDS: &str = "300";
/// Runs alone, because the host is gone after it.
const LAST: &str = "on_host::updates::last_the_host_restarts";
/// The daemons that judge files, and the firewall.
const DAEMONS: &str = "export DEBIAN_FRONTEND=noninteractive; apt-get -qq update; \
    apt-get -qq install --yes --no-install-recommends nginx-light ufw stunnel4 haproxy openssl > /dev/null";

fn up(host: HostBuilder<'_>, tests: &Path) -> Result<Host> {
    let host = with_build(host, tests)?.up()?;
    host.write_file(MARK, b"")?;
    Ok(host)
}

/// Runs ignored tests inside, one after the other unless told otherwise, and wants all of them to pass.
fn run(host: &Host, name: &str, env: &[&str], tests: &Path, args: &[&str]) -> Result<()> {
    let tests = tests.to_string_lossy();
    let command = [&["env"], env, &["timeout", SECONDS, &tests, "--ignored"], args].concat();
    let Output { code, stdout, stderr } = host.exec(command)?;
    let closing = stdout.lines().rev().find(|line| line.starts_with("test result:"));
    if let Some(closing) = closing {
        count(name, closing)?;
    }
    match (code, closing) {
        (0, Some(closing)) if !closing.contains(" 0 passed") => Ok(()),
        (0, _) => bail!("{name}: {} has no such tests", args.join(" ")),
        // `timeout` has ended it.
        (124, _) => bail!("{name}: not over within {SECONDS} s:\n{stdout}{stderr}"),
        _ => bail!("{name}:\n{}{stderr}", failures(&stdout)),
    }
}

/// The part of the output of tests that is about those that failed; all of it when they did not get that far.
fn failures(output: &str) -> &str {
    output.find("\nfailures:\n").map_or(output, |at| &output[at + 1..])
}

fn count(name: &str, closing: &str) -> Result<()> {
    println!("{name}: {closing}");
    let Some(folder) = std::env::var_os(COUNTS) else { return Ok(()) };
    let file = Path::new(&folder).join(name);
    std::fs::write(&file, closing).with_context(|| format!("cannot write {}", file.display()))
}

#[test]
fn packages_sources_upgrades_and_nodejs_are_what_was_declared() -> Result<()> {
    let tests = built(AGENT)?;
    let lab = Lab::new()?;
    let host = up(lab.host("packages"), &tests)?;
    let registry = npm_registry().map(|registry| format!("MUSTER_TEST_NPM_REGISTRY={registry}"));
    let env: Vec<&str> = registry.iter().map(String::as_str).collect();
    run(&host, "packages", &env, &tests, &["on_host::", "--skip", LAST, "--test-threads=1"])?;
    let boots = host.boots()?;
    // The host may be gone before the test has said so.
    host.exec([&*tests.to_string_lossy(), "--ignored", "--exact", LAST])?;
    host.booted(boots + 1)?;
    count("restart", "test result: ok. 1 passed; 0 failed")?;
    lab.destroy()
}

#[test]
fn single_kinds_of_resources_with_the_real_systemd() -> Result<()> {
    let (kinds, platform) = (built(KINDS)?, built(PLATFORM)?);
    let lab = Lab::new()?;
    let host = up(lab.host("kinds"), &kinds)?;
    // Both, whatever the first says.
    let systemd = run(&host, "systemd", &[], &platform, &["real_systemd"]);
    run(&host, "kinds", &[], &kinds, &["machine::", "--test-threads=4"]).and(systemd)?;
    lab.destroy()
}

#[test]
fn firewall_ssh_validators_and_timers_with_the_real_daemons() -> Result<()> {
    let tests = built(AGENT)?;
    let lab = Lab::new()?;
    let image = lab.prepared(DAEMONS)?;
    let host = up(lab.host("daemons").image(&image), &tests)?;
    let build = tests.ancestors().nth(2).context("the tests are in a folder of a build")?;
    let agent = format!("MUSTER_TEST_AGENT={}", build.join("muster-agent").display());
    run(&host, "daemons", &[&agent], &tests, &["host_tests::", "--test-threads=1"])?;
    lab.destroy()
}

#[test]
fn of_what_tests_say_only_failures_are_told() {
    let output = "\nrunning 2 tests\ntest a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\nit broke\n\n\
        failures:\n    b\n\ntest result: FAILED. 1 passed; 1 failed; 0 ignored\n";
    let told = failures(output);
    assert!(
        told.contains("it broke") && told.contains("test result: FAILED") && !told.contains("test a"),
        "{told}"
    );
    assert_eq!(failures("running 2 tests\nkilled"), "running 2 tests\nkilled");
}
