//! The binary as a person runs it: joining, running without root, looking, and the exit codes.

use super::*;
use muster_domain::resource::Directory;
use std::process::{Output, Stdio};
use tokio::process::{Child, Command};

fn agent(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster-agent"));
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    for name in ["MUSTER_STATE_DIR", "MUSTER_CONTROLLER", "MUSTER_JOIN_TOKEN", "MUSTER_LOG"] {
        command.env_remove(name);
    }
    command
}

async fn join(serving: &Serving, token: &str, state: &Path) -> Output {
    let url = format!("https://127.0.0.1:{}", serving.address.port());
    let state = state.to_str().unwrap();
    agent(&["join", token, "--controller", &url, "--state-dir", state, "--rootless"]).output().await.unwrap()
}

fn run(state: &Path) -> Child {
    // No supervisor is needed for files; that there is none must not hold anything up.
    let state = state.to_str().unwrap();
    agent(&["run", "--state-dir", state, "--supervisor-bin", "/nonexistent/muster-supervisor"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn reported(controller: &Controller, key: &str) -> Option<v1::ResourceReport> {
    let state = controller.state();
    state.reports.values().rev().find_map(|report| match report.report.as_ref()? {
        Report::Convergence(report) => report.resources.iter().find(|resource| resource.key == key).cloned(),
        _ => None,
    })
}

fn content() -> AssignmentContent {
    let directory = Directory { path: "/etc/app".into(), mode: 0o750, owner: None, group: None };
    let file = |path: &str, owner: Option<&str>| File {
        path: path.into(),
        content: b"hello\n".to_vec(),
        mode: 0o640,
        owner: owner.map(str::to_owned),
        group: None,
        sensitive: false,
        validate: None,
    };
    let resource = |kind, path: &str, desired| Resource::new(ResourceKey::new(kind, path), vec![], desired);
    AssignmentContent {
        resources: vec![
            resource("directory", "/etc/app", DesiredState::Directory(directory)),
            resource("file", "/etc/app/motd", DesiredState::File(file("/etc/app/motd", None))),
            resource("file", "/etc/app/owned", DesiredState::File(file("/etc/app/owned", Some("daemon")))),
        ],
    }
}

#[tokio::test]
async fn a_machine_joins_runs_without_root_shows_its_status_and_stops_when_asked() {
    let controller = Controller::new(&Fleet::new());
    let serving = controller.serve().await;
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");

    let joined = join(&serving, &controller.token(), &state).await;
    let said = String::from_utf8(joined.stdout).unwrap();
    assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
    assert!(said.contains("now node app-1 (rootless)") && said.contains("Next: muster-agent run"), "{said}");
    assert!(!said.contains("secret1"));

    controller.assign_silently(1, &content());
    let mut running = run(&state);
    eventually("the file is reported", || {
        let report = reported(&controller, "file:/etc/app/motd")?;
        (report.status() == v1::ResourceStatus::Converged).then_some(())
    })
    .await;
    assert_eq!(std::fs::read(state.join("host/etc/app/motd")).unwrap(), b"hello\n");
    assert!(!Path::new("/etc/app").exists());
    let owned = reported(&controller, "file:/etc/app/owned").unwrap();
    assert_eq!(owned.status(), v1::ResourceStatus::Unsupported, "{}", owned.detail);

    let state_text = state.to_str().unwrap().to_owned();
    let shown = agent(&["status", "--state-dir", &state_text, "--output", "json"]).output().await.unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["node"], &shown["generation"]), (&"app-1".into(), &1.into()));
    assert_eq!(shown["agent_running"], true);

    let second = agent(&["run", "--state-dir", &state_text]).output().await.unwrap();
    assert_eq!(second.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another agent runs"));

    let pid = rustix::process::Pid::from_raw(i32::try_from(running.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(running.wait().await.unwrap().success());

    // Without an agent and without a controller: what the next run would do.
    drop(serving);
    std::fs::write(state.join("host/etc/app/motd"), "by hand\n").unwrap();
    let planned = agent(&["plan", "--state-dir", &state_text]).output().await.unwrap();
    assert!(planned.status.success(), "{}", String::from_utf8_lossy(&planned.stderr));
    let text = String::from_utf8(planned.stdout).unwrap();
    assert!(
        text.starts_with("change   file:/etc/app/motd  (corrective)\n         content differs\n"),
        "{text}"
    );
    assert!(text.contains("\n         -by hand\n         +hello\n"), "{text}");
    assert!(text.ends_with("cannot be told or would not be tried. Nothing was changed.\n"), "{text}");
    let planned = agent(&["plan", "--state-dir", &state_text, "--output", "json"]).output().await.unwrap();
    let planned: serde_json::Value = serde_json::from_slice(&planned.stdout).unwrap();
    let changes = |resource: &&serde_json::Value| resource["change"] == "change";
    assert_eq!(planned["resources"].as_array().unwrap().iter().filter(changes).count(), 1, "{planned}");
    assert_eq!(std::fs::read(state.join("host/etc/app/motd")).unwrap(), b"by hand\n");
}

#[tokio::test]
async fn each_refusal_is_one_line_with_its_exit_code() {
    let (ours, theirs) = (Controller::new(&Fleet::new()), Controller::new(&Fleet::new()));
    let serving = ours.serve().await;
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let check = |output: Output, code: i32, part: &str| {
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(part) && text.trim_end().lines().count() == 1, "{text}");
    };
    check(join(&serving, "muster_join_cut", &state).await, 1, "this is not a join token");
    check(join(&serving, &theirs.token(), &state).await, 3, "is not the controller of this fleet");
    assert!(join(&serving, &ours.token(), &state).await.status.success());
    check(join(&serving, &ours.token(), &state).await, 3, "this node already is app-1");
    check(join(&serving, &ours.token(), &dir.path().join("other")).await, 3, "was used already");
    drop(serving);
    let missing = dir.path().join("missing").to_str().unwrap().to_owned();
    let not_joined = agent(&["run", "--state-dir", &missing]).output().await.unwrap();
    check(not_joined, 1, "has not joined a fleet");
    assert_eq!(agent(&["run", "--no-such-option"]).output().await.unwrap().status.code(), Some(2));
}
