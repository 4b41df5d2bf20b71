use super::test_fleet::Fleet;
use super::*;
use aws_lc_rs::signature::Ed25519KeyPair;
use muster_domain::NodeId;
use muster_domain::event::Severity;
use muster_domain::resource::DesiredState;

fn refusal(offered: Offered) -> String {
    match offered {
        Offered::Refused(refused) => refused.reason,
        other => panic!("not refused: {other:?}"),
    }
}

fn accept(ledger: &Ledger, signed: &v1::SignedAssignment) {
    assert!(matches!(ledger.offer(signed).unwrap(), Offered::Accepted(_)));
}

#[test]
fn what_was_accepted_is_in_force_after_a_restart() {
    let (fleet, dir) = (Fleet::new(), tempfile::tempdir().unwrap());
    let (ledger, oddities) = fleet.open(dir.path());
    assert!(oddities.is_empty() && ledger.current().is_none());
    accept(&ledger, &fleet.assignment(3, "secret word"));
    assert!(matches!(ledger.offer(&fleet.assignment(3, "secret word")).unwrap(), Offered::Known));
    drop(ledger);
    let (ledger, oddities) = fleet.open(dir.path());
    assert_eq!(oddities, []);
    assert_eq!(ledger.current().unwrap().generation.get(), 3);
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(path).unwrap();
            assert!(!bytes.windows(11).any(|window| window == b"secret word"));
        }
    }
}

#[test]
fn older_generations_and_other_content_are_refused_and_the_last_good_one_stays() {
    let (fleet, dir) = (Fleet::new(), tempfile::tempdir().unwrap());
    let (ledger, _) = fleet.open(dir.path());
    accept(&ledger, &fleet.assignment(3, "three"));
    let reason = refusal(ledger.offer(&fleet.assignment(2, "two")).unwrap());
    assert_eq!(reason, "generation 2 is older than 3, which this node already has");
    let reason = refusal(ledger.offer(&fleet.assignment(3, "other")).unwrap());
    assert!(reason.starts_with("generation 3 already has revision"), "{reason}");
    refusal(ledger.offer(&fleet.assignment(0, "zero")).unwrap());
    assert_eq!(ledger.current().unwrap().generation.get(), 3);
    accept(&ledger, &fleet.assignment(4, "four"));
}

#[test]
fn whatever_is_changed_on_the_way_is_refused() {
    let (fleet, dir) = (Fleet::new(), tempfile::tempdir().unwrap());
    let (ledger, _) = fleet.open(dir.path());
    let good = fleet.assignment(3, "three");
    let mut generation = good.clone();
    generation.generation = 9;
    let mut content = good.clone();
    content.content.push(0);
    let mut signature = good.clone();
    signature.signature[0] ^= 1;
    let foreign = Fleet { key: Ed25519KeyPair::generate().unwrap(), node: fleet.node }.assignment(3, "three");
    let other_node = Fleet { node: NodeId::from_uuid(uuid::Uuid::from_u128(6)), ..Fleet::new() };
    let garbage = v1::SignedAssignment { generation: 7, ..v1::SignedAssignment::default() };
    for bad in [generation, content, signature, foreign, other_node.assignment(3, "three"), garbage] {
        refusal(ledger.offer(&bad).unwrap());
    }
    assert!(ledger.current().is_none());
    accept(&ledger, &good);
}

#[test]
fn an_assignment_that_contradicts_itself_is_refused_though_it_is_signed() {
    let (fleet, dir) = (Fleet::new(), tempfile::tempdir().unwrap());
    let (ledger, _) = fleet.open(dir.path());
    let symlink = muster_domain::resource::Symlink { path: "/a".into(), target: "b".into() };
    let key = ResourceKey::new("symlink", "/a");
    let resource = Resource::new(key.clone(), vec![key], DesiredState::Symlink(symlink));
    let content = AssignmentContent { resources: vec![resource] };
    let reason = refusal(ledger.offer(&fleet.sign(1, &content)).unwrap());
    assert!(reason.contains("circle"), "{reason}");
}

