//! Applications: releases on their way to a node, and what runs there.

use super::*;

#[tokio::test]
async fn an_application_is_fetched_run_replaced_and_removed() {
    let (controller, _serving, mut node) = joined().await;
    let first = upload(&node, 1);
    controller.assign_silently(1, &web(1, first));
    node.start();
    node.reported("application:web", converged).await;
    assert_eq!(node.runner.running("web").unwrap(), "v1");
    let spec = node.runner.applied().pop().unwrap();
    assert_eq!(spec.env["API_KEY"], "hunter2");
    assert!(!spec.env.contains_key("NODE_ENV"));
    let release = node.releases().join(ReleaseId::from_uuid(uuid::Uuid::from_u128(1)).to_string());
    assert_eq!(Path::new(&spec.cwd), release);
    assert_eq!(std::fs::read_to_string(release.join("server.js")).unwrap(), "// release 1\n");

    controller.state().fetched.clear();
    let second = upload(&node, 2);
    controller.assign(2, &web(2, second));
    eventually("release 2 runs", || (node.runner.running("web")? == "v2").then_some(())).await;
    // The common file was there already.
    assert_eq!(controller.state().fetched.len(), 1);
    let current = node.releases().parent().unwrap().join("current");
    let expected = format!("releases/{}", ReleaseId::from_uuid(uuid::Uuid::from_u128(2)));
    eventually("current is flipped", || {
        (std::fs::read_link(&current).ok()? == Path::new(&expected)).then_some(())
    })
    .await;

    controller.assign(3, &AssignmentContent::default());
    eventually("the application is stopped", || (node.runner.deleted() == ["web"]).then_some(())).await;
    assert!(release.is_dir());
    let told = eventually("the event", || {
        let state = controller.state();
        state.reports.values().find_map(|report| match report.report.as_ref()? {
            Report::Event(event) if event.kind == "application.removed" => Some(event.message.clone()),
            _ => None,
        })
    });
    assert!(told.await.contains("its files were kept"));
    let sent = format!("{:?}", controller.state().reports);
    assert!(!sent.contains("hunter2"));
    node.stop().await;
}

#[tokio::test]
async fn a_release_that_does_not_start_fails_with_its_last_words_and_current_stays() {
    let (controller, _serving, mut node) = joined().await;
    let (first, second) = (upload(&node, 1), upload(&node, 2));
    controller.assign_silently(1, &web(1, first));
    node.start();
    node.reported("application:web", converged).await;
    node.runner.break_release("v2", "cannot find module");
    controller.assign(2, &web(2, second));
    let report = node.reported("application:web", failed).await;
    assert!(report.detail.contains("release v2 did not come up"), "{}", report.detail);
    assert!(report.detail.contains("stderr: Error: cannot find module"), "{}", report.detail);
    assert!(report.detail.contains("still serves"), "{}", report.detail);
    assert_eq!(node.runner.running("web").unwrap(), "v1");
    let current = std::fs::read_link(node.releases().parent().unwrap().join("current")).unwrap();
    assert!(current.ends_with(ReleaseId::from_uuid(uuid::Uuid::from_u128(1)).to_string()));
    node.runner.mend_release("v2");
    eventually("release 2 runs", || (node.runner.running("web")? == "v2").then_some(())).await;
    node.stop().await;
}

#[tokio::test]
async fn an_application_that_the_supervisor_lost_is_started_again_as_a_correction() {
    let (controller, _serving, mut node) = joined().await;
    let first = upload(&node, 1);
    controller.assign_silently(1, &web(1, first));
    node.start();
    node.reported("application:web", converged).await;
    node.runner.lose("web");
    let report = node.reported("application:web", |r| r.change() == v1::ChangeCause::Corrective).await;
    assert_eq!(report.detail, "does not run");
    node.stop().await;
}

#[tokio::test]
async fn a_script_that_is_not_in_the_release_is_named() {
    let (controller, _serving, mut node) = joined().await;
    let mut content = web(1, upload(&node, 1));
    let DesiredState::Application(application) = &mut content.resources[0].desired else { unreachable!() };
    application.script = "dist/main.js".into();
    controller.assign_silently(1, &content);
    node.start();
    let report = node.reported("application:web", failed).await;
    assert!(report.detail.contains("has no file \"dist/main.js\""), "{}", report.detail);
    assert!(report.detail.contains("library.js, server.js"), "{}", report.detail);
    assert!(node.runner.applied().is_empty());
    node.stop().await;
}

#[tokio::test]
async fn a_full_disk_fails_with_its_reason_leaves_nothing_and_recovers() {
    let (controller, _serving, mut node) = joined().await;
    let first = upload(&node, 1);
    node.host.set_faults(|faults| faults.disk_full = true);
    controller.assign_silently(1, &web(1, first));
    node.start();
    let report = node.reported("application:web", failed).await;
    assert!(report.detail.contains("release v1 does not fit on the disk"), "{}", report.detail);
    let left = std::fs::read_dir(node.releases()).map_or(0, |entries| entries.count());
    assert_eq!(left, 0);
    assert!(!node.config.state_dir.objects().exists());
    node.host.set_faults(|faults| faults.disk_full = false);
    node.reported("application:web", converged).await;
    node.stop().await;
}

#[tokio::test]
async fn a_corrupted_chunk_is_refused_and_fetched_again() {
    let (controller, _serving, mut node) = joined().await;
    let first = upload(&node, 1);
    controller.state().corrupt_objects = true;
    controller.assign_silently(1, &web(1, first));
    node.start();
    let report = node.reported("application:web", failed).await;
    assert!(report.detail.contains("arrived damaged"), "{}", report.detail);
    assert!(node.runner.applied().is_empty());
    controller.state().corrupt_objects = false;
    node.reported("application:web", converged).await;
    node.stop().await;
}

#[tokio::test]
async fn an_agent_that_is_killed_in_the_middle_converges_when_it_is_back() {
    let (controller, _serving, mut node) = joined().await;
    let first = upload(&node, 1);
    controller.state().refuse_fetch = true;
    let mut content = motd("half way");
    content.resources.extend(web(1, first).resources);
    controller.assign_silently(1, &content);
    node.start();
    node.has_content("/etc/motd", "half way").await;
    node.kill().await;
    // What a crash leaves behind.
    let partial = node.releases().join("x.partial-1");
    std::fs::create_dir_all(&partial).unwrap();
    std::fs::write(partial.join("half"), "x").unwrap();
    controller.state().refuse_fetch = false;
    node.start();
    node.reported("application:web", converged).await;
    assert!(!partial.exists());
    assert_eq!(node.runner.running("web").unwrap(), "v1");
    node.stop().await;
}

#[tokio::test]
async fn only_the_newest_releases_stay_on_the_disk() {
    let (controller, _serving, mut node) = joined().await;
    node.config.keep_releases = 2;
    node.start();
    for release in 1..=4 {
        let digest = upload(&node, release);
        controller.assign(u64::try_from(release).unwrap(), &web(release, digest));
        let version = format!("v{release}");
        eventually(&version, || (node.runner.running("web")? == version).then_some(())).await;
    }
    let kept = || {
        let entries = std::fs::read_dir(node.releases()).unwrap().filter_map(Result::ok);
        let mut names: Vec<String> = entries
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let expected: Vec<String> =
        [3, 4].map(|release| ReleaseId::from_uuid(uuid::Uuid::from_u128(release)).to_string()).to_vec();
    eventually("the old ones are gone", || (kept() == expected).then_some(())).await;
    node.stop().await;
}
