//! The supervisor is replaced by a new binary while everything runs.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use muster_supervisor_protocol::{
    AppSpec, ApplyOutcome, ClientError, ErrorCode, ExecMode, LogsRequest, Readiness, Request, write_message,
};
use tokio::net::UnixStream;

use crate::harness::{COUNTING_SERVER, SERVER, Supervisor, lines, signal, until};
use crate::load::Load;

async fn more_load(load: &Load) {
    let answered = load.answered();
    until("load", async || (load.answered() > answered + 300).then_some(())).await;
}

#[tokio::test]
async fn upgrades_in_a_row_under_load_lose_no_request_and_no_line() {
    let supervisor = Supervisor::start().await;
    let spec = AppSpec { instances: 2, ..supervisor.app("shop", "1", COUNTING_SERVER) };
    supervisor.run(&spec).await;
    let before = supervisor.status("shop").await;
    let load = Load::start(supervisor.port("shop").await, 16);
    for _ in 0..6 {
        more_load(&load).await;
        supervisor.upgrade().await;
    }
    more_load(&load).await;
    let seen = load.stop().await;
    assert_eq!(seen.failures, Vec::<String>::new(), "of {} requests", seen.answered);
    let after = supervisor.status("shop").await;
    assert!(after.settled(), "{after:?}");
    assert_eq!(after.listening, before.listening);
    for (before, after) in before.instances.iter().zip(&after.instances) {
        assert_eq!((before.pid, before.restarts), (after.pid, after.restarts));
        assert_eq!(before.started_at, after.started_at);
    }
    let written = until("every line is written", async || {
        let written = [lines(&supervisor, 0)?, lines(&supervisor, 1)?];
        (written.iter().map(|lines| lines.len() as u64).sum::<u64>() >= seen.answered).then_some(written)
    })
    .await;
    for numbers in &written {
        assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "no line lost, none twice, in order");
    }
    assert_eq!(written.iter().map(|lines| lines.len() as u64).sum::<u64>(), seen.answered);
}

#[tokio::test]
async fn after_an_upgrade_everything_works_as_before() {
    let supervisor = Supervisor::start().await;
    let shop = AppSpec { instances: 2, ..supervisor.app("shop", "1", SERVER) };
    let worker = AppSpec {
        exec_mode: ExecMode::Fork,
        readiness: Readiness::ReadyMessage,
        ..supervisor.app("worker", "1", "console.log('before'); setTimeout(() => process.send('ready'), 50); process.on('message', () => {});")
    };
    supervisor.run(&shop).await;
    supervisor.run(&worker).await;
    supervisor.upgrade().await;
    assert_eq!(supervisor.run(&shop).await, ApplyOutcome::Unchanged);
    let request = LogsRequest { apps: vec!["worker".into()], lines: 10, ..LogsRequest::default() };
    let mut lines = supervisor.client().await.logs(request).await.unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap().line, "before", "the last lines are still there");
    // We are still the parent: how a process ends is known.
    signal(supervisor.status("shop").await.instances[0].pid.unwrap(), "KILL");
    let status = supervisor
        .until("shop", "the killed one is back", |status| {
            status.settled() && status.instances[0].restarts == 1
        })
        .await;
    assert_eq!(status.instances[0].last_exit.as_ref().unwrap().signal.as_deref(), Some("SIGKILL"));
    let load = Load::start(supervisor.port("shop").await, 8);
    assert_eq!(supervisor.client().await.reload("shop").await.unwrap().outcome, ApplyOutcome::Replaced);
    supervisor.upgrade().await;
    let next = AppSpec { instances: 2, ..supervisor.app("shop", "2", SERVER) };
    assert_eq!(supervisor.run(&next).await, ApplyOutcome::Replaced);
    assert_eq!(load.stop().await.failures, Vec::<String>::new());
    assert_eq!(supervisor.client().await.reload("worker").await.unwrap().outcome, ApplyOutcome::Replaced);
    supervisor.client().await.stop("worker").await.unwrap();
    supervisor.upgrade().await;
    assert!(supervisor.status("worker").await.instances.iter().all(|instance| instance.pid.is_none()));
    supervisor.client().await.start("worker").await.unwrap();
    supervisor.until("worker", "started", |status| status.settled()).await;
}

