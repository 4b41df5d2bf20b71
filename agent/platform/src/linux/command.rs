//! Runs programs with a bound on time and output.

use crate::host::{CommandLine, CommandOutput, Fault, HostError};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What is kept of each output: enough for a list of versions or a page of errors.
const MAX_OUTPUT_BYTES: u64 = 256 * 1024;

/// Searched when the agent was started without a search path.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").filter(|path| !path.is_empty());
    std::env::split_paths(&path.unwrap_or_else(|| DEFAULT_PATH.into()))
        .filter(|dir| dir.is_absolute())
        .collect()
}

pub(super) fn find(name: &str) -> Option<PathBuf> {
    search_path().into_iter().map(|dir| dir.join(name)).find(|path| executable(path))
}

pub(super) fn executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

pub(super) fn run(command: &CommandLine) -> Result<CommandOutput, HostError> {
    run_as(command, None)
}

/// The group of nobody in particular.
const NOGROUP: u32 = 65_534;

/// Runs a program as another user, with no group of ours.
pub(super) fn run_as(command: &CommandLine, user: Option<u32>) -> Result<CommandOutput, HostError> {
    let fail = |fault| HostError::new("run", &command.program, fault);
    let mut process = Command::new(&command.program);
    process
        .args(&command.args)
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, so that what it started can be ended with it.
        .process_group(0);
    if let Some(cwd) = &command.cwd {
        process.current_dir(cwd);
    }
    if let Some(user) = user {
        process.uid(user).gid(NOGROUP).env_clear().env("PATH", DEFAULT_PATH);
    }
    let mut child = process.spawn().map_err(|error| fail(error.into()))?;
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let status =
        wait(&mut child, Duration::from_millis(command.timeout_ms)).map_err(|error| fail(error.into()))?;
    let Some(status) = status else {
        return Err(fail(Fault::TimedOut { after_ms: command.timeout_ms }));
    };
    let text = |reader: Option<thread::JoinHandle<Vec<u8>>>| {
        reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
    };
    Ok(CommandOutput {
        code: status.code(),
        stdout: text(stdout),
        stderr: String::from_utf8_lossy(&text(stderr)).into_owned(),
    })
}

/// Reads to the end, so that the program never waits on a full pipe, and keeps the first part.
fn collect(source: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut kept = Vec::new();
        let mut source = source;
        // An error here is a pipe that broke: what came before it is all there is.
        if source.by_ref().take(MAX_OUTPUT_BYTES).read_to_end(&mut kept).is_ok() {
            std::io::copy(&mut source, &mut std::io::sink()).ok();
        }
        kept
    })
}

fn wait(child: &mut Child, timeout: Duration) -> std::io::Result<Option<std::process::ExitStatus>> {
    let deadline = Instant::now() + timeout;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            end(child)?;
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn end(child: &mut Child) -> std::io::Result<()> {
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        // It has not been waited for yet, so the number still is its own.
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
    }
    child.kill()?;
    child.wait().map(drop)
}
