//! What the supervisor does by itself: restarts at times, when files change, when memory grows, and how it tells.

use std::path::Path;

use muster_supervisor_protocol::{
    AppSpec, ApplyOutcome, ClientError, DesiredRun, ErrorCode, EventStream, ExecMode, InstanceState, LogFile,
    Pm2Origin, ProcessEvent, ProcessEventKind, Readiness, Watch,
};

use crate::harness::{SERVER, Supervisor, signal, until};
use crate::load::Load;

const QUIET: &str = "process.on('message', () => {}); process.send('ready');";

fn worker(supervisor: &Supervisor, name: &str, source: &str) -> AppSpec {
    AppSpec {
        exec_mode: ExecMode::Fork,
        readiness: Readiness::ReadyMessage,
        ..supervisor.app(name, "1", source)
    }
}

fn pm2(spec: AppSpec) -> AppSpec {
    let record = serde_json::Value::Null;
    AppSpec { pm2: Some(Pm2Origin { home: "/nowhere/.pm2".into(), record }), ..spec }
}

/// Reasons of the events of a kind so far. A watcher could miss those that come just after it asked to be told.
fn told(supervisor: &Supervisor, kind: &str) -> Vec<String> {
    let kind = format!(" kind={kind} reason=\"");
    let log = supervisor.stderr();
    let reasons =
        log.lines().filter_map(|line| Some(line.split_once(&kind)?.1.strip_suffix('"')?.to_owned()));
    reasons.collect()
}

async fn next(events: &mut EventStream, kind: ProcessEventKind) -> ProcessEvent {
    loop {
        let event = events.next().await.unwrap();
        if event.kind == kind {
            return event;
        }
    }
}

#[tokio::test]
async fn cron_restarts_what_runs_across_an_upgrade_and_leaves_alone_what_was_stopped() {
    let supervisor = Supervisor::start().await;
    let spec = AppSpec { cron_restart: Some("* * * * * *".into()), ..worker(&supervisor, "shop", QUIET) };
    let mut events = supervisor.client().await.watch().await.unwrap();
    supervisor.run(&spec).await;
    assert!(supervisor.status("shop").await.next_cron_restart.is_some());
    let first = next(&mut events, ProcessEventKind::CronRestart).await;
    assert_eq!((first.instance, first.reason.as_str()), (Some(0), "cron_restart is due"));
    supervisor.upgrade().await;
    let restarts = supervisor.status("shop").await.instances[0].restarts;
    supervisor.until("shop", "it goes on", |status| status.instances[0].restarts > restarts + 1).await;
    supervisor.client().await.stop("shop").await.unwrap();
    let due = supervisor.status("shop").await.next_cron_restart;
    supervisor.until("shop", "its hour comes", |status| status.next_cron_restart > due).await;
    let status = supervisor.status("shop").await;
    assert_eq!((status.desired, status.instances[0].state), (DesiredRun::Stopped, InstanceState::Stopped));
}

