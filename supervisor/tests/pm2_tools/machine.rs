//! Somebody's machine: a `PM2_HOME`, applications, and the command.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bound of every wait: far above what anything needs, even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longer than any answer of the applications here takes.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

pub(crate) struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// `pm2` with these words.
    pub(crate) fn pm2(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster-supervisor"));
        command
            .arg("pm2")
            .args(words)
            .current_dir(self.path())
            .env("PM2_HOME", self.home())
            .env_remove("FORCE_COLOR")
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end; fails when it does.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        let output = self.try_run(words);
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "pm2 {}: {}\n{said}", words.join(" "), output.status);
        said
    }

    pub(crate) fn try_run(&self, words: &[&str]) -> Output {
        self.pm2(words).output().unwrap()
    }

    pub(crate) fn jlist(&self) -> serde_json::Value {
        let output = self.try_run(&["jlist"]);
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Answered when every application and the supervisor are down.
        if let Ok(mut stream) = UnixStream::connect(self.home().join("muster/supervisor.sock")) {
            stream.set_read_timeout(Some(PATIENCE)).ok();
            stream.write_all(b"{\"op\":\"shutdown\"}\n").ok();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).ok();
        }
    }
}

/// A child that ends with the test.
pub(crate) struct Ends(pub(crate) Child);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until there is something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// `GET path` over a connection of its own; status and body.
pub(crate) fn get(port: u16, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other(format!("no answer: {answer:?}")))?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}

/// Requests without pause, each over a connection of its own.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<std::thread::JoinHandle<(Vec<String>, BTreeSet<String>)>>,
}

impl Load {
    pub(crate) fn start(port: u16, clients: usize) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |_| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            std::thread::spawn(move || {
                let (mut failures, mut bodies) = (Vec::new(), BTreeSet::new());
                while !stop.load(Ordering::Relaxed) {
                    match get(port, "/") {
                        Ok((200, body)) => {
                            answered.fetch_add(1, Ordering::Relaxed);
                            bodies.insert(body);
                        }
                        Ok((status, _)) => failures.push(format!("status {status}")),
                        Err(error) => failures.push(error.to_string()),
                    }
                }
                (failures, bodies)
            })
        };
        let clients = (0..clients).map(client).collect();
        Self { stop, answered, clients }
    }

    /// Waits until so many more were answered.
    pub(crate) fn answer(&self, more: u64) {
        let goal = self.answered.load(Ordering::Relaxed) + more;
        until("requests are answered", || (self.answered.load(Ordering::Relaxed) >= goal).then_some(()));
    }

    /// Failures and every body that was seen.
    pub(crate) fn stop(self) -> (Vec<String>, BTreeSet<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut failures, mut bodies) = (Vec::new(), BTreeSet::new());
        for client in self.clients {
            let (failed, seen) = client.join().unwrap();
            failures.extend(failed);
            bodies.extend(seen);
        }
        (failures, bodies)
    }
}
