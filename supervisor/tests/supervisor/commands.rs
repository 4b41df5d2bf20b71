//! The command line of the supervisor.

use std::process::{Command, Output};

use muster_supervisor_protocol::AppSpec;

use crate::harness::{SERVER, Supervisor};

fn run(supervisor: &Supervisor, arguments: &[&str]) -> Output {
    let state_dir = supervisor.dir.path().join("state");
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster-supervisor"));
    command.args(arguments).arg("--state-dir").arg(state_dir).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn people_can_do_and_see_everything_by_plain_verbs() {
    let supervisor = Supervisor::start().await;
    let flag = supervisor.dir.path().join("broken");
    let source = format!(
        "if (require('fs').existsSync('{}')) throw new Error('out of order');\n{SERVER}",
        flag.display()
    );
    supervisor.run(&AppSpec { instances: 2, ..supervisor.app("web:api", "1", &source) }).await;
    let command = |arguments: &[&str]| run(&supervisor, arguments);
    let list = said(&command(&["list"]));
    let words: Vec<&str> = list.lines().next().unwrap().split("  ").filter(|word| !word.is_empty()).collect();
    for wanted in ["ID", "RESTARTS", "UPTIME", "CPU %", "MEMORY MB"] {
        assert!(words.iter().any(|word| word.trim() == wanted), "{list}");
    }
    assert_eq!(said(&command(&["restart", "web:api:1"])), "web:api:1: done\n");
    assert_eq!(said(&command(&["stop", "web:api:0"])), "web:api:0: stopped\n");
    let states: Vec<_> =
        supervisor.status("web:api").await.instances.iter().map(|i| (i.ready, i.restarts)).collect();
    assert_eq!(states, [(false, 0), (true, 1)]);
    said(&command(&["start", "web:api"]));
    supervisor.until("web:api", "it runs", |status| status.settled()).await;
    said(&command(&["scale", "web:api", "3"]));
    said(&command(&["signal", "web:api:2", "CONT"]));
    said(&command(&["reset", "web:api"]));
    said(&command(&["reload", "web:api"]));
    let described = said(&command(&["describe", "web:api"]));
    for wanted in ["instance 2", "restarts         1", "mode             cluster", "listening"] {
        assert!(described.contains(wanted), "{described}");
    }
    let error = refused(&command(&["stop", "web"]));
    assert!(error.contains("there is no application \"web\"; there are: web:api"), "{error}");
    let error = refused(&command(&["stop", "web:api:9"]));
    assert!(error.contains("no instance 9; it has 0, 1, 2"), "{error}");
    std::fs::write(&flag, "").unwrap();
    let error = refused(&command(&["reload", "web:api"]));
    assert!(error.contains("what ran before still runs") && error.contains("out of order"), "{error}");
    said(&command(&["delete", "web:api"]));
    assert_eq!(said(&command(&["list"])).lines().count(), 1);
}
