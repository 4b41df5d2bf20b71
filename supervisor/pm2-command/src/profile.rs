//! `profile:cpu` and `profile:mem`.

use crate::{Context, Failure};

/// Arguments.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// For how many milliseconds
    #[arg(value_name = "time")]
    pub milliseconds: Option<String>,
}

/// pm2 profiles its own daemon, which is a Node.js process; ours is none, and there is nothing to see.
pub(crate) async fn run(_: &Context, _: Args) -> Result<(), Failure> {
    Err(Failure::new("pm2 profiles its own daemon here, and this daemon is no Node.js process")
        .hint("to profile an application: `pm2 inspect <name>`, then the profiler of the debugger"))
}
