//! The agent is killed at every call of the host and at every write of its ledger: the next one goes on from there, loses
//! nothing, and touches nothing else.

use super::*;

/// From what, to what.
struct Course {
    before: Vec<Resource>,
    after: Vec<Resource>,
    /// Statuses in the end, where they are not all converged.
    failed: &'static [&'static str],
}

fn web_stack(conf: &str, extra: Option<&str>) -> Vec<Resource> {
    let mut resources = vec![folder("/srv/app"), package("nginx")];
    let main = file("/etc/site.conf", conf);
    let key = file("/srv/app/key", conf.trim_start_matches(BROKEN));
    let mut watched = vec![main.clone()];
    if let Some(extra) = extra {
        watched.push(removable(file("/srv/app/extra.conf", extra)));
    } else {
        resources.push(package("helper"));
    }
    let web = service("web", &watched.iter().collect::<Vec<_>>(), &[]);
    let worker = service("worker", &[&main], &[&key]);
    let run = command("rehash", &[&key]);
    resources.extend(watched);
    resources.extend([key, web, worker, run]);
    resources
}

fn courses() -> Vec<Course> {
    vec![
        Course { before: vec![], after: web_stack("one", Some("x")), failed: &[] },
        Course { before: web_stack("one", Some("x")), after: web_stack("two", None), failed: &[] },
        Course {
            before: web_stack("one", None),
            after: web_stack("BROKENtwo", Some("x")),
            failed: &["file:/etc/site.conf", "file:/srv/app/extra.conf"],
        },
    ]
}

impl Course {
    async fn begin(&self) -> Bench {
        let mut bench = Bench::new();
        bench.assign(&self.before);
        bench.settled().await;
        bench.assign(&self.after);
        bench
    }

    /// Whether everything came about that had to.
    async fn check(&self, bench: &mut Bench, expected: &BTreeMap<std::path::PathBuf, Vec<u8>>, at: &str) {
        // A first run may find that others have to read something again.
        bench.run().await;
        let reports = bench.settled().await;
        for (key, report) in &reports {
            let failed = self.failed.contains(&key.as_str());
            assert_eq!(report.status == ResourceStatus::Failed, failed, "{at}: {report:?}");
            assert!(failed || converged(report), "{at}: {report:?}");
        }
        assert_eq!(&bench.host.files(), expected, "{at}");
        assert_eq!(bench.content("/etc/unmanaged").as_deref(), Some("of somebody else"));
        assert!(bench.ledger.released().is_empty() && bench.ledger.held_turn().is_none(), "{at}");
        let kept = std::fs::read_dir(bench.dir.path().join("ledger/former")).map_or(0, Iterator::count);
        assert_eq!(kept, 0, "{at}: a former content was left behind");
    }

    async fn expected(&self) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
        let mut bench = self.begin().await;
        bench.run().await;
        bench.settled().await;
        bench.host.files()
    }
}

/// A run that may be killed. Whether it was.
async fn killed(bench: &mut Bench) -> bool {
    let mut converger = bench.converger.take().unwrap();
    tokio::spawn(async move { converger.converge(false).await }).await.is_err()
}

#[tokio::test]
async fn killed_at_any_call_of_the_host_the_next_agent_goes_on() {
    for course in courses() {
        let expected = course.expected().await;
        let mut calls = 0;
        loop {
            let mut bench = course.begin().await;
            bench.host.die_after_calls(Some(calls));
            let died = killed(&mut bench).await;
            bench.host.die_after_calls(None);
            bench.start();
            course.check(&mut bench, &expected, &format!("killed at call {calls}")).await;
            if !died {
                break;
            }
            calls += 1;
        }
        assert!(calls > 30, "only {calls} calls were made");
    }
}

#[tokio::test]
async fn killed_at_any_write_of_the_ledger_the_next_agent_goes_on() {
    for course in courses() {
        let expected = course.expected().await;
        let mut writes = 0;
        loop {
            let mut bench = course.begin().await;
            bench.ledger.die_after_writes(Some(writes));
            let died = killed(&mut bench).await;
            bench.start();
            course.check(&mut bench, &expected, &format!("killed at write {writes}")).await;
            if !died {
                break;
            }
            writes += 1;
        }
        assert!(writes > 5, "only {writes} writes were made");
    }
}

#[tokio::test]
async fn killed_while_an_assignment_is_taken_nothing_that_leaves_it_is_forgotten() {
    for writes in 0..4 {
        let mut bench = Bench::new();
        bench.assign(&[removable(file("/etc/a", "a")), file("/etc/b", "b")]);
        bench.settled().await;
        bench.ledger.die_after_writes(Some(writes));
        let content = AssignmentContent { resources: vec![file("/etc/b", "b")] };
        let signed = bench.fleet.sign(2, &content);
        let ledger = bench.ledger.clone();
        let offered = signed.clone();
        let died = tokio::task::spawn_blocking(move || ledger.offer(&offered).is_ok()).await.is_err();
        bench.start();
        if died {
            // Still in force: nothing is taken away.
            bench.settled().await;
            if bench.ledger.current().unwrap().generation == Generation::new(1) {
                assert_eq!(bench.content("/etc/a").as_deref(), Some("a"));
            }
            bench.ledger.offer(&signed).unwrap();
        }
        bench.run().await;
        bench.settled().await;
        assert_eq!(bench.content("/etc/a"), None, "killed at write {writes}");
    }
}
