//! Plans, turns, restarts and inspections, as an agent meets them on the wire.

use crate::support::{Controller, admin, code, soon};
use futures_util::StreamExt as _;
use muster_app::{FleetFiles, NewPlan, PlanState};
use muster_db::fleet_configurations::StoredFile;
use muster_domain::{
    assignment::Generation,
    inventory::Inventory,
    observed::ChangeCause,
    turn::{TurnAnswer, TurnKind, TurnOutcome, TurnRequest},
};
use muster_proto::{convert, signing, v1};
use sqlx::PgPool;
use tonic::Code;

const FLEET: &str = "
environments: {production: {}}
nodes:
  web-1: {environment: production, roles: [app_server]}
  web-2: {environment: production, roles: [app_server]}
";

async fn applied(pool: PgPool) -> Controller {
    let controller = Controller::start(pool).await;
    let files = vec![StoredFile { path: "fleet.yaml".into(), content: FLEET.into() }];
    let files = FleetFiles { files, expected_version: None };
    controller.app.fleet_configuration_apply(&admin(), files).await.unwrap();
    controller
}

#[sqlx::test(migrations = "../migrations")]
async fn an_agent_plans_a_candidate_that_it_could_never_take_for_an_assignment(pool: PgPool) {
    let controller = applied(pool).await;
    let (host, other) = (controller.join("web-1").await, controller.join("web-2").await);
    let mut watch = soon(controller.agent(&host).watch(v1::WatchRequest {})).await.unwrap().into_inner();
    soon(watch.next()).await.unwrap().unwrap();

    let content = format!("{FLEET}files: {{motd: {{path: /etc/motd, content: hello}}}}\n");
    let files =
        FleetFiles { files: vec![StoredFile { path: "fleet.yaml".into(), content }], expected_version: None };
    let new = NewPlan { files: Some(files), node: Some("web-1".into()), ..NewPlan::default() };
    let plan = controller.app.plan_create(&admin(), new).await.unwrap();
    let hint = soon(watch.next()).await.unwrap().unwrap().hint.unwrap();
    let v1::hint::Hint::PlanRequest(v1::PlanRequest { request_id }) = hint else { panic!("{hint:?}") };
    assert_eq!(request_id, plan.id.as_bytes());

    let ask = v1::GetPlanCandidateRequest { request_id: request_id.clone() };
    let foreign = soon(controller.agent(&other).get_plan_candidate(ask.clone())).await.unwrap_err();
    assert_eq!(foreign.code(), Code::NotFound);
    let candidate =
        soon(controller.agent(&host).get_plan_candidate(ask)).await.unwrap().into_inner().candidate.unwrap();
    let revision = convert::digest("revision", &candidate.revision).unwrap();
    let statement = signing::plan_candidate_statement(host.node, plan.id, &revision);
    assert!(muster_identity::signing::verify(&host.assignment_keys, &statement, &candidate.signature));
    for generation in 0..10 {
        let statement = signing::assignment_statement(host.node, Generation::new(generation), &revision);
        assert!(!muster_identity::signing::verify(&host.assignment_keys, &statement, &candidate.signature));
    }
    assert_eq!(convert::decode_content(&candidate.content).unwrap().resources.len(), 1);

    let answer = v1::NodePlan {
        generation: 1,
        revision: candidate.revision,
        resources: vec![v1::PlannedResource {
            key: "file:/etc/motd".into(),
            change: v1::PlannedChange::Change.into(),
            mode: "enforce".into(),
            cause: v1::ChangeCause::Intentional.into(),
            disruptive: false,
            detail: "it is not there".into(),
            diff: "+hello\n".into(),
        }],
        reboot_required: String::new(),
    };
    let send = |answer| v1::SendPlanRequest { request_id: request_id.clone(), answer };
    let empty = soon(controller.agent(&host).send_plan(send(None))).await.unwrap_err();
    assert_eq!((empty.code(), code(&empty)), (Code::InvalidArgument, "invalid_message"));
    let answer = send(Some(v1::send_plan_request::Answer::Plan(answer)));
    soon(controller.agent(&host).send_plan(answer.clone())).await.unwrap();
    let twice = soon(controller.agent(&host).send_plan(answer)).await.unwrap_err();
    assert_eq!(twice.code(), Code::NotFound);
    let read = controller.app.plan_get(&admin(), plan.id).await.unwrap();
    let PlanState::Planned(planned) = &read.nodes[0].state else { panic!("{read:?}") };
    assert_eq!(planned.resources[0].diff.as_deref(), Some("+hello\n"));
}

