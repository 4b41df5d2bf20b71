//! Reloads and restarts that follow from changes, and what is put back when a service refuses one.

use super::*;

fn site(text: &str) -> Vec<Resource> {
    let conf = file("/etc/site.conf", text);
    let key = file("/etc/site.key", "a key");
    let web = service("web", &[&conf], &[&key]);
    vec![conf, key, web]
}

#[tokio::test]
async fn a_change_is_followed_by_one_reload_and_a_quiet_run_by_none() {
    let mut bench = Bench::new();
    let reports = bench.assign_and_run(&site("one")).await;
    assert!(reports.values().all(converged), "{reports:?}");
    assert_eq!(bench.read_by("web"), "/etc/site.conf=one\n/etc/site.key=a key\n");
    bench.settled().await;
    let reports = bench.assign_and_run(&site("two")).await;
    let web = &reports["service:web"];
    assert_eq!(web.change, Some(ChangeCause::Intentional), "the reload follows from what was asked for");
    assert_eq!(web.detail, "file:/etc/site.conf changed");
    assert!(bench.read_by("web").contains("two"));
    let shown = reports["file:/etc/site.conf"].diff.as_deref().unwrap();
    assert!(shown.contains("-one") && shown.contains("+two"), "{shown}");
    bench.settled().await;
    bench.host.tamper("/etc/site.conf", "by hand");
    let reports = bench.run().await;
    assert_eq!(reports["file:/etc/site.conf"].change, Some(ChangeCause::Corrective));
    assert_eq!(reports["service:web"].change, Some(ChangeCause::Corrective));
    bench.settled().await;
}

#[tokio::test]
async fn what_a_service_refuses_is_put_back_told_and_not_tried_again_by_itself() {
    for (conf, site_key) in [(BROKEN, "a key"), ("one", BROKEN)] {
        let mut bench = Bench::new();
        bench.assign_and_run(&site("one")).await;
        let before = bench.read_by("web");
        let mut broken = site(conf);
        broken[1] = file("/etc/site.key", site_key);
        let guilty = if conf == BROKEN { "file:/etc/site.conf" } else { "file:/etc/site.key" };
        let reports = bench.assign_and_run(&broken).await;
        let report = &reports[guilty];
        assert_eq!((report.status, report.change), (ResourceStatus::Failed, None));
        assert!(report.detail.starts_with("service:web refused it: web does not understand"), "{report:?}");
        assert!(report.diff.as_deref().unwrap().contains("+BROKEN"));
        assert!(converged(&reports["service:web"]), "{reports:?}");
        assert_eq!(bench.read_by("web"), before);
        assert_eq!(bench.content("/etc/site.conf").as_deref(), Some("one"));
        assert_eq!(bench.content("/etc/site.key").as_deref(), Some("a key"));
        let events = bench.events();
        assert!(events.iter().any(|event| event.starts_with("resource.reverted: service:web refused")));
        // Also by an agent that was started again meanwhile.
        bench.start();
        let reports = bench.settled().await;
        assert_eq!(reports[guilty].status, ResourceStatus::Failed);
        assert_eq!(bench.events().len(), events.len());
        // A person asks: the same happens once more.
        let reports = bench.run_asked(true).await;
        assert_eq!(reports[guilty].status, ResourceStatus::Failed);
        assert_eq!(bench.events().len(), events.len() + 1);
        let reports = bench.assign_and_run(&site("two")).await;
        assert!(reports.values().all(converged), "{reports:?}");
        bench.settled().await;
    }
}

#[tokio::test]
async fn others_that_took_what_one_refused_read_the_former_content_again() {
    let mut bench = Bench::new();
    let resources = |text: &str| {
        let common = file("/etc/common.conf", text);
        let extra = file("/etc/extra.conf", text);
        let easy = service("easy", &[&common], &[]);
        let hard = service("hard", &[&common, &extra], &[]);
        vec![common, extra, easy, hard]
    };
    bench.assign_and_run(&resources("one")).await;
    let mut broken = resources("two");
    broken[1] = file("/etc/extra.conf", BROKEN);
    let reports = bench.assign_and_run(&broken).await;
    assert_eq!(reports["file:/etc/common.conf"].status, ResourceStatus::Failed);
    assert_eq!(reports["file:/etc/extra.conf"].status, ResourceStatus::Failed);
    bench.settled().await;
    assert_eq!(bench.read_by("easy"), "/etc/common.conf=one\n");
    assert_eq!(bench.read_by("hard"), "/etc/common.conf=one\n/etc/extra.conf=one\n");
}

#[tokio::test]
async fn a_new_file_that_is_refused_is_gone_again_and_a_service_that_was_down_before_is_no_reason() {
    let mut bench = Bench::new();
    let reports = bench.assign_and_run(&site(BROKEN)).await;
    assert_eq!(reports["file:/etc/site.conf"].status, ResourceStatus::Failed);
    assert_eq!(bench.content("/etc/site.conf"), None);
    assert!(bench.read_by("web").starts_with("/etc/site.conf=nothing"));
    bench.settled().await;
}

