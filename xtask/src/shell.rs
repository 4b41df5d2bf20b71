//! Runs programs: says what it runs, and fails with the program's name and status.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;

use anyhow::{Context as _, Result, bail};

/// A program to run. The environment and the working directory can be set like on a `Command`.
pub(crate) struct Program {
    command: Command,
    shown: String,
}

impl Program {
    /// A program by name or path.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref();
        let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned();
        let mut command = Command::new(program);
        // No chore may stop and ask.
        command.stdin(Stdio::null());
        Self { command, shown: name }
    }

    /// The cargo that started us.
    pub(crate) fn cargo() -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.shown.push(' ');
        self.shown.push_str(&arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<I: IntoIterator<Item: AsRef<OsStr>>>(self, args: I) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// The command itself, for what needs more than running to the end.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }

    /// Runs with the output going through. Fails when the program does.
    pub(crate) fn run(mut self) -> Result<()> {
        step(&self.shown);
        let status = self.command.status().with_context(|| format!("cannot start `{}`", self.shown))?;
        check(&self.shown, status)
    }

    /// Runs quietly and answers what it printed. Fails when the program does, with what it said.
    pub(crate) fn read(mut self) -> Result<String> {
        let output = self.command.output().with_context(|| format!("cannot start `{}`", self.shown))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!("`{}` failed ({}): {}", self.shown, output.status, stderr.trim());
        }
        String::from_utf8(output.stdout).with_context(|| format!("`{}` printed no UTF-8", self.shown))
    }

    /// Runs quietly; answers the status and both outputs, whatever they are.
    pub(crate) fn outcome(mut self) -> Result<(ExitStatus, String, String)> {
        let output = self.command.output().with_context(|| format!("cannot start `{}`", self.shown))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok((output.status, text(output.stdout), text(output.stderr)))
    }

    /// Runs with the output going through, and answers each line as well as whether the program succeeded.
    pub(crate) fn tee(mut self) -> Result<(bool, Vec<String>)> {
        step(&self.shown);
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().with_context(|| format!("cannot start `{}`", self.shown))?;
        let (lines, received) = mpsc::channel();
        let readers = [
            child.stdout.take().map(|pipe| forward(pipe, lines.clone())),
            child.stderr.take().map(|pipe| forward(pipe, lines)),
        ];
        let mut kept = Vec::new();
        for line in received {
            println!("{line}");
            kept.push(line);
        }
        for reader in readers.into_iter().flatten() {
            reader.join().map_err(|_| anyhow::anyhow!("the reader of `{}` panicked", self.shown))?;
        }
        let status = child.wait().with_context(|| format!("cannot wait for `{}`", self.shown))?;
        Ok((status.success(), kept))
    }
}

fn forward(pipe: impl Read + Send + 'static, lines: mpsc::Sender<String>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            if lines.send(line).is_err() {
                return;
            }
        }
    })
}

fn check(shown: &str, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    bail!("`{shown}` failed ({status})")
}

/// Says what happens next.
pub(crate) fn step(what: &str) {
    eprintln!("==> {what}");
}

/// Says something that is not a step.
pub(crate) fn note(what: &str) {
    eprintln!("    {what}");
}

/// Whether a program of that name is on the path.
pub(crate) fn installed(name: &str) -> bool {
    let Some(path) = std::env::var_os("PATH") else { return false };
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}
