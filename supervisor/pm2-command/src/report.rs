//! `pm2 report`.

use crate::{Context, Failure};

/// Runs it.
pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let _ = context;
    Err(Failure::new("not here yet"))
}
