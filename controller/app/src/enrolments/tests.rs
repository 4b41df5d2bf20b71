//! Enrolment against a real database.

use super::*;
use crate::{Clock as _, FleetFiles, ManualClock, Settings};
use muster_artifact::ObjectStore;
use muster_db::{Db, events::EventFilter, fleet_configurations::StoredFile};
use muster_domain::{NodeId, UserId, node::HostFacts, user::UserRole};
use muster_identity::{FleetIdentity, IssuedCertificate, PeerNode, Revocations, Secret};
use rcgen::{CertificateParams, KeyPair};
use secrecy::ExposeSecret as _;
use sqlx::PgPool;
use std::sync::Arc;

struct World {
    app: App,
    clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
    pool: PgPool,
}

fn app(pool: &PgPool, clock: &Arc<ManualClock>, folder: &std::path::Path) -> App {
    let (identity, _) = FleetIdentity::open_or_create(folder, clock.now()).unwrap();
    let objects = ObjectStore::open(folder.join("objects")).unwrap();
    let settings = Settings::new("https://muster.example:8444".into());
    App::new(Db::from_pool(pool.clone()), clock.clone(), identity, Revocations::new([]), objects, settings)
}

fn world(pool: PgPool) -> World {
    let clock = Arc::new(ManualClock::new(DateTime::from_timestamp(1_800_000_000, 0).unwrap()));
    let folder = tempfile::tempdir().unwrap();
    World { app: app(&pool, &clock, folder.path()), clock, folder, pool }
}

fn person(role: UserRole) -> Actor {
    Actor { user: UserId::from_uuid(Uuid::nil()), name: "amara".into(), role, address: None }
}

fn invite(name: &str) -> InviteRequest {
    InviteRequest {
        name: NodeName::parse(name).unwrap(),
        environment: EnvironmentName::parse("production").unwrap(),
        roles: vec![Role::AppServer],
        life: DEFAULT_INVITATION_LIFE,
        replace: false,
    }
}

fn csr(key: &KeyPair) -> Vec<u8> {
    CertificateParams::default().serialize_request(key).unwrap().der().to_vec()
}

fn request(token: &JoinToken) -> EnrolRequest {
    EnrolRequest {
        token_id: JoinToken::id_text(token.id),
        token_secret: token.secret.clone(),
        csr_der: csr(&KeyPair::generate().unwrap()),
        facts: HostFacts { hostname: "vps-7".into(), ..HostFacts::default() },
        address: Some([192, 0, 2, 7].into()),
    }
}

