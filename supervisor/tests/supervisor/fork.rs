//! Plain processes.

use std::time::Duration;

use muster_supervisor_protocol::{AppSpec, ApplyOutcome, ExecMode, InstanceState, Readiness};

use crate::harness::{SERVER, Supervisor, alive, free_port, until};
use crate::load::get;

#[tokio::test]
async fn a_fork_application_is_stopped_first_and_comes_back_when_its_successor_fails() {
    let supervisor = Supervisor::start().await;
    let port = free_port();
    let fork = |release: &str, source: &str| AppSpec {
        exec_mode: ExecMode::Fork,
        port: Some(port),
        ..supervisor.app("shop", release, source)
    };
    supervisor.run(&fork("1", SERVER)).await;
    assert!(get(port).await.unwrap().starts_with("shop-1.js"));
    let applied = supervisor.apply(&fork("2", SERVER)).await;
    assert_eq!(applied.outcome, ApplyOutcome::Replaced);
    assert!(applied.notes[0].contains("stopped before its successor"), "{applied:?}");
    let applied = supervisor.apply(&fork("3", "process.exit(1)")).await;
    assert!(matches!(applied.outcome, ApplyOutcome::Failed { previous_kept: true, .. }), "{applied:?}");
    assert!(get(port).await.unwrap().starts_with("shop-2.js"));
}

#[tokio::test]
async fn the_mode_can_change_on_the_same_port_both_ways() {
    let supervisor = Supervisor::start().await;
    let port = free_port();
    let spec = |release: &str, exec_mode| AppSpec {
        exec_mode,
        port: Some(port),
        instances: if exec_mode == ExecMode::Cluster { 2 } else { 1 },
        ..supervisor.app("shop", release, SERVER)
    };
    for (release, mode) in [("1", ExecMode::Cluster), ("2", ExecMode::Fork), ("3", ExecMode::Cluster)] {
        supervisor.run(&spec(release, mode)).await;
        assert!(get(port).await.unwrap().starts_with(&format!("shop-{release}.js")));
    }
}

#[tokio::test]
async fn ready_and_shutdown_travel_over_the_channel_in_fork_mode_too() {
    let supervisor = Supervisor::start().await;
    let said = supervisor.dir.path().join("said");
    let source = format!(
        "setTimeout(() => process.send('ready'), 200);
         process.on('message', (message) => {{
           if (message === 'shutdown') {{ require('fs').writeFileSync('{}', 'bye'); process.exit(0); }}
         }});",
        said.display()
    );
    let spec = AppSpec {
        exec_mode: ExecMode::Fork,
        readiness: Readiness::ReadyMessage,
        shutdown_with_message: true,
        ..supervisor.app("worker", "1", &source)
    };
    supervisor.run(&spec).await;
    supervisor.client().await.stop("worker").await.unwrap();
    assert_eq!(std::fs::read_to_string(said).unwrap(), "bye");
    assert_eq!(supervisor.status("worker").await.instances[0].state, InstanceState::Stopped);
}

#[tokio::test]
async fn a_program_that_ignores_its_signal_is_killed_with_everything_it_started() {
    let supervisor = Supervisor::start().await;
    let pids = supervisor.dir.path().join("pids");
    let script = supervisor.script(
        "stubborn.sh",
        &format!("trap '' INT TERM\nsetsid sleep 300 &\necho $! > {0}\necho done >> {0}\nwhile :; do sleep 300; done\n", pids.display()),
    );
    let spec = AppSpec {
        spec_digest: "1".into(),
        interpreter: Some("/bin/sh".into()),
        readiness: Readiness::Started,
        min_uptime_ms: 50,
        kill_timeout_ms: 300,
        ..AppSpec::new("stubborn", "/", script)
    };
    supervisor.run(&spec).await;
    let text = until("the child is known", async || {
        std::fs::read_to_string(&pids).ok().filter(|text| text.contains("done"))
    })
    .await;
    let child: u32 = text.lines().next().unwrap().parse().unwrap();
    let root = supervisor.status("stubborn").await.instances[0].pid.unwrap();
    assert!(alive(child) && alive(root));
    supervisor.client().await.stop("stubborn").await.unwrap();
    assert!(!alive(root));
    until("the child in another session is gone", async || (!alive(child)).then_some(())).await;
}

#[tokio::test]
async fn exits_are_answered_by_the_rules_of_the_spec() {
    let supervisor = Supervisor::start().await;
    let spec = |name: &str, source: &str| AppSpec {
        exec_mode: ExecMode::Fork,
        readiness: Readiness::Started,
        min_uptime_ms: 100,
        ..supervisor.app(name, "1", source)
    };
    let exit_later = "setTimeout(() => process.exit(5), 1000)";
    supervisor.run(&AppSpec { stop_exit_codes: vec![5], ..spec("by-code", exit_later) }).await;
    supervisor.run(&AppSpec { autorestart: false, restart_delay_ms: 50, ..spec("once", exit_later) }).await;
    supervisor.run(&AppSpec { restart_delay_ms: 60_000, ..spec("delayed", exit_later) }).await;
    for (name, state) in [
        ("by-code", InstanceState::Stopped),
        ("once", InstanceState::Stopped),
        ("delayed", InstanceState::BackingOff),
    ] {
        supervisor.until(name, "it ended", |status| status.instances[0].state == state).await;
    }
    let stopped = tokio::time::timeout(Duration::from_secs(30), async {
        supervisor.client().await.stop("delayed").await.unwrap();
    });
    stopped.await.expect("a stop does not wait for the delay");
}

#[tokio::test]
async fn a_stranger_on_the_port_does_not_make_a_fork_application_ready() {
    let supervisor = Supervisor::start().await;
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = stranger.local_addr().unwrap().port();
    let late = format!("setTimeout(() => {{ {SERVER} }}, 500);");
    let spec = AppSpec { exec_mode: ExecMode::Fork, port: Some(port), ..supervisor.app("shop", "1", &late) };
    let applied = supervisor.apply(&spec).await;
    let ApplyOutcome::Failed { reason, last_stderr, .. } = applied.outcome else { panic!("{applied:?}") };
    assert!(reason.contains(&format!("port {port} is in use by another process")), "{reason}");
    assert!(last_stderr.iter().any(|line| line.contains("EADDRINUSE")), "{last_stderr:?}");
}
