//! The inside of a host as the machine reaches it.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::Output;
use crate::command::run;
use crate::place;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Whose file names the real name servers where the machine asks itself.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// Enters the control groups that it is given, up to `--`, and then the namespaces of the process named next.
const ENTER: &str = r#"
while [ "$1" != -- ]; do
  mkdir -p "$1/exec" && echo $$ > "$1/exec/cgroup.procs"
  shift
done 2>/dev/null
shift
exec nsenter --all --target "$@"
"#;

/// A command that runs as root inside.
pub(super) fn command<I: IntoIterator<Item: AsRef<OsStr>>>(
    leader: u32,
    groups: &[PathBuf],
    args: I,
) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", ENTER, "sh"]).args(groups).args(["--", &leader.to_string(), "--", "env", "-i", "-C"]);
    command.args([
        "/root",
        "HOME=/root",
        "USER=root",
        "LOGNAME=root",
        "SHELL=/bin/bash",
        "LANG=C.UTF-8",
        PATH,
    ]);
    command.args(args);
    command
}

pub(super) fn output(output: std::process::Output) -> Output {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let code = output.status.code().or_else(|| Some(128 + output.status.signal()?));
    Output { code: code.unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs a prepared command with this on its standard input.
pub(super) fn write(mut command: Command, content: &[u8]) -> Result<()> {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start `nsenter`")?;
    child.stdin.take().context("standard input was asked for")?.write_all(content)?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// PID 1 of the container that this nspawn runs.
pub(super) fn leader(nspawn: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
    children.split_whitespace().filter_map(|child| child.parse().ok()).find(|child: &u32| {
        let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
        // Its ids, from the machine's point of view to its own.
        let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        ids.is_some_and(|ids| ids.split_whitespace().skip(1).eq(["1"]))
    })
}

/// Writes what no other host has the same.
pub(super) fn identify(root: &Path, hostname: &str, key: &str) -> Result<()> {
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write("etc/hostname", &format!("{hostname}\n"))?;
    write("etc/hosts", &format!("127.0.0.1 localhost\n127.0.1.1 {hostname}\n::1 localhost ip6-localhost\n"))?;
    write("etc/resolv.conf", &name_servers()?)?;
    let id = fs::read_to_string("/proc/sys/kernel/random/uuid").context("the kernel gives no random id")?;
    write("etc/machine-id", &id.replace('-', ""))?;
    let ssh = root.join("root/.ssh");
    fs::create_dir_all(&ssh).with_context(|| format!("cannot create {}", ssh.display()))?;
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o700))?;
    write("root/.ssh/authorized_keys", key)?;
    fs::set_permissions(ssh.join("authorized_keys"), fs::Permissions::from_mode(0o600))?;
    let host_key = root.join("etc/ssh/ssh_host_ed25519_key");
    place::remove(&host_key)?;
    let options = ["-q", "-t", "ed25519", "-N", "", "-C", hostname, "-f"].map(OsStr::new);
    run("ssh-keygen", options.into_iter().chain([host_key.as_os_str()])).map(drop)
}

/// The machine's; one that listens on the machine's loopback is no use to a host.
fn name_servers() -> Result<String> {
    let own = fs::read_to_string("/etc/resolv.conf").context("the machine has no /etc/resolv.conf")?;
    if own.contains("nameserver 127.") {
        return fs::read_to_string(RESOLVED)
            .with_context(|| format!("the name server is local and there is no {RESOLVED}"));
    }
    Ok(own)
}
