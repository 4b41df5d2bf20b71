//! A machine of its own for each test: a home, a folder with an application, and the command.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Bound of every wait: far above what anything needs, even on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Listens, and says on which instance of which code.
pub(crate) const SERVER: &str = r#"
require('http').createServer((request, response) => response.end('one')).listen(+process.env.PORT, '127.0.0.1');
"#;
/// Does nothing, for as long as it may.
pub(crate) const IDLE: &str = "setInterval(() => {}, 1000);\n";

pub(crate) struct Pm2 {
    dir: tempfile::TempDir,
    /// Variables besides PATH and HOME.
    pub(crate) env: BTreeMap<String, String>,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text) || self.err.contains(text), "{text:?} in {}{}", self.out, self.err);
        self
    }
}

impl Pm2 {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("app")).unwrap();
        std::fs::create_dir(dir.path().join("home")).unwrap();
        Self { dir, env: BTreeMap::new() }
    }

    pub(crate) fn app(&self) -> PathBuf {
        self.dir.path().join("app").canonicalize().unwrap()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home/.pm2")
    }

    /// Writes a file into the application's folder.
    pub(crate) fn file(&self, name: &str, content: &str) {
        let path = self.app().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Writes `apps.json` with these applications.
    pub(crate) fn apps(&self, apps: &Value) {
        self.file("apps.json", &serde_json::json!({ "apps": apps }).to_string());
    }

    pub(crate) fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.app())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.dir.path().join("home"))
            .envs(&self.env)
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn program() -> PathBuf {
        PathBuf::from(env!("CARGO_BIN_EXE_muster-supervisor"))
    }

    /// Runs `pm2` with arguments that are separated by blanks.
    pub(crate) fn run(&self, line: &str) -> Said {
        self.with(&line.split(' ').collect::<Vec<_>>())
    }

    pub(crate) fn with(&self, arguments: &[&str]) -> Said {
        let all: Vec<&str> = std::iter::once("pm2").chain(arguments.iter().copied()).collect();
        said(self.command(&Self::program(), &all).output().unwrap())
    }

    /// The records of `jlist`.
    pub(crate) fn jlist(&self) -> Vec<Value> {
        let said = self.run("jlist").ok();
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out))
    }

    /// The records of one name.
    pub(crate) fn of(&self, name: &str) -> Vec<Value> {
        self.jlist().into_iter().filter(|record| record["name"] == name).collect()
    }

    pub(crate) fn states(&self, name: &str) -> Vec<String> {
        let of = self.of(name);
        of.iter().map(|record| record["pm2_env"]["status"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Pm2 {
    fn drop(&mut self) {
        self.run("kill");
    }
}

pub(crate) fn said(output: std::process::Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Waits until there is something.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "still not: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// The body of an answer on loopback.
pub(crate) fn get(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}
