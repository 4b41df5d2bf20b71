//! Asking nodes what they would change, and what is on them.

use crate::world::{FLEET, World, admin};
use chrono::TimeDelta;
use muster_app::{Actor, AppError, FleetFiles, NewPlan, NodeHint, PlanState, PlanView, StoredFile, UserRole};
use muster_domain::{
    Digest, NodeId,
    assignment::Generation,
    inventory::{InstalledPackage, Inventory},
    observed::ChangeCause,
    plan::{NodePlan, PlannedChange, PlannedResource},
    resource::{DesiredState, Mode, ResourceKey},
};
use sqlx::PgPool;
use uuid::Uuid;

fn viewer() -> Actor {
    Actor { role: UserRole::Viewer, name: "vera".into(), ..admin() }
}

fn candidate(files: &str) -> NewPlan {
    let files = vec![StoredFile { path: "fleet.yaml".into(), content: files.into() }];
    NewPlan { files: Some(FleetFiles { files, expected_version: None }), ..NewPlan::default() }
}

fn answer(diff: &str) -> NodePlan {
    NodePlan {
        generation: Generation::new(1),
        revision: Digest::from_bytes([1; 32]),
        resources: vec![PlannedResource {
            key: ResourceKey::new("file", "/etc/motd"),
            change: PlannedChange::Change,
            mode: Mode::Enforce,
            cause: Some(ChangeCause::Intentional),
            disruptive: false,
            detail: "another content".to_owned(),
            diff: Some(diff.to_owned()),
        }],
        reboot_required: None,
    }
}

impl World {
    async fn plan(&self, new: NewPlan) -> PlanView {
        self.app.plan_create(&admin(), new).await.unwrap()
    }

    fn states(plan: &PlanView) -> Vec<(&str, &PlanState)> {
        plan.nodes.iter().map(|node| (node.node.as_str(), &node.state)).collect()
    }

