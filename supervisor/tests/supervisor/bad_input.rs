//! Applications, files and people that do not behave.

use std::collections::BTreeSet;

use muster_supervisor_protocol::{AppSpec, ApplyOutcome, ExecMode, Readiness, Request, Target};

use crate::harness::{SERVER, Supervisor, alive, free_port, signal, until};
use crate::load::get;

fn shell(supervisor: &Supervisor, name: &str, source: &str) -> AppSpec {
    AppSpec {
        spec_digest: "1".into(),
        interpreter: Some("/bin/sh".into()),
        readiness: Readiness::Started,
        min_uptime_ms: 200,
        kill_timeout_ms: 500,
        ..AppSpec::new(name, "/", supervisor.script(&format!("{name}.sh"), source))
    }
}

async fn failure(supervisor: &Supervisor, spec: &AppSpec) -> (String, Vec<String>) {
    let applied = supervisor.apply(spec).await;
    let ApplyOutcome::Failed { reason, last_stderr, .. } = applied.outcome else { panic!("{applied:?}") };
    (reason, last_stderr)
}

#[tokio::test]
async fn a_script_that_is_missing_is_named() {
    let supervisor = Supervisor::start().await;
    let missing = "/srv/nowhere/app.js".to_owned();
    let node = AppSpec { script: missing.clone(), ..supervisor.app("node", "1", "") };
    let (reason, last_stderr) = failure(&supervisor, &node).await;
    assert!(reason.contains("exited with code 1"), "{reason}");
    assert!(last_stderr.iter().any(|line| line.contains("/srv/nowhere/app.js")), "{last_stderr:?}");
    let program = AppSpec { interpreter: None, script: missing, ..shell(&supervisor, "program", "") };
    let (reason, _) = failure(&supervisor, &program).await;
    assert!(reason.contains("/srv/nowhere/app.js") && reason.contains("does not exist"), "{reason}");
}

#[tokio::test]
async fn a_program_that_puts_itself_into_the_background_has_failed() {
    let supervisor = Supervisor::start().await;
    let file = supervisor.dir.path().join("daemon");
    let source = format!(
        "setsid sh -c 'echo $$ > {0}.partial; mv {0}.partial {0}; exec sleep 300' >/dev/null 2>&1 &\n\
         while [ ! -e {0} ]; do sleep 0.01; done\nexit 0\n",
        file.display()
    );
    let (reason, _) = failure(&supervisor, &shell(&supervisor, "daemon", &source)).await;
    assert!(reason.contains("exited with code 0"), "{reason}");
    let daemon: u32 = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
    if alive(daemon) {
        signal(daemon, "KILL");
    }
}

#[tokio::test]
async fn a_program_with_many_children_that_ignore_everything_ends_with_all_of_them() {
    let supervisor = Supervisor::start().await;
    let folder = supervisor.dir.path().join("pids");
    std::fs::create_dir(&folder).unwrap();
    let source = format!(
        "trap '' INT TERM HUP\n\
         for i in 1 2 3 4 5 6 7 8; do\n\
           (for j in 1 2 3; do setsid sh -c 'trap \"\" INT TERM HUP; : > {0}/$$; while :; do sleep 300; done' & done; wait) &\n\
         done\nwait\n",
        folder.display()
    );
    supervisor.run(&shell(&supervisor, "bomb", &source)).await;
    let pids = until("all children are there", async || {
        let names = std::fs::read_dir(&folder)
            .ok()?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        Some(names.collect::<BTreeSet<_>>()).filter(|pids| pids.len() == 24)
    })
    .await;
    supervisor.client().await.stop("bomb").await.unwrap();
    until("all children are gone", async || pids.iter().all(|pid| !alive(*pid)).then_some(())).await;
}

#[tokio::test]
async fn of_two_applications_that_claim_one_port_the_second_fails_and_is_told_why() {
    let supervisor = Supervisor::start().await;
    let port = free_port();
    let claim =
        |name: &str, exec_mode| AppSpec { port: Some(port), exec_mode, ..supervisor.app(name, "1", SERVER) };
    supervisor.run(&claim("first", ExecMode::Cluster)).await;
    for (name, mode) in [("second", ExecMode::Cluster), ("third", ExecMode::Fork)] {
        let (reason, last_stderr) = failure(&supervisor, &claim(name, mode)).await;
        let told = format!("{reason} {}", last_stderr.join(" "));
        assert!(told.contains("EADDRINUSE") || told.contains("in use"), "{told}");
        assert!(told.contains(&port.to_string()), "{told}");
        assert!(get(port).await.unwrap().starts_with("first-1.js"));
    }
}