fn code(error: &AppError) -> &'static str {
    match error {
        AppError::InvalidInput { code, .. }
        | AppError::Unauthenticated { code, .. }
        | AppError::Conflict { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

impl World {
    async fn invited(&self, request: InviteRequest) -> JoinToken {
        let invitation = self.app.node_invite(&person(UserRole::Operator), request).await.unwrap();
        JoinToken::parse(invitation.token.expose_secret()).unwrap()
    }

    async fn joined(&self, name: &str) -> Enrolled {
        let token = self.invited(invite(name)).await;
        self.app.node_enrol(request(&token)).await.unwrap()
    }

    async fn refusal(&self, request: EnrolRequest) -> &'static str {
        code(&self.app.node_enrol(request).await.unwrap_err())
    }

    fn peer(&self, certificate: &IssuedCertificate) -> PeerNode {
        PeerNode::from_certificate(&certificate.chain_der[0], self.app.identity().ca.fleet_id()).unwrap()
    }

    async fn kinds(&self) -> Vec<String> {
        let filter = EventFilter { after: Some(0), limit: 1000, ..EventFilter::default() };
        let events = self.app.event_list(&person(UserRole::Viewer), &filter).await.unwrap();
        events.into_iter().map(|event| event.kind).collect()
    }

    async fn apply(&self, file: &str) {
        let files = vec![StoredFile { path: "fleet.yaml".into(), content: file.into() }];
        let files = FleetFiles { files, expected_version: None };
        self.app.fleet_configuration_apply(&person(UserRole::Admin), files).await.unwrap();
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_invited_host_becomes_a_node_with_an_assignment(pool: PgPool) {
    let world = world(pool);
    let token = world.invited(invite("web-1")).await;
    assert_eq!(token.root_sha256, world.app.identity().ca.root_sha256());
    let enrolled = world.app.node_enrol(request(&token)).await.unwrap();
    assert_eq!(enrolled.node_name.as_str(), "web-1");

    let peer = world.peer(&enrolled.certificate);
    let node = world.app.node_authenticate(&peer).await.unwrap();
    assert!(node.id == enrolled.node_id && node.name.as_str() == "web-1" && !node.expired);
    assert!(world.app.assignment_get(node.id, None).await.unwrap().is_some());
    let kinds = world.kinds().await;
    assert!(kinds.contains(&"node.invited".into()) && kinds.contains(&"node.enrolled".into()), "{kinds:?}");

    let listed = world.app.enrolment_list(&person(UserRole::Viewer), None, 10).await.unwrap();
    assert_eq!(listed[0].state, EnrolmentState::Enrolled);
    assert_eq!(listed[0].enrolled_at, Some(world.clock.now()));
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_refusal_has_its_own_reason_and_leaves_an_event(pool: PgPool) {
    let world = world(pool);
    let token = world.invited(invite("web-1")).await;

    let mut unknown = request(&token);
    unknown.token_id = JoinToken::id_text(EnrolmentId::from_uuid(Uuid::now_v7()));
    assert_eq!(world.refusal(unknown).await, "token_unknown");
    let mut garbage = request(&token);
    garbage.token_id = "not an id".into();
    assert_eq!(world.refusal(garbage).await, "token_unknown");
    let mut wrong = request(&token);
    wrong.token_secret = Secret::generate();
    assert_eq!(world.refusal(wrong).await, "token_wrong_secret");
    let mut unsigned = request(&token);
    unsigned.csr_der = b"rubbish".to_vec();
    assert_eq!(world.refusal(unsigned).await, "invalid_certificate_request");

    // None of that used the token up.
    world.app.node_enrol(request(&token)).await.unwrap();
    assert_eq!(world.refusal(request(&token)).await, "token_used");

    let token = world.invited(invite("web-2")).await;
    let newer = world.invited(invite("web-2")).await;
    assert_eq!(world.refusal(request(&token)).await, "token_withdrawn");
    world.app.enrolment_withdraw(&person(UserRole::Operator), newer.id).await.unwrap();
    assert_eq!(world.refusal(request(&newer)).await, "token_withdrawn");

    let token = world.invited(invite("web-3")).await;
    world.clock.advance(DEFAULT_INVITATION_LIFE);
    assert_eq!(world.refusal(request(&token)).await, "token_expired");
    let listed = world.app.enrolment_list(&person(UserRole::Viewer), None, 1).await.unwrap();
    assert_eq!(listed[0].state, EnrolmentState::Expired);

    let refused = world.kinds().await.into_iter().filter(|kind| kind == "node.enrolment_refused").count();
    assert_eq!(refused, 8);
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_does_not_have_the_secret_learns_nothing_of_the_invitation(pool: PgPool) {
    let world = world(pool);
    let token = world.invited(invite("web-1")).await;
    world.app.node_enrol(request(&token)).await.unwrap();
    let mut wrong = request(&token);
    wrong.token_secret = Secret::generate();
    assert_eq!(world.refusal(wrong).await, "token_wrong_secret");
}

#[sqlx::test(migrations = "../../migrations")]
async fn of_many_hosts_with_one_token_one_becomes_the_node(pool: PgPool) {
    let world = world(pool);
    let token = world.invited(invite("web-1")).await;
    let results = futures_util::future::join_all((0..8).map(|_| world.app.node_enrol(request(&token)))).await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    assert!(lost.iter().all(|result| code(result.as_ref().unwrap_err()) == "token_used"));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_flood_of_refusals_does_not_flood_the_events(pool: PgPool) {
    let world = world(pool);
    let token = world.invited(invite("web-1")).await;
    for _ in 0..30 {
        let mut wrong = request(&token);
        wrong.token_secret = Secret::generate();
        world.refusal(wrong).await;
    }
    let refused = world.kinds().await.into_iter().filter(|kind| kind == "node.enrolment_refused").count();
    assert_eq!(refused, 20);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_name_is_taken_until_its_node_is_revoked_or_replaced(pool: PgPool) {
    let world = world(pool);
    let operator = person(UserRole::Operator);
    let first = world.joined("web-1").await;
    let error = world.app.node_invite(&operator, invite("web-1")).await.unwrap_err();
    assert_eq!(code(&error), "name_taken");

    let token = world.invited(InviteRequest { replace: true, ..invite("web-1") }).await;
    world
        .app
        .node_authenticate(&world.peer(&first.certificate))
        .await
        .expect("an invitation replaces nobody yet");
    let second = world.app.node_enrol(request(&token)).await.unwrap();
    assert_eq!(first.node_id, second.node_id);
    let error = world.app.node_authenticate(&world.peer(&first.certificate)).await.unwrap_err();
    assert_eq!(code(&error), "certificate_revoked");
    world.app.node_authenticate(&world.peer(&second.certificate)).await.unwrap();

    world.app.node_revoke(&operator, &second.node_name).await.unwrap();
    let token = world.invited(invite("web-1")).await;
    let third = world.app.node_enrol(request(&token)).await.unwrap();
    assert_eq!(third.node_id, second.node_id);
    world.app.node_authenticate(&world.peer(&third.certificate)).await.unwrap();
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_revocation_holds_at_once_and_over_a_restart(pool: PgPool) {
    let world = world(pool);
    let operator = person(UserRole::Operator);
    let node = world.joined("web-1").await;
    let peer = world.peer(&node.certificate);
    let authenticated = world.app.node_authenticate(&peer).await.unwrap();
    let before = world.app.assignment_get(node.node_id, None).await.unwrap().unwrap();

    world.app.node_revoke(&operator, &node.node_name).await.unwrap();
    assert!(world.app.revocations().contains(&peer.serial));
    assert_eq!(code(&world.app.node_authenticate(&peer).await.unwrap_err()), "certificate_revoked");
    let renewed = world.app.node_renew(&authenticated, &csr(&KeyPair::generate().unwrap())).await;
    assert_eq!(code(&renewed.unwrap_err()), "certificate_revoked");
    let error = world.app.node_revoke(&operator, &node.node_name).await.unwrap_err();
    assert_eq!(code(&error), "already_revoked");

    let again = world.joined("web-1").await;
    let restarted = app(&world.pool, &world.clock, world.folder.path());
    restarted.revocations_load().await.unwrap();
    assert!(restarted.revocations().contains(&peer.serial));
    assert_eq!(code(&restarted.node_authenticate(&peer).await.unwrap_err()), "certificate_revoked");
    restarted.node_authenticate(&world.peer(&again.certificate)).await.unwrap();
    // A replayed assignment of the former host cannot pass for a newer one.
    let after = restarted.assignment_get(again.node_id, None).await.unwrap().unwrap();
    assert!(after.generation >= before.generation);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_certificate_that_was_never_issued_here_is_not_known(pool: PgPool) {
    let world = world(pool);
    let node = NodeId::from_uuid(Uuid::now_v7());
    let name = NodeName::parse("web-1").unwrap();
    let request = csr(&KeyPair::generate().unwrap());
    let issued =
        world.app.identity().ca.issue_node_certificate(&request, node, &name, world.clock.now()).unwrap();
    assert_eq!(
        code(&world.app.node_authenticate(&world.peer(&issued)).await.unwrap_err()),
        "certificate_unknown"
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_valid_certificate_is_renewed_with_any_key_and_an_expired_one_with_the_bound_key(pool: PgPool) {
    let world = world(pool);
    let token = world.invited(invite("web-1")).await;
    let (old, new) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let enrolled =
        world.app.node_enrol(EnrolRequest { csr_der: csr(&old), ..request(&token) }).await.unwrap();
    let first = world.peer(&enrolled.certificate);

    world.clock.advance(TimeDelta::hours(16));
    let node = world.app.node_authenticate(&first).await.unwrap();
    let renewed = world.app.node_renew(&node, &csr(&old)).await.unwrap();
    assert_eq!(renewed.not_after, world.clock.now() + TimeDelta::hours(24));
    assert_eq!(renewed.public_key_sha256, first.public_key_sha256);

    // It sleeps for three weeks and comes back with the key that it has.
    world.clock.advance(TimeDelta::days(21));
    let slept = world.app.node_authenticate(&world.peer(&renewed)).await.unwrap();
    assert!(slept.expired);
    assert_eq!(code(&world.app.node_renew(&slept, &csr(&new)).await.unwrap_err()), "key_not_bound");
    let back = world.app.node_renew(&slept, &csr(&old)).await.unwrap();
    assert!(world.kinds().await.contains(&"node.certificate_renewed_late".into()));

    // With a connection that holds, it changes its key; the former one opens nothing after that.
    world.clock.advance(TimeDelta::minutes(1));
    let node = world.app.node_authenticate(&world.peer(&back)).await.unwrap();
    let changed = world.app.node_renew(&node, &csr(&new)).await.unwrap();
    assert_ne!(changed.public_key_sha256, back.public_key_sha256);
    world.clock.advance(TimeDelta::days(2));
    let former = world.app.node_authenticate(&world.peer(&back)).await.unwrap();
    assert_eq!(code(&world.app.node_renew(&former, &csr(&old)).await.unwrap_err()), "key_not_bound");
    let present = world.app.node_authenticate(&world.peer(&changed)).await.unwrap();
    world.app.node_renew(&present, &csr(&new)).await.unwrap();
}

#[sqlx::test(migrations = "../../migrations")]
async fn invitations_follow_the_fleet_files(pool: PgPool) {
    let world = world(pool);
    let operator = person(UserRole::Operator);
    let declared = |environment: &str| {
        format!(
            "environments: {{staging: {{}}, production: {{}}}}\nnodes:\n  web-1: {{environment: {environment}, roles: [app_server]}}\n"
        )
    };
    world.apply(&declared("production")).await;
    let invitation =
        world.app.node_invite(&operator, InviteRequest { roles: vec![], ..invite("web-1") }).await.unwrap();
    assert_eq!(invitation.roles, [Role::AppServer]);
    let other_roles = InviteRequest { roles: vec![Role::Datastore], ..invite("web-1") };
    assert_eq!(code(&world.app.node_invite(&operator, other_roles).await.unwrap_err()), "declared_otherwise");
    let nowhere = InviteRequest { environment: EnvironmentName::parse("prod").unwrap(), ..invite("web-9") };
    let error = world.app.node_invite(&operator, nowhere).await.unwrap_err();
    assert!(matches!(error, AppError::NotFound { kind: "environment", .. }), "{error}");

    let token = world.invited(invite("web-1")).await;
    world.apply(&declared("staging")).await;
    assert_eq!(world.refusal(request(&token)).await, "declared_otherwise");
}

#[sqlx::test(migrations = "../../migrations")]
async fn people_without_the_permission_change_nothing(pool: PgPool) {
    let world = world(pool);
    let node = world.joined("web-1").await;
    let deployer = person(UserRole::Deployer);
    let forbidden = |error: AppError| assert!(matches!(error, AppError::Forbidden { .. }), "{error}");
    forbidden(world.app.node_invite(&deployer, invite("web-2")).await.unwrap_err());
    forbidden(world.app.node_revoke(&deployer, &node.node_name).await.unwrap_err());
    world.app.node_authenticate(&world.peer(&node.certificate)).await.unwrap();
    let short = InviteRequest { life: TimeDelta::seconds(1), ..invite("web-2") };
    assert_eq!(
        code(&world.app.node_invite(&person(UserRole::Admin), short).await.unwrap_err()),
        "invalid_life"
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_revocation_cuts_connections_although_its_caller_goes_away(pool: PgPool) {
    let world = world(pool);
    let admin = person(UserRole::Admin);
    // The caller goes away after one step, two steps, ... until the work is done before that.
    for steps in 1.. {
        let name = format!("web-{steps}");
        let serial = world.peer(&world.joined(&name).await.certificate).serial;
        let name = NodeName::parse(name).unwrap();
        let mut revoking = Box::pin(world.app.node_revoke(&admin, &name));
        let mut left = steps;
        let done = std::future::poll_fn(|context| {
            let polled = revoking.as_mut().poll(context).map(Some);
            left -= 1;
            if polled.is_pending() && left == 0 { std::task::Poll::Ready(None) } else { polled }
        })
        .await;
        drop(revoking);
        // Waits for what the transaction held, and so for its end.
        let revoked: bool =
            sqlx::query_scalar("SELECT revoked_at IS NOT NULL FROM nodes WHERE name = $1 FOR UPDATE")
                .bind(name.as_str())
                .fetch_one(&world.pool)
                .await
                .unwrap();
        let cut =
            tokio::time::timeout(std::time::Duration::from_secs(5), world.app.revocations().revoked(&serial));
        assert!(
            !revoked || cut.await.is_ok(),
            "revoked in the database, connected all the same, after {steps} steps"
        );
        if done.is_some() {
            assert!(revoked);
            return;
        }
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_node_does_not_get_certificates_without_end(pool: PgPool) {
    let world = world(pool);
    let peer = world.peer(&world.joined("web-1").await.certificate);
    let node = world.app.node_authenticate(&peer).await.unwrap();
    let request = csr(&KeyPair::generate().unwrap());
    for _ in 1..60 {
        world.app.node_renew(&node, &request).await.unwrap();
    }
    let refused = world.app.node_renew(&node, &request).await.unwrap_err();
    assert!(matches!(refused, AppError::TooManyRequests { .. }), "{refused:?}");
    world.clock.advance(TimeDelta::hours(1));
    world.app.node_renew(&node, &request).await.unwrap();
}
