//! `pm2 sysinfos`.

use crate::{Context, Failure};

/// Arguments.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// As a tree
    #[arg(short, long)]
    pub tree: bool,
}

/// Runs it.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let _ = (context, args);
    Err(Failure::new("not here yet"))
}