#[sqlx::test(migrations = "../migrations")]
async fn an_agent_asks_for_its_turn_and_gives_it_back(pool: PgPool) {
    let controller = applied(pool).await;
    let (one, two) = (controller.join("web-1").await, controller.join("web-2").await);
    let asked = v1::RequestTurnRequest::from(&TurnRequest {
        generation: Generation::new(1),
        kind: TurnKind::Change,
        cause: ChangeCause::Intentional,
        reason: "restart service:nginx.service".into(),
    });
    let ask = async |host| {
        let answer = soon(controller.agent(host).request_turn(asked.clone())).await.unwrap().into_inner();
        TurnAnswer::try_from(answer).unwrap()
    };
    assert_eq!(ask(&one).await, TurnAnswer::Granted { lease_ms: 900_000 });
    let TurnAnswer::Waiting { reason, holders, .. } = ask(&two).await else { panic!("both change") };
    // Neither has sent a heartbeat.
    let silent = reason.starts_with("web-1 is not heard from, and was changing since ");
    assert!(silent && holders == ["web-1"], "{reason}");

    let mut watch = soon(controller.agent(&two).watch(v1::WatchRequest {})).await.unwrap().into_inner();
    soon(watch.next()).await.unwrap().unwrap();
    let done = convert::turn::release_turn(Generation::new(1), &TurnOutcome::Done);
    soon(controller.agent(&one).release_turn(done.clone())).await.unwrap();
    let hint = soon(watch.next()).await.unwrap().unwrap().hint.unwrap();
    assert!(matches!(hint, v1::hint::Hint::TurnChanged(_)), "{hint:?}");
    assert!(matches!(ask(&two).await, TurnAnswer::Granted { .. }));
    soon(controller.agent(&one).release_turn(done)).await.unwrap();
    let vague =
        soon(controller.agent(&one).request_turn(v1::RequestTurnRequest::default())).await.unwrap_err();
    assert_eq!((vague.code(), code(&vague)), (Code::InvalidArgument, "invalid_message"));
}

#[sqlx::test(migrations = "../migrations")]
async fn an_agent_learns_of_a_restart_by_its_heartbeat_and_of_an_inspection_by_a_hint(pool: PgPool) {
    let controller = applied(pool).await;
    let host = controller.join("web-1").await;
    let wanted = controller.app.node_reboot(&admin(), "web-1", "a new kernel", true).await.unwrap();
    let beat = async |rebooted_for: Vec<u8>| {
        let request = v1::HeartbeatRequest { rebooted_for, ..v1::HeartbeatRequest::default() };
        soon(controller.agent(&host).heartbeat(request)).await.map(|answer| answer.into_inner().reboot)
    };
    let told = beat(Vec::new()).await.unwrap().unwrap();
    assert_eq!((told.request_id.as_slice(), told.now), (wanted.id.as_bytes().as_slice(), true));
    assert_eq!(told.reason, "amara: a new kernel");
    assert_eq!(beat(vec![1, 2, 3]).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(beat(told.request_id).await.unwrap(), None);

    let mut watch = soon(controller.agent(&host).watch(v1::WatchRequest {})).await.unwrap().into_inner();
    soon(watch.next()).await.unwrap().unwrap();
    let app = controller.app.clone();
    let asking = tokio::spawn(async move { app.node_inspect(&admin(), "web-1").await });
    let hint = soon(watch.next()).await.unwrap().unwrap().hint.unwrap();
    let v1::hint::Hint::InspectRequest(v1::InspectRequest { request_id }) = hint else { panic!("{hint:?}") };
    let send = async |json: Vec<u8>| {
        let answer = Some(v1::send_inventory_request::Answer::Inventory(json));
        let request = v1::SendInventoryRequest { request_id: request_id.clone(), answer };
        soon(controller.agent(&host).send_inventory(request)).await
    };
    for bad in [b"no json".to_vec(), vec![b' '; 2 * 1024 * 1024]] {
        assert_eq!(send(bad).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let inventory = Inventory { timezone: Some("Europe/Berlin".into()), ..Inventory::default() };
    send(serde_json::to_vec(&inventory).unwrap()).await.unwrap();
    assert_eq!(soon(asking).await.unwrap().unwrap().inventory, inventory);
}
