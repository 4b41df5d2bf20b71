//! The supervisor itself stops, dies and starts again.

use muster_supervisor_protocol::{
    AppSpec, ApplyOutcome, ClientError, DesiredRun, ErrorCode, ExecMode, InstanceState, Readiness,
};

use crate::harness::{SERVER, Supervisor, alive};

#[tokio::test]
async fn sigterm_stops_everything_and_the_next_apply_starts_it_again() {
    let supervisor = Supervisor::start().await;
    let spec = AppSpec { instances: 2, ..supervisor.app("shop", "1", SERVER) };
    supervisor.run(&spec).await;
    let pids: Vec<u32> = supervisor.status("shop").await.instances.iter().filter_map(|i| i.pid).collect();
    let dir = supervisor.terminate();
    assert!(pids.iter().all(|pid| !alive(*pid)));
    assert!(!dir.path().join("state/supervisor.sock").exists());

    let supervisor = Supervisor::start_in(dir).await;
    let status = supervisor.status("shop").await;
    assert!(status.awaiting_apply && status.release == "1", "{status:?}");
    let Err(ClientError::Refused { code, .. }) = supervisor.client().await.start("shop").await else {
        panic!()
    };
    assert_eq!(code, ErrorCode::AwaitingApply);
    let spec = AppSpec { cwd: supervisor.dir.path().to_str().unwrap().into(), ..spec };
    assert_eq!(supervisor.run(&spec).await, ApplyOutcome::Started);
    assert!(supervisor.status("shop").await.settled());
}

#[tokio::test]
async fn what_was_stopped_on_purpose_stays_stopped_across_a_restart() {
    let supervisor = Supervisor::start().await;
    let spec = supervisor.app("shop", "1", SERVER);
    supervisor.run(&spec).await;
    supervisor.client().await.stop("shop").await.unwrap();
    assert_eq!(supervisor.run(&spec).await, ApplyOutcome::Unchanged);
    let supervisor = Supervisor::start_in(supervisor.terminate()).await;
    assert_eq!(supervisor.run(&spec).await, ApplyOutcome::Unchanged);
    let status = supervisor.status("shop").await;
    assert_eq!((status.desired, status.instances[0].state), (DesiredRun::Stopped, InstanceState::Stopped));
    supervisor.client().await.start("shop").await.unwrap();
    supervisor.until("shop", "started", |status| status.settled()).await;
}

#[tokio::test]
async fn a_stop_in_the_middle_of_an_apply_ends_both() {
    let supervisor = Supervisor::start().await;
    supervisor.run(&supervisor.app("shop", "1", SERVER)).await;
    let silent = supervisor.app("shop", "2", "setInterval(() => {}, 1000)");
    let mut client = supervisor.client().await;
    let apply = tokio::spawn(async move { client.apply(&silent).await.unwrap() });
    supervisor.until("shop", "the replacement began", |status| status.instances.len() == 2).await;
    supervisor.client().await.stop("shop").await.unwrap();
    let outcome = apply.await.unwrap().outcome;
    assert!(
        matches!(&outcome, ApplyOutcome::Failed { reason, .. } if reason.contains("stopped meanwhile")),
        "{outcome:?}"
    );
    let status = supervisor.status("shop").await;
    assert!(status.instances.iter().all(|instance| instance.pid.is_none()), "{status:?}");
    assert_eq!(status.instances.len(), 1);
}

#[tokio::test]
async fn what_is_stopped_while_it_is_deleted_does_not_come_back() {
    let supervisor = Supervisor::start().await;
    let stubborn = "process.on('SIGINT', () => {}); process.send('ready'); setInterval(() => {}, 1000);";
    let spec = AppSpec {
        exec_mode: ExecMode::Fork,
        readiness: Readiness::ReadyMessage,
        kill_timeout_ms: 1_000,
        ..supervisor.app("shop", "1", stubborn)
    };
    supervisor.run(&spec).await;
    let mut client = supervisor.client().await;
    let deleted = tokio::spawn(async move { client.delete("shop").await });
    supervisor
        .until("shop", "it is on its way out", |status| {
            status.instances.iter().all(|instance| instance.state == InstanceState::Stopping)
        })
        .await;
    supervisor.client().await.stop("shop").await.unwrap();
    deleted.await.unwrap().unwrap();
    let supervisor = Supervisor::start_in(supervisor.terminate()).await;
    assert_eq!(supervisor.client().await.list().await.unwrap(), []);
}