    /// The files that a node would be given.
    fn candidate_files(&self, node: NodeId, plan: Uuid) -> Option<Vec<String>> {
        let candidate = self.app.plan_candidate(node, plan).unwrap()?;
        let statement = muster_proto::signing::plan_candidate_statement(node, plan, &candidate.revision);
        let keys = self.app.identity().signer.public_keys();
        assert!(muster_identity::signing::verify(&keys, &statement, &candidate.signature));
        assert_eq!(candidate.revision.as_bytes(), blake3::hash(&candidate.content).as_bytes());
        let content = muster_proto::convert::decode_content(&candidate.content).unwrap();
        let files = content.resources.into_iter().filter_map(|resource| match resource.desired {
            DesiredState::File(file) => Some(String::from_utf8(file.content).unwrap()),
            _ => None,
        });
        Some(files.collect())
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn nodes_are_asked_what_they_would_change_and_nothing_is_stored(pool: PgPool) {
    let world = World::new(pool);
    world.apply(&FLEET.replace("nodes:", "nodes:\n  web-3: {environment: staging}")).await;
    let (one, two) = (world.join("web-1").await, world.join("web-2").await);
    let before = world.app.assignment_get(one, None).await.unwrap().unwrap();
    let mut hints = world.app.hints().subscribe(one);

    let with_file = format!(
        "{}files: {{motd: {{path: /etc/motd, content: hello, on: {{nodes: [web-1]}}}}}}\n",
        FLEET.replace("nodes:", "nodes:\n  web-3: {environment: staging}")
    );
    let plan = world.plan(candidate(&with_file)).await;
    assert!(plan.candidate && !plan.finished);
    let away = PlanState::Problem("it is not connected to this controller".to_owned());
    let expected = [("web-1", &PlanState::Waiting), ("web-2", &away), ("web-3", &PlanState::Missing)];
    assert_eq!(World::states(&plan), expected);
    assert_eq!(hints.recv().await.unwrap(), NodeHint::PlanRequest { request_id: plan.id });
    assert!(hints.try_recv().is_err(), "nothing else changed");

    assert_eq!(world.candidate_files(one, plan.id), Some(vec!["hello".to_owned()]));
    assert!(world.app.plan_candidate(two, plan.id).is_err(), "nobody waits for it");
    assert!(world.app.plan_candidate(one, Uuid::now_v7()).is_err());
    let after = world.app.assignment_get(one, None).await.unwrap().unwrap();
    assert_eq!((after.generation, after.revision), (before.generation, before.revision));
    assert_eq!(world.app.fleet_configuration_get(&admin(), None).await.unwrap().version, 1);
    let audited: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_log WHERE action = 'plan_create'")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(audited, 1);

    world.app.plan_deliver(one, plan.id, Ok(answer("+hello\n"))).await.unwrap();
    let read = world.app.plan_get(&viewer(), plan.id).await.unwrap();
    assert!(read.finished);
    assert_eq!(read.nodes[0].state, PlanState::Planned(answer("+hello\n")));
    assert!(world.app.plan_deliver(one, plan.id, Ok(answer(""))).await.is_err(), "it has answered");
    assert!(world.app.plan_get(&admin(), Uuid::now_v7()).await.is_err());
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_plan_tells_no_secret_and_says_who_could_not_be_compiled(pool: PgPool) {
    let world = World::new(pool);
    world.apply(FLEET).await;
    world.app.secret_set(&admin(), "DB_PASSWORD", None, "hunter2-and-more".to_owned().into()).await.unwrap();
    let one = world.join("web-1").await;
    let _hints = world.app.hints().subscribe(one);

    // What is in force: nothing to hand out.
    let plan = world
        .app
        .plan_create(&viewer(), NewPlan { node: Some("web-1".into()), ..NewPlan::default() })
        .await
        .unwrap();
    assert_eq!(world.candidate_files(one, plan.id), None);
    world.app.plan_deliver(one, plan.id, Ok(answer("-hunter2-and-more\n"))).await.unwrap();
    let read = world.app.plan_get(&viewer(), plan.id).await.unwrap();
    assert_eq!(read.nodes[0].state, PlanState::Planned(answer("-[redacted]\n")));

    let plan = world.app.plan_create(&viewer(), NewPlan::default()).await.unwrap();
    let failed = Err("cannot read hunter2-and-more".to_owned());
    world.app.plan_deliver(one, plan.id, failed).await.unwrap();
    let read = world.app.plan_get(&viewer(), plan.id).await.unwrap();
    assert_eq!(read.nodes[0].state, PlanState::Problem("cannot read [redacted]".to_owned()));

    world.release("1").await;
    sqlx::query("INSERT INTO release_targets SELECT 'production', 'shop', id, now() FROM releases")
        .execute(&world.pool)
        .await
        .unwrap();
    let needs = FLEET.replace("script: server.js", "script: server.js, secrets: [MISSING]");
    let plan = world.plan(candidate(&needs)).await;
    let (_, PlanState::Problem(reason)) = World::states(&plan)[0] else { panic!("{plan:?}") };
    assert!(reason.contains("cannot be compiled") && reason.contains("MISSING"), "{reason}");
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_may_only_look_plans_what_is_in_force_and_nobody_plans_without_end(pool: PgPool) {
    let world = World::new(pool);
    world.apply(FLEET).await;
    let one = world.join("web-1").await;
    let _hints = world.app.hints().subscribe(one);
    let refused = world.app.plan_create(&viewer(), candidate(FLEET)).await.unwrap_err();
    assert!(matches!(refused, AppError::Forbidden { .. }), "{refused:?}");
    let typo = world.app.plan_create(&admin(), candidate("nodse: {}")).await.unwrap_err();
    assert!(matches!(typo, AppError::InvalidInput { code: "invalid_fleet_configuration", .. }));
    for unknown in [
        NewPlan { node: Some("web-9".into()), ..NewPlan::default() },
        NewPlan { environment: Some("nowhere".into()), ..NewPlan::default() },
        // An empty plan would look as if nothing changed.
        NewPlan { node: Some("web-9".into()), ..candidate(FLEET) },
        NewPlan { environment: Some("nowhere".into()), ..candidate(FLEET) },
    ] {
        let missing = world.app.plan_create(&admin(), unknown).await.unwrap_err();
        assert!(matches!(missing, AppError::NotFound { .. }), "{missing:?}");
    }
    let new = NewPlan { environment: Some("staging".into()), ..candidate(FLEET) };
    assert!(world.app.plan_create(&admin(), new).await.unwrap().nodes.is_empty(), "it has no nodes yet");
    for _ in 0..4 {
        world.app.plan_create(&viewer(), NewPlan::default()).await.unwrap();
    }
    let many = world.app.plan_create(&viewer(), NewPlan::default()).await.unwrap_err();
    assert!(matches!(many, AppError::TooManyRequests { .. }), "{many:?}");
    world.app.plan_create(&admin(), NewPlan::default()).await.unwrap();
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_agent_that_does_not_know_what_a_plan_is_is_not_waited_for(pool: PgPool) {
    let world = World::new(pool);
    world.apply(FLEET).await;
    let (one, two) = (world.join("web-1").await, world.join("web-2").await);
    let _hints = (world.app.hints().subscribe(one), world.app.hints().subscribe(two));
    let plan = world.plan(NewPlan::default()).await;
    assert!(world.app.plan_candidate(two, plan.id).unwrap().is_none());
    world.clock.advance(TimeDelta::seconds(9));
    let read = world.app.plan_get(&admin(), plan.id).await.unwrap();
    let (_, PlanState::Problem(reason)) = World::states(&read)[0] else { panic!("{read:?}") };
    assert!(reason.contains("may be too old"), "{reason}");
    assert_eq!(World::states(&read)[1].1, &PlanState::Waiting, "it has taken the request up");
    world.clock.advance(TimeDelta::seconds(60));
    let read = world.app.plan_get(&admin(), plan.id).await.unwrap();
    assert!(read.finished);
    world.clock.advance(TimeDelta::minutes(10));
    assert!(world.app.plan_get(&admin(), plan.id).await.is_err(), "it is forgotten");
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_on_a_host_becomes_a_part_of_a_fleet_file(pool: PgPool) {
    let world = World::new(pool);
    world.apply(FLEET).await;
    let node = world.join("web-1").await;
    let away = world.app.node_inspect(&admin(), "web-1").await.unwrap_err();
    assert!(matches!(away, AppError::Conflict { code: "node_not_connected", .. }), "{away:?}");

    let mut hints = world.app.hints().subscribe(node);
    let app = world.app.clone();
    let asking = tokio::spawn(async move { app.node_inspect(&admin(), "web-1").await });
    let NodeHint::InspectRequest { request_id } = hints.recv().await.unwrap() else { panic!("another hint") };
    let packages = vec![InstalledPackage { name: "nginx".into(), version: "1.22".into(), held: false }];
    let inventory = Inventory { packages, ..Inventory::default() };
    let foreign =
        world.app.inspection_deliver(NodeId::from_uuid(Uuid::nil()), request_id, Ok(inventory.clone()));
    assert!(foreign.is_err(), "another node was asked");
    world.app.inspection_deliver(node, request_id, Ok(inventory.clone())).unwrap();
    let found = asking.await.unwrap().unwrap();
    assert_eq!(found.inventory, inventory);
    assert_eq!(found.proposal.fragment, "packages:\n  nginx:\n    on:\n      nodes: [web-1]\n");
    assert!(world.app.inspection_deliver(node, request_id, Ok(inventory)).is_err(), "nobody waits any more");
}