#[tokio::test]
async fn a_change_that_could_not_be_made_is_followed_by_nothing() {
    let mut bench = Bench::new();
    bench.assign_and_run(&site("one")).await;
    bench.settled().await;
    bench.host.set_faults(|faults| {
        faults.denied.insert("/etc/site.conf".into());
    });
    let reports = bench.assign_and_run(&site("two")).await;
    assert_eq!(reports["file:/etc/site.conf"].status, ResourceStatus::Failed);
    assert!(converged(&reports["service:web"]), "{reports:?}");
    assert!(bench.ledger.recollect().pending.is_empty());
    assert_eq!(std::fs::read_dir(bench.dir.path().join("ledger/former")).unwrap().count(), 0);
    bench.host.set_faults(|faults| faults.denied.clear());
    let reports = bench.run().await;
    assert_eq!(reports["service:web"].change, Some(ChangeCause::Intentional));
    bench.settled().await;
}

#[tokio::test]
async fn a_command_runs_when_what_it_watches_changed_and_only_then() {
    let mut bench = Bench::new();
    let resources = |text: &str| {
        let aliases = file("/etc/aliases", text);
        let run = command("newaliases", &[&aliases]);
        vec![aliases, run]
    };
    bench.assign_and_run(&resources("one")).await;
    assert_eq!(bench.content("/var/lib/ran-newaliases").as_deref(), Some("/etc/aliases=one\n"));
    bench.host.tamper_delete("/var/lib/ran-newaliases");
    bench.settled().await;
    assert_eq!(bench.content("/var/lib/ran-newaliases"), None);
    bench.assign_and_run(&resources("two")).await;
    assert_eq!(bench.content("/var/lib/ran-newaliases").as_deref(), Some("/etc/aliases=two\n"));
    bench.settled().await;
}

#[tokio::test]
async fn packages_go_into_one_transaction_and_one_that_fails_stops_only_its_dependants() {
    let mut bench = Bench::new();
    let (missing, good) = (package("no-such-package"), package("nginx"));
    let mut helper = package("helper");
    helper.depends_on = vec![good.key.clone()];
    let mut after = file("/etc/after", "x");
    after.depends_on = vec![missing.key.clone()];
    let web = service("web", &[], &[]);
    let resources = [missing, good, file("/etc/between", "x"), helper, after, web];
    let reports = bench.assign_and_run(&resources).await;
    let transactions = bench.kinds.transactions.lock().unwrap().clone();
    assert_eq!(transactions, [["no-such-package", "nginx", "helper"]]);
    assert_eq!(reports["package:no-such-package"].status, ResourceStatus::Failed);
    assert!(reports["package:no-such-package"].detail.contains("next try at"), "{reports:?}");
    assert_eq!(reports["file:/etc/after"].status, ResourceStatus::Skipped);
    for key in ["package:nginx", "package:helper", "file:/etc/between", "service:web"] {
        assert!(converged(&reports[key]), "{key}");
    }
    // What failed and costs much is not tried at every poll.
    bench.settled().await;
    assert_eq!(bench.kinds.transactions.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_one_package_makes_necessary_is_not_lost_because_another_could_not_be_installed() {
    let mut bench = Bench::new();
    let (missing, good) = (package("no-such-package"), package("nginx"));
    let web = service("web", &[], &[&missing, &good]);
    bench.assign_and_run(&[service("web", &[], &[])]).await;
    bench.settled().await;
    let reports = bench.assign_and_run(&[missing, good, web]).await;
    assert_eq!(reports["package:no-such-package"].status, ResourceStatus::Failed);
    let web = &reports["service:web"];
    assert_eq!((web.change, web.detail.as_str()), (Some(ChangeCause::Intentional), "package:nginx changed"));
    bench.settled().await;
}

#[tokio::test]
async fn a_service_that_is_held_back_is_tried_again_when_somebody_mended_what_it_reads() {
    let mut bench = Bench::new();
    bench.host.tamper("/etc/site.conf", BROKEN);
    let mut conf = file("/etc/site.conf", "one");
    conf.mode = muster_domain::resource::Mode::Report;
    // Through something in between as well.
    let mut folder = folder("/srv/site");
    folder.depends_on = vec![conf.key.clone()];
    let mut web = service("web", &[], &[]);
    web.depends_on = vec![folder.key.clone()];
    bench.assign(&[conf, folder, web]);
    bench.kinds.reads.lock().unwrap().insert("web".into(), vec!["/etc/site.conf".into()]);
    let failed = |report: &ResourceReport| report.status == ResourceStatus::Failed;
    assert!(failed(&bench.run().await["service:web"]));
    let tries = bench.host.writes();
    assert!(failed(&bench.run().await["service:web"]), "held back");
    assert_eq!(bench.host.writes(), tries);
    bench.host.tamper("/etc/site.conf", "by hand");
    let pause = bench.converger.as_mut().unwrap().converge(false).await;
    assert!(pause <= Duration::from_secs(5), "it comes back for it: {pause:?}");
    assert!(failed(&bench.run().await["service:web"]), "not at every moment");
    bench.converger.as_mut().unwrap().retries.tried_earlier(Duration::from_secs(5));
    assert!(converged(&bench.run().await["service:web"]));
    bench.settled().await;
}
