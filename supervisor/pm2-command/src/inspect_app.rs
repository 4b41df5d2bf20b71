//! `pm2 inspect_app`.

use crate::{Context, Failure};

/// Arguments.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Name or id
    pub name: String,
}

/// Runs it.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let _ = (context, args);
    Err(Failure::new("not here yet"))
}
