//! The supervisor is killed; applications go on, and its successor takes them over.

use muster_supervisor_protocol::{AppSpec, ApplyOutcome, ClientError, ErrorCode, ExecMode, Readiness};

use crate::harness::{COUNTING_SERVER, SERVER, Supervisor, alive, free_port, signal, until};
use crate::load::{Load, get};

fn plain(supervisor: &Supervisor, name: &str, release: &str, source: &str) -> AppSpec {
    AppSpec {
        exec_mode: ExecMode::Fork,
        readiness: Readiness::Started,
        min_uptime_ms: 10,
        ..supervisor.app(name, release, source)
    }
}

async fn more_load(load: &Load) {
    let answered = load.answered();
    until("load", async || (load.answered() > answered + 300).then_some(())).await;
}

#[tokio::test]
async fn applications_go_on_and_are_taken_over_without_a_failed_request() {
    let supervisor = Supervisor::start().await;
    let shop = AppSpec { instances: 2, ..supervisor.app("shop", "1", SERVER) };
    let worker = plain(&supervisor, "worker", "1", "setInterval(() => console.log('tick'), 5)");
    supervisor.run(&shop).await;
    supervisor.run(&worker).await;
    let before = [supervisor.status("shop").await, supervisor.status("worker").await];
    let load = Load::start(supervisor.port("shop").await, 16);
    more_load(&load).await;
    let orphaned = supervisor.kill();
    more_load(&load).await;
    let supervisor = orphaned.start().await;
    for before in &before {
        let after = supervisor.status(&before.name).await;
        assert!(after.settled(), "{after:?}");
        assert_eq!((&after.spec_digest, &after.listening), (&before.spec_digest, &before.listening));
        for (before, after) in before.instances.iter().zip(&after.instances) {
            assert_eq!((before.pid, before.restarts), (after.pid, after.restarts));
        }
    }
    assert_eq!(supervisor.run(&shop).await, ApplyOutcome::Unchanged);
    assert_eq!(supervisor.run(&worker).await, ApplyOutcome::Unchanged);
    more_load(&load).await;
    // Those that were taken over finish their connections like any other.
    let next = AppSpec { instances: 2, ..supervisor.app("shop", "2", SERVER) };
    assert_eq!(supervisor.run(&next).await, ApplyOutcome::Replaced);
    more_load(&load).await;
    let seen = load.stop().await;
    assert_eq!(seen.failures, Vec::<String>::new(), "of {} requests", seen.answered);
    let old = before[0].instances.iter().filter_map(|instance| instance.pid);
    assert!(old.into_iter().all(|pid| !alive(pid)));
    assert!(supervisor.stderr().contains("exit code unknown"), "{}", supervisor.stderr());
}

#[tokio::test]
async fn of_what_is_written_only_that_is_lost_which_was_read_and_not_written_yet() {
    let supervisor = Supervisor::start().await;
    supervisor.run(&supervisor.app("shop", "1", COUNTING_SERVER)).await;
    let load = Load::start(supervisor.port("shop").await, 8);
    more_load(&load).await;
    let orphaned = supervisor.kill();
    more_load(&load).await;
    let supervisor = orphaned.start().await;
    more_load(&load).await;
    let seen = load.stop().await;
    assert_eq!(seen.failures, Vec::<String>::new());
    let path = supervisor.dir.path().join("logs/shop/0-out.log");
    let last = format!("line {} of instance 0\n", seen.answered);
    let text = until("the last line is written", async || {
        std::fs::read_to_string(&path).ok().filter(|text| text.ends_with(&last))
    })
    .await;
    // One line may be cut where the old supervisor had read the beginning of it.
    let number = |line: &str| line.strip_prefix("line ")?.strip_suffix(" of instance 0")?.parse::<u64>().ok();
    let numbers: Vec<u64> = text.lines().filter_map(number).collect();
    let gaps: Vec<_> = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
    assert!(gaps.len() <= 1 && numbers.is_sorted(), "{gaps:?}");
    let lost = seen.answered - numbers.len() as u64;
    eprintln!("{lost} of {} lines were lost with the killed supervisor", seen.answered);
    assert!(lost < 300, "{lost} of {}: what was written while nobody was there is kept", seen.answered);
}

