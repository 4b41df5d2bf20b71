//! Starts the real binary on a state directory of its own, and waits for conditions.

use std::future::Future;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use muster_supervisor_protocol::{AppSpec, AppStatus, Applied, ApplyOutcome, Client, ExecMode, LogSettings};

/// Bound of every wait: far above what anything needs, even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Supervisor {
    pub(crate) dir: tempfile::TempDir,
    child: Child,
}

impl Supervisor {
    pub(crate) async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn start_in(dir: tempfile::TempDir) -> Self {
        let command = Self::command(dir.path());
        Self::start_by(dir, command).await
    }

    /// With variables in its environment.
    pub(crate) async fn start_with(dir: tempfile::TempDir, variables: &[(&str, &str)]) -> Self {
        let mut command = Self::command(dir.path());
        command.envs(variables.iter().copied());
        Self::start_by(dir, command).await
    }

    /// Starts it by a command made from [`Self::command`].
    pub(crate) async fn start_by(dir: tempfile::TempDir, mut command: Command) -> Self {
        let child = command.spawn().unwrap();
        let supervisor = Self { dir, child };
        until("the supervisor answers", async || {
            let mut client = Client::connect(supervisor.socket()).await.ok()?;
            client.ping().await.ok()
        })
        .await;
        supervisor
    }

    pub(crate) fn command(dir: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster-supervisor"));
        command
            .args(["run", "--state-dir"])
            .arg(dir.join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        // A failing test shows what the supervisor thought.
        command.stderr(
            std::fs::OpenOptions::new().append(true).create(true).open(dir.join("stderr.log")).unwrap(),
        );
        command
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("state/supervisor.sock")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.socket()).await.unwrap()
    }

    pub(crate) async fn apply(&self, spec: &AppSpec) -> Applied {
        self.client().await.apply(spec).await.unwrap()
    }

    /// Applies and expects it to work.
    pub(crate) async fn run(&self, spec: &AppSpec) -> ApplyOutcome {
        let applied = self.apply(spec).await;
        assert!(!matches!(applied.outcome, ApplyOutcome::Failed { .. }), "{applied:?}\n{}", self.stderr());
        applied.outcome
    }

    pub(crate) async fn status(&self, app: &str) -> AppStatus {
        self.try_status(app).await.unwrap_or_else(|| panic!("{app} is not listed"))
    }

    pub(crate) async fn try_status(&self, app: &str) -> Option<AppStatus> {
        self.client().await.list().await.unwrap().into_iter().find(|status| status.name == app)
    }

    /// Waits until the status of an application is as wanted.
    pub(crate) async fn until(
        &self,
        app: &str,
        what: &str,
        wanted: impl Fn(&AppStatus) -> bool,
    ) -> AppStatus {
        until(what, async || Some(self.status(app).await).filter(&wanted)).await
    }

    /// Port of the first TCP socket an application listens on.
    pub(crate) async fn port(&self, app: &str) -> u16 {
        let status = self.status(app).await;
        let address = status.listening.iter().find_map(|address| address.strip_prefix("tcp "));
        address.unwrap_or_else(|| panic!("{status:?}")).rsplit(':').next().unwrap().parse().unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr.log")).unwrap_or_default()
    }

    /// Writes a script.
    pub(crate) fn script(&self, name: &str, source: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, source).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A cluster application from source; its digest is its release.
    pub(crate) fn app(&self, name: &str, release: &str, source: &str) -> AppSpec {
        let script = self.script(&format!("{name}-{release}.js"), source);
        AppSpec {
            spec_digest: release.to_owned(),
            release: release.to_owned(),
            release_id: format!("id-{release}"),
            interpreter: Some(node()),
            exec_mode: ExecMode::Cluster,
            // Starting Node.js takes long when all tests run at once.
            listen_timeout_ms: 30_000,
            kill_timeout_ms: 5_000,
            logs: LogSettings {
                dir: Some(self.dir.path().join("logs").to_str().unwrap().to_owned()),
                ..LogSettings::default()
            },
            ..AppSpec::new(name, self.dir.path().to_str().unwrap(), script)
        }
    }

    /// SIGTERM, and wait.
    pub(crate) fn terminate(mut self) -> tempfile::TempDir {
        signal(self.pid(), "TERM");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.stderr());
        let fresh = tempfile::tempdir().unwrap();
        std::mem::replace(&mut self.dir, fresh)
    }

    /// SIGKILL, and wait. Its applications go on.
    pub(crate) fn kill(mut self) -> Orphaned {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.orphaned()
    }

    /// SIGUSR2, and wait. Its applications go on.
    pub(crate) fn leave(mut self) -> Orphaned {
        signal(self.pid(), "USR2");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.stderr());
        self.orphaned()
    }

    fn orphaned(mut self) -> Orphaned {
        let fresh = tempfile::tempdir().unwrap();
        Orphaned { dir: Some(std::mem::replace(&mut self.dir, fresh)) }
    }

    /// Replaces it by its own binary and waits for the successor.
    pub(crate) async fn upgrade(&self) {
        let mut client = self.client().await;
        let before = client.ping().await.unwrap();
        client.upgrade(None).await.unwrap();
        let after = self.client().await.ping().await.unwrap();
        assert_eq!((after.pid, after.started_at), (before.pid, before.started_at));
        assert_eq!(after.upgrades, before.upgrades + 1, "{}", self.stderr());
    }

    /// Pid of the process that keeps what must outlive the supervisor.
    pub(crate) fn keeper(&self) -> u32 {
        self.try_keeper().unwrap()
    }

    pub(crate) fn try_keeper(&self) -> Option<u32> {
        keeper(self.dir.path())
    }
}

