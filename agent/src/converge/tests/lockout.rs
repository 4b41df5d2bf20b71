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
