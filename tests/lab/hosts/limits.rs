//! The supervisor's tests of limits, run inside hosts of each kind, and what it says there.
//!
//! `cargo xtask test --only lab` names the built tests in `MUSTER_LAB_SUPERVISOR_TESTS`.

use std::path::Path;

use anyhow::Result;
use muster_lab::{Host, HostBuilder, Lab, wait_for};

use crate::programs::{built, with_build};
use crate::{BOUND, skip};

const TESTS: &str = "MUSTER_LAB_SUPERVISOR_TESTS";

/// What nothing enforces is said to be so.
const UNENFORCED: &str = "rlimits and polling; cpu not enforced; pids not enforced";

fn up(builder: HostBuilder<'_>) -> Result<Host> {
    let node =
        std::process::Command::new("sh").args(["-c", "readlink -f \"$(command -v node)\""]).output()?.stdout;
    let node = String::from_utf8(node)?;
    with_build(builder, &built(TESTS)?)?.bind(Path::new(node.trim()), "/usr/local/bin/node").up()
}

/// Runs the tests whose names begin with this; `before` comes in front of the command.
fn run(host: &Host, before: &[&str], variable: &str, filter: &str) -> Result<()> {
    let tests = built(TESTS)?.to_string_lossy().into_owned();
    let command = ["env", variable, "timeout", "300", &tests, filter, "--test-threads=2"];
    let output = host.run([before, &command].concat())?;
    assert!(output.contains("test result: ok.") && !output.contains("running 0 tests"), "{output}");
    Ok(())
}

#[test]
fn systemd_scopes_enforce_limits_where_the_host_has_controllers() -> Result<()> {
    if let Some(reason) = muster_lab::v1_unavailable() {
        skip(&reason);
        return Ok(());
    }
    let lab = Lab::new()?;
    let host = up(lab.host("limits").v1())?;
    run(&host, &[], "MUSTER_TEST_LIMITS_BY=systemd scope", "limits::")?;
    host.sh("useradd -m walter && groupadd -f reading && usermod -aG reading walter && loginctl enable-linger walter")?;
    wait_for("the user manager of systemd", BOUND, || {
        Ok((host.exec(["sh", "-c", "test -S /run/user/$(id -u walter)/systemd/private"])?.code == 0)
            .then_some(()))
    })?;
    // Without root nothing can be enforced, user manager or not.
    let walter = ["setpriv", "--reuid=walter", "--regid=walter", "--init-groups"];
    run(&host, &walter, &format!("MUSTER_TEST_LIMITS_BY={UNENFORCED}"), "limits::")?;
    run(&host, &[], "MUSTER_TEST_USER=walter:reading", "users::")?;
    lab.destroy()
}

#[test]
fn a_host_without_controllers_is_noticed_and_said() -> Result<()> {
    let lab = Lab::new()?;
    let host = up(lab.host("limits"))?;
    run(&host, &[], &format!("MUSTER_TEST_LIMITS_BY={UNENFORCED}"), "limits::")?;
    lab.destroy()
}
