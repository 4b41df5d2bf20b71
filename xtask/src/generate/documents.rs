//! Documents that the controller prints about itself, and the dashboard's types made from one of them.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::Made;
use crate::node::Node;
use crate::shell::Program;
use crate::{repo, web_ui};

const OPENAPI: &str = "docs/api/openapi.json";
const FLEET_SCHEMA: &str = "docs/schema/fleet.schema.json";
const UI_TYPES: &str = "web-ui/src/api/schema.d.ts";

pub(super) fn openapi() -> Result<Made> {
    let document = controller("openapi")?;
    let mut made = Made::default();
    let types = ui_types(&document)?;
    made.files.insert(OPENAPI.into(), document);
    made.files.insert(UI_TYPES.into(), types);
    Ok(made)
}

pub(super) fn fleet_schema() -> Result<Made> {
    let mut made = Made::default();
    made.files.insert(FLEET_SCHEMA.into(), controller("fleet-schema")?);
    Ok(made)
}

/// What a subcommand of the controller prints, as JSON with one newline at the end.
fn controller(subcommand: &str) -> Result<Vec<u8>> {
    let text = Program::cargo()
        .dir(&repo::root())
        .env("SQLX_OFFLINE", "true")
        .args(["run", "--quiet", "-p", "muster-controller", "--bin", "muster-controller", "--", subcommand])
        .read()?;
    serde_json::from_str::<serde_json::Value>(&text)
        .with_context(|| format!("`muster-controller {subcommand}` printed no JSON"))?;
    Ok(format!("{}\n", text.trim_end()).into_bytes())
}

fn ui_types(document: &[u8]) -> Result<Vec<u8>> {
    let node = Node::ensure()?;
    web_ui::install(&node)?;
    let input = repo::target().join("openapi.json");
    let output = repo::target().join("schema.d.ts");
    repo::write_if_changed(&input, document)?;
    let tool = Path::new("node_modules/.bin/openapi-typescript");
    Program::new(web_ui::dir().join(tool))
        .dir(&web_ui::dir())
        .env("PATH", node.path())
        .arg(&input)
        .arg("--output")
        .arg(&output)
        .read()?;
    std::fs::read(&output).with_context(|| format!("cannot read {}", output.display()))
}