#[test]
fn a_damaged_ledger_is_kept_aside_told_and_still_refuses_older_generations() {
    let (fleet, dir) = (Fleet::new(), tempfile::tempdir().unwrap());
    let (ledger, _) = fleet.open(dir.path());
    accept(&ledger, &fleet.assignment(5, "five"));
    let current = ledger.current().unwrap();
    ledger.note_converged(&current, []).unwrap();
    drop(ledger);
    std::fs::write(dir.path().join(ASSIGNMENT), "noise").unwrap();
    let (ledger, oddities) = fleet.open(dir.path());
    assert_eq!(oddities.len(), 1);
    assert!(oddities[0].message.contains("damaged"), "{oddities:?}");
    assert_eq!(std::fs::read(dir.path().join("assignment.bin.damaged-1000")).unwrap(), b"noise");
    assert!(ledger.current().is_none());
    refusal(ledger.offer(&fleet.assignment(4, "four")).unwrap());
    refusal(ledger.offer(&fleet.assignment(5, "other")).unwrap());
    accept(&ledger, &fleet.assignment(5, "five"));
}

#[test]
fn a_sealed_file_cannot_take_the_place_of_another() {
    let (fleet, dir) = (Fleet::new(), tempfile::tempdir().unwrap());
    let (ledger, _) = fleet.open(dir.path());
    accept(&ledger, &fleet.assignment(1, "one"));
    drop(ledger);
    std::fs::rename(dir.path().join(ASSIGNMENT), dir.path().join(STATE)).unwrap();
    let (ledger, oddities) = fleet.open(dir.path());
    assert_eq!((ledger.current().is_none(), oddities.len()), (true, 1));
}

#[test]
fn what_is_in_force_is_remembered_and_written_only_when_it_is_news() {
    let (fleet, dir) = (Fleet::new(), tempfile::tempdir().unwrap());
    let (ledger, _) = fleet.open(dir.path());
    accept(&ledger, &fleet.assignment(1, "one"));
    let current = ledger.current().unwrap();
    let key = current.content.resources[0].key.clone();
    let note = |ledger: &Ledger| {
        let resource = &current.content.resources[0];
        ledger.note_converged(&current, [(resource, current.resource_digests[0])]).unwrap()
    };
    note(&ledger);
    std::fs::remove_file(dir.path().join(STATE)).unwrap();
    note(&ledger);
    assert!(!dir.path().join(STATE).exists());
    assert_eq!(ledger.converged(&key), Some(current.resource_digests[0]));
}

fn event(text: &str) -> QueuedReport {
    QueuedReport::event("test.happened", Severity::Info, text, 1)
}

fn refused(generation: u64) -> QueuedReport {
    QueuedReport::Refusal { generation: Generation::new(generation), reason: "no".into(), at_ms: 1 }
}

fn convergence() -> QueuedReport {
    QueuedReport::Convergence(muster_domain::observed::ConvergenceReport {
        sequence: 0,
        generation: Generation::new(1),
        revision: Digest::from_bytes([0; 32]),
        started_at: chrono::DateTime::UNIX_EPOCH,
        finished_at: chrono::DateTime::UNIX_EPOCH,
        resources: vec![],
        reboot_required: None,
    })
}

#[test]
fn numbers_of_reports_never_fall() {
    let dir = tempfile::tempdir().unwrap();
    let queue = ReportQueue::open(dir.path(), 1000, Arc::default()).unwrap();
    let first = queue.push(event("a"));
    assert_eq!(first, 1001);
    let second = queue.push(event("b"));
    queue.forget_through(second);
    assert!(queue.is_empty());
    drop(queue);
    let queue = ReportQueue::open(dir.path(), 5, Arc::default()).unwrap();
    assert_eq!(queue.push(event("c")), second + 1);
    drop(queue);
    let queue = ReportQueue::open(dir.path(), 5, Arc::default()).unwrap();
    assert_eq!(queue.len(), 1);
    assert_eq!(queue.batch(10, 1 << 20).len(), 1);
    assert_eq!(queue.push(event("d")), second + 2);
}

