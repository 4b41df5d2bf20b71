//! What is only reported, what is not looked at, what has to wait.

use super::*;
use muster_domain::resource::Mode;

fn with_mode(mut resource: Resource, mode: Mode) -> Resource {
    resource.mode = mode;
    resource
}

#[tokio::test]
async fn what_is_to_be_reported_is_told_with_its_difference_and_left_alone() {
    let mut bench = Bench::new();
    bench.host.tamper("/etc/motd", "of somebody\n");
    let watched = with_mode(file("/etc/motd", "of the fleet\n"), Mode::Report);
    let reports = bench.assign_and_run(std::slice::from_ref(&watched)).await;
    let report = &reports["file:/etc/motd"];
    assert_eq!((report.status, report.mode), (ResourceStatus::Drifted, Mode::Report));
    assert_eq!(report.detail, "content differs");
    let shown = "--- /etc/motd\n+++ /etc/motd\n@@ -1 +1 @@\n-of somebody\n+of the fleet\n";
    assert_eq!(report.diff.as_deref(), Some(shown));
    assert_eq!(bench.host.writes(), 0);
    // A folder in its place cannot be mended and need not be.
    let folder = with_mode(file("/etc", "x"), Mode::Report);
    let reports = bench.assign_and_run(&[folder]).await;
    assert_eq!(reports["file:/etc"].status, ResourceStatus::Drifted);
    // Once it is enforced, it is changed.
    let reports = bench.assign_and_run(&[with_mode(watched, Mode::Enforce)]).await;
    assert_eq!(reports["file:/etc/motd"].change, Some(ChangeCause::Intentional));
}

#[tokio::test]
async fn what_is_to_be_ignored_is_not_even_looked_at() {
    let mut bench = Bench::new();
    let mut calls = Vec::new();
    for resources in [vec![], vec![with_mode(file("/etc/motd", "x"), Mode::Ignore)]] {
        bench.assign(&resources);
        bench.host.die_after_calls(Some(1000));
        bench.run().await;
        calls.push(bench.host.calls_left());
        bench.host.die_after_calls(None);
    }
    assert_eq!(calls[0], calls[1]);
    let reports = bench.run().await;
    let report = &reports["file:/etc/motd"];
    assert_eq!((report.status, report.detail.as_str()), (ResourceStatus::Converged, "ignored"));
    assert_eq!(bench.content("/etc/motd"), None);
}

#[tokio::test]
async fn a_service_that_is_only_reported_is_not_reloaded_and_says_that_it_should_be() {
    let mut bench = Bench::new();
    let resources = |text: &str, mode| {
        let conf = file("/etc/site.conf", text);
        let web = with_mode(service("web", &[&conf], &[]), mode);
        vec![conf, web]
    };
    bench.assign_and_run(&resources("one", Mode::Enforce)).await;
    let reports = bench.assign_and_run(&resources("two", Mode::Report)).await;
    let web = &reports["service:web"];
    assert_eq!((web.status, web.detail.as_str()), (ResourceStatus::Drifted, "file:/etc/site.conf changed"));
    assert!(bench.read_by("web").contains("one"));
    bench.start();
    assert_eq!(bench.run().await["service:web"].status, ResourceStatus::Drifted);
    bench.assign_and_run(&resources("two", Mode::Enforce)).await;
    assert!(bench.read_by("web").contains("two"));
    bench.settled().await;
}

#[tokio::test]
async fn a_lock_makes_everything_behind_it_wait_and_the_next_run_comes_soon() {
    let mut bench = Bench::new();
    let nginx = package("nginx");
    let mut conf = file("/etc/site.conf", "one");
    conf.depends_on = vec![nginx.key.clone()];
    let mut web = service("web", &[&conf], &[]);
    web.depends_on = vec![nginx.key.clone(), conf.key.clone()];
    *bench.kinds.locked.lock().unwrap() = true;
    bench.assign(&[nginx, conf, web]);
    let pause = bench.converger.as_mut().unwrap().converge(false).await;
    assert!(pause <= Duration::from_secs(1), "{pause:?}");
    let reports = bench.run().await;
    assert_eq!(reports["package:nginx"].detail, "dpkg is locked by apt-get");
    assert_eq!(reports["file:/etc/site.conf"].detail, "waits for package:nginx");
    for report in reports.values() {
        assert_eq!(report.status, ResourceStatus::Waiting, "{report:?}");
    }
    *bench.kinds.locked.lock().unwrap() = false;
    assert!(bench.run().await.values().all(converged));
    let pause = bench.converger.as_mut().unwrap().converge(false).await;
    assert!(pause > Duration::from_secs(5), "{pause:?}");
}

#[tokio::test]
async fn a_secret_is_in_no_difference() {
    let mut bench = Bench::new();
    bench.host.tamper("/etc/secret", "the former hunter1\n");
    let mut sensitive = file("/etc/sensitive", "hunter3 and more\n");
    if let DesiredState::File(file) = &mut sensitive.desired {
        file.sensitive = true;
    }
    let DesiredState::File(content) = file("/etc/secret", "password=hunter2hunter2\n").desired else {
        panic!()
    };
    let secret = Resource::new(key("secret_file", "/etc/secret"), vec![], DesiredState::SecretFile(content));
    // Somebody copies it into a file that is none.
    let copy = file("/etc/copy", "url=x?password=hunter2hunter2\n");
    let reports = bench.assign_and_run(&[secret, sensitive, copy]).await;
    assert_eq!(reports["secret_file:/etc/secret"].diff.as_deref(), Some("content differs (not shown)\n"));
    let told = format!("{reports:?}");
    assert!(!told.contains("hunter"), "{told}");
    assert_eq!(bench.content("/etc/secret").as_deref(), Some("password=hunter2hunter2\n"));
}

#[tokio::test]
async fn what_drifted_while_the_node_was_only_watched_is_no_new_change() {
    let mut bench = Bench::new();
    let mut motd = file("/etc/motd", "hello");
    bench.assign_and_run(&[motd.clone()]).await;
    motd.mode = Mode::Report;
    assert!(bench.assign_and_run(&[motd.clone()]).await.values().all(converged));
    bench.host.tamper("/etc/motd", "by hand");
    assert_eq!(bench.run().await["file:/etc/motd"].status, ResourceStatus::Drifted);
    motd.mode = Mode::Enforce;
    let reports = bench.assign_and_run(&[motd]).await;
    assert_eq!(reports["file:/etc/motd"].change, Some(ChangeCause::Corrective));
}
