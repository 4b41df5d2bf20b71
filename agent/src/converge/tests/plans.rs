//! Plans: the same look, nothing changed.

use super::*;
use muster_domain::plan::{NodePlan, PlannedChange};

async fn plan_of(bench: &Bench, candidate: Option<&[Resource]>) -> NodePlan {
    let planner =
        noop::Planner::with_kinds(bench.host.clone(), StateDir::new(bench.dir.path()), bench.kinds.clone());
    let candidate = candidate.map(|resources| {
        bench.kinds.reads(resources);
        let content = AssignmentContent { resources: resources.to_vec() };
        Accepted::new(Generation::NONE, Digest::from_bytes([9; 32]), content)
    });
    let (runner, nudges) = (FakeRunner::new(), Nudges::new(Duration::from_secs(1)));
    planner.plan(&bench.ledger, &runner, &nudges, candidate).await.unwrap()
}

fn changes(plan: &NodePlan) -> Vec<(&str, PlannedChange)> {
    plan.resources.iter().map(|resource| (resource.key.as_str(), resource.change)).collect()
}

#[tokio::test]
async fn a_plan_shows_changes_reloads_and_removals_and_changes_nothing() {
    use PlannedChange as Change;
    let mut bench = Bench::new();
    let conf = |text: &str| file("/etc/site.conf", text);
    let web = service("web", &[&conf("")], &[]);
    let run = command("newaliases", &[&conf("")]);
    let old =
        [conf("one\n"), web.clone(), run.clone(), removable(file("/etc/old", "x")), file("/etc/kept", "x")];
    bench.assign_and_run(&old).await;
    bench.settled().await;
    assert!(plan_of(&bench, None).await.resources.iter().all(|resource| resource.change == Change::None));

    let (writes, files) = (bench.host.writes(), bench.host.files());
    let next = [conf("two\n"), web, run, package("nginx")];
    let plan = plan_of(&bench, Some(&next)).await;
    assert_eq!(
        changes(&plan),
        [
            ("file:/etc/site.conf", Change::Change),
            ("service:web", Change::Reload),
            ("command:newaliases", Change::Run),
            ("package:nginx", Change::Change),
            ("file:/etc/kept", Change::Release),
            ("file:/etc/old", Change::Remove),
        ]
    );
    let conf = &plan.resources[0];
    assert!(conf.diff.as_deref().unwrap().contains("-one\n+two\n"), "{conf:?}");
    assert_eq!(conf.cause, Some(ChangeCause::Intentional));
    assert_eq!(plan.resources[1].detail, "file:/etc/site.conf changed");
    assert!(plan.resources[3].disruptive && !conf.disruptive);
    assert_eq!((bench.host.writes(), bench.host.files()), (writes, files));
    assert!(bench.ledger.recollect().pending.is_empty());

    // The run does what the plan said.
    bench.assign(&next);
    let reports = bench.run().await;
    for resource in &plan.resources[..4] {
        assert!(reports[resource.key.as_str()].change.is_some(), "{}", resource.key);
        assert_eq!(reports[resource.key.as_str()].diff, resource.diff);
    }
    assert!(plan_of(&bench, None).await.resources.iter().all(|resource| resource.change == Change::None));
}

#[tokio::test]
async fn drift_and_modes_are_told_apart_in_a_plan() {
    let mut bench = Bench::new();
    let mut watched = file("/etc/watched", "x");
    watched.mode = Mode::Report;
    let mut ignored = file("/etc/ignored", "x");
    ignored.mode = Mode::Ignore;
    let mut blocked = file("/etc/blocked", "x");
    blocked.depends_on = vec![key("file", "/srv")];
    bench.assign_and_run(&[file("/etc/a", "a"), watched, ignored, file("/srv", "x"), blocked]).await;
    bench.host.tamper("/etc/a", "by hand");
    let plan = plan_of(&bench, None).await;
    assert_eq!(
        changes(&plan),
        [
            ("file:/etc/a", PlannedChange::Change),
            ("file:/etc/watched", PlannedChange::Change),
            ("file:/etc/ignored", PlannedChange::None),
            ("file:/srv", PlannedChange::Unknown),
            ("file:/etc/blocked", PlannedChange::Skip),
        ]
    );
    assert_eq!(plan.resources[0].cause, Some(ChangeCause::Corrective));
    assert_eq!(plan.resources[1].mode, Mode::Report);
}

#[tokio::test]
async fn what_can_only_be_told_after_something_else_says_so() {
    let mut bench = Bench::new();
    bench.assign(&[]);
    let parent = folder("/srv/app");
    let mut below = file("/srv/app/settings/x", "x");
    below.depends_on = vec![parent.key.clone()];
    let plan = plan_of(&bench, Some(&[parent, below])).await;
    assert_eq!(plan.resources[1].change, PlannedChange::Change);
    // Over a file that is in the way now: whether it will be then, nobody knows.
    bench.host.tamper("/srv/tree", "a file");
    let first = file("/srv/first", "x");
    let mut tree = folder("/srv/tree");
    tree.depends_on = vec![first.key.clone()];
    let plan = plan_of(&bench, Some(&[first, tree])).await;
    assert_eq!(plan.resources[1].change, PlannedChange::Unknown);
    assert!(plan.resources[1].detail.starts_with("can only be told after file:/srv/first"));
}
