//! A new release takes over, or does not.

use muster_supervisor_protocol::{AppSpec, ApplyOutcome, ExecMode, Pm2Origin, Readiness};

use crate::harness::{SERVER, Supervisor, alive};
use crate::load::Load;

#[tokio::test]
async fn releases_replace_each_other_under_load_without_a_failed_request() {
    let supervisor = Supervisor::start().await;
    let spec = |release: &str| AppSpec { instances: 2, ..supervisor.app("shop", release, SERVER) };
    supervisor.run(&spec("1")).await;
    let load = Load::start(supervisor.port("shop").await, 16);
    for release in ["2", "3", "4"] {
        let answered = load.answered();
        crate::harness::until("load on the present release", async || {
            (load.answered() > answered + 200).then_some(())
        })
        .await;
        assert_eq!(supervisor.run(&spec(release)).await, ApplyOutcome::Replaced);
    }
    assert_eq!(supervisor.client().await.reload("shop").await.unwrap().outcome, ApplyOutcome::Replaced);
    let answered = load.answered();
    crate::harness::until("load on the last release", async || {
        (load.answered() > answered + 200).then_some(())
    })
    .await;
    let seen = load.stop().await;
    assert_eq!(seen.failures, Vec::<String>::new(), "of {} requests", seen.answered);
    for release in 1..=4 {
        assert!(
            seen.bodies.iter().any(|body| body.starts_with(&format!("shop-{release}.js"))),
            "{:?}",
            seen.bodies
        );
    }
    let status = supervisor.status("shop").await;
    assert_eq!((status.release.as_str(), status.instances.len()), ("4", 2));
}

#[tokio::test]
async fn a_release_that_never_gets_ready_leaves_the_old_one_serving() {
    let supervisor = Supervisor::start().await;
    let good = AppSpec { instances: 2, ..supervisor.app("shop", "1", SERVER) };
    supervisor.run(&good).await;
    let pids: Vec<_> =
        supervisor.status("shop").await.instances.iter().map(|instance| instance.pid).collect();
    let load = Load::start(supervisor.port("shop").await, 8);
    let silent = AppSpec {
        instances: 2,
        listen_timeout_ms: 2_000,
        ..supervisor.app("shop", "2", "console.error('thinking'); setInterval(() => {}, 1000);")
    };
    let applied = supervisor.apply(&silent).await;
    let ApplyOutcome::Failed { reason, last_stderr, previous_kept } = applied.outcome else {
        panic!("{applied:?}")
    };
    assert!(previous_kept);
    assert!(reason.contains("was not ready within 2000 ms"), "{reason}");
    assert_eq!(last_stderr, ["thinking"]);
    let seen = load.stop().await;
    assert_eq!(seen.failures, Vec::<String>::new());
    let status = supervisor.status("shop").await;
    assert_eq!(
        status.instances.iter().map(|instance| instance.pid).collect::<Vec<_>>(),
        pids,
        "nobody was touched"
    );
    assert_eq!((status.spec_digest.as_str(), status.release.as_str()), ("1", "1"));
    assert!(status.last_failure.unwrap().contains("2000 ms"));
    assert_eq!(supervisor.run(&good).await, ApplyOutcome::Unchanged);
    assert_eq!(supervisor.status("shop").await.last_failure, None);
}

#[tokio::test]
async fn a_release_whose_second_instance_fails_is_taken_back_completely() {
    let supervisor = Supervisor::start().await;
    supervisor.run(&AppSpec { instances: 2, ..supervisor.app("shop", "1", SERVER) }).await;
    let load = Load::start(supervisor.port("shop").await, 8);
    let half =
        format!("if (process.env.NODE_APP_INSTANCE === '1') throw new Error('no second one');\n{SERVER}");
    let applied = supervisor.apply(&AppSpec { instances: 2, ..supervisor.app("shop", "2", &half) }).await;
    let ApplyOutcome::Failed { reason, last_stderr, previous_kept } = applied.outcome else {
        panic!("{applied:?}")
    };
    assert!(previous_kept && reason.contains("instance 1"), "{reason}");
    assert!(last_stderr.iter().any(|line| line.contains("no second one")), "{last_stderr:?}");
    let seen = load.stop().await;
    assert_eq!(seen.failures, Vec::<String>::new());
    let status = supervisor.status("shop").await;
    assert!(
        status.settled() && status.instances.iter().all(|instance| instance.release == "1"),
        "{status:?}"
    );
}

#[tokio::test]
async fn an_application_that_ends_at_once_fails_with_what_it_said() {
    let supervisor = Supervisor::start().await;
    let spec = supervisor.app("shop", "1", "console.error('no database'); process.exit(7);");
    let applied = supervisor.apply(&spec).await;
    let ApplyOutcome::Failed { reason, last_stderr, previous_kept } = applied.outcome else {
        panic!("{applied:?}")
    };
    assert!(reason.contains("exited with code 7"), "{reason}");
    assert_eq!(last_stderr, ["no database"]);
    assert!(!previous_kept);
}

#[tokio::test]
async fn what_cannot_even_be_executed_is_named() {
    let supervisor = Supervisor::start().await;
    let mut spec = supervisor.app("shop", "1", SERVER);
    spec.interpreter = Some("/opt/no/such/node".into());
    let applied = supervisor.apply(&spec).await;
    let ApplyOutcome::Failed { reason, .. } = applied.outcome else { panic!("{applied:?}") };
    assert!(reason.contains("/opt/no/such/node"), "{reason}");
}

#[tokio::test]
async fn a_change_of_count_alone_keeps_the_running_instances() {
    let supervisor = Supervisor::start().await;
    let spec = AppSpec { instances: 2, ..supervisor.app("shop", "1", SERVER) };
    supervisor.run(&spec).await;
    let before = supervisor.status("shop").await.instances;
    supervisor.run(&AppSpec { instances: 3, spec_digest: "1x3".into(), ..spec.clone() }).await;
    let more = supervisor.status("shop").await.instances;
    assert_eq!(more.len(), 3);
    assert_eq!(
        more[..2].iter().map(|i| i.pid).collect::<Vec<_>>(),
        before.iter().map(|i| i.pid).collect::<Vec<_>>()
    );
    supervisor.run(&AppSpec { instances: 1, spec_digest: "1x1".into(), ..spec }).await;
    let less = supervisor.status("shop").await.instances;
    assert_eq!(less.iter().map(|i| i.pid).collect::<Vec<_>>(), [before[0].pid]);
    assert!(!alive(more[2].pid.unwrap()));
}

#[tokio::test]
async fn a_broken_spec_over_one_that_was_never_ready_is_answered_too() {
    let supervisor = Supervisor::start().await;
    // Applications of the pm2 command stay although their first start failed.
    let origin = Pm2Origin { home: "/nowhere/.pm2".into(), record: serde_json::Value::Null };
    let silent = AppSpec {
        exec_mode: ExecMode::Fork,
        readiness: Readiness::ReadyMessage,
        listen_timeout_ms: 300,
        pm2: Some(origin),
        ..supervisor.app("job", "1", "setInterval(() => {}, 1000);")
    };
    for digest in ["1", "2"] {
        let spec = AppSpec { spec_digest: digest.into(), release: digest.into(), ..silent.clone() };
        let applied = supervisor.apply(&spec).await;
        assert!(matches!(applied.outcome, ApplyOutcome::Failed { .. }), "{applied:?}");
    }
}
