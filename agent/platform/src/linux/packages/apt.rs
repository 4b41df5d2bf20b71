//! Runs apt and dpkg, and reads what they write.

use super::super::command::find;
use crate::host::{AptOutcome, Fault, HostError, PackageChange, Simulation};
use rustix::fs::MemfdFlags;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Questions to apt's caches.
const ASK_TIMEOUT: Duration = Duration::from_secs(60);
/// Fetching the lists of all repositories, over a slow line.
const UPDATE_TIMEOUT: Duration = Duration::from_secs(600);
/// After this a transaction is no longer waited for. It is not killed: that is what breaks hosts.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(1_800);
/// What is kept of a question's answer.
const MAX_ANSWER_BYTES: u64 = 8 * 1024 * 1024;
/// What is kept of the end of a transaction's words.
const MAX_OUTPUT_BYTES: u64 = 64 * 1024;

/// What every call of apt is told: nobody is there to ask, what people changed in configuration stays, and no service is
/// restarted that is not ours to restart.
const ENVIRONMENT: [(&str, &str); 9] = [
    ("DEBIAN_FRONTEND", "noninteractive"),
    ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
    ("APT_LISTCHANGES_FRONTEND", "none"),
    ("NEEDRESTART_SUSPEND", "1"),
    ("UCF_FORCE_CONFFOLD", "1"),
    ("LC_ALL", "C.UTF-8"),
    ("TERM", "dumb"),
    ("HOME", "/root"),
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
];

const OPTIONS: [&str; 8] = [
    "-o",
    "Dpkg::Use-Pty=0",
    "-o",
    "Acquire::Retries=2",
    "-o",
    "Acquire::http::Timeout=30",
    "-o",
    "Acquire::https::Timeout=30",
];

/// Asks something that changes nothing.
pub(super) fn ask(program: &str, args: &[&str]) -> Result<(bool, String), HostError> {
    let mut command = command(program, args);
    let words = output_into(&mut command, program)?;
    let mut child = command.spawn().map_err(|error| fail(program, error.into()))?;
    match wait(&mut child, ASK_TIMEOUT).map_err(|error| fail(program, error.into()))? {
        Some(status) => {
            let text = first_words(words, MAX_ANSWER_BYTES).map_err(|error| fail(program, error.into()))?;
            Ok((status.success(), text))
        }
        None => Err(timed_out(program, &mut child, ASK_TIMEOUT)),
    }
}

/// Fetches lists; killed when it takes too long, which harms nothing.
pub(super) fn update(only: Option<&Path>) -> Result<AptOutcome, HostError> {
    let list;
    let mut args = vec!["update", "-q", "-o", "APT::Update::Error-Mode=any", "-o", "DPkg::Lock::Timeout=0"];
    if let Some(only) = only {
        list = format!("Dir::Etc::SourceList={}", only.display());
        args.extend(["-o", &list, "-o", "Dir::Etc::SourceParts=-", "-o", "APT::Get::List-Cleanup=0"]);
    }
    args.extend(OPTIONS);
    let mut command = command("apt-get", &args);
    let words = output_into(&mut command, "apt-get")?;
    let mut child = command.spawn().map_err(|error| fail("apt-get", error.into()))?;
    match wait(&mut child, UPDATE_TIMEOUT).map_err(|error| fail("apt-get", error.into()))? {
        Some(status) => outcome("apt-get", status, words),
        None => Err(timed_out("apt-get", &mut child, UPDATE_TIMEOUT)),
    }
}

/// Runs something that must not be ended half-way: in a scope of its own, so that it outlives the agent, and with its
/// words in memory that it shares with us, so that it has somewhere to write when we are gone.
pub(super) fn change(program: &str, args: &[&str]) -> Result<AptOutcome, HostError> {
    let scope = Path::new("/run/systemd/system").is_dir().then(|| find("systemd-run")).flatten();
    if let Some(scope) = scope {
        let mut scoped = vec!["--scope", "--quiet", "--collect", "--", program];
        scoped.extend(args);
        let outcome = run_to_end(&scope.to_string_lossy(), &scoped)?;
        if outcome.success || !outcome.output.contains("Failed to start transient scope unit") {
            return Ok(outcome);
        }
    }
    run_to_end(program, args)
}

