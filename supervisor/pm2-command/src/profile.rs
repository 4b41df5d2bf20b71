//! `pm2 profile`.

use crate::{Context, Failure};

/// Arguments.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// For how many milliseconds
    pub time: Option<String>,
}

/// Runs it.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let _ = (context, args);
    Err(Failure::new("not here yet"))
}
