//! The host's own name, its kernel's settings, rules for logrotate, and command lines of people.

use super::command::{self, Capture, DEFAULT_PATH, tool_output};
use super::verify::Candidate;
use crate::host::{Account, Accounts, Fault, HostError, ShellCommand, ShellOutcome, sysctl_path};
use rustix::fs::Access;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const JUDGE_TIMEOUT_MS: u64 = 30_000;
/// What is kept of what a command wrote: its end says why it failed.
const MAX_OUTPUT_BYTES: usize = 16 * 1024;
/// Files that logrotate itself passes over.
const TABOO: [&str; 5] = [".dpkg-old", ".dpkg-dist", ".dpkg-new", ".disabled", "~"];

pub(super) fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

pub(super) fn set_hostname(name: &str) -> Result<(), HostError> {
    rustix::system::sethostname(name.as_bytes()).map_err(|errno| HostError {
        action: "set the host name to",
        subject: name.to_owned(),
        fault: errno.into(),
    })
}

fn setting(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(sysctl_path(name))
}

pub(super) fn sysctl(name: &str) -> Result<Option<String>, HostError> {
    let path = setting(name);
    match std::fs::read(&path) {
        Ok(value) => Ok(Some(String::from_utf8_lossy(&value).trim_end_matches('\n').to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(HostError::new("read", &path, error.into())),
    }
}

pub(super) fn sysctl_writable(name: &str) -> bool {
    rustix::fs::access(setting(name), Access::WRITE_OK).is_ok()
}

pub(super) fn set_sysctl(name: &str, value: &str) -> Result<(), HostError> {
    // One write: the kernel takes a value as a whole.
    std::fs::write(setting(name), format!("{value}\n")).map_err(|error| HostError {
        action: "set",
        subject: format!("{name} = {value}"),
        fault: Fault::from(error),
    })
}

/// Judged after all other rules, so that logrotate also says when two of them claim one file.
pub(super) fn verify_logrotate(name: &str, content: &str) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("they cannot be tried out: {error}");
    let candidate = Candidate::begin().map_err(cannot)?;
    let path = candidate.file(name, content).map_err(cannot)?;
    let place = Path::new("/etc/logrotate.d");
    let mut files: Vec<PathBuf> =
        place.read_dir().into_iter().flatten().flatten().map(|file| file.path()).collect();
    files.retain(|file| {
        let other = file.file_name().is_some_and(|known| known != OsStr::from_bytes(name.as_bytes()));
        let text = file.to_string_lossy();
        other && file.is_file() && !TABOO.iter().any(|end| text.ends_with(end))
    });
    files.sort();
    files.push(path.clone());
    let files: Vec<String> = files.iter().map(|file| file.to_string_lossy().into_owned()).collect();
    let mut args = vec!["--debug"];
    args.extend(files.iter().map(String::as_str));
    let output = tool_output("logrotate", &args, JUDGE_TIMEOUT_MS).map_err(|fault| match fault {
        Fault::Other(_) => "logrotate is not on this node; install the package logrotate".to_owned(),
        fault => fault.to_string(),
    })?;
    let path = path.to_string_lossy();
    // That a log is not there yet is an error to it as well, but not one of the rules.
    let about = |line: &&str| line.starts_with("error:") && line.contains(&*path);
    let said: Vec<String> =
        output.stderr.lines().filter(about).map(|line| candidate.without_place(line)).take(8).collect();
    if said.is_empty() { Ok(()) } else { Err(format!("logrotate says: {}", said.join("; "))) }
}

/// Who runs a command line.
pub(super) struct Runner<'a> {
    pub(super) accounts: &'a Accounts,
    pub(super) own: Account,
}

pub(super) fn shell(command: &ShellCommand<'_>, runner: &Runner<'_>) -> Result<ShellOutcome, HostError> {
    let ShellCommand { script, user, cwd, timeout_ms } = *command;
    let fail = |fault| HostError { action: "run", subject: "the command".to_owned(), fault };
    let wanted =
        match user {
            None => runner.accounts.user_numbered(runner.own.uid),
            Some(name) => {
                let known = runner.accounts.user(name);
                Some(known.ok_or_else(|| {
                    fail(Fault::Other(format!("the user {name} does not exist on this node")))
                })?)
            }
        };
    let mut process = match wanted.filter(|user| user.uid != runner.own.uid) {
        None => Command::new("/bin/sh"),
        Some(user) => {
            // It takes the groups of the user as well; what follows is in the place of setpriv, not below it.
            let mut process = Command::new("setpriv");
            process.args([format!("--reuid={}", user.uid), format!("--regid={}", user.gid)]);
            process.args(["--init-groups", "--", "/bin/sh"]);
            process
        }
    };
    let (reader, writer) = std::io::pipe().map_err(|error| fail(error.into()))?;
    let errors = writer.try_clone().map_err(|error| fail(error.into()))?;
    process.args(["-c", script]).current_dir(cwd.unwrap_or("/")).stdout(writer).stderr(errors);
    process.env_clear().env("PATH", DEFAULT_PATH).env("LANG", "C.UTF-8");
    if let Some(user) = wanted {
        let variables =
            [("HOME", &user.home), ("USER", &user.name), ("LOGNAME", &user.name), ("SHELL", &user.shell)];
        process.envs(variables);
    }
    let mut child = command::spawn(process).map_err(|fault| match (fault, cwd) {
        (Fault::NotFound, Some(cwd)) => fail(Fault::Other(format!("there is no folder {cwd} to run it in"))),
        (fault, _) => fail(fault),
    })?;
    let mut captures = [Capture::last(reader.into(), MAX_OUTPUT_BYTES)];
    let status = command::drive(&mut child, &mut captures, Duration::from_millis(timeout_ms));
    let status = status.map_err(|error| fail(error.into()))?;
    let [capture] = captures;
    Ok(ShellOutcome {
        code: status.and_then(|status| status.code()),
        timed_out: status.is_none(),
        output: String::from_utf8_lossy(&capture.kept).into_owned(),
    })
}
