//! Runs programs with a bound on time and output.
//!
//! What a program leaves running behind it may hold its output open for days: the end of the program is the end of the
//! wait, not the end of its output.

use crate::host::{CommandLine, CommandOutput, Fault, HostError, MAX_OUTPUT_BYTES};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Searched when the agent was started without a search path, and for the tools of the system in any case.
pub(super) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How often to look where the kernel cannot tell when a process ends.
const BLIND_WAIT: Duration = Duration::from_millis(50);

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

/// Runs a tool of the system in plain English and gives what it wrote; a tool that ends with another code than 0 is an
/// error in its own words. What it did is named `action`, to `subject`.
pub(super) fn tool(
    action: &'static str,
    subject: &str,
    program: &str,
    args: &[&str],
    timeout_ms: u64,
) -> Result<Vec<u8>, HostError> {
    let fail = |fault| HostError { action, subject: subject.to_owned(), fault };
    let output = tool_output(program, args, timeout_ms).map_err(fail)?;
    if output.success() {
        return Ok(output.stdout);
    }
    let words = if output.stderr.trim().is_empty() {
        String::from_utf8_lossy(&output.stdout).into_owned()
    } else {
        output.stderr
    };
    let end = output.code.map_or_else(|| "a signal".to_owned(), |code| format!("code {code}"));
    let words = words.trim();
    let words = if words.is_empty() { format!("{program} ended with {end}") } else { last_lines(words, 6) };
    Err(fail(Fault::Other(words)))
}

/// The same with its output whatever its exit code.
pub(super) fn tool_output(program: &str, args: &[&str], timeout_ms: u64) -> Result<CommandOutput, Fault> {
    let found =
        std::env::split_paths(DEFAULT_PATH).map(|dir| dir.join(program)).find(|path| executable(path));
    let found = found.or_else(|| find(program));
    let program = found.ok_or_else(|| Fault::Other(format!("the program {program} is not on this host")))?;
    let plain =
        [("LC_ALL", "C"), ("SYSTEMD_COLORS", "0"), ("SYSTEMD_PAGER", ""), ("SYSTEMD_LOG_LEVEL", "info")];
    let command = CommandLine {
        program,
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: plain.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        cwd: Some("/".into()),
        timeout_ms,
    };
    run(&command).map_err(|error| error.fault)
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> =
        text.lines().rev().map(str::trim).filter(|line| !line.is_empty()).take(count).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("; ")
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
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(cwd) = &command.cwd {
        process.current_dir(cwd);
    }
    if let Some(user) = user {
        process.uid(user).gid(NOGROUP).env_clear().env("PATH", DEFAULT_PATH);
    }
    let mut child = spawn(process).map_err(fail)?;
    let stdout = child.stdout.take().map(OwnedFd::from);
    let stderr = child.stderr.take().map(OwnedFd::from);
    let mut captures = [Capture::first(stdout), Capture::first(stderr)];
    let status = drive(&mut child, &mut captures, Duration::from_millis(command.timeout_ms))
        .map_err(|error| fail(error.into()))?;
    let Some(status) = status else {
        return Err(fail(Fault::TimedOut { after_ms: command.timeout_ms }));
    };
    let [stdout, stderr] = captures.map(|capture| capture.kept);
    Ok(CommandOutput { code: status.code(), stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() })
}

/// Starts a process that reads nothing, in a group of its own, so that what it started can be ended with it.
pub(super) fn spawn(mut process: Command) -> Result<Child, Fault> {
    Ok(process.stdin(Stdio::null()).process_group(0).spawn()?)
}

/// What is kept of an output. All of it is read, so that no program waits on a full pipe.
pub(super) struct Capture {
    source: Option<std::fs::File>,
    pub(super) kept: Vec<u8>,
    max_bytes: usize,
    /// Keep the last part rather than the first.
    last: bool,
}

impl Capture {
    fn first(source: Option<OwnedFd>) -> Self {
        Self { source: source.map(Into::into), kept: Vec::new(), max_bytes: MAX_OUTPUT_BYTES, last: false }
    }

    /// Keeps the last part.
    pub(super) fn last(source: OwnedFd, max_bytes: usize) -> Self {
        Self { source: Some(source.into()), kept: Vec::new(), max_bytes, last: true }
    }

