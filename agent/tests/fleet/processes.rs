//! What happens to processes reaches the controller: as one line, with the last words, without secrets.

use super::*;
use muster_agent::runner::{Renewal, RunnerError};
use muster_supervisor_protocol::{LastExit, ProcessEvent, ProcessEventKind};

fn exited(instance: u32, last_stderr: Vec<String>) -> ProcessEvent {
    let at = chrono::DateTime::from_timestamp_millis(1_700_000_000_123).unwrap();
    ProcessEvent {
        at,
        app: "web".into(),
        instance: Some(instance),
        release: "v1".into(),
        kind: ProcessEventKind::Exited,
        reason: "exited with code 1 after 50 ms".into(),
        exit: Some(LastExit {
            code: Some(1),
            signal: None,
            reason: "exited with code 1 after 50 ms".into(),
            at,
            out_of_memory: false,
            uptime_ms: 50,
            last_stderr,
        }),
    }
}

async fn event(controller: &Controller, kind: &str) -> v1::NodeEvent {
    eventually(&format!("an event {kind}"), || {
        let state = controller.state();
        state.reports.values().rev().find_map(|report| match report.report.as_ref()? {
            Report::Event(event) if event.kind == kind => Some(event.clone()),
            _ => None,
        })
    })
    .await
}

/// Tells the agent until it has reported: it may not listen yet.
async fn emitted(node: &Node, kind: &str, happened: &ProcessEvent) -> v1::NodeEvent {
    eventually(&format!("an event {kind}"), || {
        node.runner.emit(happened);
        let state = node.controller.state();
        state.reports.values().find_map(|report| match report.report.as_ref()? {
            Report::Event(event) if event.kind == kind => Some(event.clone()),
            _ => None,
        })
    })
    .await
}

#[tokio::test]
async fn a_crash_is_reported_with_its_cause_and_its_last_words_but_no_secret() {
    let (controller, _serving, mut node) = joined().await;
    controller.assign_silently(1, &web(1, upload(&node, 1)));
    node.start();
    node.reported("application:web", converged).await;
    node.runner.tamper("web", |app| {
        app.instances[1].restarts = 7;
        app.instances[1].dropped_log_lines = 3;
        app.last_failure = Some("it said hunter2".into());
    });
    let stderr = [
        "connecting with hunter2",
        "/app/server.js:3",
        "Error: cannot say 'open sesame' to db-1",
        "    at server.js:3:9",
        "{\"key\":\"open sesame\"}",
        "Node.js v22.11.0",
        "the end of a line that was cut: open ses",
    ];
    let happened = exited(1, stderr.map(str::to_owned).to_vec());
    let told = emitted(&node, "process.exited", &happened).await;
    let cause = "exited with code 1 after 50 ms: Error: cannot say '[redacted]' to db-1";
    assert_eq!(told.message, format!("web #1: {cause}"));
    assert_eq!((told.application.as_str(), told.severity.as_str()), ("web", "warning"));
    let process = told.process.unwrap();
    assert_eq!(process.reason, cause);
    assert_eq!(
        (process.instance, process.restarts, process.release_version.as_str()),
        (Some(1), Some(7), "v1")
    );
    let exit = process.exit.unwrap();
    assert_eq!((exit.code, exit.uptime_ms), (Some(1), 50));
    assert_eq!(exit.last_stderr[0], "connecting with [redacted]");
    assert_eq!(exit.last_stderr[4], "{\"key\":\"[redacted]\"}");
    assert_eq!(exit.last_stderr[6], "the end of a line that was cut: [redacted]");
    let beat = eventually("a beat that says what else there is", || {
        let state = controller.state();
        let process =
            state.heartbeats.last()?.processes.iter().find(|process| process.instance == 1)?.clone();
        (!process.last_failure.is_empty()).then_some(process)
    })
    .await;
    assert_eq!((beat.dropped_log_lines, beat.last_failure.as_str()), (3, "it said [redacted]"));
    let sent = {
        let state = controller.state();
        format!("{:?} {:?}", state.reports, state.heartbeats)
    };
    assert!(!sent.contains("hunter2") && !sent.contains("sesame"), "{sent}");
    node.stop().await;
}

#[tokio::test]
async fn a_failed_release_is_quoted_without_secrets() {
    let (controller, _serving, mut node) = joined().await;
    node.runner.break_release("v1", "hunter2 is no key, nor is open sesame");
    controller.assign_silently(1, &web(1, upload(&node, 1)));
    node.start();
    let report = node.reported("application:web", failed).await;
    let expected = "stderr: Error: [redacted] is no key, nor is [redacted]";
    assert!(report.detail.contains(expected), "{}", report.detail);
    let sent = format!("{:?}", controller.state().reports);
    assert!(!sent.contains("hunter2") && !sent.contains("sesame"), "{sent}");
    node.stop().await;
}

