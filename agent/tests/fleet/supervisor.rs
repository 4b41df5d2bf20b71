//! The real supervisor under the agent's runner: replaced in place when it is of another build.

use super::*;
use muster_agent::runner::{ApplicationRunner, Renewal, RunnerError, supervisor::SupervisorRunner};
use muster_supervisor_protocol::{AppSpec, ApplyOutcome, ExecMode, InstanceStatus, LogSettings, Readiness};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// The supervisor as it was built beside this test.
fn built() -> Vec<u8> {
    let own = std::env::current_exe().unwrap();
    let folder = own.ancestors().find(|folder| folder.join("deps").is_dir()).unwrap();
    let binary = folder.join("muster-supervisor");
    if !binary.is_file() {
        // Tests of one crate alone do not build the programs of others.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "-p", "muster-supervisor"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.unwrap().success());
    }
    std::fs::read(binary).unwrap()
}

/// Puts a program where another may be running.
fn install(path: &Path, program: &[u8]) {
    let new = path.with_extension("new");
    std::fs::write(&new, program).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(&new, path).unwrap();
}

/// Ends the supervisor, whatever becomes of the test.
struct Ends(rustix::process::Pid);

impl Drop for Ends {
    fn drop(&mut self) {
        // Fails when it has ended, which is what is wanted.
        rustix::process::kill_process(self.0, rustix::process::Signal::TERM).ok();
    }
}

/// Absolute path of Node.js.
fn node() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("node")).find(|path| path.is_file());
    found.expect("Node.js on PATH").to_str().unwrap().to_owned()
}

async fn instance(runner: &SupervisorRunner) -> InstanceStatus {
    runner.list().await.unwrap().remove(0).instances.remove(0)
}

#[tokio::test]
async fn another_build_takes_over_without_touching_an_application_and_what_is_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let state = AgentConfig::new(dir.path().join("state")).state_dir;
    let binary = dir.path().join("muster-supervisor");
    let program = built();
    install(&binary, &program);
    let runner = SupervisorRunner::new(state.clone(), binary.clone());
    assert_eq!(runner.renew().await, Ok(Renewal::Current), "none runs, and none is started for this");
    assert!(!state.supervisor_socket().exists());

    std::fs::write(dir.path().join("app.js"), "setInterval(() => {}, 1000)").unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let spec = AppSpec {
        spec_digest: "1".into(),
        release: "1".into(),
        release_id: "id-1".into(),
        interpreter: Some(node()),
        exec_mode: ExecMode::Fork,
        readiness: Readiness::Started,
        env: std::env::vars().filter(|(name, _)| name == "PATH").collect::<BTreeMap<_, _>>().into(),
        logs: LogSettings { dir: Some(text(&dir.path().join("logs"))), ..LogSettings::default() },
        ..AppSpec::new("app", text(dir.path()), "app.js")
    };
    let pid = runner.supervisor().await.unwrap().pid;
    let ends = Ends(rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap());
    let applied = runner.apply(spec).await.unwrap();
    assert_eq!(applied.outcome, ApplyOutcome::Started);
    let (before, process) = (runner.supervisor().await.unwrap(), instance(&runner).await);
    assert_eq!(runner.renew().await, Ok(Renewal::Current));
    // A copy is the same program, wherever it lies.
    install(&binary, &program);
    assert_eq!(runner.renew().await, Ok(Renewal::Current));
    assert_eq!(runner.supervisor().await.unwrap(), before);

    // What follows the end of a program does not change what it does: another build of the same version.
    let another = [program.as_slice(), b"another build"].concat();
    install(&binary, &another);
    let version = before.version.clone();
    assert_eq!(runner.renew().await, Ok(Renewal::Renewed { from: version.clone(), to: version }));
    let after = runner.supervisor().await.unwrap();
    assert_eq!((after.upgrades, after.started_at), (before.upgrades + 1, before.started_at));
    assert_eq!(instance(&runner).await.pid, process.pid);
    assert_eq!(runner.renew().await, Ok(Renewal::Current));

    install(&binary, b"#!/bin/sh\nexit 1\n");
    let refused = runner.renew().await;
    assert!(matches!(refused, Err(RunnerError::Refused(_))), "{refused:?}");
    assert_eq!(runner.supervisor().await.unwrap(), after);
    assert_eq!((instance(&runner).await.pid, instance(&runner).await.restarts), (process.pid, 0));

    runner.delete("app").await.unwrap();
    let pid = ends.0;
    drop(ends);
    eventually("the supervisor ends", || rustix::process::test_kill_process(pid).is_err().then_some(()))
        .await;
}