#[tokio::test]
async fn a_job_that_ended_is_run_again_when_its_hour_comes() {
    let supervisor = Supervisor::start().await;
    let ran = supervisor.dir.path().join("ran");
    let source = format!("require('fs').appendFileSync('{}', 'x')", ran.display());
    let job = AppSpec {
        autorestart: false,
        cron_restart: Some("*/1 * * * * *".into()),
        ..pm2(worker(&supervisor, "job", &source))
    };
    let applied = supervisor.apply(&job).await;
    assert_eq!(applied.outcome, ApplyOutcome::Started, "it did what it is for: {applied:?}");
    until("it ran three times", async || {
        (std::fs::read_to_string(&ran).unwrap_or_default().len() >= 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_pattern_that_cannot_be_is_refused_with_the_place_of_the_mistake() {
    let supervisor = Supervisor::start().await;
    let spec = AppSpec { cron_restart: Some("0 61 * * * *".into()), ..worker(&supervisor, "shop", QUIET) };
    let error = supervisor.client().await.apply(&spec).await.unwrap_err();
    let ClientError::Refused { code, message } = error else { panic!("{error}") };
    assert_eq!(code, ErrorCode::InvalidSpec);
    assert!(
        message.contains("cron_restart: field 2 (minute)") && message.contains("character 3"),
        "{message}"
    );
}

fn write(path: impl AsRef<Path>, text: &str) {
    std::fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn a_changed_file_restarts_every_instance_once_and_own_files_restart_nothing() {
    let supervisor = Supervisor::start().await;
    let folder = supervisor.dir.path().join("project");
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    write(file("node_modules/x/index.js"), "");
    write(file("lib/a.js"), "1");
    let talking = format!("setInterval(() => console.log('tick'), 5); {QUIET}");
    let mut spec = AppSpec {
        instances: 2,
        cwd: folder.to_str().unwrap().to_owned(),
        watch: Some(Watch::default()),
        pid_file: Some(file("app.pid")),
        ..worker(&supervisor, "shop", &talking)
    };
    spec.logs.dir = None;
    spec.logs.out_file = LogFile::Path(file("out.log"));
    spec.logs.dir = Some(file("logs"));
    supervisor.run(&spec).await;
    let status = supervisor.until("shop", "files are watched", |status| status.watching).await;
    assert_eq!(status.watch_failure, None);
    write(file("node_modules/x/index.js"), "2");
    write(file(".git/index"), "2");
    write(file("lib/a.js"), "2");
    let both = |count| {
        move |status: &muster_supervisor_protocol::AppStatus| {
            status.settled() && status.instances.iter().all(|instance| instance.restarts == count)
        }
    };
    supervisor.until("shop", "both are back", both(1)).await;
    assert_eq!(told(&supervisor, "WatchRestart"), vec![format!("{} changed", file("lib/a.js")); 2]);
    // In a folder that is new, after the supervisor was replaced.
    supervisor.upgrade().await;
    supervisor.until("shop", "files are watched again", |status| status.watching).await;
    std::fs::create_dir(file("new")).unwrap();
    supervisor.until("shop", "both are back again", both(2)).await;
    write(file("new/b.js"), "1");
    supervisor.until("shop", "both are back once more", both(3)).await;
    supervisor.client().await.stop("shop").await.unwrap();
    write(file("lib/a.js"), "3");
    supervisor.client().await.start("shop").await.unwrap();
    supervisor.until("shop", "it runs", |status| status.settled()).await;
    assert!(supervisor.status("shop").await.instances.iter().all(|instance| instance.restarts == 3));
}

#[tokio::test]
async fn changes_in_a_row_cause_one_restart() {
    let supervisor = Supervisor::start().await;
    let folder = supervisor.dir.path().join("project");
    let file = |number: u32| folder.join(format!("{number}.js"));
    write(file(0), "");
    let watch = Watch { ignore: Some(vec!["*.tmp".into()]), delay_ms: 400, ..Watch::default() };
    let spec = AppSpec {
        cwd: folder.to_str().unwrap().to_owned(),
        watch: Some(watch),
        ..worker(&supervisor, "shop", QUIET)
    };
    supervisor.run(&spec).await;
    supervisor.until("shop", "files are watched", |status| status.watching).await;
    for number in 0..20 {
        write(folder.join("x.tmp"), "x");
        write(file(number), "changed");
    }
    let status = supervisor
        .until("shop", "it is back", |status| status.settled() && status.instances[0].restarts > 0)
        .await;
    assert_eq!(status.instances[0].restarts, 1);
}

#[tokio::test]
async fn an_instance_with_too_much_memory_is_reloaded_without_a_failed_request() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::start_with(dir, &[("PM2_WORKER_INTERVAL", "100")]).await;
    let flag = supervisor.dir.path().join("ate");
    let hungry = format!(
        "{SERVER}
         const fs = require('fs');
         process.on('SIGUSR2', () => {{ globalThis.food = Buffer.alloc(300 * 1024 * 1024, 1); }});
         fs.writeFileSync('{}', 'x');",
        flag.display()
    );
    let spec = AppSpec {
        instances: 2,
        max_memory_restart_bytes: Some(250 * 1024 * 1024),
        ..pm2(supervisor.app("shop", "1", &hungry))
    };
    supervisor.run(&spec).await;
    let before = supervisor.status("shop").await;
    let load = Load::start(supervisor.port("shop").await, 8);
    signal(before.instances[1].pid.unwrap(), "USR2");
    let after = supervisor
        .until("shop", "it was reloaded", |status| {
            status.settled() && status.instances.len() == 2 && status.instances[1].restarts == 1
        })
        .await;
    let reasons = told(&supervisor, "MemoryRestart");
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].starts_with("resident memory "), "{reasons:?}");
    assert!(reasons[0].ends_with(" MB is above max_memory_restart 250 MB"), "{reasons:?}");
    assert_eq!(after.instances[0].pid, before.instances[0].pid);
    assert_eq!(after.instances[1].id, before.instances[1].id);
    assert_ne!(after.instances[1].pid, before.instances[1].pid);
    assert_eq!(load.stop().await.failures, Vec::<String>::new());
}

#[tokio::test]
async fn how_a_process_ended_is_told_with_its_last_words() {
    let supervisor = Supervisor::start().await;
    let source = format!(
        "{QUIET} setTimeout(() => {{ console.error('first'); console.error('last'); process.exit(4); }}, 200)"
    );
    let mut events = supervisor.client().await.watch().await.unwrap();
    supervisor.run(&AppSpec { restart_delay_ms: 60_000, ..worker(&supervisor, "shop", &source) }).await;
    let event = next(&mut events, ProcessEventKind::Exited).await;
    let exit = event.exit.unwrap();
    assert_eq!((exit.code, exit.signal), (Some(4), None));
    assert_eq!(exit.last_stderr, ["first", "last"]);
    assert!(exit.uptime_ms > 0 && exit.reason.starts_with("exited with code 4 after "), "{}", exit.reason);
    let status = supervisor
        .until("shop", "it waits", |status| status.instances[0].state == InstanceState::BackingOff)
        .await;
    assert_eq!(status.instances[0].last_exit.as_ref().unwrap().last_stderr, ["first", "last"]);
    let supervisor = supervisor.kill().start().await;
    let status = supervisor.status("shop").await;
    assert_eq!(status.instances[0].last_exit.as_ref().unwrap().code, Some(4), "a kill forgets nothing");
}

#[tokio::test]
async fn what_pm2_users_start_stays_listed_also_when_it_never_works() {
    let supervisor = Supervisor::start().await;
    for (max_restarts, launches) in [(16, 15), (3, 2)] {
        let name = format!("crash-{max_restarts}");
        let spec = AppSpec { max_restarts, ..pm2(worker(&supervisor, &name, "process.exit(3)")) };
        let applied = supervisor.apply(&spec).await;
        let ApplyOutcome::Failed { reason, .. } = applied.outcome else { panic!("{applied:?}") };
        assert!(reason.contains("instance 0 exited with code 3"), "{reason}");
        let status = supervisor.status(&name).await;
        let instance = &status.instances[0];
        assert_eq!((instance.state, instance.restarts), (InstanceState::CrashLooping, launches));
    }
    let silent = AppSpec {
        listen_timeout_ms: 300,
        max_restarts: 1,
        ..pm2(worker(&supervisor, "silent", "setInterval(() => {}, 1000)"))
    };
    let applied = supervisor.apply(&silent).await;
    let ApplyOutcome::Failed { reason, .. } = applied.outcome else { panic!("{applied:?}") };
    assert!(reason.contains("was not ready within 300 ms"), "{reason}");
    supervisor
        .until("silent", "it is given up", |status| status.instances[0].state == InstanceState::CrashLooping)
        .await;
    let once = AppSpec { autorestart: false, ..pm2(worker(&supervisor, "once", "process.exit(1)")) };
    let applied = supervisor.apply(&once).await;
    assert!(matches!(applied.outcome, ApplyOutcome::Failed { .. }), "{applied:?}");
    assert_eq!(supervisor.status("once").await.instances[0].state, InstanceState::Stopped);
    let ids: Vec<u32> = supervisor
        .client()
        .await
        .list()
        .await
        .unwrap()
        .iter()
        .flat_map(|app| app.instances.iter().map(|instance| instance.id))
        .collect();
    assert_eq!(ids, [0, 1, 3, 2], "in the order in which they came");
    // pm2's dump is what remembers them.
    let supervisor = Supervisor::start_in(supervisor.terminate()).await;
    assert!(supervisor.client().await.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn instances_of_pm2_users_find_what_pm2_gives_them() {
    let supervisor = Supervisor::start().await;
    let source = format!(
        "const {{ pm_id, name, PM2_HOME, NODE_APP_INSTANCE }} = process.env;
         console.log([pm_id, name, PM2_HOME, NODE_APP_INSTANCE].join(' ')); {QUIET}"
    );
    supervisor.run(&worker(&supervisor, "first", QUIET)).await;
    supervisor.run(&pm2(worker(&supervisor, "second", &source))).await;
    let log = supervisor.dir.path().join("logs/second/1-out.log");
    until("it has said it", async || {
        (std::fs::read_to_string(&log).ok()? == "1 second /nowhere/.pm2 0\n").then_some(())
    })
    .await;
}
