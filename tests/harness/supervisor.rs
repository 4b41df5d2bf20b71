//! A real supervisor below a node of a test, as an agent starts it.

use muster_agent::{
    config::StateDir,
    runner::{ApplicationRunner as _, supervisor::SupervisorRunner},
};
use muster_platform::NodeRuntime;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long it may take to stop its applications and itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// A supervisor that ends with the test.
pub(crate) struct RealSupervisor {
    /// How the agent speaks to it.
    pub(crate) runner: Arc<SupervisorRunner>,
    pid: Pid,
}

impl RealSupervisor {
    /// Starts it.
    pub(crate) async fn start(state: StateDir) -> Self {
        let runner = Arc::new(SupervisorRunner::new(state, program()));
        let pong = runner.supervisor().await.expect("a supervisor that answers");
        let pid = i32::try_from(pong.pid).ok().and_then(Pid::from_raw).expect("a process id");
        Self { runner, pid }
    }
}

impl Drop for RealSupervisor {
    fn drop(&mut self) {
        // Fails when it has ended, which is what is wanted.
        kill_process(self.pid, Signal::TERM).ok();
        let bound = Instant::now() + PATIENCE;
        while test_kill_process(self.pid).is_ok() && Instant::now() < bound {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The supervisor as it was built beside the tests.
fn program() -> PathBuf {
    let own = std::env::current_exe().expect("the path of this program");
    let folder =
        own.ancestors().find(|folder| folder.join("deps").is_dir()).expect("the folder of the build");
    let program = folder.join("muster-supervisor");
    if !program.is_file() {
        // Tests of one crate alone do not build the programs of others.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "-p", "muster-supervisor"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.is_ok_and(|status| status.success()), "muster-supervisor is built");
    }
    program
}

/// The Node.js of this machine.
pub(crate) fn installed_node() -> NodeRuntime {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join("node")).find(|path| path.is_file());
    let path = found.expect("Node.js on PATH");
    NodeRuntime { version: version_of(&path), path }
}

fn version_of(node: &Path) -> String {
    let said = Command::new(node).arg("--version").output().expect("Node.js says its version").stdout;
    String::from_utf8_lossy(&said).trim().trim_start_matches('v').to_owned()
}