    /// Reads what is there; at its end, or when it breaks, there is no more.
    fn read(&mut self) {
        let mut buffer = [0; 16 * 1024];
        match self.source.as_mut().map(|source| source.read(&mut buffer)) {
            Some(Ok(count)) if count > 0 => {
                let room = if self.last { count } else { self.max_bytes.saturating_sub(self.kept.len()) };
                self.kept.extend_from_slice(&buffer[..count.min(room)]);
                let extra = self.kept.len().saturating_sub(self.max_bytes);
                self.kept.drain(..extra);
            }
            Some(Err(error)) if error.kind() == std::io::ErrorKind::Interrupted => {}
            _ => self.source = None,
        }
    }
}

/// Reads a process to its end; kills it and its group when its time is up, which is `None`.
pub(super) fn drive(
    child: &mut Child,
    captures: &mut [Capture],
    timeout: Duration,
) -> std::io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + timeout;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let ended = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = if ended.is_some() { left } else { left.min(BLIND_WAIT) };
        read_ready(captures, ended.as_ref(), wait)?;
        if let Some(status) = child.try_wait()? {
            // What it wrote before it ended is there by now; what others go on writing is not waited for.
            for _ in 0..2 * MAX_OUTPUT_BYTES / (16 * 1024) {
                if !read_ready(captures, None, Duration::ZERO)? {
                    break;
                }
            }
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            end(child)?;
            return Ok(None);
        }
    }
}

/// Waits until there is something to read, or the process ended, and reads. Whether anything was there to read.
fn read_ready(captures: &mut [Capture], ended: Option<&OwnedFd>, wait: Duration) -> std::io::Result<bool> {
    let open: Vec<usize> = (0..captures.len()).filter(|index| captures[*index].source.is_some()).collect();
    let ready: Vec<usize> = {
        let pipes = open.iter().filter_map(|index| captures[*index].source.as_ref());
        let mut fds: Vec<PollFd<'_>> =
            pipes.map(|source| PollFd::from_borrowed_fd(source.as_fd(), PollFlags::IN)).collect();
        fds.extend(ended.map(|ended| PollFd::from_borrowed_fd(ended.as_fd(), PollFlags::IN)));
        let timeout = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: wait.subsec_nanos().into(),
        };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        open.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty()).map(|(index, _)| *index).collect()
    };
    for index in &ready {
        captures[*index].read();
    }
    Ok(!ready.is_empty())
}

fn end(child: &mut Child) -> std::io::Result<()> {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        // It has not been waited for yet, so the number still is its own.
        kill_process_group(group, Signal::KILL).ok();
    }
    child.kill()?;
    child.wait().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, timeout_ms: u64) -> Result<CommandOutput, HostError> {
        run(&CommandLine {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            timeout_ms,
            ..CommandLine::default()
        })
    }

    #[test]
    fn what_a_program_leaves_running_is_not_waited_for() {
        let started = Instant::now();
        let output = shell("sleep 300 & echo $!", 60_000).unwrap();
        assert!(started.elapsed() < Duration::from_secs(60));
        let left: i32 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
        let left = Pid::from_raw(left).unwrap();
        rustix::process::kill_process(left, Signal::KILL).unwrap();
    }

    #[test]
    fn more_output_than_is_kept_does_not_hold_the_program_up() {
        let output = shell("head -c 1000000 /dev/zero; echo end >&2; exit 3", 60_000).unwrap();
        assert_eq!((output.stdout.len(), output.code), (MAX_OUTPUT_BYTES, Some(3)));
        assert_eq!(output.stderr, "end\n");
    }

    #[test]
    fn the_last_part_is_kept_where_that_is_asked_for() {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut process = Command::new("/bin/sh");
        process.args(["-c", "seq 1 10000; echo last >&2"]).stdout(writer.try_clone().unwrap()).stderr(writer);
        let mut child = spawn(process).unwrap();
        let mut captures = [Capture::last(reader.into(), 20)];
        assert!(drive(&mut child, &mut captures, Duration::from_secs(60)).unwrap().unwrap().success());
        assert_eq!(captures[0].kept, b"998\n9999\n10000\nlast\n");
    }

    #[test]
    fn a_tool_that_fails_says_why_in_its_own_words() {
        let error = tool("list", "nothing", "ls", &["/does/not/exist"], 10_000).unwrap_err();
        assert!(error.to_string().contains("No such file or directory"), "{error}");
        let error = tool("list", "nothing", "no-such-program", &[], 10_000).unwrap_err();
        assert!(error.to_string().contains("no-such-program is not on this host"), "{error}");
    }
}
