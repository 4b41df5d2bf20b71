//! Disruptive changes wait for the node's turn.

use super::*;

fn site(text: &str) -> Vec<Resource> {
    let conf = file("/etc/site.conf", text);
    let web = service("web", &[], &[&conf]);
    vec![conf, web, file("/etc/motd", text)]
}

fn waits() -> Result<TurnAnswer, String> {
    let reason = "app-1 of web is changing".to_owned();
    Ok(TurnAnswer::Waiting { reason, holders: vec!["app-1".into()], retry_after_ms: 700 })
}

#[tokio::test]
async fn a_turn_is_asked_for_once_held_over_a_kill_and_given_back_when_all_is_well() {
    let mut bench = Bench::new();
    bench.assign_and_run(&site("one")).await;
    assert_eq!(bench.turns.requests().len(), 1);
    assert_eq!(bench.turns.releases(), [TurnOutcome::Done]);
    bench.settled().await;
    assert_eq!(bench.turns.requests().len(), 1, "nothing disruptive, nothing asked");
    bench.assign(&site("two"));
    // Killed in the middle of the change.
    bench.host.die_after_calls(Some(18));
    let mut converger = bench.converger.take().unwrap();
    tokio::spawn(async move { converger.converge(false).await }).await.unwrap_err();
    bench.host.die_after_calls(None);
    assert_eq!(bench.turns.releases().len(), 1);
    bench.start();
    assert!(bench.ledger.held_turn().is_some());
    bench.settled().await;
    assert_eq!(bench.turns.releases(), [TurnOutcome::Done, TurnOutcome::Done]);
    assert!(bench.ledger.held_turn().is_none() && bench.read_by("web").contains("two"));
}

#[tokio::test]
async fn what_is_disruptive_waits_with_the_reason_and_nothing_else_does() {
    let mut bench = Bench::new();
    bench.assign_and_run(&site("one")).await;
    bench.turns.answer(waits());
    bench.assign(&site("two"));
    let pause = bench.converger.as_mut().unwrap().converge(false).await;
    assert!(pause <= Duration::from_millis(700));
    let reports = bench.run().await;
    let conf = &reports["file:/etc/site.conf"];
    assert_eq!((conf.status, conf.detail.as_str()), (ResourceStatus::Waiting, "app-1 of web is changing"));
    assert!(conf.diff.as_deref().unwrap().contains("+two"), "what waits is shown");
    assert!(converged(&reports["file:/etc/motd"]) && converged(&reports["service:web"]));
    assert_eq!(bench.content("/etc/site.conf").as_deref(), Some("one"), "not before the restart may follow");
    bench.turns.answer(Ok(TurnAnswer::Granted { lease_ms: 1000 }));
    assert!(bench.run().await.values().all(converged));
    bench.settled().await;
}

#[tokio::test]
async fn without_a_controller_drift_is_put_right_and_what_is_new_waits() {
    let mut bench = Bench::new();
    bench.assign_and_run(&site("one")).await;
    bench.turns.answer(Err("there is no connection to it".into()));
    bench.host.tamper("/etc/site.conf", "by hand");
    let reports = bench.run().await;
    assert_eq!(reports["file:/etc/site.conf"].change, Some(ChangeCause::Corrective));
    bench.settled().await;
    let reports = bench.assign_and_run(&site("two")).await;
    let conf = &reports["file:/etc/site.conf"];
    assert_eq!(conf.status, ResourceStatus::Waiting);
    assert!(conf.detail.starts_with("waits for the controller"), "{}", conf.detail);
    assert!(bench.ledger.held_turn().is_none());
}

#[tokio::test]
async fn a_turn_that_went_wrong_is_given_back_as_failed() {
    let mut bench = Bench::new();
    bench.assign_and_run(&site("one")).await;
    bench.assign_and_run(&site(BROKEN)).await;
    let releases = bench.turns.releases();
    let Some(TurnOutcome::Failed { detail }) = releases.last() else { panic!("{releases:?}") };
    assert!(detail.starts_with("file:/etc/site.conf: service:web refused it"), "{detail}");
    bench.settled().await;
    assert!(bench.ledger.held_turn().is_none());
}

#[tokio::test]
async fn a_turn_that_cannot_be_given_back_is_given_back_later() {
    let mut bench = Bench::new();
    bench.assign(&site("one"));
    bench.host.die_after_calls(Some(12));
    let mut converger = bench.converger.take().unwrap();
    tokio::spawn(async move { converger.converge(false).await }).await.unwrap_err();
    bench.host.die_after_calls(None);
    bench.turns.answer(Err("gone".into()));
    bench.start();
    let reports = bench.settled().await;
    assert!(reports.values().all(converged), "what it began under its turn it ends: {reports:?}");
    assert!(bench.ledger.held_turn().is_some() && bench.turns.releases().is_empty());
    bench.turns.answer(Ok(TurnAnswer::Granted { lease_ms: 1000 }));
    bench.run().await;
    assert_eq!(bench.turns.releases(), [TurnOutcome::Done]);
}
