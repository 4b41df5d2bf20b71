//! What only a real host can prove: the daemons' own judgement, ufw and its kernel, the server of SSH, timers that outlive the
//! agent. They change the host that they run on, and so are ignored but on throw-away ones: `tests/lab/hosts/on_host.rs` runs
//! them there, one after the other.

mod firewall;
mod safe_apply;
mod sshd;
mod validators;

use crate::config::StateDir;
use crate::resources::Look;
use muster_platform::{CommandLine, CommandOutput, Host, LinuxHost};
use std::time::{Duration, Instant};

/// The throw-away host.
struct World {
    host: LinuxHost,
    state: StateDir,
    _folder: tempfile::TempDir,
}

impl World {
    fn here() -> Self {
        crate::on_host::insist_on_a_throwaway_host();
        let folder = tempfile::tempdir_in("/var/lib").expect("a folder for the agent's state");
        let state = StateDir::new(folder.path());
        Self { host: LinuxHost::system(state.root()), state, _folder: folder }
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