#[tokio::test]
async fn one_that_is_asked_to_leave_loses_not_even_a_line() {
    let supervisor = Supervisor::start().await;
    supervisor.run(&supervisor.app("shop", "1", COUNTING_SERVER)).await;
    let pid = supervisor.status("shop").await.instances[0].pid;
    let load = Load::start(supervisor.port("shop").await, 8);
    more_load(&load).await;
    let orphaned = supervisor.leave();
    more_load(&load).await;
    let supervisor = orphaned.start().await;
    let after = supervisor.status("shop").await;
    assert_eq!((after.instances[0].pid, after.instances[0].restarts), (pid, 0));
    more_load(&load).await;
    let seen = load.stop().await;
    assert_eq!(seen.failures, Vec::<String>::new(), "of {} requests", seen.answered);
    let path = supervisor.dir.path().join("logs/shop/0-out.log");
    let last = format!("line {} of instance 0\n", seen.answered);
    let text = until("the last line is written", async || {
        std::fs::read_to_string(&path).ok().filter(|text| text.ends_with(&last))
    })
    .await;
    let expected: String = (1..=seen.answered).map(|n| format!("line {n} of instance 0\n")).collect();
    assert_eq!(text, expected);
    let said = supervisor.stderr();
    assert!(!said.contains("without handing everything over"), "{said}");
}

#[tokio::test]
async fn what_ended_while_nobody_watched_is_started_again_and_its_exit_is_unknown() {
    let supervisor = Supervisor::start().await;
    supervisor.run(&supervisor.app("shop", "1", SERVER)).await;
    let port = supervisor.port("shop").await;
    let pid = supervisor.status("shop").await.instances[0].pid.unwrap();
    let orphaned = supervisor.kill();
    signal(pid, "KILL");
    until("it is gone", async || (!alive(pid)).then_some(())).await;
    // Nobody serves; the connection waits for whoever comes.
    let waiting = tokio::spawn(get(port));
    let supervisor = orphaned.start().await;
    let status = supervisor
        .until("shop", "it is back", |status| status.settled() && status.instances[0].restarts == 1)
        .await;
    let exit = status.instances[0].last_exit.clone().unwrap();
    assert_eq!(exit.reason, "ended while nobody watched; exit code unknown");
    assert_eq!((exit.code, exit.signal), (None, None));
    assert!(waiting.await.unwrap().unwrap().starts_with("shop-1.js"));
    // The new one is our child again.
    signal(status.instances[0].pid.unwrap(), "KILL");
    let status = supervisor
        .until("shop", "it is back again", |status| status.settled() && status.instances[0].restarts == 2)
        .await;
    assert_eq!(status.instances[0].last_exit.as_ref().unwrap().signal.as_deref(), Some("SIGKILL"));
}

#[tokio::test]
async fn nobody_waits_for_a_full_pipe_and_what_is_missing_is_said() {
    let supervisor = Supervisor::start().await;
    let (go, done) = (supervisor.dir.path().join("go"), supervisor.dir.path().join("done"));
    // Not Node.js: that would keep in its own memory what the pipe does not take.
    let script = supervisor.script(
        "talker.sh",
        &format!(
            "echo first
             while [ ! -e '{}' ]; do sleep 0.01; done
             echo nobody is there
             yes $(printf 'x%.0s' $(seq 1000)) | head -n 3000
             touch '{}'
             while :; do echo later; sleep 0.02; done",
            go.display(),
            done.display()
        ),
    );
    let spec =
        AppSpec { interpreter: Some("/bin/sh".into()), script, ..plain(&supervisor, "talker", "1", "") };
    supervisor.run(&spec).await;
    let log = "logs/talker/0-out.log";
    let path = supervisor.dir.path().join(log);
    until("the first line", async || std::fs::read_to_string(&path).ok().filter(|text| text == "first\n"))
        .await;
    let orphaned = supervisor.kill();
    std::fs::write(&go, "").unwrap();
    until("three megabytes are written although nobody reads", async || done.exists().then_some(())).await;
    let supervisor = orphaned.start().await;
    let path = supervisor.dir.path().join(log);
    let text = until("the log goes on", async || {
        std::fs::read_to_string(&path).ok().filter(|text| text.ends_with("later\n"))
    })
    .await;
    assert!(text.starts_with("first\nnobody is there\nxxx"), "{}", &text[..100]);
    let note = text.lines().find(|line| line.starts_with("[muster: "));
    let note = note.unwrap_or_else(|| panic!("{} bytes, {} lines", text.len(), text.lines().count()));
    assert!(note.ends_with("bytes are missing here, written while no supervisor was there]"), "{note}");
    let kept = text.lines().filter(|line| line.len() == 1000).count();
    assert!((1000..3000).contains(&kept), "{kept} lines of 1000 bytes were kept");
}

