//! What a person sees of convergence: modes, plans, turns, what is no longer declared.

use super::*;
use muster_domain::resource::{Mode, OnRemoval};
use muster_proto::v1::send_plan_request::Answer;

fn plan(controller: &Controller, id: u8) -> Option<Answer> {
    let state = controller.state();
    let plan = state.plans.iter().find(|plan| plan.request_id == vec![id; 16])?;
    plan.answer.clone()
}

#[tokio::test]
async fn a_plan_of_a_candidate_shows_the_difference_and_a_forged_one_is_refused() {
    let (controller, _serving, mut node) = joined().await;
    controller.assign_silently(1, &motd("one\n"));
    node.start();
    node.reported("file:/etc/motd", converged).await;
    eventually("a watch", || (controller.state().polls > 0).then_some(())).await;

    controller.ask_for_plan(1, Some(&motd("two\n")));
    let answer = eventually("a plan", || plan(&controller, 1)).await;
    let Answer::Plan(planned) = answer else { panic!("{answer:?}") };
    assert_eq!((planned.generation, planned.resources.len()), (1, 1));
    let resource = &planned.resources[0];
    assert_eq!((resource.key.as_str(), resource.change()), ("file:/etc/motd", v1::PlannedChange::Change));
    assert!(resource.diff.contains("-one\n+two\n"), "{}", resource.diff);
    assert_eq!(node.content("/etc/motd").as_deref(), Some("one\n"));

    controller.ask_for_plan(2, None);
    let answer = eventually("the plan of what is in force", || plan(&controller, 2)).await;
    let Answer::Plan(planned) = answer else { panic!("{answer:?}") };
    assert_eq!(planned.resources[0].change(), v1::PlannedChange::None);

    // Signed for another request.
    let stolen = controller.state().candidates[&vec![1; 16]].clone();
    controller.state().candidates.insert(vec![3; 16], stolen);
    controller.hint(Hint::PlanRequest(v1::PlanRequest { request_id: vec![3; 16] }));
    let answer = eventually("a refusal", || plan(&controller, 3)).await;
    let Answer::Error(reason) = answer else { panic!("{answer:?}") };
    assert!(reason.contains("signature"), "{reason}");
    node.stop().await;
}

#[tokio::test]
async fn what_is_only_reported_is_told_with_its_difference_and_left() {
    let (controller, _serving, mut node) = joined().await;
    node.host.tamper("/etc/motd", "of somebody\n");
    let mut content = motd("of the fleet\n");
    content.resources[0].mode = Mode::Report;
    controller.assign_silently(1, &content);
    node.start();
    let report = node.reported("file:/etc/motd", |r| r.status() == v1::ResourceStatus::Drifted).await;
    assert_eq!((report.mode.as_str(), report.detail.as_str()), ("report", "content differs"));
    assert!(report.diff.contains("-of somebody\n+of the fleet\n"), "{}", report.diff);
    assert_eq!(node.content("/etc/motd").as_deref(), Some("of somebody\n"));
    // It drifts on, in another way.
    node.host.tamper("/etc/motd", "of somebody else\n");
    node.reported("file:/etc/motd", |r| r.diff.contains("-of somebody else\n")).await;
    node.stop().await;
}

#[tokio::test]
async fn what_needs_a_turn_waits_for_it_and_says_for_whom() {
    let (controller, _serving, mut node) = joined().await;
    let artifact = upload(&node, 1);
    controller.assign_silently(1, &web(1, artifact));
    node.start();
    node.reported("application:web", converged).await;
    assert!(controller.state().turns.is_empty(), "nobody was served before");

    let mut content = web(1, artifact);
    if let DesiredState::Application(application) = &mut content.resources[0].desired {
        application.instances = 3;
    }
    content.resources.push(file("/etc/motd", "x"));
    controller.state().turn_taken_by = Some("app-2".into());
    controller.assign(2, &content);
    let report = node.reported("application:web", |r| r.status() == v1::ResourceStatus::Waiting).await;
    assert_eq!(report.detail, "app-2 is changing");
    node.reported("file:/etc/motd", converged).await;
    assert_eq!(controller.state().turns[0].reason, "application:web: its configuration changed");
    let applied = node.runner.applied().len();

    controller.state().turn_taken_by = None;
    controller.hint(Hint::TurnChanged(v1::TurnChanged {}));
    eventually("the application is replaced", || (node.runner.applied().len() > applied).then_some(())).await;
    let released =
        eventually("the turn is given back", || controller.state().released_turns.first().cloned());
    assert_eq!(released.await.outcome(), v1::TurnOutcome::Done);
    let first = upload(&node, 2);
    // Another release comes from a rollout, which has chosen this node already.
    let turns = controller.state().turns.len();
    let mut next = web(2, first);
    if let DesiredState::Application(application) = &mut next.resources[0].desired {
        application.instances = 3;
    }
    controller.assign(3, &next);
    eventually("the next release runs", || (node.runner.running("web")? == "v2").then_some(())).await;
    assert_eq!(controller.state().turns.len(), turns);
    node.stop().await;
}

#[tokio::test]
async fn what_is_no_longer_declared_is_removed_or_left_as_declared_and_told() {
    let (controller, _serving, mut node) = joined().await;
    let mut gone = file("/etc/gone", "x");
    gone.on_removal = OnRemoval::Remove;
    let resources = vec![gone, file("/etc/kept", "x"), file("/etc/motd", "x")];
    controller.assign_silently(1, &AssignmentContent { resources });
    node.start();
    node.reported("file:/etc/motd", converged).await;
    controller.assign(2, &AssignmentContent { resources: vec![file("/etc/motd", "y")] });
    let event = |kind: &'static str| {
        let controller = controller.clone();
        async move {
            eventually(kind, || {
                let state = controller.state();
                state.reports.values().find_map(|report| match report.report.as_ref()? {
                    Report::Event(event) if event.kind == kind => Some(event.message.clone()),
                    _ => None,
                })
            })
            .await
        }
    };
    assert_eq!(event("resource.removed").await, "file:/etc/gone is no longer declared: was removed");
    let left = "file:/etc/kept is no longer declared and was left as it is";
    assert_eq!(event("resource.released").await, left);
    assert_eq!((node.content("/etc/gone"), node.content("/etc/kept").as_deref()), (None, Some("x")));
    node.stop().await;
}
