//! What people do with applications and single instances.

use std::time::Duration;

use muster_supervisor_protocol::{
    AppSpec, ApplyOutcome, ClientError, DesiredRun, ErrorCode, ExecMode, InstanceState, InstanceStatus,
    Readiness, Request, Target,
};
use serde_json::json;

use crate::harness::{SERVER, Supervisor, alive, signal, until};
use crate::load::Load;

fn refused(error: ClientError) -> (ErrorCode, String) {
    match error {
        ClientError::Refused { code, message } => (code, message),
        other => panic!("{other}"),
    }
}

fn some(app: &str, instances: &[u32]) -> Target {
    Target { app: app.to_owned(), instances: instances.to_vec() }
}

async fn instances(supervisor: &Supervisor, app: &str) -> Vec<InstanceStatus> {
    supervisor.status(app).await.instances
}

async fn pids(supervisor: &Supervisor, app: &str) -> Vec<Option<u32>> {
    instances(supervisor, app).await.iter().map(|instance| instance.pid).collect()
}

async fn ids(supervisor: &Supervisor, app: &str) -> Vec<(u32, u32)> {
    instances(supervisor, app).await.iter().map(|instance| (instance.index, instance.id)).collect()
}

#[tokio::test]
async fn instances_are_stopped_started_and_restarted_one_by_one() {
    let supervisor = Supervisor::start().await;
    let spec = AppSpec { instances: 3, ..supervisor.app("shop", "1", SERVER) };
    supervisor.run(&spec).await;
    let before = instances(&supervisor, "shop").await;
    let mut client = supervisor.client().await;
    client.carry_out(&Request::Stop(some("shop", &[1]))).await.unwrap();
    let after = pids(&supervisor, "shop").await;
    assert_eq!(after, [before[0].pid, None, before[2].pid]);
    assert_eq!(supervisor.status("shop").await.desired, DesiredRun::Running);
    let applied = client.change(&Request::Restart(some("shop", &[1, 2]))).await.unwrap();
    assert_eq!(applied.outcome, ApplyOutcome::Replaced);
    let after = instances(&supervisor, "shop").await;
    assert_eq!(after[0].pid, before[0].pid);
    assert!(after[1].pid.is_some() && after[2].pid != before[2].pid);
    let restarts: Vec<u32> = after.iter().map(|instance| instance.restarts).collect();
    assert_eq!(restarts, [0, 0, 1], "what was stopped is started, what ran is restarted");
    assert!(after[2].created_at > before[2].created_at && after[0].created_at == before[0].created_at);
    assert_eq!(ids(&supervisor, "shop").await, [(0, 0), (1, 1), (2, 2)]);
    // Stopped one after another is stopped as a whole.
    for number in 0..3 {
        client.carry_out(&Request::Stop(some("shop", &[number]))).await.unwrap();
    }
    assert_eq!(supervisor.status("shop").await.desired, DesiredRun::Stopped);
    client.carry_out(&Request::Start(some("shop", &[2]))).await.unwrap();
    supervisor.until("shop", "one is back", |status| status.instances[2].ready).await;
    assert_eq!(pids(&supervisor, "shop").await.iter().flatten().count(), 1);
    client.carry_out(&Request::Reset(Target::all("shop"))).await.unwrap();
    assert!(instances(&supervisor, "shop").await.iter().all(|instance| instance.restarts == 0));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_words_that_help() {
    let supervisor = Supervisor::start().await;
    supervisor.run(&AppSpec { instances: 2, ..supervisor.app("shop", "1", SERVER) }).await;
    let mut client = supervisor.client().await;
    let script = supervisor.script("sleep.sh", "exec sleep 300");
    let plain = AppSpec {
        spec_digest: "1".into(),
        interpreter: Some("/bin/sh".into()),
        readiness: Readiness::Started,
        min_uptime_ms: 50,
        ..AppSpec::new("plain", "/", script)
    };
    supervisor.run(&plain).await;
    client.stop("plain").await.unwrap();
    let target = |app: &str| Target::all(app);
    for (request, wanted, words) in [
        (Request::Restart(some("shop", &[7])), ErrorCode::WrongState, "no instance 7; it has 0, 1"),
        (Request::Restart(target("shep")), ErrorCode::UnknownApp, "there are: plain, shop"),
        (
            Request::Scale { app: "shop".into(), instances: 0, oldest_first: false },
            ErrorCode::BadRequest,
            "between 1 and 512",
        ),
        (
            Request::Signal { target: target("shop"), signal: "SIGNOTHING".into() },
            ErrorCode::BadRequest,
            "not a signal",
        ),
        (
            Request::Signal { target: target("plain"), signal: "HUP".into() },
            ErrorCode::WrongState,
            "is stopped: start it first",
        ),
        (
            Request::Input { target: target("shop"), data: "x\n".into() },
            ErrorCode::WrongState,
            "has no standard input",
        ),
        (
            Request::Trigger { target: target("shop"), action: "gc".into(), params: None, timeout_ms: 1 },
            ErrorCode::WrongState,
            "no action \"gc\"; it announced none",
        ),
    ] {
        let (code, message) = match client.carry_out(&request).await {
            Err(error) => refused(error),
            Ok(()) => panic!("{request:?} was carried out"),
        };
        assert_eq!(code, wanted, "{message}");
        assert!(message.contains(words), "{message}");
    }
    client.start("plain").await.unwrap();
    supervisor.until("plain", "it runs", |status| status.settled()).await;
    let message = Request::Message { target: target("plain"), message: json!("hello") };
    let (code, message) = refused(client.carry_out(&message).await.unwrap_err());
    assert!(code == ErrorCode::WrongState && message.contains("no IPC channel"), "{message}");
    client.carry_out(&Request::Delete(target("never-there"))).await.unwrap();
    client.carry_out(&Request::Delete(some("shop", &[9]))).await.unwrap();
}

#[tokio::test]
async fn scaling_fills_holes_and_lets_the_newest_go_first_or_the_oldest() {
    let supervisor = Supervisor::start().await;
    supervisor.run(&AppSpec { instances: 4, ..supervisor.app("shop", "1", SERVER) }).await;
    let load = Load::start(supervisor.port("shop").await, 8);
    let mut client = supervisor.client().await;
    client.carry_out(&Request::Delete(some("shop", &[1]))).await.unwrap();
    assert_eq!(ids(&supervisor, "shop").await, [(0, 0), (2, 2), (3, 3)], "a hole stays");
    let scale = |instances, oldest_first| Request::Scale { app: "shop".into(), instances, oldest_first };
    let kept = pids(&supervisor, "shop").await;
    assert_eq!(client.change(&scale(5, false)).await.unwrap().outcome, ApplyOutcome::Replaced);
    assert_eq!(ids(&supervisor, "shop").await, [(0, 0), (1, 4), (2, 2), (3, 3), (4, 5)]);
    let now = pids(&supervisor, "shop").await;
    assert_eq!([now[0], now[2], now[3]], kept[..]);
    client.change(&scale(4, false)).await.unwrap();
    assert_eq!(ids(&supervisor, "shop").await, [(0, 0), (1, 4), (2, 2), (3, 3)]);
    client.change(&scale(2, true)).await.unwrap();
    assert_eq!(ids(&supervisor, "shop").await, [(1, 4), (3, 3)], "as pm2 does it");
    assert_eq!(client.specs(Some("shop".into())).await.unwrap()[0].instances, 2);
    assert_eq!(client.reload("shop").await.unwrap().outcome, ApplyOutcome::Replaced);
    let after = instances(&supervisor, "shop").await;
    assert_eq!(ids(&supervisor, "shop").await, [(1, 4), (3, 3)], "numbers survive a reload");
    assert!(after.iter().all(|instance| instance.restarts == 1));
    assert_eq!(load.stop().await.failures, Vec::<String>::new());
    supervisor.upgrade().await;
    assert_eq!(ids(&supervisor, "shop").await, [(1, 4), (3, 3)]);
    let supervisor = supervisor.kill().start().await;
    assert_eq!(ids(&supervisor, "shop").await, [(1, 4), (3, 3)]);
    let mut client = supervisor.client().await;
    client.carry_out(&Request::Delete(some("shop", &[1, 3]))).await.unwrap();
    assert!(supervisor.try_status("shop").await.is_none(), "without instances it is forgotten");
    supervisor.run(&supervisor.app("other", "1", SERVER)).await;
    assert_eq!(ids(&supervisor, "other").await, [(0, 0)], "numbers begin again");
}

#[tokio::test]
async fn a_scale_that_cannot_be_leaves_everything_as_it_was() {
    let supervisor = Supervisor::start().await;
    let only_one =
        format!("if (process.env.NODE_APP_INSTANCE !== '0') throw new Error('no room');\n{SERVER}");
    supervisor.run(&supervisor.app("shop", "1", &only_one)).await;
    let before = pids(&supervisor, "shop").await;
    let request = Request::Scale { app: "shop".into(), instances: 3, oldest_first: false };
    let applied = supervisor.client().await.change(&request).await.unwrap();
    let ApplyOutcome::Failed { reason, last_stderr, previous_kept } = applied.outcome else {
        panic!("{applied:?}")
    };
    // The new ones start side by side, so it can be either.
    assert!(previous_kept && reason.contains("exited with code 1"), "{reason}");
    assert!(last_stderr.iter().any(|line| line.contains("no room")), "{last_stderr:?}");
    assert_eq!(pids(&supervisor, "shop").await, before);
    assert_eq!(supervisor.client().await.specs(None).await.unwrap()[0].instances, 1);
}

#[tokio::test]
async fn single_stops_and_the_count_are_remembered_across_a_restart_of_the_supervisor() {
    let supervisor = Supervisor::start().await;
    let spec = supervisor.app("shop", "1", SERVER);
    supervisor.run(&spec).await;
    let mut client = supervisor.client().await;
    client.change(&Request::Scale { app: "shop".into(), instances: 3, oldest_first: false }).await.unwrap();
    client.carry_out(&Request::Stop(some("shop", &[1]))).await.unwrap();
    let supervisor = Supervisor::start_in(supervisor.terminate()).await;
    assert!(supervisor.status("shop").await.awaiting_apply);
    supervisor.run(&spec).await;
    let states: Vec<_> = instances(&supervisor, "shop")
        .await
        .iter()
        .map(|instance| (instance.index, instance.ready))
        .collect();
    assert_eq!(states, [(0, true), (1, false), (2, true)]);
    supervisor.client().await.start("shop").await.unwrap();
    supervisor.until("shop", "all are back", |status| status.settled()).await;
}

#[tokio::test]
async fn a_restart_works_in_any_state_and_tells_how_it_went() {
    let supervisor = Supervisor::start().await;
    let flag = supervisor.dir.path().join("broken");
    let source = format!(
        "if (require('fs').existsSync('{}')) {{ console.error('out of order'); process.exit(9); }}\n{SERVER}",
        flag.display()
    );
    let spec = AppSpec { restart_delay_ms: 60_000, ..supervisor.app("shop", "1", &source) };
    supervisor.run(&spec).await;
    std::fs::write(&flag, "").unwrap();
    let mut client = supervisor.client().await;
    let applied = client.restart("shop").await.unwrap();
    let ApplyOutcome::Failed { reason, last_stderr, previous_kept } = applied.outcome else {
        panic!("{applied:?}")
    };
    assert!(reason.contains("exited with code 9") && !previous_kept, "{reason}");
    assert_eq!(last_stderr, ["out of order"]);
    let instance = &instances(&supervisor, "shop").await[0];
    assert_eq!(instance.state, InstanceState::BackingOff);
    let exit = instance.last_exit.clone().unwrap();
    assert_eq!((exit.code, exit.last_stderr), (Some(9), vec!["out of order".to_owned()]));
    std::fs::remove_file(&flag).unwrap();
    assert_eq!(client.restart("shop").await.unwrap().outcome, ApplyOutcome::Replaced);
    client.stop("shop").await.unwrap();
    assert_eq!(client.reload("shop").await.unwrap().outcome, ApplyOutcome::Replaced, "it is just started");
    assert!(supervisor.status("shop").await.settled());
}

#[tokio::test]
async fn signals_messages_and_actions_reach_the_process_and_answers_come_back() {
    let supervisor = Supervisor::start().await;
    let source = "
        process.on('SIGUSR2', () => console.log('signalled'));
        process.on('message', (message) => {
          if (message === 'slow') return;
          if (message === 'sum' || message.msg === 'sum') {
            const value = message.opts ? message.opts.a + message.opts.b : 'no parameters';
            process.send({ type: 'axm:reply', data: { return: value, action_name: 'sum' } });
          } else if (message.topic) console.log('heard ' + message.topic);
        });
        process.send({ type: 'axm:action', data: { action_name: 'sum', arity: 2 } });
        process.send({ type: 'axm:action', data: { action_name: 'slow' } });
        process.send({ type: 'axm:monitor', data: { Requests: { value: 42, type: 'x' } } });
        process.send('ready');";
    let spec = AppSpec {
        exec_mode: ExecMode::Fork,
        readiness: Readiness::ReadyMessage,
        instances: 2,
        ..supervisor.app("worker", "1", source)
    };
    supervisor.run(&spec).await;
    let mut client = supervisor.client().await;
    let status = supervisor.status("worker").await;
    assert_eq!(status.instances[1].metrics["Requests"]["value"], 42);
    assert_eq!(status.instances[1].actions[0]["action_name"], "sum");
    let all = Target::all("worker");
    let answers = client.trigger(all.clone(), "sum", Some(json!({"a": 1, "b": 2})), 30_000).await.unwrap();
    let values: Vec<_> = answers.iter().map(|answer| (answer.instance, answer.value.clone())).collect();
    assert_eq!(values, [(0, json!(3)), (1, json!(3))]);
    let answers = client.trigger(some("worker", &[1]), "sum", None, 30_000).await.unwrap();
    assert_eq!(answers[0].value, json!("no parameters"));
    assert!(client.trigger(all.clone(), "slow", None, 50).await.unwrap().is_empty());
    let message = json!({"topic": "news", "id": 0, "data": {}, "type": "process:msg"});
    client.carry_out(&Request::Message { target: some("worker", &[0]), message }).await.unwrap();
    client.carry_out(&Request::Signal { target: all, signal: "12".into() }).await.unwrap();
    let log = |number: u32| supervisor.dir.path().join(format!("logs/worker/{number}-out.log"));
    let read = |number| std::fs::read_to_string(log(number)).unwrap_or_default();
    until("both were told", async || {
        (read(0).contains("heard news") && read(0).contains("signalled") && read(1) == "signalled\n")
            .then_some(())
    })
    .await;
    supervisor.upgrade().await;
    let answers = supervisor.client().await.trigger(some("worker", &[0]), "sum", None, 30_000).await.unwrap();
    assert_eq!(answers.len(), 1, "what was announced is still known");
}

#[tokio::test]
async fn standard_input_is_written_to_also_after_an_upgrade_and_a_kill() {
    let supervisor = Supervisor::start().await;
    let script = supervisor
        .script("echo.sh", "while read line; do echo \"got $line\"; done; echo end; exec sleep 300");
    let spec = AppSpec {
        spec_digest: "1".into(),
        interpreter: Some("/bin/sh".into()),
        readiness: Readiness::Started,
        min_uptime_ms: 50,
        stdin: true,
        logs: supervisor.app("x", "1", "").logs,
        ..AppSpec::new("echo", "/", script)
    };
    supervisor.run(&spec).await;
    let pid = pids(&supervisor, "echo").await;
    async fn say(supervisor: &Supervisor, data: &str) {
        let request = Request::Input { target: Target::all("echo"), data: format!("{data}\n") };
        supervisor.client().await.carry_out(&request).await.unwrap();
        let log = supervisor.dir.path().join("logs/echo/0-out.log");
        let wanted = format!("got {data}\n");
        until("it was heard", async || {
            std::fs::read_to_string(&log).unwrap_or_default().ends_with(&wanted).then_some(())
        })
        .await;
    }
    say(&supervisor, "one").await;
    supervisor.upgrade().await;
    say(&supervisor, "two").await;
    let supervisor = supervisor.kill().start().await;
    say(&supervisor, "three").await;
    assert_eq!(pids(&supervisor, "echo").await, pid);
    let log = supervisor.dir.path().join("logs/echo/0-out.log");
    assert_eq!(std::fs::read_to_string(log).unwrap(), "got one\ngot two\ngot three\n");
}

#[tokio::test]
async fn a_supervisor_that_is_told_to_end_answers_when_another_may_start() {
    let supervisor = Supervisor::start().await;
    supervisor.run(&AppSpec { instances: 2, ..supervisor.app("shop", "1", SERVER) }).await;
    let pids = pids(&supervisor, "shop").await;
    supervisor.client().await.carry_out(&Request::Shutdown).await.unwrap();
    assert!(pids.into_iter().flatten().all(|pid| !alive(pid)));
    // At once, in the same folder.
    let mut next = Supervisor::command(supervisor.dir.path()).spawn().unwrap();
    until("the next one answers", async || {
        let mut client = muster_supervisor_protocol::Client::connect(supervisor.socket()).await.ok()?;
        (client.ping().await.ok()?.pid == next.id()).then_some(())
    })
    .await;
    signal(next.id(), "TERM");
    assert!(next.wait().unwrap().success());
}

#[tokio::test]
async fn an_application_without_autostart_is_known_and_waits() {
    let supervisor = Supervisor::start().await;
    let spec = AppSpec { autostart: false, ..supervisor.app("shop", "1", SERVER) };
    let applied = supervisor.apply(&spec).await;
    assert!(applied.notes[0].contains("autostart is off"), "{applied:?}");
    assert_eq!(instances(&supervisor, "shop").await[0].state, InstanceState::Stopped);
    supervisor.client().await.start("shop").await.unwrap();
    supervisor.until("shop", "it runs", |status| status.settled()).await;
    let supervisor = Supervisor::start_in(supervisor.terminate()).await;
    supervisor.run(&spec).await;
    assert!(supervisor.status("shop").await.settled(), "it had been started");
}

#[tokio::test]
async fn instances_differ_by_what_their_spec_says_and_leave_pid_files() {
    let supervisor = Supervisor::start().await;
    let pid_file = supervisor.dir.path().join("pids/shop.pid").to_str().unwrap().to_owned();
    let mut spec = AppSpec {
        instances: 2,
        increment_var: Some("PORT_OF_MINE".into()),
        pid_file: Some(pid_file),
        source_map_support: true,
        exec_mode: ExecMode::Fork,
        readiness: Readiness::ReadyMessage,
        ..supervisor.app(
            "shop",
            "1",
            "console.log(process.env.PORT_OF_MINE, process.execArgv.join()); process.send('ready'); setInterval(() => {}, 1000)",
        )
    };
    spec.env.insert("PORT_OF_MINE".into(), "3000".into());
    supervisor.run(&spec).await;
    let written = |number: u32| {
        std::fs::read_to_string(supervisor.dir.path().join(format!("pids/shop-{number}.pid")))
            .ok()
            .and_then(|text| text.parse::<u32>().ok())
    };
    assert_eq!([written(0), written(1)], pids(&supervisor, "shop").await[..]);
    let mut client = supervisor.client().await;
    client.carry_out(&Request::Delete(some("shop", &[0]))).await.unwrap();
    assert_eq!(written(0), None, "the file went with the process");
    client.change(&Request::Scale { app: "shop".into(), instances: 2, oldest_first: false }).await.unwrap();
    client.restart("shop").await.unwrap();
    let said = |number: u32| {
        let path = supervisor.dir.path().join(format!("logs/shop/{number}-out.log"));
        std::fs::read_to_string(path).unwrap_or_default()
    };
    until("all have said it", async || {
        (said(0).lines().count() == 3 && said(1).lines().count() == 2).then_some(())
    })
    .await;
    let line = |value: u32| format!("{value} --enable-source-maps");
    assert_eq!(
        said(0).lines().collect::<Vec<_>>(),
        [line(3000), line(3002), line(3002)],
        "no hole is filled"
    );
    assert_eq!(said(1).lines().collect::<Vec<_>>(), [line(3001), line(3001)], "a restart keeps the value");
}

#[tokio::test]
async fn without_treekill_only_the_main_process_ends() {
    let supervisor = Supervisor::start().await;
    let file = supervisor.dir.path().join("child");
    let script = supervisor.script(
        "parent.sh",
        &format!("sleep 300 &\necho $! > {0}.partial; mv {0}.partial {0}\nwait\n", file.display()),
    );
    let spec = AppSpec {
        spec_digest: "1".into(),
        interpreter: Some("/bin/sh".into()),
        readiness: Readiness::Started,
        min_uptime_ms: 50,
        treekill: false,
        ..AppSpec::new("parent", "/", script)
    };
    supervisor.run(&spec).await;
    let child: u32 =
        until("the child is known", async || std::fs::read_to_string(&file).ok()?.trim().parse().ok()).await;
    let parent = pids(&supervisor, "parent").await[0].unwrap();
    tokio::time::timeout(Duration::from_secs(60), supervisor.client().await.stop("parent"))
        .await
        .unwrap()
        .unwrap();
    assert!(!alive(parent) && alive(child));
    signal(child, "KILL");
}