#[test]
fn a_full_queue_drops_the_oldest_convergence_reports_first() {
    let dir = tempfile::tempdir().unwrap();
    let queue = ReportQueue::open_bounded(dir.path(), 0, Arc::default(), 10, 1 << 20).unwrap();
    queue.push(refused(1));
    queue.push(event("kept"));
    for _ in 0..10 {
        queue.push(convergence());
    }
    assert_eq!((queue.len(), queue.dropped()), (10, 2));
    let kept = queue.batch(3, 1 << 20);
    let kinds: Vec<bool> =
        kept.iter().map(|report| matches!(report.report, Some(v1::report::Report::Convergence(_)))).collect();
    assert_eq!(kinds, [false, false, true]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 10);
}

#[test]
fn a_damaged_report_does_not_hold_up_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let queue = ReportQueue::open(dir.path(), 0, Arc::default()).unwrap();
    queue.push(event("a"));
    queue.push(event("b"));
    drop(queue);
    std::fs::write(dir.path().join(format!("{:020}.json", 1)), "{").unwrap();
    let queue = ReportQueue::open(dir.path(), 0, Arc::default()).unwrap();
    assert_eq!(queue.batch(10, 1 << 20).len(), 1);
}

#[test]
fn reports_are_kept_in_memory_while_the_disk_takes_none() {
    let dir = tempfile::tempdir().unwrap();
    let queue = ReportQueue::open(dir.path(), 0, Arc::default()).unwrap();
    std::fs::remove_dir(dir.path()).unwrap();
    queue.push(event("the disk is full"));
    assert_eq!(queue.batch(10, 1 << 20).len(), 1);
}

#[test]
fn what_was_sent_is_not_sent_again_and_again_while_the_disk_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let queue = ReportQueue::open(dir.path(), 0, Arc::default()).unwrap();
    let first = queue.push(event("a"));
    // A folder in its place: the number cannot be written, as on a full disk.
    let number = dir.path().join("last-sequence.new");
    std::fs::create_dir(&number).unwrap();
    queue.forget_through(first);
    assert!(queue.batch(10, 1 << 20).is_empty(), "the caller sends until nothing is left");
    let second = queue.push(event("b"));
    assert_eq!(queue.batch(10, 1 << 20).len(), 1);
    std::fs::remove_dir(&number).unwrap();
    queue.forget_through(second);
    assert!(queue.is_empty());
    drop(queue);
    assert_eq!(ReportQueue::open(dir.path(), 0, Arc::default()).unwrap().push(event("c")), second + 1);
}

#[test]
fn a_report_that_quotes_a_megabyte_leaves_room_for_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let queue = ReportQueue::open_bounded(dir.path(), 0, Arc::default(), 10, 1 << 20).unwrap();
    for _ in 0..5 {
        queue.push(event(&"x".repeat(1 << 20)));
    }
    assert_eq!((queue.len(), queue.dropped()), (5, 0));
}

#[test]
fn what_a_broken_off_assignment_lets_go_is_still_declared() {
    use muster_domain::resource::{Command, DesiredState, Resource, ResourceKey};
    let (fleet, dir) = (Fleet::new(), tempfile::tempdir().unwrap());
    let path = dir.path().join("ledger");
    let command = |name: &str| {
        let command = Command {
            name: name.into(),
            run: "true".into(),
            unless: Some("true".into()),
            creates: None,
            only_on_change: false,
            user: None,
            cwd: None,
            timeout_ms: 1000,
        };
        Resource::new(ResourceKey::new("command", name), vec![], DesiredState::Command(command))
    };
    let content = |resources: &[Resource]| AssignmentContent { resources: resources.to_vec() };
    let (ledger, _) = fleet.open(&path);
    ledger.offer(&fleet.sign(1, &content(&[command("a"), command("b")]))).unwrap();
    let next = fleet.sign(2, &content(&[command("b")]));
    ledger.die_after_writes(Some(1));
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ledger.offer(&next).map(drop)));
    died.unwrap_err();
    let (ledger, _) = fleet.open(&path);
    assert_eq!(ledger.current().unwrap().generation, Generation::new(1));
    assert_eq!(ledger.released(), []);
    ledger.offer(&next).unwrap();
    let released: Vec<String> =
        ledger.released().iter().map(|entry| entry.resource.key.to_string()).collect();
    assert_eq!(released, ["command:a"]);
}
