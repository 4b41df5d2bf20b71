//! The dashboard of the running demo in a real browser: sign in, read, break things on a node and see them heal, as a person
//! would.

use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use super::proof::seconds;
use super::report::Row;
use super::stage::{APPLICATION, Stage};
use crate::deps::{self, Need};
use crate::node::Node;
use crate::shell::step;
use crate::web_ui;

pub(super) fn row(stage: &Stage) -> Row {
    let name = "the dashboard in a browser";
    step(name);
    let since = Instant::now();
    match look(stage) {
        Ok(steps) => {
            let figure = format!("{steps} steps without a mistake in {}", seconds(since.elapsed()));
            Row { step: name.to_owned(), held: true, figure }
        }
        Err(error) => Row { step: name.to_owned(), held: false, figure: format!("{error:#}") },
    }
}

fn look(stage: &Stage) -> Result<usize> {
    deps::ensure(&[Need::Browser])?;
    let node = Node::ensure()?;
    web_ui::install(&node)?;
    let password = stage.password_file();
    let nodes = stage.hosts.len().to_string();
    let host = stage.hosts.iter().find(|host| host.application.is_some()).context("no application server")?;
    let host_dir = host.state_dir.join("host");
    let arguments = [
        "run",
        "e2e:real",
        "--",
        "--url",
        &stage.url,
        "--password-file",
        &password.to_string_lossy(),
        "--nodes",
        &nodes,
        "--application",
        APPLICATION,
        "--node",
        host.name,
        "--host-dir",
        &host_dir.to_string_lossy(),
    ];
    let (status, out, err) = node.npm(&web_ui::dir(), &arguments).outcome()?;
    if !status.success() {
        bail!("{status}: {}", format!("{out}\n{err}").trim());
    }
    Ok(out.lines().filter(|line| line.starts_with("ok ")).count())
}
