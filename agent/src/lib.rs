//! The agent: pulls what its node should be, converges it, reports.
//!
//! Holds: the identity of the node, the link to the controller, the ledger (what was last accepted, what is still to be
//! reported), and the loop observe -> plan -> apply -> report. Deciding is done by `muster_planning::convergence`,
//! touching the host by `muster_platform`, running processes by the supervisor behind [`runner::ApplicationRunner`].
//! Must not: open a listening socket; trust anything that is not signed; let a secret into a log or a report.
//! Start here: [`agent::Agent`], which puts the parts together, then [`converge`] and [`link`].
//!
//! Rooms: `converge` knows no network, `link` knows no host; both know the ledger. [`install`], [`upgrade`] and
//! [`uninstall`] are commands: nothing of them runs in an agent that runs.

pub mod agent;
pub mod artifacts;
pub mod config;
pub mod converge;
pub mod durable;
#[cfg(test)]
mod host_tests;
pub mod identity;
pub mod install;
pub mod inventory;
pub mod join;
pub mod ledger;
pub mod link;
pub mod lock;
pub mod logs;
mod notify;
#[cfg(test)]
mod on_host;
mod processes;
pub mod reboot;
pub mod redact;
pub mod resources;
pub mod runner;
pub mod safe_apply;
#[cfg(test)]
mod test_site;
pub mod uninstall;
pub mod upgrade;

pub use agent::{Agent, StartError};
pub use config::{AgentConfig, Clock, Intervals, StateDir};

/// The version that this agent reports.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// An error with everything behind it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat the text of the cause in their own.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Runs something that blocks on a thread for that. A panic in it goes on here.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is being dropped, and this future with it.
            Err(_) => std::future::pending().await,
        },
    }
}
