//! Assignments: how they come, which are refused, what becomes of them.

use super::*;

#[tokio::test]
async fn an_assignment_is_pulled_by_hint_and_by_poll_and_reported() {
    let (controller, _serving, mut node) = joined().await;
    controller.assign_silently(1, &motd("by poll"));
    node.start();
    node.has_content("/etc/motd", "by poll").await;
    let report = node.reported("file:/etc/motd", converged).await;
    assert_eq!(report.change(), v1::ChangeCause::Intentional);
    assert_eq!(report.detail, "is missing");
    controller.assign(2, &motd("by hint"));
    node.has_content("/etc/motd", "by hint").await;
    let beat = eventually("a heartbeat with the new generation", || {
        controller.state().heartbeats.iter().find(|beat| beat.generation == 2).cloned()
    });
    assert!(beat.await.metrics.unwrap().memory_total_bytes > 0);
    assert!(controller.state().heartbeats[0].facts.is_some());
    node.stop().await;
}

#[tokio::test]
async fn assignments_that_must_not_be_taken_are_refused_and_reported() {
    let (controller, _serving, mut node) = joined().await;
    controller.assign_silently(5, &motd("five"));
    node.start();
    node.has_content("/etc/motd", "five").await;

    controller.assign(4, &motd("older"));
    assert_eq!(node.refusal().await.reason, "generation 4 is older than 5, which this node already has");
    controller.assign(5, &motd("other"));
    eventually("the second refusal", || {
        let state = controller.state();
        let reasons: Vec<String> = state
            .reports
            .values()
            .filter_map(|report| match report.report.as_ref()? {
                Report::Refusal(refusal) => Some(refusal.reason.clone()),
                _ => None,
            })
            .collect();
        reasons.iter().any(|reason| reason.starts_with("generation 5 already has revision")).then_some(())
    })
    .await;
    let mut forged = controller.sign(6, &motd("forged"));
    forged.signature[7] ^= 1;
    controller.state().assignment = Some(forged);
    controller.hint(Hint::AssignmentChanged(v1::AssignmentChanged {}));
    eventually("the third refusal", || {
        let state = controller.state();
        let last = state.reports.values().rev().find_map(|report| match report.report.as_ref()? {
            Report::Refusal(refusal) => Some(refusal.clone()),
            _ => None,
        })?;
        (last.generation == 6 && last.reason.contains("signature")).then_some(())
    })
    .await;
    assert_eq!(node.content("/etc/motd").unwrap(), "five");
    controller.assign(6, &motd("six"));
    node.has_content("/etc/motd", "six").await;
    node.stop().await;
}

#[tokio::test]
async fn drift_is_put_back_reported_as_corrective_and_a_converged_node_is_left_alone() {
    let (controller, _serving, mut node) = joined().await;
    controller.assign_silently(1, &motd("as it should be"));
    node.start();
    node.reported("file:/etc/motd", converged).await;
    node.host.tamper("/etc/motd", "changed by hand");
    node.has_content("/etc/motd", "as it should be").await;
    let report = node.reported("file:/etc/motd", |r| r.change() == v1::ChangeCause::Corrective).await;
    assert_eq!(report.detail, "content differs");
    node.host.tamper_delete("/etc/motd");
    node.has_content("/etc/motd", "as it should be").await;

    let (writes, polls) = (node.host.writes(), controller.state().polls);
    eventually("some more polls", || (controller.state().polls > polls + 5).then_some(())).await;
    assert_eq!(node.host.writes(), writes);
    node.stop().await;
}

#[tokio::test]
async fn without_the_controller_the_node_is_kept_and_reports_are_delivered_later() {
    let (controller, serving, mut node) = joined().await;
    controller.assign_silently(1, &motd("kept"));
    node.start();
    node.reported("file:/etc/motd", converged).await;
    node.stop().await;
    let address = serving.address.to_string();
    drop(serving);

    // Started without a controller: what it was last told is in its ledger.
    node.host.tamper("/etc/motd", "changed by hand");
    node.start();
    node.has_content("/etc/motd", "kept").await;
    let known = controller.state().reports.len();
    let serving = controller.serve_as("muster-controller", &address).await;
    let report = node.reported("file:/etc/motd", |r| r.change() == v1::ChangeCause::Corrective).await;
    assert!(converged(&report) && controller.state().reports.len() > known);
    node.stop().await;
    drop(serving);
}

#[tokio::test]
async fn a_failing_resource_is_told_with_its_reason_and_recovers() {
    let (controller, _serving, mut node) = joined().await;
    node.host.set_faults(|faults| faults.read_only = true);
    let mut dependant = file("/etc/after", "x");
    dependant.depends_on = vec![ResourceKey::new("file", "/etc/motd")];
    let resources = vec![file("/etc/motd", "x"), dependant];
    controller.assign_silently(1, &AssignmentContent { resources });
    node.start();
    let report = node.reported("file:/etc/motd", failed).await;
    assert_eq!(report.detail, "cannot write \"/etc/motd\": the file system is read-only");
    node.reported("file:/etc/after", |r| r.status() == v1::ResourceStatus::Skipped).await;
    node.host.set_faults(|faults| faults.read_only = false);
    node.reported("file:/etc/after", converged).await;
    node.stop().await;
}

#[tokio::test]
async fn logs_are_sent_when_somebody_asks() {
    let (controller, _serving, mut node) = joined().await;
    let first = upload(&node, 1);
    controller.assign_silently(1, &web(1, first));
    node.start();
    node.reported("application:web", converged).await;
    for instance in [0, 1, 0] {
        node.runner.write_line(fake::line("web", instance, &format!("from {instance}")));
    }
    let ask = |application: &str, id: u8| {
        controller.hint(Hint::LogRequest(v1::LogRequest {
            request_id: vec![id; 16],
            application: application.into(),
            instance: Some(0),
            lines: 10,
            follow: false,
        }));
    };
    ask("web", 1);
    ask("nothing", 2);
    let batch = |id: u8| {
        let controller = controller.clone();
        async move {
            eventually("a batch", || {
                // The first batch says that there is an answer, and holds nothing.
                let said = |batch: &&v1::LogBatch| !batch.lines.is_empty() || !batch.error.is_empty();
                let state = controller.state();
                let mut of = state.logs.iter().filter(|batch| batch.request_id == vec![id; 16]);
                of.find(said).cloned()
            })
            .await
        }
    };
    let lines: Vec<String> = batch(1).await.lines.into_iter().map(|line| line.line).collect();
    assert_eq!(lines, ["from 0", "from 0"]);
    assert!(batch(2).await.error.contains("is not on this node"));
    node.stop().await;
}
