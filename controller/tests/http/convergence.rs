//! What hosts are and should be, over REST.

use crate::world::World;
use axum::http::Method;
use muster_app::{Actor, DEFAULT_INVITATION_LIFE, EnrolRequest, InviteRequest, NodeReport};
use muster_domain::{
    Digest, EnvironmentName, NodeId, NodeName, UserId,
    assignment::Generation,
    node::{HostFacts, Role},
    observed::{ChangeCause, ConvergenceReport, ResourceReport, ResourceStatus},
    plan::{NodePlan, PlannedChange, PlannedResource},
    resource::{Mode, ResourceKey},
    turn::{TurnKind, TurnOutcome, TurnRequest},
    user::UserRole,
};
use muster_identity::JoinToken;
use secrecy::ExposeSecret as _;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

async fn join(world: &World, name: &str) -> NodeId {
    let actor = Actor {
        user: UserId::from_uuid(Uuid::nil()),
        name: "amara".into(),
        role: UserRole::Admin,
        address: None,
    };
    let request = InviteRequest {
        name: NodeName::parse(name).unwrap(),
        environment: EnvironmentName::parse("production").unwrap(),
        roles: vec![Role::AppServer],
        life: DEFAULT_INVITATION_LIFE,
        replace: false,
    };
    let invitation = world.app.node_invite(&actor, request).await.unwrap();
    let token = JoinToken::parse(invitation.token.expose_secret()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let request = EnrolRequest {
        token_id: JoinToken::id_text(token.id),
        token_secret: token.secret.clone(),
        csr_der: rcgen::CertificateParams::default().serialize_request(&key).unwrap().der().to_vec(),
        facts: HostFacts::default(),
        address: None,
    };
    world.app.node_enrol(request).await.unwrap().node_id
}

fn drifted() -> ConvergenceReport {
    ConvergenceReport {
        sequence: 1,
        generation: Generation::new(1),
        revision: Digest::from_bytes([1; 32]),
        started_at: chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
        finished_at: chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
        resources: vec![
            ResourceReport {
                status: ResourceStatus::Drifted,
                mode: Mode::Report,
                detail: "another content".into(),
                diff: Some("-hi\n+hello\n".into()),
                ..ResourceReport::converged(ResourceKey::new("file", "/etc/motd"))
            },
            ResourceReport {
                change: Some(ChangeCause::Corrective),
                diff: Some("running: no\n".into()),
                ..ResourceReport::converged(ResourceKey::new("service", "nginx.service"))
            },
        ],
        reboot_required: Some("linux-image".into()),
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_node_shows_what_differs_what_was_changed_and_what_it_waits_for(pool: PgPool) {
    let world = World::new(pool).await;
    world.declare().await;
    let (one, two) = (join(&world, "app-1").await, join(&world, "app-2").await);
    world.app.reports_store(one, vec![NodeReport::Convergence(drifted())]).await.unwrap();

    let node = world.get("/api/v1/nodes/app-1").await.json();
    assert_eq!(node["convergence"], "drifted");
    assert_eq!((&node["drifted_count"], &node["resource_count"]), (&json!(1), &json!(2)));
    assert_eq!(node["reboot_required"], "linux-image");
    assert_eq!(
        (&node["resources"][0]["differs"], &node["resources"][0]["mode"]),
        (&json!(true), &json!("report"))
    );
    let listed = world.get("/api/v1/nodes?convergence=drifted").await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        world.get("/api/v1/nodes?convergence=fine").await.problem(),
        (422, "invalid_convergence".into())
    );
    assert_eq!(world.get("/api/v1/overview").await.json()["convergence"]["drifted"], 1);

    let resource = world.get("/api/v1/nodes/app-1/resource?key=file:/etc/motd").await.json();
    assert_eq!((&resource["diff"], &resource["key"]), (&json!("-hi\n+hello\n"), &json!("file:/etc/motd")));
    let unknown = world.get("/api/v1/nodes/app-1/resource?key=file:/etc/mtod").await;
    assert_eq!(unknown.problem(), (404, "not_found".into()));
    for odd in ["nodes/app-1/resource?key=%00", "nodes/app-1/changes?key=a%00b", "nodes/%00"] {
        let refused = world.get(&format!("/api/v1/{odd}")).await;
        assert_eq!(refused.problem(), (422, "invalid_text".into()), "{odd}");
    }
    let changes = world.get("/api/v1/nodes/app-1/changes").await.json();
    assert_eq!(changes["items"][0]["cause"], "corrective");
    assert_eq!(changes["items"][0]["diff"], "running: no\n");

    let asked = TurnRequest {
        generation: Generation::new(1),
        kind: TurnKind::Reboot,
        cause: ChangeCause::Intentional,
        reason: "restart the host".into(),
    };
    world.app.turn_request(one, &asked).await.unwrap();
    let failed = TurnOutcome::Failed { detail: "it did not come back".into() };
    world.app.turn_give_back(one, Generation::new(1), &failed).await.unwrap();
    world.app.turn_request(two, &asked).await.unwrap();
    let turns = world.get("/api/v1/turns?environment=production").await.json();
    let states: Vec<_> =
        turns["items"].as_array().unwrap().iter().map(|t| (&t["node"], &t["state"])).collect();
    assert_eq!(states, [(&json!("app-1"), &json!("failed")), (&json!("app-2"), &json!("waiting"))]);
    let release = "/api/v1/nodes/app-1/turn/release";
    assert_eq!(world.ask(UserRole::Operator, Method::POST, release, None).await.status, 204);
    let again = world.ask(UserRole::Operator, Method::POST, release, None).await;
    assert_eq!(again.problem(), (409, "node_has_no_turn".into()));
}

#[sqlx::test(migrations = "../migrations")]
async fn modes_restarts_and_plans_are_asked_for(pool: PgPool) {
    let world = World::new(pool).await;
    world.declare().await;
    let node = join(&world, "app-1").await;
    let put =
        async |body| world.ask(UserRole::Operator, Method::PUT, "/api/v1/nodes/app-1/mode", Some(body)).await;
    let set =
        put(json!({ "mode": "report", "reason": "looking into it", "expires_in_s": 3600 })).await.json();
    assert_eq!((&set["items"][0]["mode"], &set["items"][0]["resource"]), (&json!("report"), &json!(null)));
    assert_eq!(put(json!({ "mode": "report" })).await.problem(), (422, "reason_missing".into()));
    assert_eq!(put(json!({ "mode": "off", "reason": "x" })).await.problem(), (422, "invalid_input".into()));
    assert_eq!(world.get("/api/v1/nodes/app-1").await.json()["mode"], "report");
    assert_eq!(put(json!({ "mode": "enforce" })).await.json()["items"], json!([]));

    let reboot = "/api/v1/nodes/app-1/reboot";
    let body = json!({ "reason": "a new kernel" });
    let wanted = world.ask(UserRole::Operator, Method::POST, reboot, Some(body)).await;
    assert_eq!((wanted.status.as_u16(), &wanted.json()["now"]), (202, &json!(false)));
    assert_eq!(world.get("/api/v1/nodes/app-1").await.json()["reboot_request"]["reason"], "a new kernel");
    assert_eq!(world.ask(UserRole::Operator, Method::DELETE, reboot, None).await.status, 204);

    let _hints = world.app.hints().subscribe(node);
    let made =
        world.ask(UserRole::Viewer, Method::POST, "/api/v1/plans", Some(json!({ "node": "app-1" }))).await;
    assert_eq!(made.status, 201);
    let plan = made.json();
    assert_eq!((&plan["finished"], &plan["nodes"][0]["state"]), (&json!(false), &json!("waiting")));
    let resource = |name: &str, change, mode| PlannedResource {
        key: ResourceKey::new("file", name),
        change,
        mode,
        cause: None,
        disruptive: false,
        detail: String::new(),
        diff: None,
    };
    let answer = NodePlan {
        generation: Generation::new(1),
        revision: Digest::from_bytes([1; 32]),
        resources: vec![
            resource("/a", PlannedChange::None, Mode::Enforce),
            resource("/b", PlannedChange::Change, Mode::Enforce),
            resource("/c", PlannedChange::Change, Mode::Report),
            resource("/d", PlannedChange::Release, Mode::Enforce),
        ],
        reboot_required: None,
    };
    let id: Uuid = plan["id"].as_str().unwrap().parse().unwrap();
    world.app.plan_deliver(node, id, Ok(answer)).await.unwrap();
    let read = world.get(&format!("/api/v1/plans/{id}")).await.json();
    let shown = &read["nodes"][0];
    assert_eq!((&read["finished"], &shown["state"]), (&json!(true), &json!("planned")));
    assert_eq!((&shown["change_count"], &shown["unchanged_count"]), (&json!(1), &json!(1)), "{shown}");
    let keys: Vec<_> =
        shown["resources"].as_array().unwrap().iter().map(|r| r["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["file:/b", "file:/c", "file:/d"], "what is as it should be is only counted");

    let files = json!({ "files": [{ "path": "fleet.yaml", "content": "environments: {}" }] });
    let refused = world.ask(UserRole::Deployer, Method::POST, "/api/v1/plans", Some(files)).await;
    assert_eq!(refused.problem(), (403, "forbidden".into()));
    assert_eq!(world.get("/api/v1/plans/nonsense").await.problem(), (404, "not_found".into()));
}