#[tokio::test]
async fn a_saved_list_that_cannot_be_read_is_kept_aside_and_told() {
    let supervisor = Supervisor::start().await;
    let spec = supervisor.app("shop", "1", SERVER);
    supervisor.run(&spec).await;
    let dir = supervisor.terminate();
    let list = dir.path().join("state/applications.json");
    std::fs::write(&list, "{\"format\": 1, \"apps\": [").unwrap();
    let supervisor = Supervisor::start_in(dir).await;
    assert!(supervisor.client().await.list().await.unwrap().is_empty());
    assert!(supervisor.stderr().contains("cannot be read; starting without it"), "{}", supervisor.stderr());
    let names = std::fs::read_dir(supervisor.dir.path().join("state")).unwrap();
    let kept = names
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find(|name| name.starts_with("applications.json.unreadable-"));
    let kept = supervisor.dir.path().join("state").join(kept.unwrap());
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "{\"format\": 1, \"apps\": [");
    supervisor.run(&spec).await;
    assert!(list.exists(), "a new one was begun");
}

#[tokio::test]
async fn a_process_that_reports_without_end_costs_no_memory() {
    let supervisor = Supervisor::start().await;
    let source = "
        for (let i = 0; i < 300; i += 1) {
          process.send({ type: 'axm:monitor', data: { ['metric' + i]: { value: 'x'.repeat(i * 100) } } });
          process.send({ type: 'axm:action', data: { action_name: 'action' + i } });
          process.send({ type: 'axm:unknown', data: 'x'.repeat(1000) });
        }
        process.send('ready', () => {}); setInterval(() => {}, 1000);";
    let spec = AppSpec {
        exec_mode: ExecMode::Fork,
        readiness: Readiness::ReadyMessage,
        ..supervisor.app("chatty", "1", source)
    };
    supervisor.run(&spec).await;
    let instance = &supervisor.status("chatty").await.instances[0];
    assert!((1..=64).contains(&instance.metrics.len()) && (1..=64).contains(&instance.actions.len()));
    assert!(serde_json::to_string(&instance).unwrap().len() < 300_000);
}

#[tokio::test]
async fn a_process_with_ten_thousand_descriptors_is_found_ready_and_listed() {
    let supervisor = Supervisor::start().await;
    let port = free_port();
    let source = "
        const fs = require('fs'); let opened = 0;
        // It may have fewer; then it has them all.
        try { for (; opened < 10000; opened += 1) fs.openSync('/dev/null'); } catch (error) {
          if (error.code !== 'EMFILE') throw error;
          for (let fd = 20; fd < 60; fd += 1) try { fs.closeSync(fd); } catch {}
        }
        require('http').createServer((request, response) => response.end(`${opened}`)).listen(process.env.PORT);";
    let spec = AppSpec {
        port: Some(port),
        exec_mode: ExecMode::Fork,
        readiness: Readiness::Http { port: None, path: "/".into(), timeout_ms: 5_000 },
        ..supervisor.app("hoarder", "1", source)
    };
    supervisor.run(&spec).await;
    let opened: u32 = get(port).await.unwrap().parse().unwrap();
    assert!(opened > 100, "{opened}");
    assert_eq!(supervisor.status("hoarder").await.instances[0].pid.map(alive), Some(true));
    supervisor.client().await.stop("hoarder").await.unwrap();
}

#[tokio::test]
async fn a_process_that_does_not_read_its_messages_has_only_so_many_waiting() {
    let supervisor = Supervisor::start().await;
    let source = "process.send('ready', () => { for (;;); });";
    let spec = AppSpec {
        exec_mode: ExecMode::Fork,
        readiness: Readiness::ReadyMessage,
        kill_timeout_ms: 500,
        ..supervisor.app("deaf", "1", source)
    };
    supervisor.run(&spec).await;
    let message = serde_json::Value::from("x".repeat(200_000));
    let request = Request::Message { target: Target::all("deaf"), message };
    let mut client = supervisor.client().await;
    let mut refused = None;
    for _ in 0..1_000 {
        refused = client.carry_out(&request).await.err();
        if refused.is_some() {
            break;
        }
    }
    let refused = refused.unwrap().to_string();
    assert!(refused.contains("does not read its messages"), "{refused}");
    client.stop("deaf").await.unwrap();
}
