//! `cargo xtask lab`: throw-away VPS hosts on this machine. Installs what they need, builds `muster-lab`, and runs it.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::deps::{self, Need};
use crate::repo;
use crate::shell::Program;

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// What to do: `help` lists it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Becomes `muster-lab`. Its lab is this checkout's unless `--lab` or `MUSTER_LAB` names another.
pub(crate) fn run(options: &Options) -> Result<()> {
    let program = build()?;
    let asks =
        options.args.first().is_none_or(|verb| ["help", "--help", "-h", "check"].contains(&verb.as_str()));
    if !asks {
        if let Some(reason) = unsuitable()? {
            bail!("this machine cannot host a lab: {reason}");
        }
        deps::ensure(&[Need::Lab])?;
    }
    let mut command = Program::new(&program).args(&options.args).into_command();
    command.stdin(std::process::Stdio::inherit());
    if std::env::var_os("MUSTER_LAB").is_none() {
        command.env("MUSTER_LAB", repo::root());
    }
    Err(command.exec()).with_context(|| format!("cannot start {}", program.display()))
}

/// Why this machine cannot host a lab; `None` when it can.
pub(crate) fn unsuitable() -> Result<Option<String>> {
    let program = build()?;
    let (status, reason, said) = Program::new(&program).arg("check").outcome()?;
    match (status.success(), reason.trim()) {
        (true, _) => Ok(None),
        (false, "") => bail!("`muster-lab check` failed: {}", said.trim()),
        (false, reason) => Ok(Some(reason.to_owned())),
    }
}

/// Installs what a lab needs and builds what all hosts lie upon.
pub(crate) fn prepare() -> Result<()> {
    deps::ensure(&[Need::Lab])?;
    Program::new(build()?).arg("base").run()
}

fn build() -> Result<PathBuf> {
    Program::cargo().dir(&repo::root()).args(["build", "--quiet", "-p", "muster-lab"]).read()?;
    Ok(repo::target().join("debug/muster-lab"))
}
