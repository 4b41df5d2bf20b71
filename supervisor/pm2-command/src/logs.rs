//! `pm2 logs`.

use crate::{Context, Failure};

/// Arguments.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Id, name, namespace or /regex/
    pub selector: Option<String>,
}

/// Runs it.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let _ = (context, args);
    Err(Failure::new("not here yet"))
}
