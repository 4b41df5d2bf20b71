//! What needs no sign-in: completions, manual pages, versions, the schema.

use std::path::Path;
use std::time::Duration;

use clap::CommandFactory;
use clap_complete::Shell;
use muster_api_types::Session;
use serde_json::json;

use crate::arguments::Arguments;
use crate::client::Client;
use crate::failure::{EXIT_CODES, Failure, Result};
use crate::output::Output;

pub(super) fn completions(output: &Output, shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "muster", &mut script);
    output.raw(&script)
}

pub(super) fn man(output: &Output, folder: Option<&Path>) -> Result<()> {
    let command = Arguments::command();
    if let Some(folder) = folder {
        return clap_mangen::generate_to(command, folder).map_err(|error| {
            Failure::of(format!("cannot write manual pages to {}", folder.display()), &error)
        });
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|error| Failure::of("cannot write the manual page", &error))?;
    output.raw(&page)
}

pub(super) fn exit_codes(output: &Output) -> Result<()> {
    output.line(EXIT_CODES)
}

/// The schema of the controller that checks the files, which may be newer or older than this program.
pub(super) async fn schema(output: &Output, client: &Client) -> Result<()> {
    let schema: serde_json::Value = client.get(&["fleet-configuration", "schema"], &[]).await?;
    output.object(&schema)
}

pub(super) async fn version(output: &Output, client: Option<Client>) -> Result<()> {
    let own = env!("CARGO_PKG_VERSION");
    let mut controller = None;
    if let Some(client) = client {
        // A controller that is away must not make this command slow.
        let answer = client.get::<Session>(&["session"], &[]);
        if let Ok(Ok(session)) = tokio::time::timeout(Duration::from_secs(3), answer).await {
            controller = Some(session.controller_version);
        }
    }
    if output.json() {
        return output.object(&json!({ "version": own, "controller_version": controller }));
    }
    output.line(&format!("muster {own}"))?;
    match controller {
        Some(version) => output.line(&format!("controller {version}")),
        None => Ok(()),
    }
}
