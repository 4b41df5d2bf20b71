//! The `muster` command as a person would use it, signed in by a profile of its own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use crate::shell::Program;

/// What a command did.
pub(super) struct Outcome {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Outcome {
    /// The last thing it said, for a report.
    pub(super) fn last_word(&self) -> String {
        let text = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        text.trim().lines().last().unwrap_or_default().to_owned()
    }
}

/// The command, bound to a folder for its profile.
pub(super) struct Cli {
    program: PathBuf,
    config_home: PathBuf,
    /// With a Node.js that is new enough, for build commands.
    path: String,
}

impl Cli {
    pub(super) fn new(program: PathBuf, config_home: &Path, path: String) -> Self {
        Self { program, config_home: config_home.to_owned(), path }
    }

    /// What a person has to type before the arguments.
    pub(super) fn shown(&self) -> String {
        format!("XDG_CONFIG_HOME={} {}", self.config_home.display(), self.program.display())
    }

    /// The `PATH` it runs with.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn login(&self, url: &str, username: &str, password: &str) -> Result<()> {
        let mut command =
            self.program(&["login", url, "--username", username, "--password-stdin"]).into_command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start `muster login`")?;
        child.stdin.take().context("`muster login` has no input")?.write_all(password.as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("`muster login` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Runs it and answers what happened, good or bad.
    pub(super) fn run(&self, args: &[&str]) -> Result<Outcome> {
        let (status, stdout, stderr) = self.program(args).outcome()?;
        let code = status.code().with_context(|| format!("`muster {}` was killed", args.join(" ")))?;
        Ok(Outcome { code, stdout, stderr })
    }

    /// Runs it and wants success.
    pub(super) fn ok(&self, args: &[&str]) -> Result<Outcome> {
        let outcome = self.run(args)?;
        if outcome.code != 0 {
            bail!(
                "`muster {}` ended with {}: {} {}",
                args.join(" "),
                outcome.code,
                outcome.stdout.trim(),
                outcome.stderr.trim()
            );
        }
        Ok(outcome)
    }

    /// Runs it and reads its JSON.
    pub(super) fn json(&self, args: &[&str]) -> Result<serde_json::Value> {
        let outcome = self.ok(&[args, &["--output", "json"]].concat())?;
        serde_json::from_str(&outcome.stdout).with_context(|| {
            format!("`muster {}` printed no JSON: {}", args.join(" "), outcome.stdout.trim())
        })
    }

    fn program(&self, args: &[&str]) -> Program {
        Program::new(&self.program)
            .env("XDG_CONFIG_HOME", &self.config_home)
            .env("PATH", &self.path)
            .env("NO_COLOR", "1")
            .args(args)
    }
}