/// What a killed supervisor left behind. A test that fails meanwhile leaves nothing.
pub(crate) struct Orphaned {
    dir: Option<tempfile::TempDir>,
}

impl Orphaned {
    pub(crate) fn dir(&self) -> &Path {
        self.dir.as_ref().unwrap().path()
    }

    pub(crate) async fn start(mut self) -> Supervisor {
        Supervisor::start_in(self.dir.take().unwrap()).await
    }
}

impl Drop for Orphaned {
    fn drop(&mut self) {
        let Some(dir) = &self.dir else { return };
        let text = std::fs::read_to_string(dir.path().join("state/processes.json")).unwrap_or_default();
        // The pids are the keys of the list.
        let pids = text.split('"').filter_map(|word| word.parse::<u32>().ok());
        for pid in pids.chain(keeper(dir.path())) {
            drop(Command::new("kill").args(["-KILL", "--", &pid.to_string()]).status());
        }
    }
}

fn keeper(dir: &Path) -> Option<u32> {
    let wanted = format!("muster-keeper\0keep\0--state-dir\0{}\0", dir.join("state").display());
    std::fs::read_dir("/proc").unwrap().find_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        (line == wanted.as_bytes() && alive(pid)).then_some(pid)
    })
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return;
        }
        signal(self.child.id(), "TERM");
        let bound = Instant::now() + PATIENCE;
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            if Instant::now() > bound {
                drop(self.child.kill());
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        if std::thread::panicking() {
            eprintln!("{}", self.stderr());
        }
    }
}

/// Absolute path of Node.js.
pub(crate) fn node() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join("node"))
        .find(|path| path.is_file())
        .expect("these tests need Node.js: install it and have `node` in PATH")
        .to_str()
        .unwrap()
        .to_owned()
}

/// Node.js of one of the tested major versions. Without them (`cargo xtask deps` fetches them, `cargo xtask test` says
/// where they are) a developer is told that the test was skipped, and a pipeline fails.
pub(crate) fn tested_node(major: u32) -> Option<String> {
    let Some(dir) = std::env::var_os("MUSTER_TEST_NODES") else {
        assert!(std::env::var_os("CI").is_none(), "MUSTER_TEST_NODES is not set: run `cargo xtask test`");
        eprintln!("SKIPPED: MUSTER_TEST_NODES is not set; `cargo xtask deps` fetches Node.js {major}");
        return None;
    };
    let path = Path::new(&dir).join(major.to_string()).join("bin/node");
    assert!(path.is_file(), "{} is missing: run `cargo xtask deps`", path.display());
    Some(path.to_str().unwrap().to_owned())
}

pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), "--", &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -{name} {pid}");
}

pub(crate) fn alive(pid: u32) -> bool {
    // A zombie has ended.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat[stat.rfind(')').unwrap()..].starts_with(") Z"))
}

/// A port nobody listens on right now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until the condition gives something.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> T {
    let bound = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < bound, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Answers with its release and pid after 2 ms; picks a port of its own.
pub(crate) const SERVER: &str = r"
const http = require('http');
const release = require('path').basename(__filename);
http.createServer((request, response) => {
  setTimeout(() => response.end(`${release} ${process.pid} ${process.env.NODE_APP_INSTANCE}`), 2);
}).listen(Number(process.env.PORT || 0), '127.0.0.1');
";

/// Writes one numbered line per request.
pub(crate) const COUNTING_SERVER: &str = r"
const http = require('http');
let number = 0;
http.createServer((request, response) => {
  console.log(`line ${number += 1} of instance ${process.env.NODE_APP_INSTANCE}`);
  setTimeout(() => response.end(`${require('path').basename(__filename)} ${process.pid}`), 2);
}).listen(Number(process.env.PORT || 0), '127.0.0.1');
";

/// The numbers in the log of an instance of `shop`; `None` while a line in it is not whole.
pub(crate) fn lines(supervisor: &Supervisor, instance: u32) -> Option<Vec<u64>> {
    let path = supervisor.dir.path().join(format!("logs/shop/{instance}-out.log"));
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let end = format!(" of instance {instance}");
    text.lines().map(|line| line.strip_prefix("line ")?.strip_suffix(&end)?.parse().ok()).collect()
}
