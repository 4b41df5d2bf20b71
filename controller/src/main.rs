//! The program `muster-controller`: reads its arguments and calls the library.

use clap::Parser as _;
use muster_controller::{
    doctor, openapi,
    startup::{
        self,
        options::{Arguments, Command},
    },
};
use std::{io::Write as _, process::ExitCode};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The only place that may choose: a second provider in the process would make rustls panic.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("error: a TLS provider is installed already; this is a defect");
        return ExitCode::FAILURE;
    }
    let outcome = match arguments.command {
        Command::Serve(options) => startup::serve(*options).map(|()| ExitCode::SUCCESS),
        Command::Doctor(options) => doctor::run(&options),
        Command::Openapi => {
            openapi::document().to_pretty_json().map_err(Into::into).and_then(|text| print(&text))
        }
        Command::FleetSchema => serde_json::to_string_pretty(&muster_app::fleet_configuration_schema())
            .map_err(Into::into)
            .and_then(|text| print(&text)),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    writeln!(std::io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}
