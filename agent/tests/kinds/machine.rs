//! On a real machine, as root, with systemd: what these tests do to it, only a throw-away host should go through. So they
//! are ignored elsewhere, and insist on `/etc/muster-test-host`. `tests/lab/hosts/on_host.rs` makes such a host and runs
//! them there.

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

/// The machine, which has to be one to be tested on.
fn machine() -> Node {
    let marked = Path::new("/etc/muster-test-host").is_file();
    assert!(
        marked,
        "this is no throw-away host; `cargo xtask test --only lab` makes one and runs this there"
    );
    assert!(Path::new("/run/systemd/system").is_dir(), "this machine was not started by systemd");
    assert!(rustix::process::geteuid().is_root(), "this needs root");
    Node::new(Arc::new(LinuxHost::system(Path::new("/var/lib"))))
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
