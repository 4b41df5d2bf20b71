//! On a real machine, as root, with systemd: what these tests do to it, only a throw-away host should go through. They
//! run when `MUSTER_TEST_HOST=1` says that this is one, and then insist on it: systemd as the first process, and the file
//! `/etc/muster-test-host`. `agent/tests/lab/kinds.sh` makes such a host and runs them.

mod accounts;
mod files;
mod services;
mod settings;

use crate::Node;
use muster_platform::{CommandLine, CommandOutput, Host, LinuxHost};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Numbers of users are given away first come, first served: tests that look at them go one after the other.
static ACCOUNTS: Mutex<()> = Mutex::new(());

fn accounts_alone() -> MutexGuard<'static, ()> {
    ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The machine, if it is one to be tested on.
fn machine() -> Option<Node> {
    if std::env::var("MUSTER_TEST_HOST").as_deref() != Ok("1") {
        // Said, so that nobody takes the silence for a proof.
        eprintln!("skipped, because this is no throw-away host (MUSTER_TEST_HOST is not 1)");
        return None;
    }
    assert!(Path::new("/run/systemd/system").is_dir(), "this machine was not started by systemd");
    assert!(
        Path::new("/etc/muster-test-host").is_file(),
        "this is no throw-away host: /etc/muster-test-host is missing"
    );
    assert!(rustix::process::geteuid().is_root(), "this needs root");
    Some(Node::new(Arc::new(LinuxHost::system(Path::new("/var/lib")))))
}

/// Runs a shell's command line on the machine itself.
fn sh(script: &str) -> CommandOutput {
    let command = CommandLine {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        timeout_ms: 60_000,
        ..CommandLine::default()
    };
    LinuxHost::system(Path::new("/var/lib")).run(&command).unwrap()
}

/// What it writes, when it ends well.
#[track_caller]
fn out(script: &str) -> String {
    let output = sh(script);
    assert!(output.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Waits for something to become true.
#[track_caller]
fn eventually(what: &str, at_most: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + at_most;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {at_most:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
