//! What only a real host can prove: the daemons' own judgement, ufw and its kernel, the server of SSH, timers that outlive the
//! agent. They change the host that they run on, so they run on throw-away ones only: `agent/tests/lab/host.sh` makes one.

mod firewall;
mod safe_apply;
mod sshd;
mod validators;

use crate::config::StateDir;
use crate::resources::Look;
use muster_platform::{CommandLine, CommandOutput, Host, LinuxHost};
use std::path::Path;
use std::time::{Duration, Instant};

/// A host that says of itself that it may be thrown away, and a caller who means it.
struct World {
    host: LinuxHost,
    state: StateDir,
    _folder: tempfile::TempDir,
}

impl World {
    /// `None`, said aloud, anywhere but on a throw-away host.
    fn here() -> Option<Self> {
        let meant = std::env::var_os("MUSTER_TEST_HOST").is_some_and(|value| value == "1");
        if !meant || !Path::new("/etc/muster-test-host").exists() {
            println!("skipped, because this is no throw-away host (see agent/tests/lab/host.sh)");
            return None;
        }
        let folder = tempfile::tempdir_in("/var/lib").expect("a folder for the agent's state");
        let state = StateDir::new(folder.path());
        Some(Self { host: LinuxHost::system(state.root()), state, _folder: folder })
    }

    fn look(&self) -> Look<'_> {
        Look { host: &self.host, state: &self.state, assigned: &[] }
    }

    fn run(&self, words: &[&str]) -> CommandOutput {
        let command = CommandLine {
            program: words[0].into(),
            args: words[1..].iter().map(|word| (*word).to_owned()).collect(),
            timeout_ms: 120_000,
            ..CommandLine::default()
        };
        self.host.run(&command).expect("the program runs")
    }

    /// The standard output of a program that has to succeed.
    fn said(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.success(), "{words:?}: {}", output.stderr);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// Every path below a folder with its content or target.
fn tree(folder: &str) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut left = vec![std::path::PathBuf::from(folder)];
    while let Some(path) = left.pop() {
        let stat = path.symlink_metadata().expect("it is there");
        let content = if stat.is_symlink() {
            std::fs::read_link(&path).expect("a link").display().to_string().into_bytes()
        } else if stat.is_dir() {
            left.extend(
                std::fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()),
            );
            Vec::new()
        } else {
            std::fs::read(&path).expect("a file")
        };
        found.push((path.display().to_string(), content));
    }
    found.sort();
    found
}

/// Waits until something is so.
fn until(patience: Duration, what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !so() {
        assert!(Instant::now() < deadline, "{what} did not happen within {} s", patience.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}
