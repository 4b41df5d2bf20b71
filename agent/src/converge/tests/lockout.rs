//! What can lock somebody out is put to the test, and put back when the controller is not reached with it.

use super::*;
use crate::safe_apply::{Reach, Reversion, revert};

const NETWORK: &str = "/etc/netplan/01.yaml";

/// The controller is reached unless the network says "cut".
struct Way(Arc<FakeHost>);

impl Reach for Way {
    fn reach(&self) -> BoxFuture<'_, Result<(), String>> {
        let network = self.0.files().remove(Path::new(NETWORK)).unwrap_or_default();
        let cut = String::from_utf8(network).unwrap().contains("cut");
        Box::pin(async move { if cut { Err("no route to host".to_owned()) } else { Ok(()) } })
    }
}

async fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.host.tamper(NETWORK, "by the provider");
    for program in ["netplan", "systemctl"] {
        let output = muster_platform::CommandOutput { code: Some(0), ..Default::default() };
        bench.host.set_program(program, output);
    }
    bench.reach = Some(Arc::new(Way(bench.host.clone())));
    bench.start();
    bench.assign_and_run(&site("one")).await;
    bench.settled().await;
    bench
}

fn site(text: &str) -> Vec<Resource> {
    let network = file(NETWORK, text);
    let reader = service("reader", &[&network], &[]);
    vec![network, reader, file("/etc/motd", text)]
}

#[tokio::test]
async fn what_passes_stays_and_no_timer_is_left() {
    let mut bench = bench().await;
    let reports = bench.assign_and_run(&site("two")).await;
    assert!(reports.values().all(converged), "{reports:?}");
    assert_eq!(reports["file:/etc/netplan/01.yaml"].change, Some(ChangeCause::Intentional));
    assert_eq!(bench.host.timers(), []);
    bench.settled().await;
}

#[tokio::test]
async fn what_cuts_the_node_off_is_put_back_told_and_not_tried_again_by_itself() {
    let mut bench = bench().await;
    let reports = bench.assign_and_run(&site("cut")).await;
    let network = &reports["file:/etc/netplan/01.yaml"];
    assert_eq!((network.status, network.change), (ResourceStatus::Failed, None));
    assert!(network.detail.contains("could not reach the controller"), "{}", network.detail);
    assert!(network.diff.as_deref().unwrap().contains("+cut"));
    assert!(converged(&reports["file:/etc/motd"]), "what is not risky is done");
    assert_eq!(bench.content(NETWORK).as_deref(), Some("one"));
    assert_eq!(bench.host.timers(), []);
    let reverted = |bench: &Bench| {
        bench
            .events()
            .iter()
            .filter(|event| event.starts_with("resource.reverted: file:/etc/netplan"))
            .count()
    };
    assert_eq!(reverted(&bench), 1);
    bench.start();
    bench.settled().await;
    assert_eq!(reverted(&bench), 1, "told once, tried once");
    bench.run_asked(true).await;
    assert_eq!((reverted(&bench), bench.content(NETWORK).as_deref()), (2, Some("one")));
    let reports = bench.assign_and_run(&site("two")).await;
    assert!(reports.values().all(converged), "{reports:?}");
}

#[tokio::test]
async fn without_the_controller_what_is_risky_waits_and_what_drifted_is_put_right_once() {
    let mut bench = bench().await;
    bench.host.tamper(NETWORK, "cut by hand");
    let reports = bench.run().await;
    assert_eq!(reports["file:/etc/netplan/01.yaml"].change, Some(ChangeCause::Corrective));
    assert_eq!(bench.content(NETWORK).as_deref(), Some("one"));
    // Away for a reason of its own.
    struct Gone;
    impl Reach for Gone {
        fn reach(&self) -> BoxFuture<'_, Result<(), String>> {
            Box::pin(async { Err("connection refused".to_owned()) })
        }
    }
    bench.reach = Some(Arc::new(Gone));
    bench.start();
    let reports = bench.assign_and_run(&site("two")).await;
    let network = &reports["file:/etc/netplan/01.yaml"];
    assert_eq!(network.status, ResourceStatus::Waiting, "{network:?}");
    assert!(network.diff.as_deref().unwrap().contains("+two"));
    assert!(converged(&reports["file:/etc/motd"]));
}

