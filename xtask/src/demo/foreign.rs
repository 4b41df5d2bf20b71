//! Applications that were not written for this, from npm: the same commands have to do.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::load::{Load, Target};
use super::machine::free_address;
use super::proof::seconds;
use super::report::Row;
use super::setup::get;
use super::stage::Stage;
use crate::node::Node;
use crate::shell::step;

const NODE: &str = "app-1";
const START_BOUND: Duration = Duration::from_secs(120);
/// Long enough to see requests on both sides of the change.
const LOAD_AROUND: Duration = Duration::from_secs(2);

/// The rows of the table for these applications.
pub(super) fn rows(stage: &Stage) -> Result<Vec<Row>> {
    let (json, flows) = (free_address(4110)?, free_address(4111)?);
    declare(stage, json, flows)?;
    let cases: [(&str, &dyn Fn() -> Result<String>); 2] = [
        ("json-server@0.17.4, two instances, redeployed under load", &|| json_server(stage, json)),
        ("node-red@4", &|| node_red(stage, flows)),
    ];
    let mut rows = Vec::new();
    for (name, action) in cases {
        step(name);
        stage.interrupted.check()?;
        let (held, figure) = match action() {
            Ok(figure) => (true, figure),
            Err(error) => (false, format!("{error:#}")),
        };
        rows.push(Row { step: name.to_owned(), held, figure });
    }
    Ok(rows)
}

/// Adds both to the fleet, as a person would: a file beside the others, applied.
fn declare(stage: &Stage, json: SocketAddr, flows: SocketAddr) -> Result<()> {
    let data = stage.dir.join("node-red");
    std::fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
    let text = format!(
        "applications:\n\
         \x20 json:\n\
         \x20   script: node_modules/json-server/lib/cli/bin.js\n\
         \x20   args: [db.json, --host, 127.0.0.1, --port, \"{json_port}\"]\n\
         \x20   instances: 2\n\
         \x20   port: {json_port}\n\
         \x20   health: {{http: /about}}\n\
         \x20   listen_timeout: 30s\n\
         \x20   on: {{nodes: [{NODE}]}}\n\
         \x20 flows:\n\
         \x20   script: node_modules/node-red/red.js\n\
         \x20   args: [--port, \"{flows_port}\", --userDir, \"{data}\"]\n\
         \x20   port: {flows_port}\n\
         \x20   health: {{http: /}}\n\
         \x20   listen_timeout: 60s\n\
         \x20   on: {{nodes: [{NODE}]}}\n",
        json_port = json.port(),
        flows_port = flows.port(),
        data = data.display(),
    );
    std::fs::write(stage.fleet_dir().join("foreign.yaml"), text)?;
    stage.apply().map(drop)
}

fn json_server(stage: &Stage, address: SocketAddr) -> Result<String> {
    let dir = install(stage, "json", "json-server@0.17.4")?;
    for version in ["1", "2"] {
        let database = format!("{{ \"about\": {{ \"version\": \"{version}\" }} }}\n");
        std::fs::write(dir.join("db.json"), database)?;
        stage.cli.ok(&[
            "release",
            "create",
            "json",
            "--dir",
            &dir.to_string_lossy(),
            "--version",
            version,
        ])?;
    }
    stage.deploy_application("json", "1")?;
    let mut load = Load::start(&[Target { address, path: "/about".to_owned(), slow_path: None }]);
    std::thread::sleep(LOAD_AROUND);
    let begun = Instant::now();
    stage.deploy_application("json", "2")?;
    let took = begun.elapsed();
    std::thread::sleep(LOAD_AROUND);
    load.stop();
    let (counts, versions) = (load.counts(), load.versions());
    if counts.failed > 0 || versions.len() != 2 {
        bail!(
            "{} of {} requests failed, answers {versions:?}: {:?}",
            counts.failed,
            counts.requests,
            load.errors()
        );
    }
    Ok(format!(
        "{} requests, 0 failed, {} sent again; changed in {}",
        counts.requests,
        counts.reopened,
        seconds(took)
    ))
}

fn node_red(stage: &Stage, address: SocketAddr) -> Result<String> {
    let dir = install(stage, "flows", "node-red@4")?;
    let begun = Instant::now();
    stage.cli.ok(&["release", "create", "flows", "--dir", &dir.to_string_lossy(), "--version", "1"])?;
    let packed = begun.elapsed();
    let begun = Instant::now();
    stage.deploy_application("flows", "1")?;
    let deployed = begun.elapsed();
    stage.interrupted.wait("node-red answers", START_BOUND, || get(address, "/").map(drop))?;
    let (files, bytes) = size(&dir)?;
    Ok(format!(
        "{files} files, {} MB; packed and uploaded in {}, deployed in {}, `/` answers 200",
        bytes / 1_000_000,
        seconds(packed),
        seconds(deployed)
    ))
}

/// A folder with one package from npm in it.
fn install(stage: &Stage, name: &str, package: &str) -> Result<PathBuf> {
    let dir = stage.dir.join("foreign").join(name);
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    std::fs::write(dir.join("package.json"), format!("{{ \"name\": \"{name}\", \"private\": true }}\n"))?;
    Node::ensure()?.npm(&dir, &["install", "--omit=dev", "--no-audit", "--no-fund", package]).run()?;
    Ok(dir)
}

fn size(dir: &Path) -> Result<(u64, u64)> {
    let mut sum = (0, 0);
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let (files, bytes) = if metadata.is_dir() { size(&entry.path())? } else { (1, metadata.len()) };
        sum = (sum.0 + files, sum.1 + bytes);
    }
    Ok(sum)
}
