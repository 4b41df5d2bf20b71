//! Disruptive changes wait for the node's turn.

use super::*;
use crate::ledger::HeldTurn;
use muster_domain::turn::TurnKind;

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

/// Two sites of which each restarts a service of its own.
fn two_sites(first: &str, second: &str) -> Vec<Resource> {
    let (one, other) = (file("/etc/one.conf", first), file("/etc/other.conf", second));
    let (web, api) = (service("web", &[], &[&one]), service("api", &[], &[&other]));
    vec![one, web, other, api]
}

#[tokio::test]
async fn a_turn_for_what_drifted_is_none_for_what_is_new_and_what_is_new_holds_up_no_healing() {
    for drifted_first in [true, false] {
        let mut bench = Bench::new();
        bench.assign_and_run(&two_sites("1", "1")).await;
        *bench.turns.for_new.lock().unwrap() = Some(waits());
        let (drifted, new) = if drifted_first { ("one", "other") } else { ("other", "one") };
        bench.host.tamper(format!("/etc/{drifted}.conf"), "by hand");
        bench.turns.releases.lock().unwrap().clear();
        let wanted = if drifted_first { two_sites("1", "2") } else { two_sites("2", "1") };
        let reports = bench.assign_and_run(&wanted).await;
        let healed = &reports[&format!("file:/etc/{drifted}.conf")];
        assert_eq!(healed.change, Some(ChangeCause::Corrective), "{reports:?}");
        let waiting = &reports[&format!("file:/etc/{new}.conf")];
        assert_eq!(waiting.status, ResourceStatus::Waiting, "{reports:?}");
        assert_eq!(waiting.detail, "app-1 of web is changing");
        assert_eq!(bench.content(&format!("/etc/{new}.conf")).as_deref(), Some("1"));
        assert_eq!(bench.turns.releases(), [TurnOutcome::Done]);
        assert!(bench.ledger.held_turn().is_none());
    }
}

#[tokio::test]
async fn a_turn_for_something_else_mends_nothing() {
    let mut bench = Bench::new();
    let mut resources = site("one");
    resources.push(package("no-such-package"));
    bench.assign_and_run(&resources).await;
    assert!(matches!(bench.turns.releases()[..], [TurnOutcome::Failed { .. }]));
    bench.host.tamper("/etc/site.conf", "by hand");
    let reports = bench.run().await;
    assert_eq!(reports["file:/etc/site.conf"].change, Some(ChangeCause::Corrective));
    let releases = bench.turns.releases();
    let [_, TurnOutcome::Failed { detail }] = &releases[..] else { panic!("{releases:?}") };
    assert!(detail.starts_with("package:no-such-package"), "{detail}");
    // It is not wanted any more.
    bench.assign_and_run(&site("two")).await;
    assert_eq!(bench.turns.releases().last(), Some(&TurnOutcome::Done));
    assert!(bench.ledger.failed_in_turn().is_empty());
}

fn held(kind: TurnKind) -> HeldTurn {
    let (changed, well) = (BTreeSet::new(), BTreeSet::new());
    HeldTurn { generation: Generation::new(1), kind, changed, well, failed: None }
}

#[tokio::test]
async fn what_was_well_when_the_turn_was_taken_has_to_be_well_again_also_after_a_kill() {
    let mut bench = Bench::new();
    bench.assign_and_run(&site("one")).await;
    // The agent was killed in its turn, by which time the change had taken the unit away.
    let well = [key("service", "web")].into();
    let held = HeldTurn { changed: [key("package", "nginx")].into(), well, ..held(TurnKind::Change) };
    bench.ledger.hold_turn(Some(held)).unwrap();
    bench.host.tamper("/var/lib/unit-web", "missing");
    bench.start();
    bench.run().await;
    let releases = bench.turns.releases();
    let Some(TurnOutcome::Failed { detail }) = releases.last() else { panic!("{releases:?}") };
    assert_eq!(detail, "service:web: there is no unit");
    assert!(bench.ledger.held_turn().is_none());
}

#[tokio::test]
async fn how_a_turn_ended_is_told_when_the_controller_is_there_again() {
    let mut bench = Bench::new();
    bench.assign_and_run(&site("one")).await;
    let held = HeldTurn { failed: Some("is not back as it was".into()), ..held(TurnKind::Reboot) };
    bench.ledger.hold_turn(Some(held)).unwrap();
    bench.run().await;
    let releases = bench.turns.releases();
    let Some(TurnOutcome::Failed { detail }) = releases.last() else { panic!("{releases:?}") };
    assert_eq!(detail, "is not back as it was");
    assert!(bench.ledger.held_turn().is_none());
}