fn run_to_end(program: &str, args: &[&str]) -> Result<AptOutcome, HostError> {
    let mut command = command(program, args);
    let words = output_into(&mut command, program)?;
    let mut child = command.spawn().map_err(|error| fail(program, error.into()))?;
    if let Some(status) = wait(&mut child, CHANGE_TIMEOUT).map_err(|error| fail(program, error.into()))? {
        return outcome(program, status, words);
    }
    let pid = child.id();
    // Somebody has to take note of its end.
    thread::spawn(move || child.wait());
    let minutes = CHANGE_TIMEOUT.as_secs() / 60;
    let text = format!("it still runs after {minutes} minutes and is not interrupted (process {pid})");
    Err(fail(program, Fault::Other(text)))
}

fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).process_group(0).current_dir("/").env_clear();
    // How to reach the outside is the host's own business.
    for name in ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(ENVIRONMENT);
    command
}

fn output_into(command: &mut Command, program: &str) -> Result<File, HostError> {
    let both = || -> std::io::Result<(File, File, File)> {
        let file = File::from(rustix::fs::memfd_create("output", MemfdFlags::CLOEXEC)?);
        Ok((file.try_clone()?, file.try_clone()?, file))
    };
    let (stdout, stderr, file) = both().map_err(|error| fail(program, error.into()))?;
    command.stdout(stdout).stderr(stderr);
    Ok(file)
}

fn outcome(program: &str, status: ExitStatus, words: File) -> Result<AptOutcome, HostError> {
    let mut output = last_words(words).map_err(|error| fail(program, error.into()))?;
    if let Some(signal) = status.signal() {
        output.push_str(&format!("\nE: it was killed by signal {signal}\n"));
    }
    Ok(AptOutcome { success: status.success(), output })
}

fn first_words(mut file: File, max: u64) -> std::io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut text = Vec::new();
    file.take(max).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn last_words(mut file: File) -> std::io::Result<String> {
    let from = file.metadata()?.len().saturating_sub(MAX_OUTPUT_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.take(MAX_OUTPUT_BYTES).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

fn timed_out(program: &str, child: &mut Child, limit: Duration) -> HostError {
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        // It was not waited for yet, so the number still is its own.
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
    }
    child.wait().ok();
    fail(program, Fault::TimedOut { after_ms: limit.as_millis().try_into().unwrap_or(u64::MAX) })
}

pub(super) fn fail(program: &str, fault: Fault) -> HostError {
    let fault = match fault {
        Fault::NotFound => Fault::Other("it is not on this host; packages need Debian or Ubuntu".into()),
        fault => fault,
    };
    HostError { action: "run", subject: program.to_owned(), fault }
}

/// The arguments of a transaction.
pub(super) fn arguments(change: &PackageChange, simulate: bool) -> Vec<String> {
    let mut args: Vec<String> = vec!["install".into(), "-q".into(), "-y".into()];
    if simulate {
        args.push("-s".into());
    } else {
        args.extend(OPTIONS.map(str::to_owned));
        for option in
            ["Dpkg::Options::=--force-confdef", "Dpkg::Options::=--force-confold", "DPkg::Lock::Timeout=5"]
        {
            args.extend(["-o".to_owned(), option.to_owned()]);
        }
    }
    if change.downgrade {
        args.push("--allow-downgrades".into());
    }
    if change.change_held {
        args.push("--allow-change-held-packages".into());
    }
    if change.remove.is_empty() && change.purge.is_empty() {
        if !simulate {
            // The simulation removed nothing; if the world changed since, it is not done.
            args.push("--no-remove".into());
        }
    } else if change.remove.is_empty() {
        args.push("--purge".into());
    }
    args.push("--".into());
    args.extend(change.install.iter().map(|(name, version)| match version {
        Some(version) => format!("{name}={version}"),
        None => name.clone(),
    }));
    args.extend(change.remove.iter().chain(&change.purge).map(|name| format!("{name}-")));
    args
}

/// Reads the lines `Inst`, `Remv` and `Purg` of a simulation.
pub(super) fn simulation(success: bool, output: String) -> Simulation {
    let mut simulation = Simulation { success, ..Simulation::default() };
    for line in output.lines() {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some("Inst"), Some(name)) => simulation.installs.push(name.to_owned()),
            (Some("Remv" | "Purg"), Some(name)) => simulation.removals.push(name.to_owned()),
            _ => {}
        }
    }
    simulation.output = output;
    simulation
}

