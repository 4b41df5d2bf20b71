//! What nodes report of their resources, and what people say about them.

use crate::world::{FLEET, World, admin};
use chrono::TimeDelta;
use muster_app::{AppError, NewMode, NodeQuery, NodeReport, PageRequest};
use muster_domain::{
    ApplicationName, Digest, EnvironmentName, NodeId, ReleaseVersion,
    assignment::Generation,
    node::Convergence,
    observed::{ChangeCause, ConvergenceReport, ResourceReport, ResourceStatus},
    resource::{Mode, ResourceKey},
    turn::{TurnKind, TurnOutcome, TurnRequest},
};
use sqlx::PgPool;

const MOTD: &str = "file:/etc/motd";

/// The fleet with one file on every node.
fn with_file(content: &str) -> String {
    format!("{FLEET}files: {{motd: {{path: /etc/motd, content: {content}}}}}\n")
}

fn resource(status: ResourceStatus, change: Option<ChangeCause>, diff: Option<&str>) -> ResourceReport {
    ResourceReport {
        status,
        change,
        detail: "another content".to_owned(),
        diff: diff.map(str::to_owned),
        ..ResourceReport::converged(ResourceKey::parse(MOTD).unwrap())
    }
}

impl World {
    async fn report(&self, node: NodeId, sequence: u64, resource: ResourceReport, reboot: Option<&str>) {
        let name =
            muster_db::reports::node_name(&mut self.app.db().conn().await.unwrap(), node).await.unwrap();
        let shown = self.app.node_get(&admin(), name.unwrap().as_str()).await.unwrap();
        let report = ConvergenceReport {
            sequence,
            generation: shown.overview.generation,
            revision: Digest::from_bytes([1; 32]),
            started_at: self.app.now(),
            finished_at: self.app.now(),
            resources: vec![resource],
            reboot_required: reboot.map(str::to_owned),
        };
        self.app.reports_store(node, vec![NodeReport::Convergence(report)]).await.unwrap();
    }

    async fn mode(
        &self,
        resource: Option<&str>,
        mode: Mode,
        expires_in: Option<TimeDelta>,
    ) -> Result<usize, AppError> {
        let resource = resource.map(str::to_owned);
        let reason = "looking into it".to_owned();
        let new = NewMode { resource, mode, reason, expires_in };
        Ok(self.app.node_set_mode(&admin(), "web-1", new).await?.len())
    }

    /// The modes in the assignment of web-1, by resource.
    async fn assigned(&self, node: NodeId) -> Vec<(String, Mode)> {
        let assignment = self.app.assignment_get(node, None).await.unwrap().unwrap();
        let content = muster_proto::convert::decode_content(&assignment.content).unwrap();
        content.resources.into_iter().map(|r| (r.key.to_string(), r.mode)).collect()
    }

