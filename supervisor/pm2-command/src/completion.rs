//! `pm2 completion`.

use crate::{Context, Failure};

/// Arguments.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// install or uninstall
    pub action: Option<String>,
}

/// Runs it.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let _ = (context, args);
    Err(Failure::new("not here yet"))
}
