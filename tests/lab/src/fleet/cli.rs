//! The `muster` command as an operator uses it, signed in by a profile of its own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// What a command answered.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its exit code.
    pub code: i32,
    /// Its standard output: results.
    pub stdout: String,
    /// Its standard error: everything else.
    pub stderr: String,
}

/// The command, bound to a folder for its profile.
#[derive(Clone, Debug)]
pub struct Cli {
    program: PathBuf,
    profile: PathBuf,
}

impl Cli {
    pub(super) fn new(program: PathBuf, profile: &Path) -> Self {
        Self { program, profile: profile.to_owned() }
    }

    pub(super) fn login(&self, url: &str, user: &str, password: &str) -> Result<()> {
        self.feed(&["login", url, "--username", user, "--password-stdin"], password)
    }

    /// Runs it with this on its standard input, and wants success. The input is in no error.
    pub(super) fn feed(&self, args: &[&str], input: &str) -> Result<()> {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start `muster`")?;
        child.stdin.take().context("`muster` has no input")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("`muster {}` failed: {}", args.join(" "), said.trim());
        }
        Ok(())
    }

    /// Runs it, whatever it answers.
    pub fn run(&self, args: &[&str]) -> Result<Said> {
        let output = self.command(args).output().context("cannot start `muster`")?;
        let code = output.status.code().with_context(|| format!("`muster {}` was killed", args.join(" ")))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Said { code, stdout: text(output.stdout), stderr: text(output.stderr) })
    }

    /// Runs it and wants success.
    pub fn ok(&self, args: &[&str]) -> Result<Said> {
        let said = self.run(args)?;
        if said.code != 0 {
            let Said { code, stdout, stderr } = said;
            bail!("`muster {}` ended with {code}: {stdout}{stderr}", args.join(" "));
        }
        Ok(said)
    }

    /// Runs it and reads its JSON.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let said = self.ok(&[args, &["--output", "json"]].concat())?;
        serde_json::from_str(&said.stdout)
            .with_context(|| format!("`muster {}` printed no JSON: {}", args.join(" "), said.stdout))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).env("XDG_CONFIG_HOME", &self.profile).env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }
}