#[tokio::test]
async fn what_happens_during_an_upgrade_is_not_missed() {
    let supervisor = Supervisor::start().await;
    supervisor.run(&supervisor.app("shop", "1", SERVER)).await;
    let killed = supervisor.status("shop").await.instances[0].pid.unwrap();
    // Listens again and again on new ports, so that it asks for a socket just then.
    let busy = "const http = require('http');
        const next = (n) => n && http.createServer().listen({ port: 0, host: '127.0.0.1' }, () => next(n - 1));
        setTimeout(() => next(200), 100);";
    let spec = supervisor.app("late", "1", busy);
    let (mut client, asked) = (supervisor.client().await, spec.clone());
    let apply = tokio::spawn(async move { client.apply(&asked).await });
    until("it is starting", async || supervisor.try_status("late").await).await;
    for _ in 0..3 {
        let mut upgrade = UnixStream::connect(supervisor.socket()).await.unwrap();
        let before = supervisor.client().await.ping().await.unwrap().upgrades;
        write_message(&mut upgrade, &Request::Upgrade { binary: None }).await.unwrap();
        if before == 0 {
            signal(killed, "KILL");
        }
        until("the successor answers", async || {
            let mut client = muster_supervisor_protocol::Client::connect(supervisor.socket()).await.ok()?;
            (client.ping().await.ok()?.upgrades > before).then_some(())
        })
        .await;
    }
    let status = supervisor
        .until("shop", "it is back", |status| status.settled() && status.instances[0].restarts == 1)
        .await;
    assert_eq!(status.instances[0].last_exit.as_ref().unwrap().signal.as_deref(), Some("SIGKILL"));
    // What was asked for goes on although who asked is gone.
    supervisor.until("late", "it runs", |status| status.settled() && status.listening.len() == 200).await;
    let hung_up = apply.await.unwrap().unwrap_err();
    assert!(matches!(hung_up, ClientError::Closed), "{hung_up}");
    assert_eq!(supervisor.run(&spec).await, ApplyOutcome::Unchanged);
}

#[tokio::test]
async fn an_upgrade_that_cannot_be_is_refused_and_everything_goes_on() {
    let supervisor = Supervisor::start().await;
    supervisor.run(&AppSpec { instances: 2, ..supervisor.app("shop", "1", SERVER) }).await;
    let before = supervisor.status("shop").await;
    let load = Load::start(supervisor.port("shop").await, 8);
    let script = |name: &str, text: &str| {
        let path = supervisor.script(name, text);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    for (binary, reason) in [
        (script("other", "#!/bin/sh\necho 'I know format 7 only' >&2\nexit 1\n"), "I know format 7 only"),
        ("/no/such/supervisor".to_owned(), "cannot be executed"),
        ("relative".to_owned(), "not an absolute path"),
        // Says yes, and is gone when it is executed: by then everything was handed over already.
        (script("vanishes", "#!/bin/sh\nrm -f \"$0\"\n"), "cannot be executed"),
    ] {
        let refused = supervisor.client().await.upgrade(Some(binary)).await.unwrap_err();
        let ClientError::Refused { code, message } = &refused else { panic!("{refused}") };
        assert_eq!(*code, ErrorCode::UpgradeRefused);
        assert!(message.contains(reason), "{message}");
        more_load(&load).await;
    }
    let after = supervisor.status("shop").await;
    assert!(after.settled());
    assert_eq!(after.instances[0].pid, before.instances[0].pid);
    assert_eq!(supervisor.client().await.reload("shop").await.unwrap().outcome, ApplyOutcome::Replaced);
    assert_eq!(load.stop().await.failures, Vec::<String>::new());
    supervisor.upgrade().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_upgrades_and_says_so() {
    let supervisor = Supervisor::start().await;
    let command = |arguments: &[&str]| {
        let state_dir = supervisor.dir.path().join("state");
        let binary = env!("CARGO_BIN_EXE_muster-supervisor");
        Command::new(binary).args(arguments).arg("--state-dir").arg(state_dir).output().unwrap()
    };
    let done = tokio::task::block_in_place(|| command(&["upgrade"]));
    assert!(done.status.success(), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stdout).contains("took over"), "{done:?}");
    let refused = tokio::task::block_in_place(|| command(&["upgrade", "--binary", "/bin/false"]));
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("was not upgraded"), "{refused:?}");
    let check = Command::new(env!("CARGO_BIN_EXE_muster-supervisor"))
        .args(["check-takeover", "--format", "999"])
        .output()
        .unwrap();
    assert!(!check.status.success() && String::from_utf8_lossy(&check.stderr).contains("999"), "{check:?}");
}