#[tokio::test]
async fn killed_at_any_call_under_test_the_next_agent_proves_it_or_puts_it_back() {
    for text in ["two", "cut"] {
        let mut calls = 0;
        loop {
            let mut bench = bench().await;
            bench.assign(&site(text));
            bench.host.die_after_calls(Some(calls));
            let mut converger = bench.converger.take().unwrap();
            let died = tokio::spawn(async move { converger.converge(false).await }).await.is_err();
            bench.host.die_after_calls(None);
            bench.start();
            bench.converger.as_ref().unwrap().recover().await;
            bench.run().await;
            bench.settled().await;
            let expected = if text == "cut" { "one" } else { text };
            assert_eq!(bench.content(NETWORK).as_deref(), Some(expected), "{text}: killed at call {calls}");
            // What is put back is read again through systemctl, which the scripted service does not hear of.
            assert!(text == "cut" || bench.read_by("reader").contains(text), "killed at call {calls}");
            // One that was armed when the agent died may still ring, and finds nothing to put back.
            let state = StateDir::new(bench.dir.path().join("state"));
            for (_, command) in bench.host.timers() {
                let rung = revert(bench.host.as_ref(), &state, Some(&command[2]), "rang", 5).unwrap();
                assert!(matches!(rung, Reversion::Nothing), "{text}: killed at call {calls}: {rung:?}");
            }
            assert_eq!(bench.content(NETWORK).as_deref(), Some(expected));
            if !died {
                break;
            }
            calls += 1;
        }
        assert!(calls > 15, "only {calls} calls were made");
    }
}

#[tokio::test]
async fn what_becomes_possible_under_the_test_of_something_else_is_put_to_one_of_its_own() {
    let mut bench = bench().await;
    bench.host.tamper("/var/lib/unit-nftables", "missing");
    let mut resources = site("two");
    // In between: it stands behind what is risky, and what is risky stands behind it.
    let mut unit = file("/var/lib/unit-nftables", "there");
    unit.depends_on = vec![resources[0].key.clone()];
    let mut nftables = service("nftables", &[], &[]);
    nftables.depends_on = vec![unit.key.clone()];
    resources.extend([unit, nftables]);
    let reports = bench.assign_and_run(&resources).await;
    assert!(converged(&reports["file:/var/lib/unit-nftables"]), "{reports:?}");
    let waiting = &reports["service:nftables"];
    assert_eq!(waiting.status, ResourceStatus::Waiting, "{reports:?}");
    assert!(waiting.detail.contains("put to the test with the next run"), "{}", waiting.detail);
    assert_eq!(bench.content("/var/lib/read-nftables"), None);
    assert!(bench.run().await.values().all(converged));
    bench.settled().await;
}

#[tokio::test]
async fn what_cuts_the_node_off_by_going_away_comes_back() {
    /// The controller is reached as long as there is a network.
    struct Needed(Arc<FakeHost>);
    impl Reach for Needed {
        fn reach(&self) -> BoxFuture<'_, Result<(), String>> {
            let there = self.0.files().contains_key(Path::new(NETWORK));
            Box::pin(async move { if there { Ok(()) } else { Err("no network".to_owned()) } })
        }
    }
    let mut bench = bench().await;
    let removable = [removable(file(NETWORK, "one")), file("/etc/motd", "one")];
    bench.assign_and_run(&removable).await;
    let motd = &removable[1..];
    bench.reach = Some(Arc::new(Needed(bench.host.clone())));
    bench.start();
    let reports = bench.assign_and_run(motd).await;
    let network = &reports["file:/etc/netplan/01.yaml"];
    assert_eq!(network.status, ResourceStatus::Failed);
    assert!(network.detail.contains("could not reach the controller"), "{}", network.detail);
    assert_eq!(bench.content(NETWORK).as_deref(), Some("one"));
    assert_eq!(bench.host.timers(), []);
    bench.start();
    let writes = bench.host.writes();
    bench.run().await;
    assert_eq!(bench.host.writes(), writes, "it is not tried again by itself");
    // Another way to the controller was found, and a person asks.
    bench.reach = Some(Arc::new(Way(bench.host.clone())));
    bench.start();
    bench.run_asked(true).await;
    assert_eq!(bench.content(NETWORK), None);
    assert!(bench.ledger.released().is_empty());
}
