//! What goes wrong on real hosts: told at the resource that it hits, mended when it ends, and nobody else's trouble.

use super::*;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn a_full_or_read_only_disk_stops_what_has_to_be_written_and_nothing_else() {
    let mut bench = Bench::new();
    let resources = |text: &str| {
        let mut dependant = file("/etc/after", text);
        dependant.depends_on = vec![key("file", "/etc/a")];
        vec![file("/etc/same", "x"), file("/etc/a", text), dependant]
    };
    bench.assign_and_run(&resources("one")).await;
    for (fault, said) in [(true, "the disk is full"), (false, "the file system is read-only")] {
        let text = format!("two {said}");
        bench.host.set_faults(|faults| (faults.disk_full, faults.read_only) = (fault, !fault));
        let reports = bench.assign_and_run(&resources(&text)).await;
        assert!(converged(&reports["file:/etc/same"]));
        let failed = &reports["file:/etc/a"];
        assert_eq!(failed.status, ResourceStatus::Failed);
        assert!(failed.detail.ends_with(said), "{}", failed.detail);
        assert!(failed.diff.as_deref().unwrap().contains("+two"), "what was to be done is shown");
        assert_eq!(reports["file:/etc/after"].status, ResourceStatus::Skipped);
        bench.host.set_faults(|faults| (faults.disk_full, faults.read_only) = (false, false));
        assert!(bench.run().await.values().all(converged));
        assert_eq!(bench.content("/etc/after").as_deref(), Some(text.as_str()));
    }
    bench.settled().await;
}

#[tokio::test]
async fn a_folder_in_the_place_of_a_file_is_told_and_not_deleted() {
    let mut bench = Bench::new();
    let resources = [file("/etc/a", "a"), file("/etc/b", "b")];
    bench.assign_and_run(&resources).await;
    bench.host.tamper_delete("/etc/a");
    bench.host.tamper("/etc/a/of-somebody", "else");
    bench.host.tamper("/etc/b", "by hand");
    let reports = bench.run().await;
    let detail = "a folder is in the place of a file; it is not deleted, move it away";
    assert_eq!(reports["file:/etc/a"].detail, detail);
    assert_eq!(reports["file:/etc/b"].change, Some(ChangeCause::Corrective));
    assert_eq!(bench.content("/etc/a/of-somebody").as_deref(), Some("else"));
}

#[tokio::test]
async fn a_clock_that_jumps_by_hours_changes_nothing() {
    let mut bench = Bench::new();
    let resources = |text: &str| {
        let conf = file("/etc/site.conf", text);
        let web = service("web", &[], &[&conf]);
        vec![conf, web, package("no-such-package")]
    };
    for (ahead_s, text) in [(7_200, "one"), (-7_200, "two"), (0, "three")] {
        bench.clock_ahead_s.store(ahead_s, Ordering::Relaxed);
        let reports = bench.assign_and_run(&resources(text)).await;
        assert!(converged(&reports["service:web"]) && bench.read_by("web").contains(text));
        bench.clock_ahead_s.store(-ahead_s, Ordering::Relaxed);
        bench.settled().await;
    }
    // Held back by a clock that nobody sets: once, not three times.
    assert_eq!(bench.kinds.transactions.lock().unwrap().len(), 1);
    assert!(bench.ledger.held_turn().is_none());
}

#[tokio::test]
async fn when_the_ledger_takes_no_writes_nothing_is_done_that_has_to_be_remembered() {
    let mut bench = Bench::new();
    let resources = |text: &str| {
        let conf = file("/etc/site.conf", text);
        let web = service("web", &[&conf], &[]);
        vec![conf, web]
    };
    bench.assign_and_run(&resources("one")).await;
    bench.assign(&resources("two"));
    // A folder in the place of the new file: nothing can be written, as on a full disk.
    let blocker = bench.dir.path().join("ledger/state.bin.new");
    std::fs::create_dir(&blocker).unwrap();
    let reports = bench.run().await;
    let conf = &reports["file:/etc/site.conf"];
    assert_eq!(conf.status, ResourceStatus::Failed);
    assert!(conf.detail.starts_with("cannot write"), "{}", conf.detail);
    assert_eq!(bench.content("/etc/site.conf").as_deref(), Some("one"));
    std::fs::remove_dir(&blocker).unwrap();
    assert!(bench.run().await.values().all(converged));
    bench.settled().await;
    assert!(bench.read_by("web").contains("two"));
}
