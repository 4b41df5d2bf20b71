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
async fn the_last_key_with_which_somebody_can_sign_in_stays() {
    use muster_domain::resource::{AuthorizedKey, Sshd};
    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0Qy1Zk5Zs1b2n3m4c5v6b7n8m9q0w1e2r3t4y5u6i7 amara";
    let keys = |user: &str| {
        let keys = AuthorizedKey { user: user.into(), keys: vec![KEY.into()], exclusive: true };
        removable(Resource::new(key("authorized_key", user), vec![], DesiredState::AuthorizedKey(keys)))
    };
    let sshd = |root: &str| {
        let settings =
            [("PasswordAuthentication", "no"), ("PermitRootLogin", root)].map(|(a, b)| (a.into(), b.into()));
        Resource::new(key("sshd", "node"), vec![], DesiredState::Sshd(Sshd { settings: settings.into() }))
    };
    let mut bench = Bench::new();
    bench.host.install_sshd();
    let passwd = "root:x:0:0:root:/root:/bin/bash\namara:x:1000:1000::/home/amara:/bin/bash\nbo:x:1001:1001::/home/bo:/bin/bash\nwalter:x:1002:1002::/home/walter:/bin/sh\n";
    let group = "root:x:0:\nsudo:x:27:amara,bo\namara:x:1000:\nbo:x:1001:\nwalter:x:1002:\n";
    // As files for whoever asks who administers the host, and as what the host knows its users by.
    bench.host.tamper("/etc/passwd", passwd);
    bench.host.tamper("/etc/group", group);
    bench.host.tamper_accounts(|accounts| *accounts = muster_platform::Accounts::parse(passwd, group));
    for home in ["/root", "/home/amara", "/home/bo", "/home/walter"] {
        bench.host.tamper(format!("{home}/.profile"), "");
    }
    let reports = bench.assign_and_run(&[keys("amara"), keys("bo"), keys("walter"), sshd("no")]).await;
    let path = |user: &str| format!("/home/{user}/.ssh/authorized_keys");
    assert!(bench.content(&path("amara")).is_some_and(|content| content.contains(KEY)), "{reports:?}");
    // One of two may go, the last may not.
    bench.assign_and_run(&[keys("amara"), keys("walter"), sshd("no")]).await;
    assert!(!bench.content(&path("bo")).is_some_and(|content| content.contains(KEY)));
    let reports = bench.assign_and_run(&[sshd("no")]).await;
    let report = &reports["authorized_key:amara"];
    assert_eq!(report.status, ResourceStatus::Failed);
    assert!(report.detail.contains("only amara can"), "{}", report.detail);
    // Who administers nothing is not held back with that.
    assert!(!bench.content(&path("walter")).is_some_and(|content| content.contains(KEY)));
    assert!(bench.content(&path("amara")).is_some_and(|content| content.contains(KEY)));
    // Once somebody else can come in, it goes.
    bench.host.tamper("/root/.ssh/authorized_keys", KEY);
    bench.assign_and_run(&[sshd("prohibit-password")]).await;
    assert!(!bench.content(&path("amara")).is_some_and(|content| content.contains(KEY)));
}

#[tokio::test]
async fn what_an_assignment_leaves_out_that_comes_in_the_middle_of_a_run_goes_too() {
    let mut bench = Bench::new();
    let (old, new) = (removable(file("/etc/old", "x")), removable(file("/etc/new", "x")));
    bench.assign_and_run(std::slice::from_ref(&old)).await;
    bench.assign(&[old, new]);
    let mut converger = bench.converger.take().unwrap();
    {
        let mut run = std::pin::pin!(converger.converge(false));
        // It has begun with what is in force, and looks at the host.
        tokio::select! {
            biased;
            _ = &mut run => panic!("it has looked already"),
            () = std::future::ready(()) => {}
        }
        bench.assign(&[]);
        run.await;
    }
    bench.converger = Some(converger);
    // Not at the first go, nor by the agent that made it.
    bench.host.set_faults(|faults| faults.read_only = true);
    bench.run().await;
    assert_eq!(bench.content("/etc/new").as_deref(), Some("x"));
    bench.host.set_faults(|faults| faults.read_only = false);
    bench.start();
    bench.settled().await;
    assert_eq!((bench.content("/etc/old"), bench.content("/etc/new")), (None, None), "{:?}", bench.events());
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
