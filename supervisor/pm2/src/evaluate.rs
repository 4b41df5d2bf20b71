//! A configuration in JavaScript: evaluated by Node.js in a child process, which can print, hang, exit or flood without
//! harm. It is not a sandbox: the configuration is code that its owner would run with pm2 anyway.

use std::io::{PipeReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions};
use serde::Deserialize;
use serde_json::Value;

use crate::problem::ImportError;
use crate::surroundings::{Files, LocalFiles, Surroundings};

const SCRIPT: &str = include_str!("evaluate.cjs");
/// Where the script writes its answer.
const ANSWER_FD: i32 = 3;
/// A configuration of a thousand applications has about one megabyte.
const ANSWER_BYTES_AT_MOST: u64 = 8 * 1024 * 1024;
/// How much of what it complains about is kept: the end of it.
const COMPLAINT_BYTES: usize = 4 * 1024;
/// Kept small, so that a configuration that eats memory ends by itself.
const HEAP_MEGABYTES: u32 = 512;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Value(Value),
    Refused(String),
    Thrown(String),
}

/// The value that a file exports.
pub(crate) fn evaluate(file: &Path, shown: &str, surroundings: &Surroundings) -> Result<Value, ImportError> {
    let failed = |reason: String, hint| ImportError::Evaluation { file: shown.to_owned(), reason, hint };
    let node = surroundings.node.clone().or_else(|| LocalFiles::new(&surroundings.env).which("node"));
    let node = node.ok_or_else(|| {
        failed(
            "this is JavaScript, and there is no `node` on PATH to evaluate it".to_owned(),
            Some("install Node.js, or import pm2's list of processes: `pm2 save`, then `muster pm2 import ~/.pm2/dump.pm2`"),
        )
    })?;
    let (evaluation, answers) = Evaluation::start(&node, file, surroundings)
        .map_err(|error| failed(format!("cannot run {}: {error}", node.display()), None))?;
    let deadline = Instant::now() + surroundings.evaluation_timeout;
    let answer = answers.recv_timeout(surroundings.evaluation_timeout);
    let timed_out = matches!(answer, Err(RecvTimeoutError::Timeout));
    // Whatever is left of it ends here.
    let (status, complaint) = evaluation.end(if timed_out { Instant::now() } else { deadline });
    let line = match answer {
        Ok(line) => line,
        Err(_) => {
            let waited = surroundings.evaluation_timeout.as_secs_f32();
            return Err(failed(
                format!("it did not finish within {waited} s{complaint}"),
                Some("a configuration must not wait for anything: no servers, no endless loops"),
            ));
        }
    };
    if line.len() as u64 > ANSWER_BYTES_AT_MOST {
        let reason = format!("what it exports has more than {} MiB", ANSWER_BYTES_AT_MOST >> 20);
        return Err(failed(reason, Some("export the settings of applications only")));
    }
    match serde_json::from_slice(&line) {
        Ok(Answer::Value(value)) => Ok(value),
        Ok(Answer::Refused(reason)) => {
            Err(failed(reason, Some("export plain data: module.exports = {apps: [...]}")))
        }
        Ok(Answer::Thrown(error)) => Err(failed(format!("it throws an error: {error}"), None)),
        Err(_) => {
            let how = status.map_or_else(|| "it ended".to_owned(), ended);
            let hint = Some("a configuration must export its applications, and not call process.exit()");
            Err(failed(format!("{how} before it exported anything{complaint}"), hint))
        }
    }
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}

/// The child and what it complains about.
struct Evaluation {
    child: Child,
    complaint: mpsc::Receiver<Vec<u8>>,
}

impl Evaluation {
    /// Starts Node.js in a group of processes of its own. The receiver gets the answer, or nothing when there is none.
    fn start(
        node: &PathBuf,
        file: &Path,
        surroundings: &Surroundings,
    ) -> std::io::Result<(Self, mpsc::Receiver<Vec<u8>>)> {
        let (answer, answer_end) = std::io::pipe()?;
        let folder = file.parent().unwrap_or(Path::new("/"));
        let mut command = Command::new(node);
        command
            .arg(format!("--max-old-space-size={HEAP_MEGABYTES}"))
            .args(["--eval", SCRIPT, "--"])
            .arg(file)
            .args(&surroundings.env_name)
            .env_clear()
            .envs(&surroundings.env)
            .env("PWD", folder)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        command
            .fd_mappings(vec![FdMapping { parent_fd: answer_end.into(), child_fd: ANSWER_FD }])
            .map_err(std::io::Error::other)?;
        let mut child = command.spawn()?;
        // Should nobody be left to end it, because somebody killed us, the kernel ends what spins.
        let cpu = surroundings.evaluation_timeout.as_secs().saturating_add(5);
        if let Some(id) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let limit = Rlimit { current: Some(cpu), maximum: Some(cpu) };
            // It may have ended already.
            rustix::process::prlimit(Some(id), Resource::Cpu, limit).ok();
        }
        // The command holds our end of the pipe, which must close for the reader to see the end.
        drop(command);
        let (send_complaint, complaint) = mpsc::channel();
        let stderr = child.stderr.take();
        let (send_answer, answers) = mpsc::channel();
        // A send fails when nobody waits any more, which is fine.
        thread::spawn(move || drop(send_answer.send(first_line(answer))));
        thread::spawn(move || drop(send_complaint.send(stderr.map(end_of).unwrap_or_default())));
        Ok((Self { child, complaint }, answers))
    }

    /// Ends all processes of the group and gives the exit status, and what was complained about as ` : …`.
    fn end(mut self, deadline: Instant) -> (Option<ExitStatus>, String) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(id) = id {
            // One that exits by itself closes the pipe a moment before it is gone; its exit code is worth that moment.
            // It is not reaped yet, so that its number still is the number of its group.
            let gone = || {
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
                !matches!(rustix::process::waitid(WaitId::Pid(id), options), Ok(None))
            };
            while !gone() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(2));
            }
            // There may be none left.
            rustix::process::kill_process_group(id, Signal::KILL).ok();
        }
        let status = self.child.wait().ok();
        let said = self.complaint.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let said = said.trim();
        (status, if said.is_empty() { String::new() } else { format!(":\n{said}") })
    }
}

/// Everything up to the first end of a line, but not much more than is allowed.
fn first_line(pipe: PipeReader) -> Vec<u8> {
    let mut line = Vec::new();
    let mut reader = std::io::BufReader::new(pipe.take(ANSWER_BYTES_AT_MOST + 1));
    // What was read before an error is judged like everything else.
    drop(std::io::BufRead::read_until(&mut reader, b'\n', &mut line));
    line
}

fn end_of(mut stderr: ChildStderr) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = [0; 8 * 1024];
    while let Ok(count @ 1..) = stderr.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..count]);
        if kept.len() > COMPLAINT_BYTES {
            kept.drain(..kept.len() - COMPLAINT_BYTES);
        }
    }
    kept
}