#[tokio::test]
async fn a_process_that_outlives_the_secret_it_was_started_with_does_not_tell_it() {
    let (controller, _serving, mut node) = joined().await;
    let digest = upload(&node, 1);
    controller.assign_silently(1, &web(1, digest));
    node.start();
    node.reported("application:web", converged).await;
    node.stop().await;
    let mut next = web(1, digest);
    let DesiredState::Application(application) = &mut next.resources[0].desired else { unreachable!() };
    application.env.insert("GREETING".into(), "shazam".into());
    // While the agent is away the value changes, and the new one cannot be brought up.
    node.runner.break_release("v1", "no room");
    controller.assign_silently(2, &next);
    node.start();
    node.reported("application:web", failed).await;
    let happened = exited(0, vec!["open sesame was answered by shazam".into()]);
    let told = emitted(&node, "process.exited", &happened).await;
    assert_eq!(told.process.unwrap().exit.unwrap().last_stderr, ["[redacted] was answered by [redacted]"]);
    node.stop().await;
}

#[tokio::test]
async fn restarts_for_memory_for_a_schedule_and_for_a_changed_file_have_words_of_their_own() {
    let (_controller, _serving, mut node) = joined().await;
    node.start();
    for (kind, word, severity) in [
        (ProcessEventKind::MemoryRestart, "process.memory_restart", "warning"),
        (ProcessEventKind::CronRestart, "process.cron_restart", "info"),
        (ProcessEventKind::WatchRestart, "process.watch_restart", "info"),
    ] {
        let reason = "it was time".to_owned();
        let told =
            emitted(&node, word, &ProcessEvent { kind, reason, exit: None, ..exited(2, vec![]) }).await;
        assert_eq!((told.message.as_str(), told.severity.as_str()), ("web #2: it was time", severity));
        assert_eq!(told.process.unwrap().exit, None);
    }
    node.stop().await;
}

#[tokio::test]
async fn a_supervisor_that_is_replaced_in_place_is_not_called_lost() {
    let (controller, _serving, mut node) = joined().await;
    node.start();
    emitted(&node, "process.exited", &exited(0, vec![])).await;
    node.runner.upgrade();
    let told = event(&controller, "supervisor.upgraded").await;
    assert_eq!(told.message, "the supervisor was upgraded in place from 0.0 to 0.1");
    node.stop().await;
    let sent = format!("{:?}", controller.state().reports);
    assert!(!sent.contains("supervisor.lost"), "{sent}");
}

#[tokio::test]
async fn a_supervisor_that_cannot_be_upgraded_is_told_once_and_tried_at_the_next_start() {
    let (controller, _serving, mut node) = joined().await;
    node.runner.set_renewal(Err(RunnerError::Refused("it is no supervisor".into())));
    controller.assign_silently(1, &web(1, upload(&node, 1)));
    node.start();
    let told = event(&controller, "supervisor.upgrade_refused").await;
    assert!(
        told.message.contains("goes on as it is (the supervisor refused: it is no supervisor)"),
        "{told:?}"
    );
    node.reported("application:web", converged).await;
    node.stop().await;

    node.runner.set_renewal(Ok(Renewal::Renewed { from: "0.1.0".into(), to: "0.1.0".into() }));
    node.start();
    let told = event(&controller, "supervisor.upgraded").await;
    assert!(told.message.contains("another build of version 0.1.0"), "{told:?}");
    node.stop().await;
    let state = controller.state();
    let refused = state.reports.values().filter(|report| {
        matches!(&report.report, Some(Report::Event(event)) if event.kind == "supervisor.upgrade_refused")
    });
    assert_eq!(refused.count(), 1);
}

#[tokio::test]
async fn what_ended_while_the_agent_was_away_is_told_once() {
    let (controller, _serving, mut node) = joined().await;
    controller.assign_silently(1, &web(1, upload(&node, 1)));
    node.start();
    node.reported("application:web", converged).await;
    // Its beginning is kept when it begins to watch.
    emitted(
        &node,
        "process.cron_restart",
        &ProcessEvent { kind: ProcessEventKind::CronRestart, exit: None, ..exited(1, vec![]) },
    )
    .await;
    node.stop().await;
    let at = chrono::Utc::now();
    let ended = LastExit { at, ..exited(0, vec!["Error: out of luck".into()]).exit.unwrap() };
    let long_ago = LastExit { at: at - chrono::TimeDelta::days(1), ..ended.clone() };
    node.runner.tamper("web", |app| {
        app.instances[0].last_exit = Some(ended);
        app.instances[1].last_exit = Some(long_ago);
    });
    // What is told afterwards shows that it looked at what was before.
    for (kind, word) in [
        (ProcessEventKind::WatchRestart, "process.watch_restart"),
        (ProcessEventKind::MemoryRestart, "process.memory_restart"),
    ] {
        node.start();
        let told = event(&controller, "process.exited").await;
        assert_eq!(told.message, "web #0: exited with code 1 after 50 ms: Error: out of luck");
        assert_eq!(told.at_ms, at.timestamp_millis());
        emitted(&node, word, &ProcessEvent { kind, exit: None, ..exited(1, vec![]) }).await;
        node.stop().await;
    }
    let state = controller.state();
    let told = state.reports.values().filter(
        |report| matches!(&report.report, Some(Report::Event(event)) if event.kind == "process.exited"),
    );
    assert_eq!(told.count(), 1);
}