#[tokio::test]
async fn an_apply_goes_on_under_the_successor() {
    let supervisor = Supervisor::start().await;
    supervisor.run(&supervisor.app("shop", "1", SERVER)).await;
    let pid = supervisor.status("shop").await.instances[0].pid;
    let silent = AppSpec {
        listen_timeout_ms: 4_000,
        ..supervisor.app("shop", "2", "console.error('thinking'); setInterval(() => {}, 1000)")
    };
    let mut client = supervisor.client().await;
    let asked = silent.clone();
    let apply = tokio::spawn(async move { client.apply(&asked).await });
    supervisor.until("shop", "the replacement began", |status| status.instances.len() == 2).await;
    let orphaned = supervisor.kill();
    assert!(apply.await.unwrap().is_err());
    let supervisor = orphaned.start().await;
    // The agent asks again and joins what is going on.
    let ApplyOutcome::Failed { reason, previous_kept, .. } = supervisor.apply(&silent).await.outcome else {
        panic!("it never listened")
    };
    assert!(previous_kept && reason.contains("was not ready within"), "{reason}");
    assert_eq!(supervisor.status("shop").await.instances[0].pid, pid);
}

#[tokio::test]
async fn a_keeper_that_dies_is_replaced_and_forgets_nothing() {
    let supervisor = Supervisor::start().await;
    supervisor.run(&supervisor.app("shop", "1", SERVER)).await;
    let (pid, port) = (supervisor.status("shop").await.instances[0].pid, supervisor.port("shop").await);
    let keeper = supervisor.keeper();
    signal(keeper, "KILL");
    let second =
        until("another keeper is there", async || supervisor.try_keeper().filter(|pid| *pid != keeper)).await;
    // It has everything once it answers for it: an upgrade waits for that.
    supervisor.upgrade().await;
    let supervisor = supervisor.kill().start().await;
    assert_eq!((supervisor.keeper(), supervisor.status("shop").await.instances[0].pid), (second, pid));
    assert!(get(port).await.unwrap().starts_with("shop-1.js"));
    supervisor.client().await.delete("shop").await.unwrap();
    drop(std::net::TcpListener::bind(("127.0.0.1", port)).expect("the port is free when we are told so"));
    let dir = supervisor.terminate();
    until("the keeper has left", async || (!alive(second)).then_some(())).await;
    assert!(!dir.path().join("state/keeper.sock").exists());
}

#[tokio::test]
async fn a_keeper_that_hangs_is_replaced_and_an_upgrade_waits_for_the_next_one() {
    let supervisor = Supervisor::start().await;
    supervisor.run(&supervisor.app("shop", "1", SERVER)).await;
    let pid = supervisor.status("shop").await.instances[0].pid;
    let hanging = supervisor.keeper();
    signal(hanging, "STOP");
    let refused = supervisor.client().await.upgrade(None).await.unwrap_err();
    assert!(refused.to_string().contains("the keeper does not answer"), "{refused}");
    until("it was replaced", async || (!alive(hanging)).then_some(())).await;
    until("an upgrade is possible again", async || supervisor.client().await.upgrade(None).await.ok()).await;
    assert_eq!(supervisor.status("shop").await.instances[0].pid, pid);
    let supervisor = supervisor.kill().start().await;
    assert_eq!(supervisor.status("shop").await.instances[0].pid, pid);
}

#[tokio::test]
async fn when_the_keeper_is_killed_as_well_nobody_is_left_on_the_ports() {
    let supervisor = Supervisor::start().await;
    let port = free_port();
    let spec = AppSpec {
        port: Some(port),
        readiness: Readiness::Listening,
        ..plain(&supervisor, "shop", "1", SERVER)
    };
    supervisor.run(&spec).await;
    let pid = supervisor.status("shop").await.instances[0].pid.unwrap();
    let keeper = supervisor.keeper();
    let orphaned = supervisor.kill();
    signal(keeper, "KILL");
    let supervisor = orphaned.start().await;
    until("the process left behind is gone", async || (!alive(pid)).then_some(())).await;
    assert!(supervisor.stderr().contains("cannot be taken over"));
    assert!(supervisor.status("shop").await.awaiting_apply);
    let Err(ClientError::Refused { code, .. }) = supervisor.client().await.start("shop").await else {
        panic!()
    };
    assert_eq!(code, ErrorCode::AwaitingApply);
    assert_eq!(supervisor.run(&spec).await, ApplyOutcome::Started);
    assert!(get(port).await.unwrap().starts_with("shop-1.js"));
}

#[tokio::test]
async fn secrets_are_with_the_keeper_and_not_on_the_disk() {
    let supervisor = Supervisor::start().await;
    let mut spec = supervisor.app("shop", "1", &SERVER.replace("${process.pid}", "${process.env.SECRET}"));
    spec.env.insert("SECRET".into(), "hunter2".into());
    supervisor.run(&spec).await;
    let supervisor = supervisor.kill().start().await;
    for entry in std::fs::read_dir(supervisor.dir.path().join("state")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains("hunter2"), "{}", path.display());
    }
    // A restart needs the environment and does not wait for the agent.
    assert_eq!(supervisor.client().await.reload("shop").await.unwrap().outcome, ApplyOutcome::Replaced);
    assert!(get(supervisor.port("shop").await).await.unwrap().contains("hunter2"));
}
