//! `muster-agent`: thin shell around the library. Decides where things are, says what happened, sets the exit code:
//! 0 done, 1 failed, 2 wrong usage, 3 refused.

mod cli;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    cli::start_logging();
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::debug!("a crypto provider is installed already");
    }
    // One thread: an agent mostly waits, and every further thread costs memory on every machine of the fleet.
    let runtime =
        match tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!("the runtime cannot be started: {error}");
                return ExitCode::FAILURE;
            }
        };
    let code = runtime.block_on(cli::run(arguments));
    // A blocked disk must not hold up the end.
    runtime.shutdown_background();
    code
}
