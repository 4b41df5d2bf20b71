//! Tests on throw-away hosts. `cargo xtask test --only lab` runs them.
//!
//! Each test has a lab of its own. They run one after the other (`.config/nextest.toml`): a host that boots or installs
//! packages wants the whole machine.

mod bad_input;
mod crash;
mod fleet;
mod hosts;
mod install;
mod killed;
mod kinds;
mod limits;
mod network;
mod nginx;
mod on_host;
mod packages;
mod pair;
mod plan;
mod programs;
mod reboots;
mod safe_apply;
mod scene;
mod ssh;
mod turns;
mod web_stack;

use std::time::Duration;

/// Far more than anything here takes on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

/// Says that a test cannot run here; in a pipeline that is a failure.
fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "skipped, because {reason}");
    eprintln!("skipped, because {reason}");
}
