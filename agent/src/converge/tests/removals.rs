//! What is no longer declared.

use super::*;

#[tokio::test]
async fn what_is_no_longer_declared_stays_and_is_told_once() {
    let mut bench = Bench::new();
    bench.assign_and_run(&[file("/etc/a", "a"), file("/etc/b", "b")]).await;
    bench.assign_and_run(&[file("/etc/b", "b")]).await;
    assert_eq!(bench.content("/etc/a").as_deref(), Some("a"));
    let told = ["resource.released: file:/etc/a is no longer declared and was left as it is"];
    assert_eq!(bench.events(), told);
    bench.start();
    bench.settled().await;
    assert_eq!(bench.events(), told);
}

#[tokio::test]
async fn what_is_to_be_removed_goes_in_reverse_order_with_what_holds_it() {
    let mut bench = Bench::new();
    let below = file("/srv/app/settings", "x");
    let resources = [folder("/srv/app"), below].map(removable);
    bench.assign_and_run(&resources).await;
    bench.assign_and_run(&[file("/etc/b", "b")]).await;
    assert_eq!(
        bench.events(),
        [
            "resource.removed: file:/srv/app/settings is no longer declared: was removed",
            "resource.removed: directory:/srv/app is no longer declared: was removed"
        ]
    );
    assert_eq!(bench.host.stat(Path::new("/srv/app")), Ok(None));
    bench.settled().await;
}

#[tokio::test]
async fn other_things_in_a_folder_and_other_things_in_a_place_are_left() {
    let mut bench = Bench::new();
    let resources = [folder("/srv/app"), file("/etc/gone", "x"), file("/etc/turned", "x")].map(removable);
    bench.assign_and_run(&resources).await;
    bench.host.tamper("/srv/app/of-somebody", "else");
    bench.host.tamper_delete("/etc/gone");
    bench.host.tamper_delete("/etc/turned");
    bench.host.tamper("/etc/turned/into-a-folder", "x");
    bench.assign_and_run(&[]).await;
    let events = bench.events().join("\n");
    assert!(events.contains("file:/etc/gone is no longer declared: there was nothing left to remove"));
    assert!(events.contains("/etc/turned is no longer declared: a folder is in its place now, and was left"));
    assert!(events.contains("directory:/srv/app is no longer declared: was left, because other things"));
    assert_eq!(bench.content("/srv/app/of-somebody").as_deref(), Some("else"));
    assert!(bench.content("/etc/turned/into-a-folder").is_some());
}

#[tokio::test]
async fn a_removal_that_fails_is_reported_and_tried_again() {
    let mut bench = Bench::new();
    bench.assign_and_run(&[removable(file("/etc/a", "a"))]).await;
    bench.host.set_faults(|faults| faults.read_only = true);
    let reports = bench.assign_and_run(&[]).await;
    let report = &reports["file:/etc/a"];
    assert_eq!(report.status, ResourceStatus::Failed);
    assert!(report.detail.contains("the file system is read-only"), "{}", report.detail);
    // Also by an agent that was started again meanwhile.
    bench.host.set_faults(|faults| faults.read_only = false);
    bench.start();
    bench.run().await;
    assert_eq!(bench.content("/etc/a"), None);
    assert_eq!(bench.settled().await.len(), 0);
}

#[tokio::test]
async fn what_another_resource_has_taken_over_is_not_removed_under_its_new_name() {
    let mut bench = Bench::new();
    let old = removable(file("/etc/a", "a"));
    let mut renamed = file("/etc/a", "b");
    renamed.key = key("file", "settings");
    bench.assign_and_run(&[old, removable(package("nginx"))]).await;
    let mut moved = package("nginx");
    moved.key = key("package", "web-server");
    bench.assign_and_run(&[renamed, moved]).await;
    assert_eq!(bench.content("/etc/a").as_deref(), Some("b"));
    assert!(bench.content("/var/lib/package-nginx").is_some());
    assert_eq!(bench.events(), [""; 0]);
}

#[tokio::test]
async fn what_never_came_about_or_was_only_watched_is_not_removed() {
    let mut bench = Bench::new();
    bench.host.tamper("/etc/watched", "of somebody else");
    bench.host.tamper("/etc/denied", "of somebody else");
    let mut watched = removable(file("/etc/watched", "x"));
    watched.mode = muster_domain::resource::Mode::Report;
    // It stands behind what never worked.
    let mut skipped = removable(file("/etc/denied", "x"));
    skipped.depends_on = vec![key("file", "/nowhere/at/all")];
    bench.assign_and_run(&[watched, file("/nowhere/at/all", "x"), skipped]).await;
    bench.assign_and_run(&[]).await;
    for path in ["/etc/watched", "/etc/denied"] {
        assert_eq!(bench.content(path).as_deref(), Some("of somebody else"));
    }
}

#[tokio::test]
async fn what_comes_back_before_it_was_removed_stays_and_its_readers_notice_when_it_goes() {
    let mut bench = Bench::new();
    let site = removable(file("/etc/site.conf", "one"));
    let common = file("/etc/common.conf", "x");
    let web = service("web", &[&site, &common], &[]);
    bench.assign_and_run(&[site.clone(), common.clone(), web.clone()]).await;
    bench.host.set_faults(|faults| faults.read_only = true);
    let mut without = web.clone();
    without.reload_on.remove(0);
    bench.assign_and_run(&[common.clone(), without.clone()]).await;
    bench.assign_and_run(&[site.clone(), common.clone(), web]).await;
    bench.host.set_faults(|faults| faults.read_only = false);
    bench.settled().await;
    assert_eq!(bench.content("/etc/site.conf").as_deref(), Some("one"));
    bench.assign(&[common, without]);
    let pause = bench.converger.as_mut().unwrap().converge(false).await;
    assert_eq!(pause, Duration::ZERO, "the reload follows at once");
    bench.settled().await;
    assert_eq!(bench.read_by("web"), "/etc/common.conf=x\n");
}

#[tokio::test]
async fn nothing_is_removed_from_a_node_that_is_only_watched_since() {
    use muster_domain::resource::Mode;
    let mut bench = Bench::new();
    let mut motd = file("/etc/motd", "x");
    bench.assign_and_run(&[removable(file("/etc/a", "a")), motd.clone()]).await;
    motd.mode = Mode::Report;
    let reports = bench.assign_and_run(&[motd.clone()]).await;
    let held = &reports["file:/etc/a"];
    assert_eq!((held.status, held.mode), (ResourceStatus::Drifted, Mode::Report));
    assert!(held.detail.contains("nothing is enforced on this node now"), "{}", held.detail);
    assert_eq!(bench.content("/etc/a").as_deref(), Some("a"));
    motd.mode = Mode::Enforce;
    bench.assign_and_run(&[motd]).await;
    assert_eq!(bench.content("/etc/a"), None);
}