    async fn generation(&self) -> Generation {
        self.app.node_get(&admin(), "web-1").await.unwrap().overview.generation
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn drift_is_told_apart_from_what_was_asked_for(pool: PgPool) {
    use ResourceStatus::{Converged, Drifted, Waiting};
    let world = World::new(pool);
    world.apply(&with_file("hello")).await;
    let node = world.join("web-1").await;
    let standing = async || world.app.node_get(&admin(), "web-1").await.unwrap().overview.convergence;
    assert_eq!(standing().await, Convergence::Pending);

    world.report(node, 1, resource(Waiting, None, Some("+hello\n")), None).await;
    assert_eq!(standing().await, Convergence::Waiting);
    world.report(node, 2, resource(Converged, Some(ChangeCause::Intentional), Some("+hello\n")), None).await;
    assert_eq!(standing().await, Convergence::Converged);
    let told = world.events("node.converged").await.pop().unwrap().message;
    assert!(told.ends_with("1 resource changed (file:/etc/motd)"), "{told}");

    world
        .report(node, 3, resource(Converged, Some(ChangeCause::Corrective), Some("-hi\n+hello\n")), None)
        .await;
    assert_eq!(world.events("resource.corrected").await.len(), 1);
    let drifted = ResourceReport { mode: Mode::Report, ..resource(Drifted, None, Some("-hi\n+hello\n")) };
    world.report(node, 4, drifted.clone(), Some("linux-image")).await;
    world.report(node, 5, drifted, Some("linux-image")).await;
    assert_eq!(standing().await, Convergence::Drifted);
    assert_eq!(world.events("resource.drifted").await.len(), 1, "it is told when it begins");
    assert_eq!(world.events("node.reboot_required").await.len(), 1);
    let query = NodeQuery { convergence: Some("drifted".to_owned()), ..NodeQuery::default() };
    assert_eq!(world.app.node_list(&admin(), &query).await.unwrap().items.len(), 1);
    let odd = NodeQuery { convergence: Some("fine".to_owned()), ..NodeQuery::default() };
    assert!(matches!(world.app.node_list(&admin(), &odd).await, Err(AppError::InvalidInput { .. })));
    let overview = world.app.overview_get(&admin()).await.unwrap();
    assert_eq!((overview.convergence.drifted, overview.convergence.converged), (1, 0));
    assert_eq!(overview.environments.iter().map(|e| e.convergence.drifted).sum::<u32>(), 1);
    assert_eq!(overview.attention.len(), 2, "drift and a restart: {:?}", overview.attention);

    let full = world.app.resource_get(&admin(), "web-1", MOTD).await.unwrap();
    assert_eq!(full.diff.as_deref(), Some("-hi\n+hello\n"));
    let causes: Vec<_> = full.changes.iter().map(|change| change.cause).collect();
    assert_eq!(causes, [ChangeCause::Corrective, ChangeCause::Intentional]);
    let page = PageRequest { limit: Some(1), cursor: None };
    let first = world.app.resource_change_list(&admin(), "web-1", None, &page).await.unwrap();
    let next = PageRequest { limit: Some(1), cursor: first.next };
    let second = world.app.resource_change_list(&admin(), "web-1", Some(MOTD), &next).await.unwrap();
    assert_eq!((second.items[0].cause, second.next), (ChangeCause::Intentional, None));
    let missing = world.app.resource_get(&admin(), "web-1", "file:/etc/other").await.unwrap_err();
    assert!(matches!(missing, AppError::NotFound { .. }));

    world.clock.advance(TimeDelta::days(200));
    world.app.resource_changes_maintain().await.unwrap();
    assert!(world.app.resource_get(&admin(), "web-1", MOTD).await.unwrap().changes.is_empty());
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_secret_is_in_no_difference_even_when_the_agent_left_it_there(pool: PgPool) {
    let world = World::new(pool);
    world.apply(&with_file("hello")).await;
    world.app.secret_set(&admin(), "DB_PASSWORD", None, "hunter2-and-more".to_owned().into()).await.unwrap();
    let node = world.join("web-1").await;
    let leak = ResourceReport {
        detail: "password hunter2-and-more".to_owned(),
        ..resource(
            ResourceStatus::Converged,
            Some(ChangeCause::Corrective),
            Some("-password=hunter2-and-more\n"),
        )
    };
    world.report(node, 1, leak, None).await;
    let full = world.app.resource_get(&admin(), "web-1", MOTD).await.unwrap();
    assert_eq!(full.change_diff.as_deref(), Some("-password=[redacted]\n"));
    assert_eq!(full.changes[0].diff.as_deref(), Some("-password=[redacted]\n"));
    let told = world.events("resource.corrected").await.pop().unwrap().message;
    assert!(told.ends_with("password [redacted]"), "{told}");

    // What failed quotes what a program printed, without a difference.
    let quoted = ResourceReport {
        detail: "it ended with 1: no access with hunter2-and-more".to_owned(),
        ..resource(ResourceStatus::Failed, None, None)
    };
    world.report(node, 2, quoted, Some("hunter2-and-more")).await;
    let shown = world.app.node_get(&admin(), "web-1").await.unwrap();
    assert_eq!(shown.resources[0].detail, "it ended with 1: no access with [redacted]");
    assert_eq!(shown.overview.reboot_required.as_deref(), Some("[redacted]"));
    let asked = TurnRequest {
        generation: Generation::new(1),
        kind: TurnKind::Change,
        cause: ChangeCause::Intentional,
        reason: "run command:migrate".to_owned(),
    };
    world.app.turn_request(node, &asked).await.unwrap();
    let failed = TurnOutcome::Failed { detail: "no access with hunter2-and-more".to_owned() };
    world.app.turn_give_back(node, Generation::new(1), &failed).await.unwrap();
    let turn = world.app.turn_list(&admin(), None).await.unwrap().remove(0);
    assert_eq!(turn.detail, "no access with [redacted]");
    let refusal = NodeReport::Refusal {
        sequence: 3,
        generation: Generation::new(1),
        reason: "hunter2-and-more cannot stand here".to_owned(),
    };
    world.app.reports_store(node, vec![refusal]).await.unwrap();
    let events = sqlx::query_scalar::<_, String>("SELECT message FROM events").fetch_all(&world.pool).await;
    let leaks: Vec<_> = events.unwrap().into_iter().filter(|text| text.contains("hunter2")).collect();
    assert_eq!(leaks, Vec::<String>::new());
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_mode_that_a_person_sets_holds_the_agent_back_until_it_is_lifted(pool: PgPool) {
    let world = World::new(pool);
    world.apply(&with_file("hello")).await;
    let node = world.join("web-1").await;
    let first = world.generation().await;
    assert_eq!(world.assigned(node).await, [(MOTD.to_owned(), Mode::Enforce)]);

    let mut hints = world.app.hints().subscribe(node);
    assert_eq!(world.mode(None, Mode::Report, Some(TimeDelta::hours(1))).await.unwrap(), 1);
    assert_eq!(hints.recv().await.unwrap(), muster_app::NodeHint::AssignmentChanged);
    assert_eq!(world.assigned(node).await, [(MOTD.to_owned(), Mode::Report)]);
    assert_eq!(world.mode(Some(MOTD), Mode::Ignore, None).await.unwrap(), 2);
    assert_eq!(world.assigned(node).await, [(MOTD.to_owned(), Mode::Ignore)], "the strictest holds");
    assert_eq!(world.generation().await, first.next().next());
    let shown = world.app.node_get(&admin(), "web-1").await.unwrap();
    assert_eq!((shown.overview.mode, shown.overview.mode_override_count), (Mode::Report, 2));

    // A rollout would fail there, so it is refused.
    world.release("1").await;
    let (shop, production) =
        (ApplicationName::parse("shop").unwrap(), EnvironmentName::parse("production").unwrap());
    let version = ReleaseVersion::parse("1").unwrap();
    let refused = world.app.rollout_start(&admin(), &shop, &production, &version).await.unwrap_err();
    assert!(matches!(refused, AppError::Conflict { code: "node_not_enforced", .. }), "{refused:?}");

    // So it is where the fleet files say it.
    world.join("web-2").await;
    let file = with_file("hello");
    let held = file
        .replace("web-2: {environment: production", "web-2: {enforcement: report, environment: production");
    world.apply(&held).await;
    world.mode(None, Mode::Enforce, None).await.unwrap();
    let refused = world.app.rollout_start(&admin(), &shop, &production, &version).await.unwrap_err();
    let AppError::Conflict { code: "node_not_enforced", detail, hint } = refused else {
        panic!("{refused:?}")
    };
    assert!(detail.contains("web-2 has the mode report"), "{detail}");
    assert!(hint.unwrap().contains("`enforcement: report`"));
    world.apply(&file).await;
    assert_eq!(world.mode(None, Mode::Report, Some(TimeDelta::hours(1))).await.unwrap(), 2);

    assert_eq!(world.mode(Some(MOTD), Mode::Enforce, None).await.unwrap(), 1);
    assert_eq!(world.assigned(node).await, [(MOTD.to_owned(), Mode::Report)]);
    world.app.mode_overrides_expire().await.unwrap();
    assert_eq!(world.assigned(node).await, [(MOTD.to_owned(), Mode::Report)], "it has not run out");
    world.clock.advance(TimeDelta::hours(1));
    world.app.mode_overrides_expire().await.unwrap();
    assert_eq!(world.assigned(node).await, [(MOTD.to_owned(), Mode::Enforce)]);
    assert_eq!(world.events("node.mode_set").await.len(), 6);

    for (resource, mode, expires_in, code) in [
        (Some("file:/etc/mtod"), Mode::Report, None, "not_found"),
        (Some("nonsense"), Mode::Report, None, "not_found"),
        (None, Mode::Report, Some(TimeDelta::zero()), "invalid_duration"),
        (None, Mode::Report, Some(TimeDelta::days(400)), "invalid_duration"),
    ] {
        match world.mode(resource, mode, expires_in).await.unwrap_err() {
            AppError::NotFound { .. } => assert_eq!(code, "not_found"),
            AppError::InvalidInput { code: found, .. } => assert_eq!(found, code),
            other => panic!("{other:?}"),
        }
    }
    let silent = NewMode { resource: None, mode: Mode::Ignore, reason: " ".to_owned(), expires_in: None };
    let refused = world.app.node_set_mode(&admin(), "web-1", silent).await.unwrap_err();
    assert!(matches!(refused, AppError::InvalidInput { code: "reason_missing", .. }));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_rollout_to_a_node_that_the_fleet_files_hold_back_is_refused(pool: PgPool) {
    let world = World::new(pool);
    world.apply(FLEET).await;
    world.join("web-1").await;
    world.release("1").await;
    let (shop, production) =
        (ApplicationName::parse("shop").unwrap(), EnvironmentName::parse("production").unwrap());
    let version = ReleaseVersion::parse("1").unwrap();
    let web = "web-1: {environment: production";
    for (declared, held) in [
        ("environments: {production: {}", "environments: {production: {enforcement: report}".to_owned()),
        (web, format!("{web}, enforcement: ignore")),
    ] {
        let fleet = FLEET.replace(declared, &held);
        assert_ne!(fleet, FLEET);
        world.apply(&fleet).await;
        let refused = world.app.rollout_start(&admin(), &shop, &production, &version).await.unwrap_err();
        assert!(matches!(refused, AppError::Conflict { code: "node_not_enforced", .. }), "{refused:?}");
    }
    world.apply(FLEET).await;
    world.app.rollout_start(&admin(), &shop, &production, &version).await.unwrap();
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_restart_is_wanted_until_the_node_has_done_just_that(pool: PgPool) {
    let world = World::new(pool);
    world.apply(FLEET).await;
    let node = world.join("web-1").await;
    assert_eq!(world.beat_after(node, None).await.reboot, None);
    let wanted = world.app.node_reboot(&admin(), "web-1", "a new kernel", false).await.unwrap();
    assert_eq!(world.beat_after(node, None).await.reboot, Some(wanted.clone()));
    let newer = world.app.node_reboot(&admin(), "web-1", "another kernel", true).await.unwrap();
    assert_eq!(
        world.beat_after(node, Some(wanted.id)).await.reboot,
        Some(newer.clone()),
        "that was the former wish"
    );
    assert_eq!(world.app.node_get(&admin(), "web-1").await.unwrap().reboot_request, Some(newer.clone()));
    assert_eq!(world.beat_after(node, Some(newer.id)).await.reboot, None);
    assert_eq!(world.beat_after(node, Some(newer.id)).await.reboot, None);
    assert_eq!(world.events("node.rebooted").await.len(), 1);

    world.app.node_reboot(&admin(), "web-1", "a third", false).await.unwrap();
    world.app.node_reboot_cancel(&admin(), "web-1").await.unwrap();
    assert_eq!(world.beat_after(node, Some(newer.id)).await.reboot, None);
    let nothing = world.app.node_reboot_cancel(&admin(), "web-1").await.unwrap_err();
    assert!(matches!(nothing, AppError::Conflict { code: "no_reboot_requested", .. }));
    let why = world.app.node_reboot(&admin(), "web-1", "two\nlines", false).await.unwrap_err();
    assert!(matches!(why, AppError::InvalidInput { code: "reason_missing", .. }));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_host_that_takes_a_nodes_place_inherits_nothing_of_the_former(pool: PgPool) {
    let world = World::new(pool);
    world.apply(&with_file("hello")).await;
    let node = world.join("web-1").await;
    let drifted = ResourceReport {
        mode: Mode::Report,
        change: Some(ChangeCause::Corrective),
        ..resource(ResourceStatus::Drifted, None, Some("-hi\n+hello\n"))
    };
    world.report(node, 1, drifted, Some("linux-image")).await;
    world.app.node_reboot(&admin(), "web-1", "it is stuck", true).await.unwrap();
    let asked = TurnRequest {
        generation: Generation::new(1),
        kind: TurnKind::Change,
        cause: ChangeCause::Intentional,
        reason: "restart service:nginx.service".to_owned(),
    };
    world.app.turn_request(node, &asked).await.unwrap();
    let failed = TurnOutcome::Failed { detail: "nginx refused it".to_owned() };
    world.app.turn_give_back(node, Generation::new(1), &failed).await.unwrap();

    world.app.node_revoke(&admin(), &"web-1".parse().unwrap()).await.unwrap();
    let fresh = world.join("web-1").await;
    assert_eq!(fresh, node, "the row is the node's, whichever host it is");
    assert_eq!(world.beat_after(fresh, None).await.reboot, None, "the new host is not to be restarted");
    let shown = world.app.node_get(&admin(), "web-1").await.unwrap();
    assert_eq!((shown.overview.resource_count, shown.overview.drifted_count), (0, 0));
    assert_eq!((shown.overview.reboot_required, shown.reboot_request), (None, None));
    assert!(shown.turn.is_none() && world.app.turn_list(&admin(), None).await.unwrap().is_empty());
    let changes = world.app.resource_change_list(&admin(), "web-1", None, &PageRequest::default()).await;
    assert!(changes.unwrap().items.is_empty());
}
