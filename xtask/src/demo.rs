//! The demo.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Prove everything without a person, then clean up
    #[arg(long)]
    once: bool,
}
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    anyhow::ensure!(!options.once, "later");
    Ok(())
}