/// Reads the answer of `apt-cache policy`: for each package its candidate, then the other versions in apt's order.
pub(super) fn policy(text: &str) -> Vec<(String, Vec<String>)> {
    let mut packages: Vec<(String, Vec<String>)> = Vec::new();
    let mut candidate: Option<String> = None;
    // A version that only dpkg's own status file knows cannot be installed.
    let mut version: Option<String> = None;
    let mut in_table = false;
    for line in text.lines() {
        if !line.starts_with(' ') {
            if let Some(name) = line.strip_suffix(':') {
                packages.push((name.to_owned(), Vec::new()));
                (candidate, version, in_table) = (None, None, false);
            }
            continue;
        }
        let Some((_, versions)) = packages.last_mut() else { continue };
        let trimmed = line.trim();
        if let Some(found) = trimmed.strip_prefix("Candidate: ") {
            candidate = Some(found.to_owned());
        } else if trimmed == "Version table:" {
            in_table = true;
        } else if in_table && line.starts_with("        ") {
            let offered = !trimmed.ends_with("/var/lib/dpkg/status");
            if offered && let Some(version) = version.take() {
                if candidate.as_deref() == Some(version.as_str()) {
                    versions.insert(0, version);
                } else {
                    versions.push(version);
                }
            }
        } else if in_table {
            let mut words = trimmed.trim_start_matches("*** ").split_ascii_whitespace();
            version = words.next().map(str::to_owned);
        }
    }
    packages
}

/// Reads who provides a name out of the answer of `apt-cache showpkg`.
pub(super) fn providers(text: &str) -> Vec<String> {
    let mut lines = text.lines().skip_while(|line| *line != "Reverse Provides: ").skip(1);
    let mut names: Vec<String> = Vec::new();
    for line in lines.by_ref() {
        if let Some(name) = line.split_ascii_whitespace().next()
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_of_a_policy_come_in_apts_order() {
        let text = "\
nginx:
  Installed: 1.18.0-6
  Candidate: 1.22.1-9
  Version table:
     1.24.0-1~bpo12+1 100
        100 http://example.test/debian bookworm-backports/main amd64 Packages
     1.22.1-9 500
        500 http://example.test/debian bookworm/main amd64 Packages
        500 http://example.test/debian bookworm-updates/main amd64 Packages
 *** 1.18.0-6 100
        100 /var/lib/dpkg/status
mail-transport-agent:
  Installed: (none)
  Candidate: (none)
  Version table:
";
        let read = policy(text);
        assert_eq!(
            read,
            [
                ("nginx".to_owned(), vec!["1.22.1-9".to_owned(), "1.24.0-1~bpo12+1".to_owned()]),
                ("mail-transport-agent".to_owned(), vec![]),
            ]
        );
        assert_eq!(policy("junk\n  junk\n        500 x\n"), []);
    }

    #[test]
    fn a_simulation_tells_what_comes_and_goes() {
        let text = "Reading package lists...\nInst libjq1 (1.6 Debian:12 [amd64])\nInst jq [1.5] (1.6 Debian:12 [amd64])\nConf jq (1.6)\nRemv cron [3.0]\nPurg at [1]\n";
        let read = simulation(true, text.into());
        assert_eq!(read.installs, ["libjq1", "jq"]);
        assert_eq!(read.removals, ["cron", "at"]);
    }

    #[test]
    fn a_transaction_says_what_may_happen_and_nothing_more() {
        let mut change =
            PackageChange { install: vec![("jq".into(), Some("1.6".into()))], ..PackageChange::default() };
        let args = arguments(&change, true).join(" ");
        assert_eq!(args, "install -q -y -s -- jq=1.6");
        assert!(arguments(&change, false).contains(&"--no-remove".to_owned()));
        change.purge = vec!["cron".into()];
        change.downgrade = true;
        let args = arguments(&change, true).join(" ");
        assert_eq!(args, "install -q -y -s --allow-downgrades --purge -- jq=1.6 cron-");
    }

    #[test]
    fn providers_are_those_behind_their_heading() {
        let text = "Package: mta\nVersions: \n\nReverse Depends: \n  alpine,mta\nDependencies: \nProvides: \nReverse Provides: \npostfix 3.7 (= )\nexim4-daemon-light 4.96 (= )\npostfix 3.7 (= )\n";
        assert_eq!(providers(text), ["postfix", "exim4-daemon-light"]);
    }
}
