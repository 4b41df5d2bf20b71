//! `muster`, the command line of people and CI jobs.
//!
//! Holds: arguments, the profile with the sign-in, tables, waiting. Built on the REST API alone, with the types of
//! `muster-api-types`.
//!
//! Must not: decide what the controller decides, or know anything that the API does not tell.
//!
//! Start here: `arguments` (what can be typed), `commands` (one file for each noun), `failure` (errors and exit codes).

use std::process::ExitCode;

use clap::Parser;

mod arguments;
mod client;
mod commands;
mod failure;
mod format;
mod lines;
mod output;
mod profile;
mod table;
mod trust;
mod wait;

fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    let output = output::Output::new(arguments.global.output);
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing else has installed a provider before");
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return output.failure(&failure::Failure::failed(format!("cannot start: {error}")));
        }
    };
    let result = runtime.block_on(commands::run(arguments, &output));
    // What still runs in the background, such as a look-up of a name, must not hold up the end.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output.failure(&failure),
    }
}
