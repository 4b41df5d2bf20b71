//! `pm2 pull`, `forward`, `backward`.

use crate::{Context, Failure};

/// Arguments of `pull`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PullArgs {
    /// Name
    pub name: String,
    /// Commit
    pub commit_id: Option<String>,
}

/// Arguments of `forward` and `backward`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Name
    pub name: String,
}

/// Runs `pull`.
pub(crate) async fn pull(context: &Context, args: PullArgs) -> Result<(), Failure> {
    let _ = (context, args);
    Err(Failure::new("not here yet"))
}

/// Runs `forward`.
pub(crate) async fn forward(context: &Context, args: Args) -> Result<(), Failure> {
    let _ = (context, args);
    Err(Failure::new("not here yet"))
}

/// Runs `backward`.
pub(crate) async fn backward(context: &Context, args: Args) -> Result<(), Failure> {
    let _ = (context, args);
    Err(Failure::new("not here yet"))
}