#[tokio::test]
async fn what_takes_for_ever_to_work_again_has_failed_and_is_not_looked_at_all_the_time() {
    use std::time::Instant;
    let mut bench = Bench::new();
    bench.assign_and_run(&site("one")).await;
    bench.assign(&site("two"));
    bench.host.tamper("/var/lib/unit-web", "starting");
    let mut pauses = Vec::new();
    for _ in 0..4 {
        pauses.push(bench.converger.as_mut().unwrap().converge(false).await);
    }
    assert!(pauses.is_sorted() && pauses[0] < pauses[3], "{pauses:?}");
    assert!(bench.ledger.held_turn().is_some());
    assert_eq!(bench.turns.releases().len(), 1);
    let since = Instant::now().checked_sub(Duration::from_secs(600)).unwrap();
    let asked = bench.turns.requests().len();
    let converger = bench.converger.as_mut().unwrap();
    converger.recovery = Some(super::super::turns::Recovery { since: Instant::now(), kept_at: since });
    bench.run().await;
    assert_eq!(bench.turns.requests().len(), asked + 1, "the turn is kept meanwhile");
    let converger = bench.converger.as_mut().unwrap();
    converger.recovery = Some(super::super::turns::Recovery { since, kept_at: since });
    bench.run().await;
    let releases = bench.turns.releases();
    let Some(TurnOutcome::Failed { detail }) = releases.last() else { panic!("{releases:?}") };
    assert_eq!(detail, "service:web: is starting for 10 min");
}

#[tokio::test]
async fn whoever_waits_and_wants_it_no_more_leaves_the_row() {
    let mut bench = Bench::new();
    bench.assign_and_run(&site("one")).await;
    bench.turns.answer(waits());
    bench.assign_and_run(&site("two")).await;
    bench.turns.releases.lock().unwrap().clear();
    bench.run().await;
    assert_eq!(bench.turns.releases(), [], "it still waits");
    bench.assign_and_run(&site("one")).await;
    assert_eq!(bench.turns.releases(), [TurnOutcome::Done]);
    bench.run().await;
    assert_eq!(bench.turns.releases().len(), 1);
}

#[tokio::test]
async fn a_reload_that_has_to_be_a_restart_takes_the_turn_before_the_file_is_written() {
    let mut bench = Bench::new();
    let resources = |text: &str| {
        let conf = file("/etc/site.conf", text);
        let web = service("web", &[&conf], &[]);
        vec![conf, web]
    };
    bench.assign_and_run(&resources("one")).await;
    let asked = bench.turns.requests().len();
    bench.assign_and_run(&resources("two")).await;
    assert_eq!(bench.turns.requests().len(), asked, "a reload takes nothing from anybody");
    bench.host.tamper("/var/lib/unit-web", "rigid");
    bench.turns.answer(waits());
    let reports = bench.assign_and_run(&resources("three")).await;
    assert_eq!(reports["file:/etc/site.conf"].status, ResourceStatus::Waiting);
    assert_eq!(bench.content("/etc/site.conf").as_deref(), Some("two"));
    bench.turns.answer(Ok(TurnAnswer::Granted { lease_ms: 600_000 }));
    assert!(bench.run().await.values().all(converged));
    assert!(bench.read_by("web").contains("three"));
    assert_eq!(bench.turns.releases().last(), Some(&TurnOutcome::Done));
}

#[tokio::test]
async fn what_dies_at_the_end_of_the_run_is_not_reported_as_in_place() {
    let mut bench = Bench::new();
    bench.assign_and_run(&site("one")).await;
    let reports = bench.assign_and_run(&site("DIES")).await;
    let releases = bench.turns.releases();
    let Some(TurnOutcome::Failed { detail }) = releases.last() else { panic!("{releases:?}") };
    assert_eq!(detail, "service:web: there is no unit");
    let web = &reports["service:web"];
    assert_eq!((web.status, web.detail.as_str()), (ResourceStatus::Failed, "there is no unit"));
    assert_eq!(web.change, Some(ChangeCause::Intentional), "what was done is told all the same");
}
